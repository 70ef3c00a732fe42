import assert from 'node:assert/strict'
import type { StoreBacking } from './backing.ts'
import { escapeKey, unescapeKey } from './escaped-key.ts'
import { Eviction } from './eviction.ts'
import { AverageSize, CACHE_BYTES, READ_SHARE, type StoreOptions } from './key-value-store.ts'
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
  readonly origin: Origin
  /** Replaced when it grows, so that the many groups of one entry or two have no room for more. */
  entries: OwnEntry<K, V>[]
  /** Changes that no flush has seen yet, of entries that ended as well. */
  dirtyCount: number
}

/**
 * What the times of a store's entries are relative to. As differences they are small integers, which V8 keeps in the
 * entry itself; a full timestamp is a number object of its own, and there are four for each entry.
 */
interface Origin {
  ms: number
}

const LIVE = 1
const DIRTY = 2
/** The changelog or the disk may know the entry: only then does its end have to be written. */
const KNOWN = 4
/** Ended by time, which a reader of the changelog finds out by itself. */
const EXPIRED = 8

class OwnEntry<K, V> implements TimedEntry<K, V>, Timed {
  readonly group: OwnGroup<K, V>
  readonly sequence: number
  value: V
  nextDue: OwnEntry<K, V> | null = null
  #flags = LIVE
  readonly #start: number
  readonly #end: number
  #timestamp: number
  #time: number
  #rowTime = 0

  constructor(
    group: OwnGroup<K, V>,
    startMs: number,
    endMs: number,
    sequence: number,
    value: V,
    timestampMs: number,
    timeMs: number,
  ) {
    const { ms } = group.origin
    this.group = group
    this.sequence = sequence
    this.value = value
    this.#start = startMs - ms
    this.#end = endMs - ms
    this.#timestamp = timestampMs - ms
    this.#time = timeMs - ms
  }

  get startMs(): number {
    return this.#start + this.group.origin.ms
  }

  get endMs(): number {
    return this.#end + this.group.origin.ms
  }

  get timestampMs(): number {
    return this.#timestamp + this.group.origin.ms
  }

  set timestampMs(timestampMs: number) {
    this.#timestamp = timestampMs - this.group.origin.ms
  }

  get timeMs(): number {
    return this.#time + this.group.origin.ms
  }

  set timeMs(timeMs: number) {
    this.#time = timeMs - this.group.origin.ms
  }

  /** The time under which the row on disk is indexed. */
  get rowTimeMs(): number {
    return this.#rowTime + this.group.origin.ms
  }

  set rowTimeMs(rowTimeMs: number) {
    this.#rowTime = rowTimeMs - this.group.origin.ms
  }

  get isLive(): boolean {
    return (this.#flags & LIVE) !== 0
  }

  has(flag: number): boolean {
    return (this.#flags & flag) !== 0
  }

  set(flag: number): void {
    this.#flags |= flag
  }

  unset(flag: number): void {
    this.#flags &= ~flag
  }

  isAfter(other: OwnEntry<K, V>): boolean {
    if (this.#start !== other.#start) return this.#start > other.#start
    if (this.#end !== other.#end) return this.#end > other.#end
    return this.sequence > other.sequence
  }

  isTwinOf(other: OwnEntry<K, V>): boolean {
    return this.#start === other.#start && this.#end === other.#end && this.sequence === other.sequence
  }
}

/**
 * Entries by key and time: windows, sessions, join records, buffered results.
 *
 * Two orders at once: the entries of a key sorted by time, and all entries by `timeMs` for closing and expiring them.
 * A key's entries are always complete in memory or not there at all, so that no read merges memory with disk; with a
 * backing, a key is loaded at its first use, or when the time of one of its entries is due, and forgotten once the cache
 * is over its limit: after a commit, and when reads have brought in twice as much, once their caller is done.
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
  readonly #cacheLimit: number | null
  readonly #size = new AverageSize()
  readonly #eviction = new Eviction(() => this.#makeRoom())
  #dirty: OwnEntry<K, V>[] = []
  /** Keys that lost their last entry: since the last flush, and up to it. */
  readonly #emptied: OwnGroup<K, V>[] = []
  readonly #staged: OwnGroup<K, V>[] = []
  readonly #origin: Origin = { ms: NO_ORIGIN }
  #entryCount = 0
  #liveCount: number | null = null
  #observedMs: number
  #newestStartMs: number
  #nextSequence: number
  /** With a backing: every row whose time is before this is in memory (or gone). */
  #unloadedFromMs = Number.NEGATIVE_INFINITY
  /** The key that was last looked for on disk, in vain. */
  #missed: MapKey | null = null
  /** Whether the disk has keys that memory has not. */
  #hasUnloaded: boolean
  /** Nothing can be forgotten before the next commit: what is clean may be newer than its rows, or is of dirty keys. */
  #isHeld = false

  constructor(definition: StoreDefinition, layout: TimedLayout, options: StoreOptions) {
    this.name = definition.name
    this.definition = definition
    this.#layout = layout
    this.changelogTopic = options.changelogTopic
    this.#log = options.log
    this.#backing = options.backing
    this.#cacheLimit = options.cacheLimit ?? null
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

  /** Entries that wait for their time, those included that were removed and are not swept out yet. */
  get waitingCount(): number {
    return this.#index.size
  }

  /** The earliest time that may have an entry in memory; Infinity when nothing waits. */
  get earliestMs(): number {
    return this.#index.earliestMs
  }

  /** No entry is due before this, in memory or on disk. */
  get quietUntilMs(): number {
    const { earliestMs } = this.#index
    return this.#hasUnloaded ? Math.min(earliestMs, this.#unloadedFromMs) : earliestMs
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
    if (this.#hasUnloaded && limitMs >= this.#unloadedFromMs) this.#loadDue(limitMs)
    if (this.#index.earliestMs > limitMs) return NONE
    const due: OwnEntry<K, V>[] = []
    do {
      const bucket = this.#index.takeEarliest()
      for (const entry of this.#byKey(bucket)) due.push(entry)
    } while (this.#index.earliestMs <= limitMs)
    return due
  }

  /** Ends all entries with `timeMs <= limitMs` because of their age. */
  expireDue(limitMs: number): void {
    if (this.#hasUnloaded && limitMs >= this.#unloadedFromMs) this.#loadDue(limitMs)
    while (this.#index.earliestMs <= limitMs) {
      for (const entry of this.#index.takeEarliest()) this.#end(entry, true)
    }
  }

  /** The earliest entry of all, null when the store is empty. It leaves the time order, like those of `takeDue`. */
  takeEarliest(): TimedEntry<K, V> | null {
    if (this.#hasUnloaded) this.#loadDue(Number.POSITIVE_INFINITY)
    while (this.#index.earliestMs < Number.POSITIVE_INFINITY) {
      const bucket = this.#byKey(this.#index.takeEarliest())
      if (bucket.length === 0) continue
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
    return [...this.#groups.values()]
      .map((group) => ({ group, bytes: this.#keyBytes(group) }))
      .toSorted((left, right) => Buffer.compare(left.bytes, right.bytes))
      .flatMap(({ group }) => group.entries)
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
      this.#unloadedFromMs = Number.NEGATIVE_INFINITY
      this.#missed = null
      return
    }
    const group = this.#ownGroup(this.definition.keySerde.deserialize(keyBytes) as K)
    const found = group.entries.find(
      (entry) => entry.startMs === startMs && entry.endMs === endMs && entry.sequence === sequence,
    )
    if (found !== undefined) this.#detach(found)
    if (value === null) {
      if (group.entries.length === 0) this.#groups.delete(group.mapKey)
      return
    }
    const decoded = this.definition.valueSerde.deserialize(value) as V
    this.#add(group, startMs, endMs, sequence, decoded, timestampMs, timeMs).set(KNOWN)
  }

  get unflushedBytes(): number {
    return this.#dirty.length * (ENTRY_BYTES + this.#size.average)
  }

  flush(): void {
    const dirty = this.#dirty
    this.#dirty = []
    for (const entry of dirty) {
      entry.unset(DIRTY)
      entry.group.dirtyCount--
    }
    // Whoever reads the changelog up to any point finds what an entry was replaced by before the entry is gone.
    for (const entry of dirty) if (entry.isLive) this.#writeLive(entry)
    for (const entry of dirty) if (!entry.isLive && entry.has(KNOWN)) this.#writeEnd(entry)
    for (const group of this.#emptied) this.#staged.push(group)
    this.#emptied.length = 0
    if (dirty.length > 0) this.#isHeld = true
  }

  #writeLive(entry: OwnEntry<K, V>): void {
    const isKnown = entry.has(KNOWN)
    entry.set(KNOWN)
    const keyBytes = this.#keyBytes(entry.group)
    const valueBytes = this.definition.valueSerde.serialize(entry.value)
    this.#size.add(keyBytes.length + valueBytes.length)
    this.#log?.(this.#changelogKey(entry, keyBytes), valueBytes, entry.timestampMs)
    const backing = this.#backing
    if (backing === null) return
    const row = rowKey(keyBytes, entry.startMs, entry.endMs, entry.sequence)
    const { timeMs } = entry
    if (!isKnown || entry.rowTimeMs !== timeMs) {
      if (isKnown) backing.stageTimeRemove(timeKey(entry.rowTimeMs, row))
      entry.rowTimeMs = timeMs
      backing.stageTimePut(timeKey(timeMs, row))
    }
    backing.stagePut(row, rowValue(valueBytes, entry.timestampMs, timeMs))
  }

  #writeEnd(entry: OwnEntry<K, V>): void {
    entry.unset(KNOWN)
    const keyBytes = this.#keyBytes(entry.group)
    // A session that took in a record between its first and its last is replaced by one of the same times.
    const twin = this.#groups.get(entry.group.mapKey)?.entries.find((other) => other.isTwinOf(entry))
    if (twin === undefined && !entry.has(EXPIRED)) {
      this.#log?.(this.#changelogKey(entry, keyBytes), null, entry.timestampMs)
    }
    const backing = this.#backing
    if (backing === null) return
    const row = rowKey(keyBytes, entry.startMs, entry.endMs, entry.sequence)
    if (twin === undefined) backing.stageRemove(row)
    if (twin?.rowTimeMs !== entry.rowTimeMs) backing.stageTimeRemove(timeKey(entry.rowTimeMs, row))
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
    this.#missed = null
    this.#isHeld = false
    const limit = this.#limit
    if (this.#entryCount > limit) this.#forget(limit)
  }

  get #limit(): number {
    return this.#cacheLimit ?? this.#size.entriesIn(CACHE_BYTES, ENTRY_BYTES)
  }

  get #isCrowded(): boolean {
    return this.#entryCount - this.#dirty.length > READ_SHARE * this.#limit
  }

  #makeRoom(): void {
    if (this.#isHeld || !this.#isCrowded) return
    this.#forget(this.#limit)
    this.#isHeld = this.#isCrowded
  }

  /** Leaves keys to the disk, those first that have been in memory for the longest time. */
  #forget(limit: number): void {
    // Without this, a state that has just passed the limit would be gone through at every commit.
    const target = Math.floor(limit * KEPT_SHARE)
    for (const group of this.#groups.values()) {
      // What is dirty is not on disk as it should be.
      if (group.dirtyCount > 0) continue
      this.#groups.delete(group.mapKey)
      for (const entry of group.entries) {
        entry.unset(LIVE)
        if (entry.timeMs < this.#unloadedFromMs || !this.#hasUnloaded) this.#unloadedFromMs = entry.timeMs
        this.#hasUnloaded = true
      }
      this.#entryCount -= group.entries.length
      if (this.#entryCount <= target) break
    }
    this.#index.sweep()
  }

  close(): void {
    this.#backing?.close()
  }

  #groupOf(id: MapKey, key: K): OwnGroup<K, V> | null {
    const group = this.#groups.get(id)
    if (group !== undefined) return group
    if (!this.#hasUnloaded || this.#missed === id) return null
    const loaded = this.#load(id, key, asBuffer(this.definition.keySerde.serialize(key)))
    if (loaded === null) this.#missed = id
    return loaded
  }

  #ownGroup(key: K): OwnGroup<K, V> {
    const id = mapKey(key, this.definition.keySerde)
    let group = this.#groupOf(id, key)
    if (group === null) {
      group = this.#newGroup(id, key)
      if (this.#missed === id) this.#missed = null
    }
    return group
  }

  #newGroup(id: MapKey, key: K): OwnGroup<K, V> {
    const group = { key, mapKey: id, origin: this.#origin, entries: [], dirtyCount: 0 }
    this.#groups.set(id, group)
    return group
  }

  #load(id: MapKey, key: K, keyBytes: Buffer): OwnGroup<K, V> | null {
    const prefix = escapeKey(keyBytes, ROW_SUFFIX_BYTES)
    const suffixAt = prefix.length - ROW_SUFFIX_BYTES
    const from = prefix.subarray(0, suffixAt)
    let group: OwnGroup<K, V> | null = null
    for (const row of this.#backing!.range(from, after(from))) {
      group ??= this.#newGroup(id, key)
      const entry = this.#add(
        group,
        readTime(row.key, suffixAt),
        readTime(row.key, suffixAt + 8),
        row.key.readUInt32BE(suffixAt + 16),
        this.definition.valueSerde.deserialize(row.value.subarray(16)) as V,
        readTime(row.value, 0),
        readTime(row.value, 8),
      )
      entry.set(KNOWN)
      entry.rowTimeMs = entry.timeMs
      this.#size.add(keyBytes.length + row.value.length)
    }
    if (!this.#isHeld && this.#isCrowded) this.#eviction.soon()
    return group
  }

  /** Brings the keys of all rows up to `limitMs` into memory, and some more, so that the next calls find them there. */
  #loadDue(limitMs: number): void {
    const from = this.#unloadedFromMs < 0 ? null : timeKey(this.#unloadedFromMs, EMPTY)
    let count = 0
    for (const row of this.#backing!.timeRange(from, null)) {
      const timeMs = readTime(row, 0)
      if (timeMs > limitMs && (count === 0 || count >= LOAD_AHEAD)) {
        this.#unloadedFromMs = timeMs
        return
      }
      count++
      const keyBytes = unescapeKey(row.subarray(8, row.length - ROW_SUFFIX_BYTES))
      const key = this.definition.keySerde.deserialize(keyBytes) as K
      const id = mapKey(key, this.definition.keySerde)
      if (!this.#groups.has(id)) this.#load(id, key, keyBytes)
    }
    this.#hasUnloaded = false
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
    if (this.#origin.ms === NO_ORIGIN) this.#origin.ms = startMs
    const dueMs = timeMs ?? this.#layout.timeMs(startMs, endMs)
    const entry = new OwnEntry(group, startMs, endMs, sequence, value, timestampMs, dueMs)
    const { entries } = group
    let at = entries.length
    while (at > 0 && entries[at - 1]!.isAfter(entry)) at--
    if (entries.length < EXACT_ENTRIES) group.entries = entries.toSpliced(at, 0, entry)
    else if (at === entries.length) entries.push(entry)
    else entries.splice(at, 0, entry)
    if (this.#layout.byKeyOnly !== true) this.#index.add(entry)
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
    if (isExpired) entry.set(EXPIRED)
    if (this.#liveCount !== null) this.#liveCount--
    this.#detach(entry)
    if (entry.group.entries.length === 0) {
      // With a backing, the empty group says until the next commit that what the disk has of the key no longer counts.
      if (this.#backing === null) this.#groups.delete(entry.group.mapKey)
      else this.#emptied.push(entry.group)
    }
    if (entry.has(KNOWN) && (!isExpired || this.#backing !== null)) this.#markDirty(entry)
  }

  #detach(entry: OwnEntry<K, V>): void {
    entry.unset(LIVE)
    this.#entryCount--
    const { entries } = entry.group
    entries.splice(entries.indexOf(entry), 1)
    if (this.#index.size > DEAD_SHARE * this.#entryCount + DEAD_MIN) this.#index.sweep()
  }

  #markDirty(entry: OwnEntry<K, V>): void {
    if (entry.has(DIRTY)) return
    entry.set(DIRTY)
    entry.group.dirtyCount++
    this.#dirty.push(entry)
  }

  #changelogKey(entry: OwnEntry<K, V>, keyBytes: Buffer): Buffer {
    const bytes = Buffer.allocUnsafe(keyBytes.length + this.#layout.suffixBytes)
    bytes.set(keyBytes)
    this.#layout.writeSuffix(bytes, keyBytes.length, entry.startMs, entry.endMs, entry.sequence)
    return bytes
  }

  #keyBytes(group: OwnGroup<K, V>): Buffer {
    return asBuffer(this.definition.keySerde.serialize(group.key))
  }

  #byKey(bucket: readonly OwnEntry<K, V>[]): readonly OwnEntry<K, V>[] {
    if (bucket.length < 2) return bucket
    return bucket
      .map((entry) => ({ entry, bytes: this.#keyBytes(entry.group) }))
      .toSorted((left, right) =>
        left.entry.group === right.entry.group
          ? Number(left.entry.isAfter(right.entry)) - Number(right.entry.isAfter(left.entry))
          : Buffer.compare(left.bytes, right.bytes),
      )
      .map(({ entry }) => entry)
  }
}

const NONE: readonly never[] = []
const EMPTY = Buffer.alloc(0)
const ROW_SUFFIX_BYTES = 20
const LOAD_AHEAD = 256
/** No store begins there, and any number that is taken from it stays a safe one. */
const NO_ORIGIN = -1e15
const EXACT_ENTRIES = 8
/** What an entry takes in memory beside the bytes of its key and value: its share of group, map and time order. */
const ENTRY_BYTES = 200
const KEPT_SHARE = 0.9
/** What is removed long before its time is swept out when there is three times as much of it as of what is left. */
const DEAD_SHARE = 4
const DEAD_MIN = 1000

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
