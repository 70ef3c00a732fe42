/**
 * Turns values of one type into bytes and back. Pure and synchronous; may be shared by any number of tasks.
 *
 * `null` never reaches a serde: a null key or value is a null on the wire.
 */
export interface Serde<T> {
  readonly name: string
  serialize(value: T): Uint8Array
  /** `bytes` is a view that is only valid during the call: a serde that keeps bytes copies them. */
  deserialize(bytes: Buffer): T
  /** Whether equal values are the same key of a Map (strings, numbers); others are told apart by their bytes. */
  readonly isPrimitive?: boolean
  /** The serdes inside (or this one) that need something from outside the process before they can work. */
  readonly remotes?: readonly RemoteSerde[]
}

/** Where a topology uses a serde. */
export interface SerdeUse {
  readonly topic: string
  readonly part: 'key' | 'value'
  /** `internal`: read and written by the application alone, in a changelog or a repartition topic. */
  readonly access: 'read' | 'write' | 'internal'
}

/**
 * Serdes are synchronous; one that depends on a service, such as a schema registry, asks it ahead. `prepare` is awaited
 * before an application starts, and again before a task's state is restored, when others may have written what this
 * process has not seen. What a source meets that is still not known is said by throwing `NotReady`.
 */
export interface RemoteSerde {
  prepare(uses: readonly SerdeUse[], options?: PrepareSerdeOptions): Promise<void>
}

export interface PrepareSerdeOptions {
  readonly signal?: AbortSignal | undefined
  /** How long a service that does not answer is asked again. */
  readonly timeoutMs?: number
}

interface WithRemotes {
  readonly remotes?: readonly RemoteSerde[]
}

/** For a serde that is made of others: their remote ones are its own. */
export function remotesOf(...serdes: readonly WithRemotes[]): WithRemotes {
  const remotes = serdes.flatMap((serde) => serde.remotes ?? [])
  return remotes.length === 0 ? {} : { remotes }
}

/** The type that a serde reads and writes. */
export type SerdeType<S> = S extends Serde<infer T> ? T : never
