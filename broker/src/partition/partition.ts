import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { StorageError, CorruptLogError } from '../base/errors.ts'
import { directoryName, type TopicPartition } from '../base/topic-partition.ts'
import type { FileSlice } from '../log/file-slice.ts'
import type { GroupCommit } from '../log/group-commit.ts'
import { isScarcity } from '../log/guarded-disk.ts'
import type { AbortedTransaction } from '../log/aborted-transaction.ts'
import type { AppendOptions, AppendResult, PartitionLog, RecordPosition } from '../log/partition-log.ts'
import type { ProducerSnapshotEntry } from '../log/producer-snapshot.ts'
import { ErrorCode } from '@millrace/protocol'
import type { Durability } from './durability.ts'
import { FlushInterval } from './flush-interval.ts'
import { PartitionOffsets } from './partition-offsets.ts'
import type { FetchWatch, PendingFetch } from './pending-fetch.ts'
import type { TransactionMarker } from './transaction-marker.ts'

const NOTHING = Buffer.alloc(0)
/** A batch with one control record of a few bytes. */
const MARKER_BYTES = 78
const ENDLESS = { isFull: false }

/** `acks.after`: what has happened to a record when it is acknowledged. */
export type AcksAfter = 'write' | 'fsync'

/**
 * One partition that this node leads: its log, its offsets, and the fetches that wait for it to grow.
 *
 * The event loop is the one writer, so nothing here locks or waits. A write or sync that failed leaves the partition to
 * readers until the broker starts again: no append is tried after it, because what reached the file is not known. A read
 * that the disk fails takes it offline as a whole. A full disk does neither: an append is refused, and the next one tried.
 */
export class Partition implements FetchWatch {
  readonly topicPartition: TopicPartition
  readonly topicId: string
  readonly log: PartitionLog
  readonly offsets: PartitionOffsets
  readonly pendingFetches = new Set<PendingFetch>()
  readonly #logger: Logger
  readonly #durability: Durability
  /** Null where an acknowledged record need only be written. */
  readonly #commit: GroupCommit | null
  readonly #flushInterval: FlushInterval | null
  readonly #directory: { readonly isFull: boolean }
  #leaderEpoch: number
  /** Appended to the log and perhaps not written, so that nobody hears of it yet. */
  #gatheredBytes = 0
  #isReadOnly = false
  #isOffline = false

  constructor(options: {
    readonly topicPartition: TopicPartition
    readonly topicId: string
    readonly log: PartitionLog
    readonly leaderEpoch: number
    readonly acksAfter: AcksAfter
    readonly durability: Durability
    /** Where the log is, which may have no room for clients. */
    readonly directory?: { readonly isFull: boolean }
    /** Without it flush.ms and flush.messages have no effect. */
    readonly clock?: Clock
    readonly logger: Logger
  }) {
    this.topicPartition = options.topicPartition
    this.topicId = options.topicId
    this.log = options.log
    const { logStartOffset, endOffset } = options.log
    const lastStable = options.log.lastStableOffset(endOffset)
    this.offsets = new PartitionOffsets({ logStart: logStartOffset, lastStable, end: endOffset })
    this.#leaderEpoch = options.leaderEpoch
    this.#logger = options.logger
    this.#durability = options.durability
    this.#commit =
      options.acksAfter === 'write'
        ? null
        : options.durability.follow(options.log, {
            durable: (end, sizeBytes) => this.#advanceTo(end, sizeBytes),
            failed: (cause) => this.stopWrites(reasonOf(cause)),
          })
    this.#directory = options.directory ?? ENDLESS
    this.#flushInterval =
      options.acksAfter === 'fsync' || options.clock === undefined
        ? null
        : new FlushInterval(options.log, options.clock, (cause) => this.stopWrites(reasonOf(cause)))
    // A leader notes where its epoch begins before it takes a record (KIP-101).
    this.log.leaderEpochs.assign(options.leaderEpoch, options.log.endOffset)
  }

  get leaderEpoch(): number {
    return this.#leaderEpoch
  }

  /** Nobody can read it either. */
  get isOffline(): boolean {
    return this.#isOffline
  }

  /** It takes no more appends. */
  get isReadOnly(): boolean {
    return this.#isReadOnly
  }

  /**
   * Appends the one batch in bytes [start, end), which are changed in place: base offset and leader epoch are stamped.
   * Returns what the client is told; a refused batch leaves no trace.
   */
  append(
    bytes: Buffer,
    start: number,
    end: number,
    origin: AppendOptions['origin'],
    produceVersion?: number,
    isAdmitted = false,
  ): AppendResult {
    const isGathered = this.#durability.isGathering && origin === 'client'
    if (!isGathered && !this.writeGathered()) this.#durability.lostGathered()
    if (this.#isReadOnly) return this.#storageFailure()
    if (this.#directory.isFull && origin === 'client') return this.#storageFailure('there is no room on the disk for')
    let result: AppendResult
    try {
      const options: AppendOptions =
        produceVersion === undefined
          ? { origin, leaderEpoch: this.#leaderEpoch }
          : { origin, leaderEpoch: this.#leaderEpoch, produceVersion, isAdmitted, isGathered }
      result = this.log.append(bytes, start, end, options)
    } catch (cause) {
      if (cause instanceof StorageError || cause instanceof CorruptLogError) return this.#failed(cause)
      throw cause
    }
    if (!isGathered || result.errorCode !== ErrorCode.none || result.isDuplicate) {
      return this.#appended(result, end - start)
    }
    this.#gatheredBytes += end - start
    this.#durability.gathered(this)
    return result
  }

  /** Writes the batches that were gathered, and only now the partition has them. False when they are lost. */
  writeGathered(): boolean {
    const sizeBytes = this.#gatheredBytes
    if (sizeBytes === 0) return true
    this.#gatheredBytes = 0
    try {
      this.log.writeGathered()
    } catch (cause) {
      if (!(cause instanceof StorageError || cause instanceof CorruptLogError)) throw cause
      this.#failed(cause)
      return false
    }
    this.#grew(sizeBytes)
    return true
  }

  /**
   * Ends the producer's transaction on this partition; a producer that has none is noted with its epoch. Readers of
   * committed data get on from here, once what is before it is decided as well.
   */
  appendMarker(marker: TransactionMarker): AppendResult {
    if (!this.writeGathered()) this.#durability.lostGathered()
    if (this.#isReadOnly) return this.#storageFailure()
    let result: AppendResult
    try {
      result = this.log.appendMarker(marker, this.#leaderEpoch)
    } catch (cause) {
      if (cause instanceof StorageError || cause instanceof CorruptLogError) return this.#failed(cause)
      throw cause
    }
    return this.#appended(result, MARKER_BYTES)
  }

  /** What DescribeProducers tells: every producer that the partition remembers, and where its open transaction begins. */
  activeProducers(): readonly ProducerSnapshotEntry[] {
    return this.log.producers.entries()
  }

  /**
   * Whether the transaction coordinator is to be asked if a client's transactional batch may be appended, which is then
   * said to `append`: the first batch of a transaction on this partition.
   */
  needsAdmission(producerId: number, epoch: number, baseSequence: number, bumpsEpoch: boolean): boolean {
    return !this.#isOffline && this.log.needsAdmission({ producerId, epoch, baseSequence, bumpsEpoch })
  }

  #appended(result: AppendResult, sizeBytes: number): AppendResult {
    if (result.errorCode !== ErrorCode.none) return result
    if (!result.isDuplicate) this.#grew(sizeBytes)
    // The first attempt may not be durable yet.
    else this.answersForAppended()
    return result
  }

  /** Notes that the answer to the request tells of something that another one appended, and waits until it is durable. */
  answersForAppended(): void {
    if (this.#commit?.isBehind) this.#durability.answersFor(this.#commit)
  }

  /** The error for a client that believes in another leader epoch (KIP-320), or 0; -1 is a client that does not say. */
  checkLeaderEpoch(epoch: number): number {
    if (epoch === -1 || epoch === this.#leaderEpoch) return ErrorCode.none
    return epoch < this.#leaderEpoch ? ErrorCode.fencedLeaderEpoch : ErrorCode.unknownLeaderEpoch
  }

  /**
   * Whole stored batches from the one that holds `offset`, none at or above `maxOffset`, or the error for a log that cannot
   * be read. The range was checked.
   */
  read(
    offset: number,
    maxBytes: number,
    options: { readonly maxOffset: number; readonly atLeastOneBatch: boolean },
  ): Buffer | FileSlice | number {
    if (offset >= options.maxOffset) return NOTHING
    try {
      const slice = this.log.slice(offset, maxBytes, options.maxOffset)
      if (slice === null) return this.log.read(offset, maxBytes, options)
      slice.whenUnreadable = this.#noteUnreadable
      return slice
    } catch (cause) {
      return this.#readFailed(cause)
    }
  }

  /**
   * The aborted transactions that a reader of committed data must know of to leave out their records in `batches`, which
   * were read from `offset` on.
   */
  abortedTransactions(offset: number, batches: Buffer | FileSlice): readonly AbortedTransaction[] | number {
    try {
      return this.log.abortedTransactionsIn(offset, batches)
    } catch (cause) {
      return this.#readFailed(cause)
    }
  }

  /** The first record that is not older than `timestampMs`, or null, or the error for a log that cannot be read. */
  offsetForTimestamp(timestampMs: number): RecordPosition | null | number {
    try {
      return this.log.offsetForTimestamp(timestampMs)
    } catch (cause) {
      return this.#readFailed(cause)
    }
  }

  /** The first record that has the largest timestamp of all, likewise. */
  offsetOfMaxTimestamp(): RecordPosition | null | number {
    try {
      return this.log.offsetOfMaxTimestamp()
    } catch (cause) {
      return this.#readFailed(cause)
    }
  }

  /**
   * Moves the log start up to `offset`, at most the high watermark; records below are no longer read. When the log fails,
   * it throws StorageError.
   */
  deleteRecordsBefore(offset: number): void {
    if (offset <= this.offsets.logStart) return
    try {
      this.log.advanceLogStartOffset(offset)
    } finally {
      this.offsets.startsAt(this.log.logStartOffset)
    }
    for (const fetch of [...this.pendingFetches]) fetch.finish()
  }

  /** Takes the partition away: waiting fetches are answered, the files stay for the caller to close or delete. */
  stop(): void {
    this.#isReadOnly = true
    this.#isOffline = true
    this.#commit?.stop()
    this.#flushInterval?.stop()
    for (const fetch of [...this.pendingFetches]) fetch.finish()
  }

  #grew(sizeBytes: number): void {
    this.offsets.appended(this.log.endOffset)
    if (this.#commit === null) {
      this.#flushInterval?.appended(this.log.endOffset - this.offsets.highWatermark)
      this.#advanceTo(this.log.endOffset, sizeBytes)
      return
    }
    this.#durability.appended(this.#commit, sizeBytes)
  }

  /** The only replica is this one, so what is as safe here as was asked for is replicated, and may be read. */
  #advanceTo(end: number, sizeBytes: number): void {
    if (this.#isOffline) return
    const wereAllDecided = this.offsets.lastStable === this.offsets.highWatermark
    const lastStable = this.log.lastStableOffset(end)
    const areMoreDecided = lastStable > this.offsets.lastStable
    this.offsets.replicated(end, lastStable)
    if (this.pendingFetches.size === 0) return
    for (const fetch of [...this.pendingFetches]) {
      if (!fetch.isCommitted || (wereAllDecided && lastStable === end)) fetch.grown(sizeBytes)
      // How many bytes a transaction held back is not known; the fetch finds out.
      else if (areMoreDecided) fetch.finish()
    }
  }

  /** One function for all slices: a fetch makes no closure. */
  readonly #noteUnreadable = (cause: unknown): void => void this.#readFailed(cause)

  /** Damaged batches are where they are, and do not keep anybody from the others; a disk that fails does. */
  #readFailed(cause: unknown): number {
    if (cause instanceof CorruptLogError) {
      this.#logger.error('a read met damaged batches', {
        partition: directoryName(this.topicPartition),
        error: cause.message,
      })
      return ErrorCode.corruptMessage
    }
    if (!(cause instanceof StorageError)) throw cause
    // Nothing is wrong with the log: it could not be opened, or what was gathered for it found no room.
    this.#isOffline ||= !isScarcity(cause)
    this.#failed(cause)
    if (!this.#isOffline) return ErrorCode.kafkaStorageError
    for (const fetch of [...this.pendingFetches]) fetch.finish()
    return ErrorCode.kafkaStorageError
  }

  /** Takes no more appends until the next start, and acknowledges nothing that was not durable; readers go on. */
  stopWrites(reason: string): void {
    if (this.#isReadOnly) return
    this.#isReadOnly = true
    this.#commit?.fail()
    this.#flushInterval?.stop()
    this.#logger.error('partition takes no more records until restart', {
      partition: directoryName(this.topicPartition),
      error: reason,
    })
  }

  #failed(cause: unknown): AppendResult {
    // What could not be written is not there, and the log is as it was.
    if (isScarcity(cause) && !this.log.hasFailed)
      return this.#storageFailure(`${cause.message}: nothing was appended to`)
    this.stopWrites(reasonOf(cause))
    return this.#storageFailure()
  }

  #storageFailure(reason = 'the disk failed, or a batch is damaged, in'): AppendResult {
    return {
      errorCode: ErrorCode.kafkaStorageError,
      errorMessage: `${reason} the log of ${directoryName(this.topicPartition)}`,
      recordErrors: [],
      baseOffset: -1,
      lastOffset: -1,
      logAppendTimeMs: -1,
      logStartOffset: this.offsets.logStart,
      isDuplicate: false,
    }
  }
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
