import assert from 'node:assert/strict'
import {
  CONTROL_FLAG,
  RecordFormatError,
  TRANSACTIONAL_FLAG,
  attributesAt,
  baseOffsetAt,
  batchSizeAt,
  isCrcValidAt,
  lastOffsetAt,
  producerIdAt,
  recordCountAt,
} from '@millrace/protocol'
import { CorruptLogError, StorageError } from '../base/errors.ts'
import type { AbortedTransaction } from './aborted-transaction.ts'
import { BatchCleaner, type LastOfProducer } from './clean-batch.ts'
import { BatchCursor } from './batch-cursor.ts'
import { CleanedTransactions } from './cleaned-transactions.ts'
import { firstDirtyOffset } from './dirty-part.ts'
import type { LogSegment } from './log-segment.ts'
import { OffsetMap, SLOT_BYTES } from './offset-map.ts'
import type { Pace } from './pace.ts'
import type { PartitionLog } from './partition-log.ts'
import { StoredRecords } from './stored-records.ts'

const HEADER_WINDOW_BYTES = 4096
/** The draft is synced this often, so that its last sync, which others wait behind, is a short one. */
const SYNC_BYTES = 16 * 1024 * 1024
/** A position in a segment is an int32 of its index. */
const SEGMENT_BYTES_MAX = 0x7fff_ffff
const LARGEST_DISTANCE = 0x7fff_ffff

export interface CompactionOptions {
  /** The base offset of the first segment that is not looked at: the active one, or one that is too young. */
  readonly upTo: number
  readonly nowMs: number
  /** For the keys of what is new: log.cleaner.dedupe.buffer.size. */
  readonly mapBytesMax: number
  /** How full the map may get. */
  readonly mapLoadFactor: number
  /** For reading and writing. */
  readonly bufferBytes: number
  readonly pace: Pace
  /** The largest segment that is written, for tests. */
  readonly segmentBytesMax?: number
}

export interface CompactionResult {
  /** From here to here the log was dirty. */
  readonly from: number
  readonly to: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  readonly keyCount: number
}

/**
 * Compacts a log: of the records with one key only the last stays, and no offset changes. Null if the work was stopped,
 * or the log was cut off, closed or deleted on the way; what was done until then stays done.
 *
 * It goes through the log twice. First through what is dirty, noting the last offset of every key in memory of a bounded
 * size; if that is too small for all keys the compaction ends where it was full. Then through everything before that
 * point, segment by segment, writing what stays into drafts that take the places of the segments they were made of,
 * several small ones in the place of one. The active segment is never touched, and everything that is must be durable,
 * or a power cut could take the newer record after the older one went.
 *
 * It works in slices as `pace` says; produce and fetch go on meanwhile. One at a time on a log.
 */
export async function compact(log: PartitionLog, options: CompactionOptions): Promise<CompactionResult | null> {
  assert(options.upTo <= log.activeBaseOffset, 'the active segment is not compacted')
  assert(
    log.segments.some((segment) => segment.baseOffset === options.upTo),
    'segments are compacted as a whole',
  )
  assert(options.upTo <= log.recoveryPoint, 'what is compacted is durable')
  return new Compaction(log, options).run()
}

class Compaction {
  readonly #log: PartitionLog
  readonly #options: CompactionOptions
  readonly #truncationCount: number
  readonly #records = new StoredRecords()
  readonly #transactions = new CleanedTransactions()
  #bytesBefore = 0
  #bytesAfter = 0

  constructor(log: PartitionLog, options: CompactionOptions) {
    this.#log = log
    this.#options = options
    this.#truncationCount = log.truncationCount
  }

  async run(): Promise<CompactionResult | null> {
    const log = this.#log
    const from = firstDirtyOffset(log)
    const slotCount = await this.#slotCount(from)
    if (slotCount === null) return null
    const map = new OffsetMap(slotCount)
    const mappedTo = await this.#mapOffsets(from, map)
    if (mappedTo === null) return null

    const to = mappedTo + 1
    const cleaner = new BatchCleaner({
      offsets: map,
      mappedTo,
      transactions: this.#transactions,
      producers: lastOfProducers(log),
      endOffset: this.#options.upTo,
      nowMs: this.#options.nowMs,
      deleteRetentionMs: log.config.deleteRetentionMs,
    })
    for (const group of this.#groups(to)) {
      if (!(await this.#cleanGroup(group, cleaner))) return null
    }
    if (this.#isOver) return null
    log.cleanedTo = to
    return { from, to, bytesBefore: this.#bytesBefore, bytesAfter: this.#bytesAfter, keyCount: map.size }
  }

  get #isOver(): boolean {
    const { pace } = this.#options
    return pace.isStopped || this.#log.isClosed || this.#log.truncationCount !== this.#truncationCount
  }

  /** Counts bytes and rests when it is time; false when the work is to be given up. */
  async #rested(): Promise<boolean> {
    await this.#options.pace.rest()
    return !this.#isOver
  }

  /** The slots that the keys of the dirty part can need, or as many as there is memory for. */
  async #slotCount(from: number): Promise<number | null> {
    const { mapBytesMax, mapLoadFactor, pace, upTo } = this.#options
    const slotCountMax = Math.max(2, Math.floor(mapBytesMax / SLOT_BYTES))
    let recordCount = 0
    for (const segment of this.#dirty(from)) {
      const cursor = new BatchCursor(segment.file, HEADER_WINDOW_BYTES)
      for (
        let at = segment.offsetIndex.floor(from);
        at < segment.sizeBytes;
        at += batchSizeAt(cursor.buffer, cursor.at)
      ) {
        step(cursor, segment, at)
        if (baseOffsetAt(cursor.buffer, cursor.at) >= upTo) break
        recordCount += Math.max(0, recordCountAt(cursor.buffer, cursor.at))
        if (Math.ceil(recordCount / mapLoadFactor) >= slotCountMax) return slotCountMax
        const readBytes = Math.min(batchSizeAt(cursor.buffer, cursor.at), HEADER_WINDOW_BYTES)
        if (pace.spend(readBytes) && !(await this.#rested())) return null
      }
    }
    return Math.max(2, Math.ceil(recordCount / mapLoadFactor) + 1)
  }

  /** Notes the last offset of every key from `from` on; the offset up to which all of them are noted. */
  async #mapOffsets(from: number, map: OffsetMap): Promise<number | null> {
    const { mapLoadFactor, pace, upTo } = this.#options
    const transactions = new CleanedTransactions()
    transactions.addAborted(this.#log.abortedTransactions(from, upTo))
    const sizeMax = Math.min(map.slotCount - 1, Math.max(1, Math.floor(map.slotCount * mapLoadFactor)))
    const segments = this.#dirty(from)
    let mappedTo = from - 1
    for (const [i, segment] of segments.entries()) {
      const cursor = new BatchCursor(segment.file, this.#options.bufferBytes)
      for (
        let at = segment.offsetIndex.floor(from);
        at < segment.sizeBytes;
        at += batchSizeAt(cursor.buffer, cursor.at)
      ) {
        step(cursor, segment, at)
        cursor.load()
        checkCrc(cursor, segment)
        const full = this.#mapBatch(cursor, segment, { from, map, sizeMax, transactions })
        if (full !== null) return Math.max(mappedTo, full)
        mappedTo = Math.max(mappedTo, lastOffsetAt(cursor.buffer, cursor.at))
        if (pace.spend(batchSizeAt(cursor.buffer, cursor.at)) && !(await this.#rested())) return null
      }
      // An earlier compaction may have left a gap at the end of the segment.
      mappedTo = Math.max(mappedTo, (segments[i + 1]?.baseOffset ?? upTo) - 1)
    }
    return Math.min(mappedTo, upTo - 1)
  }

  /** Null if all keys of the batch were noted; else the offset up to which they were, as the map is full. */
  #mapBatch(
    { buffer, at, position }: BatchCursor,
    segment: LogSegment,
    into: {
      readonly from: number
      readonly map: OffsetMap
      readonly sizeMax: number
      readonly transactions: CleanedTransactions
    },
  ): number | null {
    const attributes = attributesAt(buffer, at)
    const producerId = producerIdAt(buffer, at)
    const lastOffset = lastOffsetAt(buffer, at)
    const records = this.#records
    return reading(segment, position, () => {
      records.open(buffer, at)
      if (attributes & CONTROL_FLAG) {
        into.transactions.onControlBatch(producerId, records.next() ? records.controlType : null, lastOffset)
        return null
      }
      if (into.transactions.onBatch(producerId, (attributes & TRANSACTIONAL_FLAG) !== 0, lastOffset)) return null
      while (records.next()) {
        const { offset, keyAt, keyLength } = records
        if (keyLength < 0 || offset < into.from) continue
        if (!into.map.put(records.body, keyAt, keyAt + keyLength, offset, into.sizeMax)) return offset - 1
      }
      return null
    })
  }

  /** The closed segments that hold something from `from` up to the end of what is compacted. */
  #dirty(from: number): LogSegment[] {
    const segments = this.#log.segments.filter((segment) => segment.baseOffset < this.#options.upTo)
    const first = segments.findLastIndex((segment) => segment.baseOffset <= from)
    return segments.slice(Math.max(0, first))
  }

  /** The segments before `to` in groups that become one segment each: as many as fit its size and the range of its index. */
  #groups(to: number): LogSegment[][] {
    const { config } = this.#log
    const { upTo } = this.#options
    const segments = this.#log.segments.filter((segment) => segment.baseOffset < to)
    const groups: LogSegment[][] = []
    let sizeBytes = 0
    let offsetEntries = 0
    let timeEntries = 0
    for (const [i, segment] of segments.entries()) {
      sizeBytes += segment.sizeBytes
      offsetEntries += segment.offsetIndex.count
      timeEntries += segment.timeIndex.count
      const lastOffset = (segments[i + 1]?.baseOffset ?? upTo) - 1
      const group = groups.at(-1)
      const fits =
        group !== undefined &&
        sizeBytes <= config.segmentBytes &&
        offsetEntries * 8 <= config.segmentIndexBytes &&
        timeEntries * 12 <= config.segmentIndexBytes &&
        (segment.sizeBytes === 0 || lastOffset - group[0]!.baseOffset <= LARGEST_DISTANCE)
      if (fits) {
        group.push(segment)
        continue
      }
      groups.push([segment])
      sizeBytes = segment.sizeBytes
      offsetEntries = segment.offsetIndex.count
      timeEntries = segment.timeIndex.count
    }
    return groups
  }

  /** Writes what stays of the segments and puts it in their place; false when the work is given up. */
  async #cleanGroup(group: LogSegment[], cleaner: BatchCleaner): Promise<boolean> {
    const draft = new Draft(this.#log, group, this.#options)
    let isSwapping = false
    try {
      for (const [i, segment] of group.entries()) {
        const nextOffset = group[i + 1]?.baseOffset ?? this.#baseAfter(segment)
        this.#transactions.addAborted(this.#log.abortedTransactions(segment.baseOffset, nextOffset))
        if (!(await this.#cleanInto(draft, segment, cleaner))) return false
      }
      await draft.finish()
      if (this.#isOver) return false
      for (const segment of group) this.#bytesBefore += segment.sizeBytes
      for (const segment of draft.segments) this.#bytesAfter += segment.sizeBytes
      isSwapping = true
      await this.#log.replaceSegments(draft.segments, group)
      return !this.#isOver
    } finally {
      if (!isSwapping) draft.discard()
    }
  }

  #baseAfter(segment: LogSegment): number {
    const { segments } = this.#log
    return segments[segments.indexOf(segment) + 1]!.baseOffset
  }

  async #cleanInto(draft: Draft, segment: LogSegment, cleaner: BatchCleaner): Promise<boolean> {
    const { pace } = this.#options
    const cursor = new BatchCursor(segment.file, this.#options.bufferBytes)
    for (let position = 0, sizeBytes = 0; position < segment.sizeBytes; position += sizeBytes) {
      step(cursor, segment, position)
      cursor.load()
      checkCrc(cursor, segment)
      const { buffer, at } = cursor
      sizeBytes = batchSizeAt(buffer, at)
      const rest = reading(segment, position, () => cleaner.clean(buffer, at))
      let spentBytes = sizeBytes
      if (rest === 'keep') {
        draft.add(buffer, at, sizeBytes)
        spentBytes += sizeBytes
      } else if (rest !== 'drop') {
        draft.add(rest, 0, rest.length)
        spentBytes += rest.length
      }
      for (const transaction of this.#transactions.takeRetained()) draft.addAborted(transaction)
      if (draft.unsyncedBytes >= SYNC_BYTES) {
        await draft.sync()
        if (this.#isOver) return false
      }
      if (pace.spend(spentBytes) && !(await this.#rested())) return false
    }
    return true
  }
}

/**
 * The cleaned segments that are being written. They are one, unless that one would grow beyond what an index can point to:
 * tombstones get larger by the time they get.
 */
class Draft {
  readonly segments: LogSegment[] = []
  readonly #log: PartitionLog
  readonly #lastWriteMs: number
  readonly #segmentBytesMax: number
  readonly #pending: Buffer
  #pendingBytes = 0
  #unsyncedBytes = 0

  constructor(log: PartitionLog, group: readonly LogSegment[], options: CompactionOptions) {
    this.#log = log
    this.#lastWriteMs = group.at(-1)!.lastWriteMs
    this.#segmentBytesMax = options.segmentBytesMax ?? SEGMENT_BYTES_MAX
    this.#pending = Buffer.allocUnsafeSlow(options.bufferBytes)
    this.#begin(group[0]!.baseOffset)
  }

  get unsyncedBytes(): number {
    return this.#unsyncedBytes
  }

  add(bytes: Buffer, start: number, sizeBytes: number): void {
    const written = this.#last.sizeBytes + this.#pendingBytes
    if (written > 0 && written + sizeBytes > this.#segmentBytesMax) {
      this.#write()
      this.#last.seal()
      this.#begin(baseOffsetAt(bytes, start))
    }
    if (this.#pendingBytes + sizeBytes > this.#pending.length) this.#write()
    if (sizeBytes > this.#pending.length) {
      this.#append(bytes, start, start + sizeBytes)
      return
    }
    bytes.copy(this.#pending, this.#pendingBytes, start, start + sizeBytes)
    this.#pendingBytes += sizeBytes
  }

  /** Notes that the segment with the marker that was added last has data of its transaction before it still. */
  addAborted(transaction: AbortedTransaction): void {
    this.#last.transactionIndex.append(transaction)
  }

  async sync(): Promise<void> {
    this.#unsyncedBytes = 0
    for (const segment of this.segments) await segment.syncBatches()
  }

  /** Makes all of it durable, ready to be taken into the log. */
  async finish(): Promise<void> {
    this.#write()
    this.#last.seal()
    await this.sync()
    for (const segment of this.segments) await segment.syncIndexes()
  }

  /** Takes the files away. What cannot be removed now goes before the next swap, or at the next start. */
  discard(): void {
    for (const segment of this.segments) {
      try {
        segment.delete()
      } catch (cause) {
        if (!(cause instanceof StorageError)) throw cause
      }
    }
  }

  get #last(): LogSegment {
    return this.segments.at(-1)!
  }

  #begin(baseOffset: number): void {
    this.segments.push(this.#log.createCleanedSegment(baseOffset, this.#lastWriteMs))
  }

  #write(): void {
    if (this.#pendingBytes === 0) return
    this.#append(this.#pending, 0, this.#pendingBytes)
    this.#pendingBytes = 0
  }

  #append(bytes: Buffer, start: number, end: number): void {
    this.#last.appendBatches(bytes, start, end, this.#log.config.indexIntervalBytes)
    this.#unsyncedBytes += end - start
  }
}

/** Every producer that the partition knows, and the last thing it wrote. */
function lastOfProducers(log: PartitionLog): Map<number, LastOfProducer> {
  return new Map(
    log.producers.entries().map(({ producerId, lastOffset, epoch }) => [producerId, { lastOffset, epoch }]),
  )
}

function step(cursor: BatchCursor, segment: LogSegment, position: number): void {
  const problem = cursor.moveTo(position) ? cursor.problem() : 'no batch header fits before the end'
  if (problem !== null) throw new CorruptLogError(segment.path, position, problem)
}

/** Bytes that have rotted are neither copied under a new checksum nor believed when they say that an older record can go. */
function checkCrc(cursor: BatchCursor, segment: LogSegment): void {
  if (isCrcValidAt(cursor.buffer, cursor.at)) return
  throw new CorruptLogError(segment.path, cursor.position, 'the checksum of the batch is wrong')
}

/** Runs what reads the records of a batch; records that cannot be read are corruption, whatever the checksum says. */
function reading<T>(segment: LogSegment, position: number, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof RangeError) && !(cause instanceof RecordFormatError)) throw cause
    throw new CorruptLogError(segment.path, position, cause.message)
  }
}
