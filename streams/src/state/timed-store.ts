import assert from 'node:assert/strict'
import type { StoreBacking } from './backing.ts'
import { escapeKey, unescapeKey } from './escaped-key.ts'
import { DEFAULT_CACHE_LIMIT, type StoreOptions } from './key-value-store.ts'
import { asBuffer, mapKey, type MapKey } from './map-key.ts'
import type { TimedLayout } from './timed-layout.ts'
import type { ChangeLogger, StateStore, StoreDefinition } from './store.ts'
import { TimeIndex, type Timed } from './time-index.ts'
import { readTime, writeTime } from '../serdes/windowed.ts'

/** The entries of one key, ordered by start, end and sequence. */
export interface TimedGroup<K, V> {
  readonly key: K
  readonly entries: readonly TimedEntry<K, V>[]
}

/** A value with a place in time. Belongs to its store: read it at once, change it only through the store. */
export interface TimedEntry<K, V> extends Timed {
  readonly group: TimedGroup<K, V>
  readonly startMs: number
  readonly endMs: number
  /** Tells entries of the same key and time apart in stores that keep duplicates, 0 elsewhere. */
  readonly sequence: number
  readonly value: V
  readonly timestampMs: number
}

interface OwnGroup<K, V> extends TimedGroup<K, V> {
  readonly mapKey: MapKey
  readonly entries: OwnEntry<K, V>[]
  keyBytes: Buffer | null
  /** Changes that no flush has seen yet, of entries that ended as well. */
  dirtyCount: number
}

interface OwnEntry<K, V> extends TimedEntry<K, V> {
  readonly group: OwnGroup<K, V>
  value: V
  timestampMs: number
  timeMs: number
  isLive: boolean
  isDirty: boolean
  /** Whether the changelog or the disk may know it: only then does its end have to be written. */
  isKnown: boolean
  /** The time under which the row on disk is indexed. */
  rowTimeMs: number
  /** Ended by time, which a reader of the changelog finds out by itself. */
  isExpired: boolean
}

/**
 * Entries by key and time: windows, sessions, join records, buffered results.
 *
 * Two orders at once: the entries of a key sorted by time, and all entries by `timeMs` for closing and expiring them.
 * A key's entries are always complete in memory or not there at all, so that no read merges memory with disk; with a
 * backing, a key is loaded at its first use, or when the time of one of its entries is due, and forgotten after a
 * commit once the cache is over its limit.
 */
export class TimedStore<K, V> implements StateStore {
  readonly name: string
  readonly definition: StoreDefinition
  readonly changelogTopic: string | null
  readonly #layout: TimedLayout
  readonly #groups = new Map<MapKey, OwnGroup<K, V>>()
  readonly #index = new TimeIndex<OwnEntry<K, V>>()
  readonly #log: ChangeLogger | null
  readonly #backing: StoreBacking | null
  readonly #cacheLimit: number
  #dirty: OwnEntry<K, V>[] = []
  /** Keys that lost their last entry: since the last flush, and up to it. */
  readonly #emptied: OwnGroup<K, V>[] = []
  readonly #staged: OwnGroup<K, V>[] = []
  #entryCount = 0
  #liveCount: number | null = null
  #observedMs: number
  #newestStartMs: number
  #nextSequence: number
  /** With a backing: every row whose time is at or below this is in memory (or gone). */
  #loadedToMs = Number.NEGATIVE_INFINITY
  /** Whether the disk has keys that memory has not. */
  #hasUnloaded: boolean

  constructor(definition: StoreDefinition, layout: TimedLayout, options: StoreOptions) {
    this.name = definition.name
    this.definition = definition
    this.#layout = layout
    this.changelogTopic = options.changelogTopic
    this.#log = options.log
    this.#backing = options.backing
    this.#cacheLimit = options.cacheLimit ?? DEFAULT_CACHE_LIMIT
    this.#observedMs = options.backing?.meta('observed') ?? -1
    this.#newestStartMs = options.backing?.meta('newest-start') ?? -1
    this.#nextSequence = options.backing?.meta('sequence') ?? 1
    this.#hasUnloaded = options.backing !== null && options.backing.changelogOffset !== null
  }

  get restoredOffset(): number | null {
    return this.#backing?.changelogOffset ?? null
  }

  get entryCount(): number {
    return this.#entryCount
  }

  /** All live entries, also those on disk only. Asked for at least once before changes, it is kept up to date. */
  get liveCount(): number {
    if (this.#liveCount === null) {
      this.#liveCount = 0
      if (this.#backing === null || !this.#hasUnloaded) this.#liveCount = this.#entryCount
      else for (const _row of this.#backing.timeRange(null, null)) this.#liveCount++
    }
    return this.#liveCount
  }

  /** The largest timestamp that was ever put, -1 before the first; survives a restore. */
  get observedMs(): number {
    return this.#observedMs
  }

  /** The latest start of an entry that was ever put, -1 before the first; survives a restore. */
  get newestStartMs(): number {
    return this.#newestStartMs
  }

  /** Advances `observedMs` without an entry. */
  observe(timestampMs: number): void {
    if (timestampMs > this.#observedMs) this.#observedMs = timestampMs
  }

  /** The earliest time that may have an entry in memory; Infinity when nothing waits. */
  get earliestMs(): number {
    return this.#index.earliestMs
  }

  group(key: K): TimedGroup<K, V> | null {
    return this.#groupOf(mapKey(key, this.definition.keySerde), key)
  }

  insert(key: K, startMs: number, endMs: number, value: V, timestampMs: number, timeMs?: number): TimedEntry<K, V> {
    const entry = this.#add(this.#ownGroup(key), startMs, endMs, 0, value, timestampMs, timeMs)
    this.#born(entry)
    return entry
  }

  /** Like `insert`, but keeps what is already there for the same key and time. */
  insertDuplicate(key: K, startMs: number, endMs: number, value: V, timestampMs: number, timeMs?: number): void {
    this.#born(this.#add(this.#ownGroup(key), startMs, endMs, this.#nextSequence++, value, timestampMs, timeMs))
  }

  update(entry: TimedEntry<K, V>, value: V, timestampMs: number): void {
    const own = entry as OwnEntry<K, V>
    assert(own.isLive, 'an entry that was removed cannot change')
    own.value = value
    own.timestampMs = timestampMs
    if (timestampMs > this.#observedMs) this.#observedMs = timestampMs
    this.#markDirty(own)
  }

  /** Ends an entry for good; the changelog gets a tombstone if it knows the entry. */
  remove(entry: TimedEntry<K, V>): void {
    this.#end(entry as OwnEntry<K, V>, false)
  }

  /** Ends an entry because of its age; the changelog forgets it by its own retention. */
  expire(entry: TimedEntry<K, V>): void {
    this.#end(entry as OwnEntry<K, V>, true)
  }

  /** Waits for another time from now on. The entry must have been taken by `takeDue`. */
  reschedule(entry: TimedEntry<K, V>, timeMs: number): void {
    const own = entry as OwnEntry<K, V>
    own.timeMs = timeMs
    this.#index.add(own)
    // Its row on disk has to move, too, or it would not be found when the new time comes.
    if (this.#backing !== null) this.#markDirty(own)
  }

  /**
   * The live entries with `timeMs <= limitMs`, in the order of time and key bytes. They leave the time order but stay
   * in their groups until `remove` or `expire`.
   */
  takeDue(limitMs: number): readonly TimedEntry<K, V>[] {
    if (this.#hasUnloaded && limitMs > this.#loadedToMs) this.#loadDue(limitMs)
    if (this.#index.earliestMs > limitMs) return NONE
    const due: OwnEntry<K, V>[] = []
    do {
      const bucket = this.#index.takeEarliest()
      if (bucket.length > 1) bucket.sort(this.#byKey)
      for (const entry of bucket) due.push(entry)
    } while (this.#index.earliestMs <= limitMs)
    return due
  }

  /** The earliest entry of all, null when the store is empty. It leaves the time order, like those of `takeDue`. */
  takeEarliest(): TimedEntry<K, V> | null {
    if (this.#hasUnloaded) this.#loadDue(Number.POSITIVE_INFINITY)
    while (this.#index.earliestMs < Number.POSITIVE_INFINITY) {
      const bucket = this.#index.takeEarliest()
      if (bucket.length === 0) continue
      bucket.sort(this.#byKey)
      for (let index = 1; index < bucket.length; index++) this.#index.add(bucket[index]!)
      return bucket[0]!
    }
    return null
  }

  keyBytes(entry: TimedEntry<K, V>): Buffer {
    return this.#keyBytes((entry as OwnEntry<K, V>).group)
  }

  /** Every live entry, by key bytes and then by time. Loads what is on disk only. */
  all(): readonly TimedEntry<K, V>[] {
    if (this.#hasUnloaded) this.#loadDue(Number.POSITIVE_INFINITY)
    const groups = [...this.#groups.values()].toSorted((left, right) =>
      Buffer.compare(this.#keyBytes(left), this.#keyBytes(right)),
    )
    return groups.flatMap((group) => group.entries)
  }

  restore(changelogKey: Buffer, value: Buffer | null, timestampMs: number): void {
    const at = changelogKey.length - this.#layout.suffixBytes
    const keyBytes = Buffer.from(changelogKey.subarray(0, at))
    const { startMs, endMs, sequence } = this.#layout.readSuffix(changelogKey, at)
    if (timestampMs > this.#observedMs) this.#observedMs = timestampMs
    if (startMs > this.#newestStartMs) this.#newestStartMs = startMs
    if (sequence >= this.#nextSequence) this.#nextSequence = sequence + 1
    const timeMs = this.#layout.timeMs(startMs, endMs)
    if (this.#backing !== null) {
      const row = rowKey(keyBytes, startMs, endMs, sequence)
      if (value === null) {
        this.#backing.stageRemove(row)
        this.#backing.stageTimeRemove(timeKey(timeMs, row))
      } else {
        this.#backing.stagePut(row, rowValue(value, timestampMs, timeMs))
        this.#backing.stageTimePut(timeKey(timeMs, row))
      }
      this.#hasUnloaded = true
      return
    }
    const group = this.#ownGroup(this.definition.keySerde.deserialize(keyBytes) as K)
    group.keyBytes ??= keyBytes
    const found = group.entries.find(
      (entry) => entry.startMs === startMs && entry.endMs === endMs && entry.sequence === sequence,
    )
    if (found !== undefined) this.#detach(found)
    if (value === null) {
      if (group.entries.length === 0) this.#groups.delete(group.mapKey)
      return
    }
    const decoded = this.definition.valueSerde.deserialize(value) as V
    this.#add(group, startMs, endMs, sequence, decoded, timestampMs, timeMs).isKnown = true
  }

  flush(): void {
    const dirty = this.#dirty
    this.#dirty = []
    for (const entry of dirty) {
      entry.isDirty = false
      entry.group.dirtyCount--
      if (!entry.isLive && !entry.isKnown) continue
      const isKnown = entry.isKnown
      entry.isKnown = entry.isLive
      const valueBytes = entry.isLive ? this.definition.valueSerde.serialize(entry.value) : null
      if (!entry.isExpired) this.#log?.(this.#changelogKey(entry), valueBytes, entry.timestampMs)
      if (this.#backing !== null) this.#stage(this.#backing, entry, valueBytes, isKnown)
    }
    for (const group of this.#emptied) this.#staged.push(group)
    this.#emptied.length = 0
  }

  #stage(backing: StoreBacking, entry: OwnEntry<K, V>, valueBytes: Uint8Array | null, isKnown: boolean): void {
    const row = rowKey(this.#keyBytes(entry.group), entry.startMs, entry.endMs, entry.sequence)
    if (valueBytes === null) {
      backing.stageRemove(row)
      backing.stageTimeRemove(timeKey(entry.rowTimeMs, row))
      return
    }
    if (!isKnown || entry.rowTimeMs !== entry.timeMs) {
      if (isKnown) backing.stageTimeRemove(timeKey(entry.rowTimeMs, row))
      entry.rowTimeMs = entry.timeMs
      backing.stageTimePut(timeKey(entry.rowTimeMs, row))
    }
    backing.stagePut(row, rowValue(valueBytes, entry.timestampMs, entry.rowTimeMs))
  }

  persist(changelogOffset: number | null): void {
    const backing = this.#backing
    if (backing === null) return
    backing.stageMeta('observed', this.#observedMs)
    backing.stageMeta('newest-start', this.#newestStartMs)
    backing.stageMeta('sequence', this.#nextSequence)
    backing.commit(changelogOffset)
    for (const group of this.#staged) {
      if (group.entries.length === 0 && group.dirtyCount === 0) this.#groups.delete(group.mapKey)
    }
    this.#staged.length = 0
    if (this.#entryCount <= this.#cacheLimit) return
    for (const group of this.#groups.values()) {
      // A row at or below #loadedToMs would not be looked for again; what is dirty is not on disk as it should be.
      if (group.dirtyCount > 0 || group.entries.some((entry) => entry.timeMs <= this.#loadedToMs)) continue
      this.#groups.delete(group.mapKey)
      for (const entry of group.entries) entry.isLive = false
      this.#entryCount -= group.entries.length
      this.#hasUnloaded = true
      if (this.#entryCount <= this.#cacheLimit) break
    }
  }

  close(): void {
    this.#backing?.close()
  }

  #groupOf(id: MapKey, key: K): OwnGroup<K, V> | null {
    const group = this.#groups.get(id)
    if (group !== undefined) return group
    return this.#hasUnloaded ? this.#load(id, key, asBuffer(this.definition.keySerde.serialize(key))) : null
  }

  #ownGroup(key: K): OwnGroup<K, V> {
    const id = mapKey(key, this.definition.keySerde)
    let group = this.#groupOf(id, key)
    if (group === null) {
      group = { key, mapKey: id, entries: [], keyBytes: null, dirtyCount: 0 }
      this.#groups.set(id, group)
    }
    return group
  }

  #load(id: MapKey, key: K, keyBytes: Buffer): OwnGroup<K, V> | null {
    const prefix = escapeKey(keyBytes, ROW_SUFFIX_BYTES)
    const suffixAt = prefix.length - ROW_SUFFIX_BYTES
    const from = prefix.subarray(0, suffixAt)
    let group: OwnGroup<K, V> | null = null
    for (const row of this.#backing!.range(from, after(from))) {
      if (group === null) {
        group = { key, mapKey: id, entries: [], keyBytes, dirtyCount: 0 }
        this.#groups.set(id, group)
      }
      const entry = this.#add(
        group,
        readTime(row.key, suffixAt),
        readTime(row.key, suffixAt + 8),
        row.key.readUInt32BE(suffixAt + 16),
        this.definition.valueSerde.deserialize(row.value.subarray(16)) as V,
        readTime(row.value, 0),
        readTime(row.value, 8),
      )
      entry.isKnown = true
      entry.rowTimeMs = entry.timeMs
    }
    return group
  }

  /** Brings the keys of all rows up to `limitMs` into memory, and some more, so that the next calls find them there. */
  #loadDue(limitMs: number): void {
    const from = this.#loadedToMs < 0 ? null : timeKey(this.#loadedToMs + 1, EMPTY)
    let count = 0
    let loadedToMs = limitMs
    let isAll = true
    for (const row of this.#backing!.timeRange(from, null)) {
      const timeMs = readTime(row, 0)
      if (timeMs > limitMs && count >= LOAD_AHEAD && timeMs > loadedToMs) {
        isAll = false
        break
      }
      count++
      loadedToMs = Math.max(loadedToMs, timeMs)
      const keyBytes = unescapeKey(row.subarray(8, row.length - ROW_SUFFIX_BYTES))
      const key = this.definition.keySerde.deserialize(keyBytes) as K
      const id = mapKey(key, this.definition.keySerde)
      if (!this.#groups.has(id)) this.#load(id, key, keyBytes)
    }
    this.#loadedToMs = loadedToMs
    if (isAll) this.#hasUnloaded = false
  }

  #add(
    group: OwnGroup<K, V>,
    startMs: number,
    endMs: number,
    sequence: number,
    value: V,
    timestampMs: number,
    timeMs: number | undefined,
  ): OwnEntry<K, V> {
    const entry: OwnEntry<K, V> = {
      group,
      startMs,
      endMs,
      sequence,
      value,
      timestampMs,
      timeMs: timeMs ?? this.#layout.timeMs(startMs, endMs),
      isLive: true,
      isDirty: false,
      isKnown: false,
      isExpired: false,
      rowTimeMs: 0,
    }
    const { entries } = group
    let at = entries.length
    while (at > 0 && isAfter(entries[at - 1]!, entry)) at--
    if (at === entries.length) entries.push(entry)
    else entries.splice(at, 0, entry)
    this.#index.add(entry)
    this.#entryCount++
    if (timestampMs > this.#observedMs) this.#observedMs = timestampMs
    if (startMs > this.#newestStartMs) this.#newestStartMs = startMs
    return entry
  }

  #born(entry: OwnEntry<K, V>): void {
    if (this.#liveCount !== null) this.#liveCount++
    this.#markDirty(entry)
  }

  #end(entry: OwnEntry<K, V>, isExpired: boolean): void {
    assert(entry.isLive, 'an entry ends once')
    entry.isExpired = isExpired
    if (this.#liveCount !== null) this.#liveCount--
    this.#detach(entry)
    if (entry.group.entries.length === 0) {
      // With a backing, the empty group says until the next commit that what the disk has of the key no longer counts.
      if (this.#backing === null) this.#groups.delete(entry.group.mapKey)
      else this.#emptied.push(entry.group)
    }
    if (entry.isKnown && (!isExpired || this.#backing !== null)) this.#markDirty(entry)
  }

  #detach(entry: OwnEntry<K, V>): void {
    entry.isLive = false
    this.#entryCount--
    const { entries } = entry.group
    entries.splice(entries.indexOf(entry), 1)
  }

  #markDirty(entry: OwnEntry<K, V>): void {
    if (entry.isDirty) return
    entry.isDirty = true
    entry.group.dirtyCount++
    this.#dirty.push(entry)
  }

  #changelogKey(entry: OwnEntry<K, V>): Buffer {
    const keyBytes = this.#keyBytes(entry.group)
    const bytes = Buffer.allocUnsafe(keyBytes.length + this.#layout.suffixBytes)
    bytes.set(keyBytes)
    this.#layout.writeSuffix(bytes, keyBytes.length, entry.startMs, entry.endMs, entry.sequence)
    return bytes
  }

  #keyBytes(group: OwnGroup<K, V>): Buffer {
    return (group.keyBytes ??= asBuffer(this.definition.keySerde.serialize(group.key)))
  }

  readonly #byKey = (left: OwnEntry<K, V>, right: OwnEntry<K, V>): number =>
    left.group === right.group
      ? left.startMs - right.startMs || left.endMs - right.endMs || left.sequence - right.sequence
      : Buffer.compare(this.#keyBytes(left.group), this.#keyBytes(right.group))
}

const NONE: readonly never[] = []
const EMPTY = Buffer.alloc(0)
const ROW_SUFFIX_BYTES = 20
const LOAD_AHEAD = 256

function isAfter<K, V>(left: TimedEntry<K, V>, right: TimedEntry<K, V>): boolean {
  if (left.startMs !== right.startMs) return left.startMs > right.startMs
  if (left.endMs !== right.endMs) return left.endMs > right.endMs
  return left.sequence > right.sequence
}

/** Key on disk: the key's bytes so that none is a prefix of another, then the place in time. */
function rowKey(keyBytes: Buffer, startMs: number, endMs: number, sequence: number): Buffer {
  const key = escapeKey(keyBytes, ROW_SUFFIX_BYTES)
  const at = key.length - ROW_SUFFIX_BYTES
  writeTime(key, startMs, at)
  writeTime(key, endMs, at + 8)
  key.writeUInt32BE(sequence, at + 16)
  return key
}

/** Value on disk: timestamp, time in the time index, value. */
function rowValue(value: Uint8Array, timestampMs: number, timeMs: number): Buffer {
  const row = Buffer.allocUnsafe(16 + value.length)
  writeTime(row, timestampMs, 0)
  writeTime(row, timeMs, 8)
  row.set(value, 16)
  return row
}

function timeKey(timeMs: number, rowKey: Buffer): Buffer {
  const key = Buffer.allocUnsafe(8 + rowKey.length)
  writeTime(key, timeMs, 0)
  key.set(rowKey, 8)
  return key
}

/** The end of the range of all keys that start with `prefix`, whose last byte is 0 (the terminator). */
function after(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix)
  end[end.length - 1] = 1
  return end
}
