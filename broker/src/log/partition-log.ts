import assert from 'node:assert/strict'
import { crc32c } from '@millrace/native'
import {
  ErrorCode,
  ATTRIBUTES,
  LOG_APPEND_TIME_FLAG,
  RecordReader,
  buildEndTransactionBatch,
  baseOffsetAt,
  batchSizeAt,
  lastOffsetAt,
  lastOffsetDeltaAt,
  leaderEpochAt,
  maxTimestampAt,
  setBaseOffset,
  setLeaderEpoch,
} from '@millrace/protocol'
import type { Clock } from '../base/clock.ts'
import type { AbortedTransaction } from './aborted-transaction.ts'
import { BrokerError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { TopicPartition } from '../base/topic-partition.ts'
import { replaceFile, syncFile } from './checkpoint-file.ts'
import { DeletedSegments } from './deleted-segments.ts'
import type { Disk } from './disk.ts'
import { FileSlice } from './file-slice.ts'
import { isScarcity } from './guarded-disk.ts'
import { LeaderEpochs } from './leader-epochs.ts'
import { loadSegments } from './load-segments.ts'
import type { LogConfig } from './log-config.ts'
import {
  CLEANED_SUFFIX,
  DELETED_SUFFIX,
  PARTITION_METADATA_FILE,
  PRODUCER_SNAPSHOT_SUFFIX,
  fileName,
  offsetOfFile,
} from './log-files.ts'
import { LogSegment, type SegmentReadOptions } from './log-segment.ts'
import { readTopicId, writeTopicId } from './partition-metadata.ts'
import { decodeProducerSnapshot, encodeProducerSnapshot } from './producer-snapshot.ts'
import { ProducerStates, type ProducerCheckOptions } from './producer-state.ts'
import { SegmentSwap, removeOtherDrafts } from './segment-swap.ts'
import type { TransactionMarker } from './transaction-marker.ts'
import { validateBatch, type RecordError } from './validate-batch.ts'

export interface PartitionLogOptions {
  readonly disk: Disk
  readonly directory: string
  readonly topicPartition: TopicPartition
  readonly topicId: string
  readonly config: LogConfig
  readonly clock: Clock
  readonly logger: Logger
  readonly isCleanShutdown: boolean
  /** Everything below was made durable, so that after an unclean shutdown only what follows is read again. */
  readonly recoveryPoint?: number
  /** What becomes of the log if it is damaged where it was durable: 'fail', the default, leaves it as it is. */
  readonly onCorruption?: 'fail' | 'truncate'
  readonly logStartOffset?: number
  /** Where compaction goes on. */
  readonly cleanedTo?: number | null
  readonly producerIdExpirationMs: number
  /** What must be durable before anything of a new log is. */
  readonly beforeDurable?: () => Promise<void>
}

export interface AppendOptions extends ProducerCheckOptions {
  readonly leaderEpoch: number
  /** The version of the Produce request; without it, the newest. */
  readonly produceVersion?: number
  /** The bytes stay as they are until `writeGathered`, which must follow: one write takes several batches. */
  readonly isGathered?: boolean
}

/** What became of one batch, in the terms of a Produce response. */
export interface AppendResult {
  readonly errorCode: number
  readonly errorMessage: string | null
  readonly recordErrors: readonly RecordError[]
  /** -1 if the batch was refused. */
  readonly baseOffset: number
  readonly lastOffset: number
  /** -1 unless the log set the timestamps. */
  readonly logAppendTimeMs: number
  readonly logStartOffset: number
  /** The batch is in the log since an earlier attempt, at these offsets. */
  readonly isDuplicate: boolean
}

export interface RecordPosition {
  readonly offset: number
  readonly timestampMs: number
  /** The leader epoch of the record's batch, or -1. */
  readonly leaderEpoch: number
}

export type ReadOptions = SegmentReadOptions

const NO_RECORD_ERRORS: readonly RecordError[] = []
const NOTHING = Buffer.alloc(0)
const NO_SEGMENTS: ReadonlySet<LogSegment> = new Set()
const NO_ABORTED_TRANSACTIONS: readonly AbortedTransaction[] = []
/** What is in the log was let in by the settings of its time, so a search in it has no limit but the largest buffer's. */
const STORED_BODY_BYTES_MAX = 0x7fff_ffff

/**
 * The log of one partition: a row of segments, what is known of its leader epochs and producers, and the rules by which a
 * batch gets in. Replication, high watermark and who may read what are the partition's.
 *
 * There is one writer, the event loop; everything but `flush` is synchronous, so nobody sees half of a change. A batch
 * that is refused leaves no trace. A StorageError leaves the log as it was for readers, and the caller decides whether
 * it goes on. `open` recovers what an unclean shutdown left; `close` leaves what `open` can trust.
 *
 * Files, all as Apache Kafka's: segments `%020d.log` with `.index`, `.timeindex` and, where transactions were aborted,
 * `.txnindex`, `.snapshot` of the producers at the offset in its name, `leader-epoch-checkpoint`, `partition.metadata`.
 */
export class PartitionLog {
  readonly directory: string
  readonly topicPartition: TopicPartition
  readonly topicId: string
  readonly leaderEpochs: LeaderEpochs
  readonly producers: ProducerStates
  /** Replaceable while the log is open; segments that are there stay as they are. */
  config: LogConfig
  /** The offset behind what compaction has seen; null before the first time. LogDirectory keeps it in a checkpoint. */
  cleanedTo: number | null
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #logger: Logger
  /** In order, never empty; the last one is appended to. */
  readonly #segments: LogSegment[]
  #endOffset: number
  #logStartOffset: number
  #recoveryPoint: number
  /** Offsets of the snapshot files, in order. */
  readonly #snapshots: number[]
  readonly #unsyncedSnapshots = new Set<number>()
  /** Segments that were appended to and are not any more, until they and their indexes are durable. */
  readonly #unsyncedSegments = new Set<LogSegment>()
  #hasUnsyncedNames = true
  /** Whether the indexes of the active segment were built by this start: what was on the disk before must not come back. */
  #hasRebuiltIndexes = false
  /** Whether the directory and its metadata file are new, or as one who died left them, and so may not be durable. */
  #isNew: boolean
  readonly #beforeDurable: (() => Promise<void>) | undefined
  /** The syncs asked for so far; they run one after the other. */
  #syncs: Promise<void> = Promise.resolve()
  /** Counts truncations, so that a flush that one of them overtook does not move the recovery point. */
  #truncationCount = 0
  /** Which part of segment.jitter.ms this log takes, from its name, so that logs made together roll apart. */
  readonly #jitter: number
  /** A sync failed. What it was to make durable may be lost, and a second one would not say so (fsyncgate). */
  #syncFailure: unknown = null
  /** Segments that retention or compaction took out of the log. */
  readonly #deleted: DeletedSegments
  /** Cleaned segments that are taking the place of others. */
  #swap: SegmentSwap | null = null
  /** Where the batches begin that were appended and perhaps not written. */
  #gatheredFrom: number | null = null
  #isSealed = false
  #isClosed = false

  private constructor(options: PartitionLogOptions, isNew: boolean) {
    const { disk, directory, clock, logger, config } = options
    this.directory = directory
    this.topicPartition = options.topicPartition
    this.topicId = options.topicId
    this.config = config
    this.cleanedTo = options.cleanedTo ?? null
    this.#disk = disk
    this.#clock = clock
    this.#isNew = isNew
    this.#beforeDurable = options.beforeDurable
    this.#logger = logger
    this.#deleted = new DeletedSegments(clock, logger)
    this.#jitter = crc32c(Buffer.from(directory), 0, Buffer.byteLength(directory)) / 2 ** 32
    this.leaderEpochs = new LeaderEpochs(disk, directory)
    this.producers = new ProducerStates(options.producerIdExpirationMs)

    const loaded = loadSegments({
      disk,
      directory,
      config,
      logger,
      nowMs: clock.nowMs(),
      isCleanShutdown: options.isCleanShutdown,
      recoveryPoint: options.recoveryPoint ?? 0,
      onCorruption: options.onCorruption ?? 'fail',
      wasCompacted: (options.cleanedTo ?? null) !== null,
      logStartOffset: options.logStartOffset ?? 0,
    })
    this.#segments = loaded.segments
    this.#endOffset = loaded.endOffset
    this.#logStartOffset = Math.max(options.logStartOffset ?? 0, loaded.segments[0]!.baseOffset)
    this.#recoveryPoint = Math.min(
      options.isCleanShutdown ? loaded.endOffset : (options.recoveryPoint ?? 0),
      loaded.endOffset,
    )
    this.#snapshots = disk
      .list(directory)
      .map((name) => offsetOfFile(name, PRODUCER_SNAPSHOT_SUFFIX))
      .filter((offset) => offset !== null)
    this.#loadLeaderEpochs(loaded.recoveredFrom)
    if (!options.isCleanShutdown) {
      this.#hasRebuiltIndexes = true
      this.leaderEpochs.distrust()
      for (const snapshot of this.#snapshots) this.#unsyncedSnapshots.add(snapshot)
    }
    this.#removeStraySnapshots()
    this.#loadProducers(loaded.withoutTransactions)
    for (const segment of this.#segments) if (segment.isUnsynced) this.#unsyncedSegments.add(segment)
  }

  /** Opens the log in `directory`, which is made if it is not there, and recovers it after an unclean shutdown. */
  static open(options: PartitionLogOptions): PartitionLog {
    const { disk, directory, topicId } = options
    disk.makeDirectory(directory)
    const storedId = readTopicId(disk, directory)
    if (storedId !== null && storedId !== topicId) {
      throw new BrokerError(
        'INCONSISTENT_TOPIC_ID',
        `${directory} belongs to the topic with id ${storedId}, not to the one with ${topicId}`,
      )
    }
    // Before any batch, so that the directory of a topic that was deleted and made again is known by it.
    if (storedId === null) writeTopicId(disk, directory, topicId)
    return new PartitionLog(options, storedId === null || !options.isCleanShutdown)
  }

  get logStartOffset(): number {
    return this.#logStartOffset
  }

  /** The offset that the next record gets. */
  get endOffset(): number {
    return this.#endOffset
  }

  get sizeBytes(): number {
    let sizeBytes = 0
    for (const segment of this.#segments) sizeBytes += segment.sizeBytes
    return sizeBytes
  }

  get segmentCount(): number {
    return this.#segments.length
  }

  /** The row of segments, the active one last. It changes in place: who looks at it over several turns takes a copy. */
  get segments(): readonly LogSegment[] {
    return this.#segments
  }

  /** Changes whenever the end of the log was cut off, which makes a segment that was closed the active one again. */
  get truncationCount(): number {
    return this.#truncationCount
  }

  /** Everything below is durable. `flush` moves it; LogDirectory keeps it in a checkpoint. */
  get recoveryPoint(): number {
    return this.#recoveryPoint
  }

  /** The first offset of the segment that is appended to. */
  get activeBaseOffset(): number {
    return this.#active.baseOffset
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Whether it takes nothing any more, because a sync or a change of its files failed. */
  get hasFailed(): boolean {
    return this.#syncFailure !== null
  }

  /**
   * Takes the one batch in bytes [start, end), or says why not. Base offset, leader epoch and, if the topic wants it,
   * timestamps are set in these bytes; only a batch that must be compressed otherwise is stored from other memory.
   */
  append(bytes: Buffer, start: number, end: number, options: AppendOptions): AppendResult {
    this.#unseal()
    const nowMs = this.#clock.nowMs()
    const { origin, leaderEpoch, produceVersion } = options
    const valid = validateBatch(bytes, start, end, this.config, { origin, produceVersion, nowMs })
    if (!valid.isValid) return this.#refused(valid.errorCode, valid.errorMessage, valid.recordErrors)
    const { bytes: batch, start: from, end: to } = valid
    const sizeBytes = to - from
    if (sizeBytes > this.config.segmentBytes) {
      const message = `a batch of ${sizeBytes} bytes does not fit a segment of ${this.config.segmentBytes}`
      return this.#refused(ErrorCode.recordListTooLarge, message, NO_RECORD_ERRORS)
    }
    const verdict = this.producers.check(batch, from, options)
    if (verdict.kind === 'refused') return this.#refused(verdict.errorCode, verdict.message, NO_RECORD_ERRORS)
    if (verdict.kind === 'duplicate') {
      const { lastOffset, offsetDelta, timestampMs } = verdict.of
      return this.#accepted(lastOffset - offsetDelta, lastOffset, timestampMs, true)
    }

    const baseOffset = this.#endOffset
    const lastOffset = baseOffset + lastOffsetDeltaAt(batch, from)
    setBaseOffset(batch, from, baseOffset)
    setLeaderEpoch(batch, from, leaderEpoch)
    const maxTimestampMs = maxTimestampAt(batch, from)
    if (this.#active.isFullFor({ sizeBytes, lastOffset, maxTimestampMs }, this.config, this.#rollAfterMs(), nowMs))
      this.roll()
    // An epoch that begins where nothing follows does no harm, so that this may fail by itself.
    if (leaderEpoch > this.leaderEpochs.latestEpoch) this.leaderEpochs.assign(leaderEpoch, baseOffset)
    // What was written again lies in memory of its own.
    const isGathered = options.isGathered === true && batch === bytes
    this.#active.append(batch, from, to, this.config.indexIntervalBytes, isGathered)
    // It is taken back with the others all the same: none of them is anybody's before all are written.
    if (options.isGathered === true) this.#gatheredFrom ??= baseOffset

    // Only a write that succeeded moves the end of the log.
    this.#endOffset = lastOffset + 1
    this.#active.lastWriteMs = nowMs
    const completed = this.producers.record(batch, from, this.#clock.monoMs())
    if (completed?.isAborted) this.#indexAborted(completed)
    const isLogAppendTime = (batch[from + ATTRIBUTES + 1]! & LOG_APPEND_TIME_FLAG) !== 0
    return this.#accepted(baseOffset, lastOffset, isLogAppendTime ? maxTimestampMs : -1, false)
  }

  /**
   * Writes what was appended as gathered. When that fails it throws StorageError, and all of it is taken back: the log is
   * as it was before the first of these batches.
   */
  writeGathered(): void {
    const from = this.#gatheredFrom
    if (from === null) return
    this.#gatheredFrom = null
    try {
      this.#active.writeGathered()
      this.#active.checkNothingLost()
    } catch (cause) {
      this.#takeBackFrom(from)
      throw cause
    }
  }

  /** Drops what nobody was told of; a log that cannot do that takes nothing any more. */
  #takeBackFrom(offset: number): void {
    try {
      // An epoch may have begun just here. It stays, as its file could not be written to a full disk either.
      this.#truncateTo(offset, offset + 1)
    } catch (truncation) {
      this.#syncFailure = truncation
    }
  }

  /** Appends the marker that ends the producer's transaction here, if it has one. */
  appendMarker(marker: TransactionMarker, leaderEpoch: number): AppendResult {
    const batch = buildEndTransactionBatch({ ...marker, nowMs: this.#clock.nowMs() })
    const { transactionVersion } = marker
    return this.append(batch, 0, batch.length, { origin: 'coordinator', leaderEpoch, transactionVersion })
  }

  /** Up to where everything is decided and replicated; the high watermark never goes back. */
  lastStableOffset(highWatermark: number): number {
    return Math.max(this.#logStartOffset, this.producers.stableUpTo(highWatermark))
  }

  /** As ProducerStates.needsAdmission. */
  needsAdmission(batch: {
    readonly producerId: number
    readonly epoch: number
    readonly baseSequence: number
    readonly bumpsEpoch: boolean
  }): boolean {
    return this.producers.needsAdmission(batch, this.#clock.monoMs())
  }

  /** The transactions that were aborted and have something in `batches`, which were read from `offset` on. */
  abortedTransactionsIn(offset: number, batches: Buffer | FileSlice): readonly AbortedTransaction[] {
    if (batches.length === 0 || !this.#hasAbortedFrom(offset)) return NO_ABORTED_TRANSACTIONS
    if (batches instanceof FileSlice) return this.abortedTransactions(offset, batches.lastOffset + 1)
    let to = offset + 1
    for (let at = 0; at < batches.length; at += batchSizeAt(batches, at)) to = lastOffsetAt(batches, at) + 1
    return this.abortedTransactions(offset, to)
  }

  #hasAbortedFrom(offset: number): boolean {
    for (let i = this.#segmentOf(offset); i < this.#segments.length; i++) {
      if (this.#segments[i]!.transactionIndex.count > 0) return true
    }
    return false
  }

  /** The transactions that were aborted and have something in [from, to), in the order of their markers. */
  abortedTransactions(from: number, to: number): AbortedTransaction[] {
    const found: AbortedTransaction[] = []
    for (let i = this.#segmentOf(from); i < this.#segments.length; i++) {
      if (this.#segments[i]!.transactionIndex.collect(from, to, found)) break
    }
    return found
  }

  /**
   * Whole stored batches from the one that holds `offset`, up to `maxBytes` and none that starts at `maxOffset` or later.
   * They come from one segment, so there may be more than the answer holds; nothing if `offset` is the end.
   */
  read(offset: number, maxBytes: number, options: ReadOptions): Buffer {
    assert(offset >= this.#segments[0]!.baseOffset && offset <= this.#endOffset, 'the caller checked the range')
    for (let i = this.#segmentOf(offset); i < this.#segments.length; i++) {
      const bytes = this.#segments[i]!.read(offset, maxBytes, options)
      if (bytes !== null) return bytes
    }
    return NOTHING
  }

  /** What `read` answers with at least one batch, as a part of a file; null when it is to be read instead. */
  slice(offset: number, maxBytes: number, maxOffset: number): FileSlice | null {
    const at = this.#segmentOf(offset)
    const endOffset = this.#segments[at + 1]?.baseOffset ?? this.#endOffset
    if (maxOffset < endOffset) return null
    return this.#segments[at]!.slice(offset, maxBytes, endOffset)
  }

  /** The first record that is not older than `timestampMs`, or null. */
  offsetForTimestamp(timestampMs: number): RecordPosition | null {
    for (const segment of this.#segments) {
      if (segment.maxTimestampMs < timestampMs) continue
      const floor = Math.max(segment.timeIndex.floor(timestampMs), this.#logStartOffset)
      let position = segment.positionOf(floor)
      for (;;) {
        const found = segment.findBatch(position, this.#logStartOffset, timestampMs)
        if (found === null) break
        const reader = new RecordReader(found.batch, { maxBytes: STORED_BODY_BYTES_MAX })
        while (reader.next()) {
          if (reader.timestampMs >= timestampMs && reader.offset >= this.#logStartOffset) {
            return { offset: reader.offset, timestampMs: reader.timestampMs, leaderEpoch: found.batch.leaderEpoch }
          }
        }
        position = found.end
      }
    }
    return null
  }

  /** The first record that has the largest timestamp of all, or null in a log without timestamps. */
  offsetOfMaxTimestamp(): RecordPosition | null {
    let newest = this.#segments[0]!
    for (const segment of this.#segments) if (segment.maxTimestampMs > newest.maxTimestampMs) newest = segment
    const { maxTimestampMs } = newest
    if (maxTimestampMs < 0) return null
    const found = newest.findBatch(newest.positionOf(newest.offsetOfMaxTimestamp), 0, maxTimestampMs)
    if (found === null) return null
    const reader = new RecordReader(found.batch, { maxBytes: STORED_BODY_BYTES_MAX })
    while (reader.next()) {
      if (reader.timestampMs === maxTimestampMs) {
        return { offset: reader.offset, timestampMs: maxTimestampMs, leaderEpoch: found.batch.leaderEpoch }
      }
    }
    return null
  }

  /** Every batch from the one that holds `from`, in order, each in memory of its own. What is appended meanwhile follows. */
  *batches(from = this.#logStartOffset): Generator<Buffer, void, undefined> {
    let next = from
    let segment = this.#segments[this.#segmentOf(from)]
    while (segment !== undefined) {
      for (const batch of segment.batches(next)) {
        next = lastOffsetAt(batch, 0) + 1
        yield batch
      }
      // Retention or compaction may have taken the segment out of the row meanwhile.
      const at = this.#segments.indexOf(segment)
      segment = this.#segments[at < 0 ? this.#segmentOf(next) : at + 1]
    }
  }

  /** Starts a new segment, unless the active one is empty. */
  roll(): void {
    const active = this.#active
    if (active.sizeBytes === 0) return
    active.writeGathered()
    this.#takeSnapshot()
    active.seal()
    this.#unsyncedSegments.add(active)
    this.#segments.push(LogSegment.create(this.#disk, this.directory, this.#endOffset, this.#clock.nowMs()))
    this.#hasUnsyncedNames = true
  }

  /**
   * Makes everything appended before the call durable and moves the recovery point there. A rejection is a StorageError,
   * after which nothing is known of the unsynced bytes: the log refuses every further append and flush with it.
   */
  flush(): Promise<void> {
    return this.#sync(() => this.#endOffset)
  }

  /** The same for the segments that are no longer appended to, so that recovery never reads them. */
  flushClosedSegments(): Promise<void> {
    return this.#sync(() => this.#active.baseOffset)
  }

  #sync(upTo: () => number): Promise<void> {
    const done = this.#syncs.then(() => this.#syncUpTo(upTo()))
    this.#syncs = done.catch(() => undefined)
    return done
  }

  async #syncUpTo(offset: number): Promise<void> {
    if (this.#syncFailure !== null) throw this.#syncFailure
    if (this.#isClosed) return
    const truncationCount = this.#truncationCount
    try {
      const active = this.#active
      for (const segment of Array.from(this.#unsyncedSegments)) {
        if (segment !== active) await this.#syncClosed(segment)
      }
      // An unclean start builds the indexes of the active segment again.
      if (active.baseOffset < offset) await active.syncBatches()
      // But where it ends at the recovery point when it rolls, none does.
      await active.transactionIndex.sync()
      if (this.#isSealed || this.#hasRebuiltIndexes) {
        this.#hasRebuiltIndexes = false
        await active.syncIndexes()
      }
      await this.#syncSmallFiles()
    } catch (cause) {
      // The files of a log that was deleted meanwhile are gone, which is no failure.
      if (this.#isClosed) return
      this.#syncFailure = cause
      throw cause
    }
    if (truncationCount === this.#truncationCount) this.#recoveryPoint = Math.max(this.#recoveryPoint, offset)
  }

  async #syncClosed(segment: LogSegment): Promise<void> {
    this.#unsyncedSegments.delete(segment)
    if (segment.isClosed) return
    await segment.syncBatches()
    await segment.syncIndexes()
  }

  async #syncSmallFiles(): Promise<void> {
    for (const snapshot of Array.from(this.#unsyncedSnapshots)) {
      if (this.#unsyncedSnapshots.delete(snapshot)) await syncFile(this.#disk, this.#snapshotPath(snapshot))
    }
    if (this.leaderEpochs.isUnsynced) {
      this.leaderEpochs.synced()
      this.#hasUnsyncedNames = true
      await syncFile(this.#disk, this.leaderEpochs.path)
    }
    if (this.#isNew) {
      this.#isNew = false
      await this.#beforeDurable?.()
      await syncFile(this.#disk, `${this.directory}/${PARTITION_METADATA_FILE}`)
      await this.#disk.syncDirectory(this.directory.slice(0, this.directory.lastIndexOf('/')))
    }
    if (this.#hasUnsyncedNames) {
      this.#hasUnsyncedNames = false
      await this.#disk.syncDirectory(this.directory)
    }
  }

  /** Drops the batches that hold `offset` or a later one; `offset` is the end then. */
  truncateTo(offset: number): void {
    this.#truncateTo(offset, offset)
  }

  /** Forgets the leader epochs from `epochsFrom` on. */
  #truncateTo(offset: number, epochsFrom: number): void {
    if (offset >= this.#endOffset) return
    this.#swap?.finish()
    if (this.cleanedTo !== null) this.cleanedTo = Math.min(this.cleanedTo, offset)
    if (offset < this.#segments[0]!.baseOffset) return this.truncateFully(offset)
    this.#truncationCount++
    this.#recoveryPoint = Math.min(this.#recoveryPoint, offset)
    while (this.#active.baseOffset > offset) this.#segments.pop()!.delete()
    this.#active.truncateTo(offset)
    this.#endOffset = offset
    this.#logStartOffset = Math.min(this.#logStartOffset, offset)
    this.#hasUnsyncedNames = true
    for (const snapshot of this.#snapshots.filter((at) => at > offset)) this.#removeSnapshot(snapshot)
    const unreplicated = this.producers.unreplicatedBelow(offset)
    this.#loadProducers(NO_SEGMENTS)
    this.producers.awaitReplication(unreplicated)
    // Last, as it writes a file and may fail.
    this.leaderEpochs.truncateFromEnd(epochsFrom)
  }

  /** Drops everything; the log begins again, empty, at `newStartOffset`. */
  truncateFully(newStartOffset: number): void {
    this.#swap?.finish()
    this.cleanedTo = null
    this.#truncationCount++
    this.#recoveryPoint = Math.min(this.#recoveryPoint, newStartOffset)
    for (const snapshot of this.#snapshots.slice()) this.#removeSnapshot(snapshot)
    for (const segment of this.#segments.splice(0)) segment.delete()
    this.#segments.push(LogSegment.create(this.#disk, this.directory, newStartOffset, this.#clock.nowMs()))
    this.#endOffset = newStartOffset
    this.#logStartOffset = newStartOffset
    this.#hasUnsyncedNames = true
    this.leaderEpochs.clear()
    this.producers.clear()
  }

  /** Nobody reads below `offset` any more. Never goes back. `deleteSegmentsBelowStart` frees what ends there. */
  advanceLogStartOffset(offset: number): void {
    assert(offset <= this.#endOffset, 'a log starts at or before its end')
    if (offset <= this.#logStartOffset) return
    this.#logStartOffset = offset
    this.leaderEpochs.truncateFromStart(offset)
  }

  /**
   * Takes the segments that end at or before the start out of the log, and answers how many. Called when the start is in
   * the checkpoint: a crash leaves any part of the renames. The active segment stays. With a limit they are the oldest,
   * and of one at a time a crash leaves no gap, whatever the checkpoint says.
   */
  async deleteSegmentsBelowStart(
    options: { readonly countMax?: number; readonly delayMs?: number } = {},
  ): Promise<number> {
    const { countMax = Infinity, delayMs = this.config.fileDeleteDelayMs } = options
    if (this.#isClosed || this.#swap !== null) return 0
    if (this.#syncFailure !== null) throw this.#syncFailure
    const first = this.#segments.findLastIndex((segment) => segment.baseOffset <= this.#logStartOffset)
    const count = Math.min(first, countMax)
    if (count <= 0) return 0
    const dropped: LogSegment[] = []
    try {
      for (let i = 0; i < count; i++) {
        const segment = this.#segments[0]!
        segment.changeSuffix(DELETED_SUFFIX)
        dropped.push(this.#segments.shift()!)
        this.#unsyncedSegments.delete(segment)
        this.#removeSnapshot(segment.baseOffset)
      }
      await this.#disk.syncDirectory(this.directory)
    } catch (cause) {
      for (const segment of dropped) segment.close()
      if (this.#isClosed) return count
      this.#syncFailure = cause
      throw cause
    }
    this.#deleted.add(dropped, delayMs)
    return count
  }

  /** A draft of a segment for compaction to fill, invisible to everybody, with nothing in it. */
  createCleanedSegment(baseOffset: number, lastWriteMs: number): LogSegment {
    return LogSegment.create(this.#disk, this.directory, baseOffset, lastWriteMs, CLEANED_SUFFIX)
  }

  /**
   * Puts cleaned segments, sealed and durable, in the place of a run of closed ones. Whoever reads goes on with the old
   * files until the new ones have their names. If a rename fails, the log takes no more appends: what is on the disk is
   * known to the next start alone.
   */
  async replaceSegments(cleaned: readonly LogSegment[], replaced: readonly LogSegment[]): Promise<void> {
    if (this.#syncFailure !== null) throw this.#syncFailure
    const first = this.#segments.indexOf(replaced[0]!)
    assert(this.#swap === null, 'one swap at a time')
    assert(first >= 0 && first + replaced.length < this.#segments.length, 'the active segment is never replaced')
    assert(
      replaced.every((segment, i) => this.#segments[first + i] === segment),
      'a run of segments has no gap',
    )
    const swap = new SegmentSwap(cleaned, replaced, () => this.#adopt(swap))
    this.#swap = swap
    try {
      // After a crash another draft would say that this swap had not begun.
      removeOtherDrafts(this.#disk, this.directory, cleaned)
      while (!swap.isDone && !this.#isClosed) {
        swap.step()
        await this.#disk.syncDirectory(this.directory)
      }
      const bases = new Set(this.#segments.map((segment) => segment.baseOffset))
      for (const { baseOffset } of replaced) if (!bases.has(baseOffset)) this.#removeSnapshot(baseOffset)
    } catch (cause) {
      if (swap.isDone) for (const segment of replaced) segment.close()
      // The directory of a log that was deleted meanwhile has another name, which is no failure.
      if (this.#isClosed) return
      this.#syncFailure = cause
      throw cause
    } finally {
      this.#swap = null
    }
    // The old files are needed until the new names are durable.
    if (swap.isDone) this.#deleted.add(replaced, this.config.fileDeleteDelayMs)
  }

  #adopt({ cleaned, replaced }: SegmentSwap): void {
    this.#segments.splice(this.#segments.indexOf(replaced[0]!), replaced.length, ...cleaned)
    for (const segment of replaced) this.#unsyncedSegments.delete(segment)
  }

  /** Forgets the producers that have been silent too long; called now and then. */
  expireProducers(): void {
    this.producers.expire(this.#clock.monoMs())
  }

  /** Writes what a clean start needs: indexes to their end, and the producers. Then `flush` makes it durable. */
  seal(): void {
    if (this.#isSealed || this.#isClosed) return
    this.#active.seal()
    this.#takeSnapshot()
    this.#isSealed = true
  }

  /** Ends all use of the log and gives back its descriptors. What is appended and sealed stays, durable if it was flushed. */
  close(): void {
    if (this.#isClosed) return
    this.#swap?.finish()
    this.seal()
    this.#release()
  }

  /** Closes the log and removes its directory. */
  delete(): void {
    this.#release()
    this.#disk.remove(this.directory)
  }

  /** Closes the log without writing anything: it is deleted next, or its disk has failed. */
  abandon(): void {
    this.#release()
  }

  #release(): void {
    this.#isClosed = true
    this.#deleted.close()
    if (this.#swap !== null && !this.#swap.isDone) for (const segment of this.#swap.cleaned) segment.close()
    for (const segment of this.#segments) segment.close()
  }

  get #active(): LogSegment {
    return this.#segments[this.#segments.length - 1]!
  }

  /** The index of the last segment that begins at or before `offset`, or 0. */
  #segmentOf(offset: number): number {
    const segments = this.#segments
    // Most readers are at the end.
    if (offset >= segments[segments.length - 1]!.baseOffset) return segments.length - 1
    let low = 0
    let high = segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (segments[middle]!.baseOffset <= offset) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }

  #rollAfterMs(): number {
    const { segmentJitterMs, isCompacted, maxCompactionLagMs } = this.config
    // The active segment is not compacted, so records that must be by some time must not stay in it.
    const segmentMs = isCompacted ? Math.min(this.config.segmentMs, maxCompactionLagMs) : this.config.segmentMs
    return segmentJitterMs === 0
      ? segmentMs
      : segmentMs - Math.floor(this.#jitter * Math.min(segmentJitterMs, segmentMs))
  }

  #accepted(baseOffset: number, lastOffset: number, logAppendTimeMs: number, isDuplicate: boolean): AppendResult {
    return {
      errorCode: ErrorCode.none,
      errorMessage: null,
      recordErrors: NO_RECORD_ERRORS,
      baseOffset,
      lastOffset,
      logAppendTimeMs,
      logStartOffset: this.#logStartOffset,
      isDuplicate,
    }
  }

  #refused(errorCode: number, errorMessage: string, recordErrors: readonly RecordError[]): AppendResult {
    return {
      errorCode,
      errorMessage,
      recordErrors,
      baseOffset: -1,
      lastOffset: -1,
      logAppendTimeMs: -1,
      logStartOffset: this.#logStartOffset,
      isDuplicate: false,
    }
  }

  #unseal(): void {
    assert(!this.#isClosed, 'a closed log takes nothing')
    if (this.#syncFailure !== null) throw this.#syncFailure
    this.#isSealed = false
  }

  #loadLeaderEpochs(recoveredFrom: number): void {
    const isKnown = this.leaderEpochs.load()
    const rebuildFrom = isKnown ? recoveredFrom : this.#segments[0]!.baseOffset
    if (rebuildFrom < this.#endOffset) {
      this.leaderEpochs.truncateFromEnd(rebuildFrom)
      this.#forEachHeader(rebuildFrom, (buffer, at) => {
        const epoch = leaderEpochAt(buffer, at)
        if (epoch > this.leaderEpochs.latestEpoch) this.leaderEpochs.assign(epoch, baseOffsetAt(buffer, at))
      })
    }
    this.leaderEpochs.truncateFromEnd(this.#endOffset)
    this.leaderEpochs.truncateFromStart(this.#logStartOffset)
  }

  /** Keeps the snapshot that each segment begins with, and the newest. */
  #removeStraySnapshots(): void {
    const bases = new Set(this.#segments.map((segment) => segment.baseOffset))
    const newest = this.#snapshots.findLast((offset) => offset <= this.#endOffset)
    for (const offset of this.#snapshots.slice()) {
      if (offset !== newest && !bases.has(offset)) this.#removeSnapshot(offset)
    }
  }

  /**
   * The producers as of the newest readable snapshot and the batches after it; from an older one if there are segments
   * whose transaction index is to be filled again.
   */
  #loadProducers(withoutTransactions: ReadonlySet<LogSegment>): void {
    const nowMs = this.#clock.monoMs()
    const fillFrom = this.#segments.find((segment) => withoutTransactions.has(segment))?.baseOffset ?? Infinity
    let from = this.#segments[0]!.baseOffset
    this.producers.clear()
    for (const offset of [...this.#snapshots].reverse()) {
      if (offset > fillFrom) continue
      const bytes = this.#disk.readFile(this.#snapshotPath(offset))
      const entries = bytes === null ? null : decodeProducerSnapshot(bytes)
      if (entries !== null) {
        this.producers.restore(entries, nowMs)
        from = offset
        break
      }
      this.#logger.warn('a producer snapshot is damaged and an older one is used', { file: this.#snapshotPath(offset) })
      this.#removeSnapshot(offset)
    }
    const aborted = new Map<LogSegment, AbortedTransaction[]>()
    for (const segment of withoutTransactions) aborted.set(segment, [])
    if (from < this.#endOffset) {
      this.#forEachHeader(from, (buffer, at, segment) => {
        const completed = this.producers.record(buffer, at, nowMs)
        if (completed === null) return
        if (completed.isAborted) aborted.get(segment)?.push(completed)
        // Which of them are replicated is not known here, and they may be too many to keep until somebody says so.
        this.producers.stableUpTo(completed.lastOffset + 1)
      })
    }
    for (const segment of this.#segments) {
      const transactions = aborted.get(segment)
      if (transactions !== undefined) segment.transactionIndex.replace(transactions)
    }
  }

  /**
   * A reader that must not see what was aborted relies on the entry, so without it the log does not go on. Where there was
   * no room for it, or no descriptor, the marker is taken back, and whoever wanted it tries again.
   */
  #indexAborted(completed: AbortedTransaction): void {
    const { transactionIndex } = this.#active
    try {
      if (transactionIndex.count === 0) this.#hasUnsyncedNames = true
      transactionIndex.append(completed)
    } catch (cause) {
      if (isScarcity(cause)) this.#takeBackFrom(completed.lastOffset)
      else this.#syncFailure = cause
      throw cause
    }
  }

  #forEachHeader(offset: number, callback: (buffer: Buffer, at: number, segment: LogSegment) => void): void {
    for (const segment of this.#segments.slice(this.#segmentOf(offset))) {
      segment.forEachHeader(offset, (buffer, at) => callback(buffer, at, segment))
    }
  }

  #takeSnapshot(): void {
    const offset = this.#endOffset
    // Nothing has been written since the last one, or ever.
    if (offset === (this.#snapshots.at(-1) ?? this.#segments[0]!.baseOffset)) return
    replaceFile(this.#disk, this.#snapshotPath(offset), encodeProducerSnapshot(this.producers.entries()))
    this.#snapshots.push(offset)
    this.#unsyncedSnapshots.add(offset)
    this.#hasUnsyncedNames = true
  }

  #removeSnapshot(offset: number): void {
    const at = this.#snapshots.indexOf(offset)
    if (at < 0) return
    this.#snapshots.splice(at, 1)
    this.#unsyncedSnapshots.delete(offset)
    this.#disk.remove(this.#snapshotPath(offset))
  }

  #snapshotPath(offset: number): string {
    return `${this.directory}/${fileName(offset, PRODUCER_SNAPSHOT_SUFFIX)}`
  }
}
