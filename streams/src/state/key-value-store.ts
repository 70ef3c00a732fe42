import type { StoreBacking } from './backing.ts'
import { Eviction } from './eviction.ts'
import { asBuffer, mapKey, type MapKey } from './map-key.ts'
import type { ChangeLogger, KeyValueDefinition, StateStore } from './store.ts'
import { readTime, writeTime } from '../serdes/windowed.ts'

/** One key's latest value. Belongs to its store: read it at once, change it only through the store. */
export interface KeyValueEntry<K, V> {
  readonly key: K
  readonly value: V | null
  readonly timestampMs: number
}

interface OwnEntry<K, V> extends KeyValueEntry<K, V> {
  readonly mapKey: MapKey
  value: V | null
  timestampMs: number
  isDirty: boolean
}

/** What user code sees of a key-value store in `process` and in interactive queries. */
export interface ReadableKeyValueStore<K, V> {
  get(key: K): V | null
  /** Entries in the order of their key's bytes. `from` and `to` are inclusive. */
  entries(from?: K | null, to?: K | null): Iterable<KeyValueEntry<K, V>>
}

export interface WritableKeyValueStore<K, V> extends ReadableKeyValueStore<K, V> {
  put(key: K, value: V | null, timestampMs?: number): void
  delete(key: K): V | null
}

/**
 * The latest value and timestamp of every key.
 *
 * Values are kept decoded in a Map and serialized once per commit, however often they changed. With a backing the Map
 * is a write-behind cache: misses read the disk, a commit writes what is dirty and then forgets clean entries beyond
 * what the cache may hold, oldest first. So does what reads between commits, at twice as much, once its caller is done.
 * No call allocates for a key that is cached.
 */
export class KeyValueStore<K, V> implements StateStore, WritableKeyValueStore<K, V> {
  readonly name: string
  readonly definition: KeyValueDefinition
  readonly changelogTopic: string | null
  readonly #entries = new Map<MapKey, OwnEntry<K, V>>()
  readonly #log: ChangeLogger | null
  readonly #backing: StoreBacking | null
  readonly #cacheLimit: number | null
  readonly #size = new AverageSize()
  readonly #eviction = new Eviction(() => this.#makeRoom())
  #dirty: OwnEntry<K, V>[] = []
  /** Whether something was flushed that is not on disk yet: what is clean may be newer than its row. */
  #isHeld = false

  constructor(definition: KeyValueDefinition, options: StoreOptions) {
    this.name = definition.name
    this.definition = definition
    this.changelogTopic = options.changelogTopic
    this.#log = options.log
    this.#backing = options.backing
    this.#cacheLimit = options.cacheLimit ?? null
  }

  get restoredOffset(): number | null {
    return this.#backing?.changelogOffset ?? null
  }

  get entryCount(): number {
    return this.#entries.size
  }

  get(key: K): V | null {
    return this.find(key)?.value ?? null
  }

  find(key: K): KeyValueEntry<K, V> | null {
    const entry = this.#lookup(mapKey(key, this.definition.keySerde), key)
    return entry === null || entry.value === null ? null : entry
  }

  put(key: K, value: V | null, timestampMs = 0): void {
    const id = mapKey(key, this.definition.keySerde)
    let entry = this.#entries.get(id)
    if (entry === undefined) {
      if (value === null && this.#lookup(id, key) === null) return
      entry = { key, mapKey: id, value, timestampMs, isDirty: false }
      this.#entries.set(id, entry)
    }
    this.#change(entry, value, timestampMs)
  }

  /** `put` for an entry that `find` has just returned, without looking its key up again. */
  update(entry: KeyValueEntry<K, V>, value: V | null, timestampMs: number): void {
    this.#change(entry as OwnEntry<K, V>, value, timestampMs)
  }

  delete(key: K): V | null {
    const entry = this.find(key)
    if (entry === null) return null
    const { value } = entry
    this.update(entry, null, entry.timestampMs)
    return value
  }

  *entries(from: K | null = null, to: K | null = null): Generator<KeyValueEntry<K, V>> {
    const fromBytes = from === null ? null : this.#serializeKey(from)
    const toBytes = to === null ? null : this.#serializeKey(to)
    const cached = [...this.#entries.values()]
      .map((entry) => ({ entry, bytes: this.#serializeKey(entry.key) }))
      .filter(
        ({ bytes }) =>
          (fromBytes === null || Buffer.compare(bytes, fromBytes) >= 0) &&
          (toBytes === null || Buffer.compare(bytes, toBytes) <= 0),
      )
      .toSorted((left, right) => Buffer.compare(left.bytes, right.bytes))
    let next = 0
    if (this.#backing !== null) {
      const end = toBytes === null ? null : Buffer.concat([toBytes, Buffer.of(0)])
      for (const row of this.#backing.range(fromBytes, end)) {
        while (next < cached.length && Buffer.compare(cached[next]!.bytes, row.key) < 0)
          yield* live(cached[next++]!.entry)
        // What is cached is newer than the row, also where it says that the key is gone.
        if (next < cached.length && cached[next]!.bytes.equals(row.key)) continue
        yield this.#decode(this.definition.keySerde.deserialize(row.key) as K, row.value)
      }
    }
    while (next < cached.length) yield* live(cached[next++]!.entry)
  }

  restore(key: Buffer, value: Buffer | null, timestampMs: number): void {
    const { keySerde, valueSerde } = this.definition
    if (this.#backing !== null) {
      if (value === null) this.#backing.stageRemove(Buffer.from(key))
      else this.#backing.stagePut(Buffer.from(key), stored(value, timestampMs))
      return
    }
    const decoded = keySerde.deserialize(key) as K
    const id = mapKey(decoded, keySerde)
    if (value === null) this.#entries.delete(id)
    else {
      const restored = valueSerde.deserialize(value) as V
      this.#entries.set(id, { key: decoded, mapKey: id, value: restored, timestampMs, isDirty: false })
    }
  }

  get unflushedBytes(): number {
    return this.#dirty.length * (ENTRY_BYTES + this.#size.average)
  }

  flush(): void {
    if (this.#dirty.length === 0) return
    const dirty = this.#dirty
    this.#dirty = []
    this.#isHeld = true
    for (const entry of dirty) {
      entry.isDirty = false
      const keyBytes = this.#serializeKey(entry.key)
      const valueBytes = entry.value === null ? null : this.definition.valueSerde.serialize(entry.value)
      this.#size.add(keyBytes.length + (valueBytes?.length ?? 0))
      this.#log?.(keyBytes, valueBytes, entry.timestampMs)
      if (this.#backing === null) {
        if (entry.value === null) this.#entries.delete(entry.mapKey)
      } else if (valueBytes === null) this.#backing.stageRemove(keyBytes)
      else this.#backing.stagePut(keyBytes, stored(valueBytes, entry.timestampMs))
    }
  }

  persist(changelogOffset: number | null): void {
    if (this.#backing === null) return
    this.#backing.commit(changelogOffset)
    this.#isHeld = false
    this.#forget()
  }

  get #limit(): number {
    return this.#cacheLimit ?? this.#size.entriesIn(CACHE_BYTES, ENTRY_BYTES)
  }

  get #isCrowded(): boolean {
    return this.#entries.size - this.#dirty.length > READ_SHARE * this.#limit
  }

  #makeRoom(): void {
    if (!this.#isHeld && this.#isCrowded) this.#forget()
  }

  #forget(): void {
    const limit = this.#limit
    if (this.#entries.size <= limit) return
    for (const entry of this.#entries.values()) {
      if (entry.isDirty) continue
      this.#entries.delete(entry.mapKey)
      if (this.#entries.size <= limit) break
    }
  }

  close(): void {
    this.#backing?.close()
  }

  #lookup(id: MapKey, key: K): OwnEntry<K, V> | null {
    const cached = this.#entries.get(id)
    if (cached !== undefined) return cached
    if (this.#backing === null) return null
    const keyBytes = this.#serializeKey(key)
    const row = this.#backing.get(keyBytes)
    if (row === null) return null
    const { value, timestampMs } = this.#decode(key, row)
    const entry = { key, mapKey: id, value, timestampMs, isDirty: false }
    this.#entries.set(id, entry)
    this.#size.add(keyBytes.length + row.length)
    if (!this.#isHeld && this.#isCrowded) this.#eviction.soon()
    return entry
  }

  #change(entry: OwnEntry<K, V>, value: V | null, timestampMs: number): void {
    entry.value = value
    entry.timestampMs = timestampMs
    if (entry.isDirty) return
    entry.isDirty = true
    this.#dirty.push(entry)
  }

  #decode(key: K, row: Buffer): KeyValueEntry<K, V> {
    return { key, value: this.definition.valueSerde.deserialize(row.subarray(8)) as V, timestampMs: readTime(row, 0) }
  }

  #serializeKey(key: K): Buffer {
    return asBuffer(this.definition.keySerde.serialize(key))
  }
}

export interface StoreOptions {
  readonly changelogTopic: string | null
  readonly log: ChangeLogger | null
  readonly backing: StoreBacking | null
  /**
   * Clean entries that may stay in memory after a commit of a store on disk, and twice as many between commits; unless
   * given, as many as fit 64 MiB.
   */
  readonly cacheLimit?: number
}

/** Of keys and values as bytes, over all that were written. Entries are kept decoded, where their size is not known. */
export class AverageSize {
  #bytes = 0
  #count = 0

  add(bytes: number): void {
    this.#bytes += bytes
    this.#count++
  }

  get average(): number {
    return this.#count === 0 ? ASSUMED_BYTES : this.#bytes / this.#count
  }

  entriesIn(bytes: number, overheadBytes: number): number {
    return Math.floor(bytes / (overheadBytes + this.average))
  }
}

const ASSUMED_BYTES = 100
export const CACHE_BYTES = 64 * 1024 * 1024
/** How far above its limit reads between two commits may take a cache. */
export const READ_SHARE = 2
/** What an entry takes in memory beside the bytes of its key and value: strings, numbers, its share of the map. */
const ENTRY_BYTES = 200

/** A row on disk: the timestamp, then the value. */
function stored(value: Uint8Array, timestampMs: number): Buffer {
  const row = Buffer.allocUnsafe(8 + value.length)
  writeTime(row, timestampMs, 0)
  row.set(value, 8)
  return row
}

function* live<K, V>(entry: OwnEntry<K, V>): Generator<KeyValueEntry<K, V>> {
  if (entry.value !== null) yield entry
}
