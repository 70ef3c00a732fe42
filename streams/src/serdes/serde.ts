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
}

/** The type that a serde reads and writes. */
export type SerdeType<S> = S extends Serde<infer T> ? T : never
