import assert from 'node:assert/strict'
import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH,
  CONTROL_FLAG,
  attributesAt,
  baseOffsetAt,
  batchSizeAt,
  lastOffsetAt,
  maxTimestampAt,
  readBatch,
  type RecordBatch,
} from '@millrace/protocol'
import { CorruptLogError } from '../base/errors.ts'
import { BatchCursor } from './batch-cursor.ts'
import type { Disk, DiskFile } from './disk.ts'
import { FileSlice } from './file-slice.ts'
import { GatheredRanges } from './gathered-ranges.ts'
import { LOG_SUFFIX, OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX, fileName } from './log-files.ts'
import type { LogConfig } from './log-config.ts'
import { OffsetIndex } from './offset-index.ts'
import { TimeIndex } from './time-index.ts'
import { TransactionIndex } from './transaction-index.ts'

const SCAN_WINDOW_BYTES = 4096
const INDEX_SUFFIXES = [OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX]
/** What the names of a segment's files end in, the log first. The last of them need not be there. */
export const FILE_SUFFIXES: readonly string[] = [LOG_SUFFIX, ...INDEX_SUFFIXES, TRANSACTION_INDEX_SUFFIX]
const NOTHING = Buffer.alloc(0)

/** Fewer bytes than this are read at once: finding out where they end, and sending them by themselves, costs as much. */
const SLICE_BYTES_MIN = 32 * 1024

/** The search for a batch's position uses one window for all segments: it is synchronous and leaves nothing in it. */
let sharedCursor: BatchCursor | undefined

export interface SegmentReadOptions {
  /** No batch that starts here or later. */
  readonly maxOffset: number
  /** The first batch even if it alone is larger than what was asked for. */
  readonly atLeastOneBatch: boolean
  /** Where the bytes go, for callers with a pool: a buffer of at least so many bytes, whose beginning is used. */
  readonly allocate?: ((sizeBytes: number) => Buffer) | undefined
}

/**
 * A contiguous run of record batches in one file, starting at `baseOffset`, with its indexes.
 *
 * The batches were validated and stamped before; here they are bytes. Of all segments of a log only the last one, the
 * active one, is appended to. It belongs to its PartitionLog, which knows where it ends; nobody else calls it. The roll
 * and index rules are Kafka's, so that its tools find the entries they expect.
 */
export class LogSegment {
  readonly baseOffset: number
  /** Whether both index files were there when the segment was opened. */
  readonly hadIndexes: boolean
  readonly #disk: Disk
  readonly #directory: string
  /** What its files have behind their names while they are no part of the log: `.cleaned`, `.swap`, `.deleted`. */
  #suffix: string
  #logFile: DiskFile
  #offsetIndex: OffsetIndex
  #timeIndex: TimeIndex
  #transactionIndex: TransactionIndex
  readonly #createdMs: number
  /** When it was last appended to, by the wall clock, or opened: the age of records without timestamps. */
  lastWriteMs: number
  /** Batches at the end of the segment that are not in the file yet. */
  readonly #gathered = new GatheredRanges()
  /** Why batches that were gathered could not be written; null once they are forgotten everywhere. */
  #lost: unknown = null
  /** Bytes of whole batches. The file is longer only after a write that failed and could not be taken back. */
  #sizeBytes: number
  #bytesSinceIndexEntry: number
  /** The largest timestamp and the last offset of the batch that brought it; undefined until the time index was asked. */
  #maxTimestampMs: number | undefined
  #offsetOfMaxTimestamp: number
  /** The largest timestamp of the first batch, by which the segment rolls; undefined until it was read. */
  #firstTimestampMs: number | undefined
  /** Where the last read ended, and the position there: the next fetch of a consumer mostly goes on from it. */
  #nextReadOffset = -1
  #nextReadPosition = 0
  /** Whether the log file changed since the last sync began. */
  #isUnsynced = false
  #isClosed = false
  /** Readers that go on over more than one turn of the event loop. */
  #readerCount = 0

  private constructor(
    disk: Disk,
    directory: string,
    baseOffset: number,
    nowMs: number,
    options: { readonly create: boolean; readonly suffix: string },
  ) {
    this.baseOffset = baseOffset
    this.#disk = disk
    this.#directory = directory
    this.#suffix = options.suffix
    this.#createdMs = nowMs
    this.lastWriteMs = nowMs
    this.#logFile = disk.open(this.path, { create: options.create })
    this.hadIndexes = INDEX_SUFFIXES.every((suffix) => disk.exists(this.#pathOf(suffix)))
    this.#offsetIndex = new OffsetIndex(baseOffset, disk.open(this.#pathOf(OFFSET_INDEX_SUFFIX), { create: true }))
    this.#timeIndex = new TimeIndex(baseOffset, disk.open(this.#pathOf(TIME_INDEX_SUFFIX), { create: true }))
    this.#transactionIndex = new TransactionIndex(disk, this.#pathOf(TRANSACTION_INDEX_SUFFIX))
    this.#sizeBytes = this.#logFile.size
    this.#bytesSinceIndexEntry = this.#sizeBytes - this.offsetIndex.lastPosition
    this.#offsetOfMaxTimestamp = baseOffset
  }

  /** An empty segment in place of what has its names. With a suffix it is a draft and no part of a log yet. */
  static create(disk: Disk, directory: string, baseOffset: number, nowMs: number, suffix = ''): LogSegment {
    for (const kind of FILE_SUFFIXES) {
      const path = `${directory}/${fileName(baseOffset, kind)}${suffix}`
      if (disk.exists(path)) disk.remove(path)
    }
    return new LogSegment(disk, directory, baseOffset, nowMs, { create: true, suffix })
  }

  /** A segment whose log file is there; missing index files are made and are empty. */
  static open(disk: Disk, directory: string, baseOffset: number, nowMs: number): LogSegment {
    return new LogSegment(disk, directory, baseOffset, nowMs, { create: false, suffix: '' })
  }

  get path(): string {
    return this.#pathOf(LOG_SUFFIX)
  }

  get file(): DiskFile {
    return this.#file
  }

  get offsetIndex(): OffsetIndex {
    return this.#offsetIndex
  }

  get timeIndex(): TimeIndex {
    return this.#timeIndex
  }

  get transactionIndex(): TransactionIndex {
    return this.#transactionIndex
  }

  /** Whether somebody reads it and has not come to the end, so that its files stay. */
  get isBeingRead(): boolean {
    return this.#readerCount > 0
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Whether something of it was written, or found after an unclean shutdown, since the last sync began. */
  get isUnsynced(): boolean {
    const { offsetIndex, timeIndex, transactionIndex } = this
    return this.#isUnsynced || offsetIndex.isUnsynced || timeIndex.isUnsynced || transactionIndex.isUnsynced
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** The largest timestamp of a batch in the segment, or -1. */
  get maxTimestampMs(): number {
    if (this.#maxTimestampMs === undefined) {
      this.#maxTimestampMs = this.timeIndex.lastTimestampMs
      this.#offsetOfMaxTimestamp = this.timeIndex.lastOffset
    }
    return this.#maxTimestampMs
  }

  /** The last offset of the first batch that has `maxTimestampMs`. */
  get offsetOfMaxTimestamp(): number {
    return this.maxTimestampMs < 0 ? this.baseOffset : this.#offsetOfMaxTimestamp
  }

  /** The youngest record, for retention: by its timestamp, or by the last write where no record has one. */
  get newestMs(): number {
    return this.maxTimestampMs >= 0 ? this.maxTimestampMs : this.lastWriteMs
  }

  /** The largest timestamp of the first batch, by which a segment ages; -1 without one. */
  get firstTimestampMs(): number {
    if (this.sizeBytes === 0) return -1
    this.#firstTimestampMs ??= this.#readFirstTimestamp()
    return this.#firstTimestampMs
  }

  /** Whether a batch belongs into a new segment. An empty segment takes any. */
  isFullFor(
    batch: { readonly sizeBytes: number; readonly lastOffset: number; readonly maxTimestampMs: number },
    config: LogConfig,
    rollAfterMs: number,
    nowMs: number,
  ): boolean {
    if (this.sizeBytes === 0) return false
    if (this.sizeBytes > config.segmentBytes - batch.sizeBytes || !this.offsetIndex.holds(batch.lastOffset)) return true
    if (this.offsetIndex.isFull(config.segmentIndexBytes) || this.timeIndex.isFull(config.segmentIndexBytes))
      return true
    const { firstTimestampMs } = this
    // Records without timestamps are as old as the segment.
    const waitedMs = firstTimestampMs >= 0 ? batch.maxTimestampMs - firstTimestampMs : nowMs - this.#createdMs
    return waitedMs > rollAfterMs
  }

  /**
   * Appends bytes [start, end), one batch. After an error readers see the segment as it was.
   *
   * With `isGathered` the bytes stay as they are until `writeGathered` or the next use of the file: one write takes them
   * together with those behind them.
   */
  append(bytes: Buffer, start: number, end: number, indexIntervalBytes: number, isGathered = false): void {
    this.checkNothingLost()
    const lastOffset = lastOffsetAt(bytes, start)
    const timestampMs = maxTimestampAt(bytes, start)
    assert(this.offsetIndex.holds(lastOffset), 'a segment rolls before its offsets exceed an int32')
    // An index that is out of room is written, and must not speak of batches that are not.
    const isIndexWritten = this.offsetIndex.isOutOfRoom || this.timeIndex.isOutOfRoom
    if (!isGathered || isIndexWritten || !this.#gathered.takes(bytes)) this.writeGathered()
    this.offsetIndex.makeRoom()
    this.timeIndex.makeRoom()

    const position = this.#sizeBytes
    this.#isUnsynced = true
    if (isGathered) this.#gathered.add(bytes, start, end)
    else this.#write(position, bytes, start, end)
    this.#sizeBytes = position + end - start
    this.#noteBatch(lastOffset, timestampMs, position, end - start, indexIntervalBytes)
  }

  /**
   * Writes what was gathered. After an error the segment ends before it, although the indexes know of it: nothing is
   * appended until `truncateTo` has put that right.
   */
  writeGathered(): void {
    const { sizeBytes } = this.#gathered
    if (sizeBytes === 0) return
    const position = this.#sizeBytes - sizeBytes
    try {
      this.#write(position)
    } catch (cause) {
      this.#sizeBytes = position
      this.#lost = cause
      throw cause
    }
  }

  /** Throws if what was gathered could not be written, whoever tried it. */
  checkNothingLost(): void {
    if (this.#lost !== null) throw this.#lost
  }

  /** Writes bytes [start, end), or without any what was gathered. */
  #write(position: number, bytes: Buffer | null = null, start = 0, end = 0): void {
    const file = this.#logFile
    // What a failed write left behind is taken away here at the latest; as long as that fails, nothing is appended.
    if (file.size !== position) file.truncate(position)
    try {
      if (bytes === null) this.#gathered.appendTo(file)
      else file.append(bytes, start, end)
    } catch (cause) {
      try {
        file.truncate(position)
      } catch {
        // The write's error is the one to tell.
      }
      throw cause
    }
  }

  /** Appends bytes [start, end), any number of whole batches in order, with one write: how compaction fills a draft. */
  appendBatches(bytes: Buffer, start: number, end: number, indexIntervalBytes: number): void {
    this.#isUnsynced = true
    this.#file.append(bytes, start, end)
    for (let at = start; at < end; at += batchSizeAt(bytes, at)) {
      const position = this.#sizeBytes
      const sizeBytes = batchSizeAt(bytes, at)
      this.#sizeBytes = position + sizeBytes
      this.indexBatch(lastOffsetAt(bytes, at), maxTimestampAt(bytes, at), position, sizeBytes, indexIntervalBytes)
    }
  }

  /** Takes a batch that stands at `position` already into the indexes, in order: how recovery builds them. */
  indexBatch(
    lastOffset: number,
    timestampMs: number,
    position: number,
    sizeBytes: number,
    intervalBytes: number,
  ): void {
    this.offsetIndex.makeRoom()
    this.timeIndex.makeRoom()
    this.#noteBatch(lastOffset, timestampMs, position, sizeBytes, intervalBytes)
  }

  /**
   * Drops what the indexes say of batches that end at `offset` or later, and answers the last batch that they know then;
   * null, with all as they were, if they cannot be believed. For recovery: what is below `offset` was durable before.
   */
  keepIndexesBelow(offset: number): { readonly offset: number; readonly position: number } | null {
    const { offsetIndex, timeIndex } = this
    if (offset <= this.baseOffset || !this.hadIndexes) return null
    if (!offsetIndex.isOrdered(offset) || !timeIndex.isOrdered(offset)) return null
    const position = offsetIndex.floor(offset - 1)
    const cursor = this.#cursor()
    if (position === 0 || !cursor.moveTo(position) || cursor.problem() !== null) return null
    if (lastOffsetAt(cursor.buffer, cursor.at) !== offsetIndex.floorOffset(offset - 1)) return null
    const baseOffset = baseOffsetAt(cursor.buffer, cursor.at)
    this.#isUnsynced = true
    offsetIndex.truncateTo(offset)
    timeIndex.truncateTo(offset)
    this.#bytesSinceIndexEntry = 0
    this.#firstTimestampMs = undefined
    this.#nextReadOffset = -1
    this.#maxTimestampMs = timeIndex.lastTimestampMs
    this.#offsetOfMaxTimestamp = timeIndex.lastOffset
    // Each index is written when it has a block of entries, so the time index may know less than the other.
    let at = offsetIndex.floor(this.#offsetOfMaxTimestamp)
    while (at < position) {
      this.#step(cursor, at)
      const timestampMs = maxTimestampAt(cursor.buffer, cursor.at)
      if (timestampMs > this.#maxTimestampMs) {
        this.#maxTimestampMs = timestampMs
        this.#offsetOfMaxTimestamp = lastOffsetAt(cursor.buffer, cursor.at)
      }
      at += batchSizeAt(cursor.buffer, cursor.at)
    }
    return { offset: baseOffset, position }
  }

  /** Forgets the indexes of offsets and times, for recovery. Whoever wrote the batches may have died before they were durable. */
  resetIndexes(): void {
    this.#isUnsynced = true
    this.offsetIndex.truncateTo(this.baseOffset)
    this.timeIndex.truncateTo(this.baseOffset)
    this.#bytesSinceIndexEntry = 0
    this.#maxTimestampMs = -1
    this.#offsetOfMaxTimestamp = this.baseOffset
    this.#firstTimestampMs = undefined
    this.#nextReadOffset = -1
  }

  #noteBatch(
    lastOffset: number,
    timestampMs: number,
    position: number,
    sizeBytes: number,
    intervalBytes: number,
  ): void {
    if (position === 0) this.#firstTimestampMs = timestampMs
    if (timestampMs > this.maxTimestampMs) {
      this.#maxTimestampMs = timestampMs
      this.#offsetOfMaxTimestamp = lastOffset
    }
    if (this.#bytesSinceIndexEntry > intervalBytes) {
      this.offsetIndex.append(lastOffset, position)
      this.timeIndex.append(this.maxTimestampMs, this.offsetOfMaxTimestamp)
      this.#bytesSinceIndexEntry = 0
    }
    this.#bytesSinceIndexEntry += sizeBytes
  }

  /** The position of the first batch that ends at or after `offset`; the size of the segment if there is none. */
  positionOf(offset: number): number {
    if (offset === this.#nextReadOffset) return this.#nextReadPosition
    const cursor = this.#cursor()
    let position = this.offsetIndex.floor(offset)
    while (position < this.sizeBytes) {
      this.#step(cursor, position)
      if (lastOffsetAt(cursor.buffer, cursor.at) >= offset) return position
      position += batchSizeAt(cursor.buffer, cursor.at)
    }
    return position
  }

  /**
   * Whole batches from the first that ends at or after `offset`, at most `maxBytes` of them; null if no batch here ends
   * there, so that the next segment is to be asked.
   */
  read(offset: number, maxBytes: number, options: SegmentReadOptions): Buffer | null {
    const position = this.positionOf(offset)
    const available = this.sizeBytes - position
    if (available === 0) return null
    let wanted = Math.min(maxBytes, available)
    if (wanted < BATCH_HEADER_BYTES) {
      if (!options.atLeastOneBatch) return NOTHING
      wanted = Math.min(BATCH_HEADER_BYTES, available)
    }
    let bytes = this.#readBytes(position, wanted, options)
    const firstBytes = this.#batchSize(bytes, 0, position)
    if (baseOffsetAt(bytes, 0) >= options.maxOffset) return NOTHING
    if (firstBytes > wanted) {
      if (!options.atLeastOneBatch) return NOTHING
      bytes = this.#readBytes(position, firstBytes, options)
    }

    let end = firstBytes
    let lastOffset = lastOffsetAt(bytes, 0)
    while (end + BATCH_HEADER_BYTES <= bytes.length) {
      const sizeBytes = this.#batchSize(bytes, end, position)
      if (end + sizeBytes > bytes.length || baseOffsetAt(bytes, end) >= options.maxOffset) break
      lastOffset = lastOffsetAt(bytes, end)
      end += sizeBytes
    }
    this.#nextReadOffset = lastOffset + 1
    this.#nextReadPosition = position + end
    return bytes.subarray(0, end)
  }

  /** Whoever looks at the file finds everything in it. */
  get #file(): DiskFile {
    if (this.#gathered.sizeBytes > 0) this.writeGathered()
    return this.#logFile
  }

  /**
   * The same as `read` without `maxOffset`, as a part of the file. Only the index and the header behind it are looked at;
   * null where that does not tell or does not pay. `endOffset` is where the segment ends.
   */
  slice(offset: number, maxBytes: number, endOffset: number): FileSlice | null {
    if (maxBytes < SLICE_BYTES_MIN) return null
    const position = this.positionOf(offset)
    const limit = Math.min(position + maxBytes, this.sizeBytes)
    if (limit - position < SLICE_BYTES_MIN) return null
    let end = limit
    let nextOffset = endOffset
    if (limit < this.sizeBytes) {
      const cursor = this.#cursor()
      end = Math.max(position, this.offsetIndex.floorPosition(limit))
      for (;;) {
        this.#step(cursor, end)
        const sizeBytes = batchSizeAt(cursor.buffer, cursor.at)
        if (end + sizeBytes > limit) break
        end += sizeBytes
      }
      if (end === position) return null
      nextOffset = baseOffsetAt(cursor.buffer, cursor.at)
    }
    this.#nextReadOffset = nextOffset
    this.#nextReadPosition = end
    return new FileSlice(this.#file, position, end - position, nextOffset - 1)
  }

  /** Every batch from the first that ends at or after `offset`; each is a copy that the caller may keep. */
  *batches(offset: number): Generator<Buffer, void, undefined> {
    let position = this.positionOf(offset)
    let file = this.#file
    const cursor = new BatchCursor(file, 256 * 1024)
    this.#readerCount++
    try {
      while (!this.#isClosed && position < this.sizeBytes) {
        // The files may have got other names since the last batch.
        if (file !== this.#file) cursor.reset((file = this.#file))
        this.#step(cursor, position)
        cursor.load()
        const sizeBytes = batchSizeAt(cursor.buffer, cursor.at)
        yield Buffer.from(cursor.buffer.subarray(cursor.at, cursor.at + sizeBytes))
        position += sizeBytes
      }
    } finally {
      this.#readerCount--
    }
  }

  /** Calls back with each batch header from the first that ends at or after `offset`, in order; control batches are whole. */
  forEachHeader(offset: number, callback: (buffer: Buffer, at: number, position: number) => void): void {
    const cursor = this.#cursor()
    let position = this.positionOf(offset)
    cursor.reset(this.#file)
    while (position < this.sizeBytes) {
      this.#step(cursor, position)
      const sizeBytes = batchSizeAt(cursor.buffer, cursor.at)
      if (attributesAt(cursor.buffer, cursor.at) & CONTROL_FLAG) cursor.load()
      callback(cursor.buffer, cursor.at, position)
      position += sizeBytes
    }
  }

  /** The first batch from `position` on that may hold a record at or after both `offset` and `timestampMs`, or null. */
  findBatch(position: number, offset: number, timestampMs: number): { batch: RecordBatch; end: number } | null {
    const cursor = this.#cursor()
    let at = position
    while (at < this.sizeBytes) {
      this.#step(cursor, at)
      const sizeBytes = batchSizeAt(cursor.buffer, cursor.at)
      if (maxTimestampAt(cursor.buffer, cursor.at) >= timestampMs && lastOffsetAt(cursor.buffer, cursor.at) >= offset) {
        const bytes = Buffer.allocUnsafe(sizeBytes)
        this.#file.read(bytes, 0, sizeBytes, at)
        return { batch: readBatch(bytes), end: at + sizeBytes }
      }
      at += sizeBytes
    }
    return null
  }

  /** Drops the batches that hold `offset` or a later one. */
  truncateTo(offset: number): void {
    const position = this.positionOf(offset)
    this.#nextReadOffset = -1
    // The indexes first: they may lag behind the log and must not lead.
    this.offsetIndex.truncateTo(offset)
    this.timeIndex.truncateTo(offset)
    this.transactionIndex.truncateTo(offset)
    this.#isUnsynced = true
    this.#file.truncate(position)
    this.#sizeBytes = position
    this.#lost = null
    this.#bytesSinceIndexEntry = position - this.offsetIndex.lastPosition
    if (position === 0) this.#firstTimestampMs = undefined
    this.#findMaxTimestamp()
  }

  /** Cuts the log file at a position that recovery found; the indexes were built for what is left. */
  cutAt(position: number): void {
    this.#isUnsynced = true
    this.#file.truncate(position)
    this.#sizeBytes = position
  }

  /** Puts the largest timestamp into the time index and writes the indexes, before the segment rolls or closes. */
  seal(): void {
    this.writeGathered()
    this.checkNothingLost()
    this.timeIndex.makeRoom()
    this.timeIndex.append(this.maxTimestampMs, this.offsetOfMaxTimestamp)
    this.offsetIndex.seal()
    this.timeIndex.seal()
  }

  /** Makes the batches durable. */
  async syncBatches(): Promise<void> {
    if (!this.#isUnsynced) return
    this.#isUnsynced = false
    await this.#file.sync()
  }

  /** Makes durable what is written of the indexes. */
  async syncIndexes(): Promise<void> {
    await Promise.all([this.offsetIndex.sync(), this.timeIndex.sync(), this.transactionIndex.sync()])
  }

  close(): void {
    this.#isClosed = true
    this.#file.close()
    this.offsetIndex.close()
    this.timeIndex.close()
    this.transactionIndex.close()
  }

  delete(): void {
    this.close()
    for (const kind of FILE_SUFFIXES) this.#disk.remove(this.#pathOf(kind))
  }

  /**
   * Renames the files, the log first, by whose name a start knows what the others are. The segment is sealed, and
   * readable as before.
   */
  changeSuffix(suffix: string): void {
    for (const kind of FILE_SUFFIXES) {
      const path = this.#pathOf(kind)
      if (kind === TRANSACTION_INDEX_SUFFIX && !this.#disk.exists(path)) continue
      this.#disk.rename(path, `${this.#directory}/${fileName(this.baseOffset, kind)}${suffix}`)
    }
    this.#suffix = suffix
    // A DiskFile is bound to its name, as its descriptor comes and goes.
    this.#file.close()
    this.offsetIndex.close()
    this.timeIndex.close()
    this.transactionIndex.close()
    this.#logFile = this.#disk.open(this.path)
    this.#offsetIndex = new OffsetIndex(this.baseOffset, this.#disk.open(this.#pathOf(OFFSET_INDEX_SUFFIX)))
    this.#timeIndex = new TimeIndex(this.baseOffset, this.#disk.open(this.#pathOf(TIME_INDEX_SUFFIX)))
    this.#transactionIndex = new TransactionIndex(this.#disk, this.#pathOf(TRANSACTION_INDEX_SUFFIX))
  }

  #pathOf(kind: string): string {
    return `${this.#directory}/${fileName(this.baseOffset, kind)}${this.#suffix}`
  }

  #cursor(): BatchCursor {
    sharedCursor ??= new BatchCursor(this.#file, SCAN_WINDOW_BYTES)
    sharedCursor.reset(this.#file)
    return sharedCursor
  }

  /** Moves to the batch at `position`, which was written or recovered as a good one. */
  #step(cursor: BatchCursor, position: number): void {
    const problem = cursor.moveTo(position) ? cursor.problem() : 'no batch header fits before the end'
    if (problem !== null) throw new CorruptLogError(this.path, position, problem)
  }

  #readBytes(position: number, sizeBytes: number, options: SegmentReadOptions): Buffer {
    const allocated = options.allocate?.(sizeBytes) ?? Buffer.allocUnsafe(sizeBytes)
    const bytes = allocated.length === sizeBytes ? allocated : allocated.subarray(0, sizeBytes)
    const read = this.#file.read(bytes, 0, sizeBytes, position)
    if (read !== sizeBytes) throw new CorruptLogError(this.path, position + read, 'the file is shorter than it was')
    return bytes
  }

  #batchSize(bytes: Buffer, at: number, position: number): number {
    const sizeBytes = batchSizeAt(bytes, at)
    if (sizeBytes < BATCH_HEADER_BYTES || position + at + sizeBytes > this.sizeBytes) {
      throw new CorruptLogError(this.path, position + at + BATCH_LENGTH, `a batch of ${sizeBytes} bytes`)
    }
    return sizeBytes
  }

  #readFirstTimestamp(): number {
    const cursor = this.#cursor()
    this.#step(cursor, 0)
    return maxTimestampAt(cursor.buffer, cursor.at)
  }

  /** The largest timestamp after a truncation: the last time index entry's, or a larger one in the batches after it. */
  #findMaxTimestamp(): void {
    let timestampMs = this.timeIndex.lastTimestampMs
    let offset = this.timeIndex.lastOffset
    this.forEachHeader(this.timeIndex.count === 0 ? this.baseOffset : offset + 1, (buffer, at) => {
      if (maxTimestampAt(buffer, at) <= timestampMs) return
      timestampMs = maxTimestampAt(buffer, at)
      offset = lastOffsetAt(buffer, at)
    })
    this.#maxTimestampMs = timestampMs
    this.#offsetOfMaxTimestamp = offset
  }
}
