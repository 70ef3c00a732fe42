import type { Logger } from '../base/logger.ts'
import { StorageError, CorruptLogError } from '../base/errors.ts'
import { directoryName, type TopicPartition } from '../base/topic-partition.ts'
import type { GroupCommit } from '../log/group-commit.ts'
import type { AppendOptions, AppendResult, PartitionLog, RecordPosition } from '../log/partition-log.ts'
import { ErrorCode } from '@millrace/protocol'
import type { Durability } from './durability.ts'
import { PartitionOffsets } from './partition-offsets.ts'
import type { FetchWatch, PendingFetch } from './pending-fetch.ts'

const NOTHING = Buffer.alloc(0)

/** `acks.after`: what has happened to a record when it is acknowledged. */
export type AcksAfter = 'write' | 'fsync'

/**
 * One partition that this node leads: its log, its offsets, and the fetches that wait for it to grow.
 *
 * The event loop is the one writer, so nothing here locks or waits. A storage failure takes the partition offline until
 * the broker starts again: no append is tried after one that failed, because what reached the file is not known.
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
  #leaderEpoch: number
  #isOffline = false

  constructor(options: {
    readonly topicPartition: TopicPartition
    readonly topicId: string
    readonly log: PartitionLog
    readonly leaderEpoch: number
    readonly acksAfter: AcksAfter
    readonly durability: Durability
    readonly logger: Logger
  }) {
    this.topicPartition = options.topicPartition
    this.topicId = options.topicId
    this.log = options.log
    this.offsets = new PartitionOffsets({ logStart: options.log.logStartOffset, end: options.log.endOffset })
    this.#leaderEpoch = options.leaderEpoch
    this.#logger = options.logger
    this.#durability = options.durability
    this.#commit =
      options.acksAfter === 'write'
        ? null
        : options.durability.follow(options.log, {
            durable: (end, sizeBytes) => this.#advanceTo(end, sizeBytes),
            failed: (cause) => this.#failed(cause),
          })
    // A leader notes where its epoch begins before it takes a record (KIP-101).
    this.log.leaderEpochs.assign(options.leaderEpoch, options.log.endOffset)
  }

  get leaderEpoch(): number {
    return this.#leaderEpoch
  }

  get isOffline(): boolean {
    return this.#isOffline
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
  ): AppendResult {
    if (this.#isOffline) return this.#storageFailure()
    let result: AppendResult
    try {
      const options: AppendOptions =
        produceVersion === undefined
          ? { origin, leaderEpoch: this.#leaderEpoch }
          : { origin, leaderEpoch: this.#leaderEpoch, produceVersion }
      result = this.log.append(bytes, start, end, options)
    } catch (cause) {
      if (cause instanceof StorageError || cause instanceof CorruptLogError) return this.#failed(cause)
      throw cause
    }
    if (result.errorCode !== ErrorCode.none) return result
    if (!result.isDuplicate) this.#grew(end - start)
    // The first attempt may not be durable yet.
    else if (this.#commit?.isBehind) this.#durability.answersFor(this.#commit)
    return result
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
  ): Buffer | number {
    if (offset >= options.maxOffset) return NOTHING
    try {
      return this.log.read(offset, maxBytes, options)
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
    this.#isOffline = true
    this.#commit?.stop()
    for (const fetch of [...this.pendingFetches]) fetch.finish()
  }

  #grew(sizeBytes: number): void {
    this.offsets.appended(this.log.endOffset)
    if (this.#commit === null) {
      this.#advanceTo(this.log.endOffset, sizeBytes)
      return
    }
    this.#durability.appended(this.#commit, sizeBytes)
  }

  /** The only replica is this one, so what is as safe here as was asked for is replicated, and may be read. */
  #advanceTo(end: number, sizeBytes: number): void {
    if (this.#isOffline) return
    this.offsets.replicated(end)
    if (this.pendingFetches.size > 0) for (const fetch of [...this.pendingFetches]) fetch.grown(sizeBytes)
  }

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
    this.#failed(cause)
    return ErrorCode.kafkaStorageError
  }

  #failed(cause: unknown): AppendResult {
    this.#isOffline = true
    this.#commit?.fail()
    this.#logger.error('partition is offline until restart: its log failed', {
      partition: directoryName(this.topicPartition),
      error: cause instanceof Error ? cause.message : String(cause),
    })
    for (const fetch of [...this.pendingFetches]) fetch.finish()
    return this.#storageFailure()
  }

  #storageFailure(): AppendResult {
    return {
      errorCode: ErrorCode.kafkaStorageError,
      errorMessage: `the log of ${directoryName(this.topicPartition)} is offline`,
      recordErrors: [],
      baseOffset: -1,
      lastOffset: -1,
      logAppendTimeMs: -1,
      logStartOffset: this.offsets.logStart,
      isDuplicate: false,
    }
  }
}
