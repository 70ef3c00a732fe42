import { partitionOfKey } from '../client/murmur2.ts'
import { StreamsError } from '../errors.ts'
import type { Serde } from '../serdes/serde.ts'
import type { ReadableKeyValueStore } from '../state/key-value-store.ts'
import type { StateStore } from '../state/store.ts'
import type { TimedStore } from '../state/timed-store.ts'
import type { VersionedStore } from '../state/versioned-store.ts'

/** An answer from this process, or the address of the instance that has it. */
export type Answer<T> =
  | { readonly isLocal: true; readonly value: T }
  /** `owner` is null when the instance tells no address, or while no instance has the key. */
  | { readonly isLocal: false; readonly owner: string | null }

export interface Row<K, V> {
  readonly key: K
  readonly value: V
  readonly timestampMs: number
}

/** `endMs` is exclusive for tumbling and hopping windows, inclusive for sliding windows and sessions. */
export interface WindowRow<K, V> extends Row<K, V> {
  readonly startMs: number
  readonly endMs: number
}

export interface LocalStore {
  readonly partition: number
  readonly store: StateStore
}

/** What a query needs to know of the application; asked anew each time, because tasks move. */
export interface QueryableApp {
  /** The store in the tasks that are at work here. */
  localStores(name: string): readonly LocalStore[]
  globalStore(name: string): StateStore | null
  /** The number of partitions the store's state is spread over, and the serde of its keys; null when there is no such store. */
  layoutOf(name: string): { readonly partitionCount: number; readonly keySerde: Serde<unknown> } | null
  /** Where the task of this partition of the store is at work, null when that is not known. */
  ownerOf(name: string, partition: number): string | null
}

/**
 * Reads a store of a running application, while its tasks write it: what is read may not be committed yet.
 *
 * State is spread over the instances by key. `get` and `windows` find the partition of a key as the default
 * partitioner does, and answer with the address of the instance that has it when this one does not. `range` and `all`
 * see what this instance has; ask each for the whole.
 */
export class StoreQuery<K, V> {
  readonly #app: QueryableApp
  readonly #name: string

  constructor(app: QueryableApp, name: string) {
    if (app.layoutOf(name) === null && app.globalStore(name) === null) {
      throw new StreamsError('unknown-store', `the topology has no store named '${name}' that can be queried`)
    }
    this.#app = app
    this.#name = name
  }

  /** The value of a key in a table, null when it has none. */
  get(key: K): Promise<Answer<V | null>> {
    return this.#answer(key, (store) => {
      if (store.definition.kind === 'key-value') return (store as unknown as ReadableKeyValueStore<K, V>).get(key)
      if (store.definition.kind === 'versioned') return (store as unknown as VersionedStore<K, V>).get(key)
      throw this.#wrongKind(store, 'windows(key)')
    })
  }

  /** The windows or sessions of a key that start in `[from, to]`, in the order of their starts. */
  windows(key: K, between: { readonly from?: number; readonly to?: number } = {}): Promise<Answer<WindowRow<K, V>[]>> {
    const { from = -Infinity, to = Infinity } = between
    return this.#answer(key, (store) => {
      const entries = this.#timed(store).group(key)?.entries ?? []
      return entries.filter(({ startMs }) => startMs >= from && startMs <= to).map((entry) => windowRow(key, entry))
    })
  }

  /** The rows of this instance with keys in `[from, to]`, by the bytes of their keys within each partition. */
  *range(from: K | null, to: K | null): Generator<Row<K, V>> {
    for (const store of this.#local()) {
      if (store.definition.kind !== 'key-value') throw this.#wrongKind(store, 'all()')
      for (const { key, value, timestampMs } of (store as unknown as ReadableKeyValueStore<K, V>).entries(from, to)) {
        yield { key, value: value!, timestampMs }
      }
    }
  }

  /** Every row of this instance; those of windows and sessions have their times. */
  *all(): Generator<Row<K, V> | WindowRow<K, V>> {
    for (const store of this.#local()) {
      if (store.definition.kind === 'key-value') {
        for (const { key, value, timestampMs } of (store as unknown as ReadableKeyValueStore<K, V>).entries()) {
          yield { key, value: value!, timestampMs }
        }
      } else {
        for (const entry of this.#timed(store).all()) yield windowRow(entry.group.key, entry)
      }
    }
  }

  /** Where a key's state is: whether here, and the address if not. */
  async owner(key: K): Promise<{ readonly isLocal: boolean; readonly owner: string | null }> {
    const answer = await this.#answer(key, () => null)
    return answer.isLocal ? { isLocal: true, owner: null } : answer
  }

  async #answer<T>(key: K, read: (store: StateStore) => T): Promise<Answer<T>> {
    const global = this.#app.globalStore(this.#name)
    if (global !== null) return { isLocal: true, value: read(global) }
    const { partitionCount, keySerde } = this.#app.layoutOf(this.#name)!
    const partition = partitionOfKey(keySerde.serialize(key), partitionCount)
    const local = this.#app.localStores(this.#name).find((one) => one.partition === partition)
    if (local !== undefined) return { isLocal: true, value: read(local.store) }
    return Promise.resolve({ isLocal: false, owner: this.#app.ownerOf(this.#name, partition) })
  }

  #local(): readonly StateStore[] {
    const global = this.#app.globalStore(this.#name)
    return global === null ? this.#app.localStores(this.#name).map(({ store }) => store) : [global]
  }

  #timed(store: StateStore): TimedStore<K, V> {
    const { kind } = store.definition
    if (kind === 'window' || kind === 'session') return store as unknown as TimedStore<K, V>
    throw this.#wrongKind(store, kind === 'key-value' || kind === 'versioned' ? 'get(key)' : null)
  }

  #wrongKind({ definition }: StateStore, instead: string | null): StreamsError {
    const hint = instead === null ? 'it is for the use of an operator' : `use ${instead}`
    return new StreamsError('unknown-store', `'${this.#name}' is a ${definition.kind} store: ${hint}`)
  }
}

function windowRow<K, V>(
  key: K,
  entry: { readonly startMs: number; readonly endMs: number; readonly value: V; readonly timestampMs: number },
): WindowRow<K, V> {
  const { startMs, endMs, value, timestampMs } = entry
  return { key, startMs, endMs, value, timestampMs }
}
