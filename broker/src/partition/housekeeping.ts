import type { Clock, Timer } from '../base/clock.ts'
import { CorruptLogError, StorageError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { directoryName } from '../base/topic-partition.ts'
import type { BrokerConfig } from '../config/broker-config.ts'
import { compact } from '../log/compaction.ts'
import { dirtyPart, type DirtyPart } from '../log/dirty-part.ts'
import { isOutOfRoom, isScarcity } from '../log/guarded-disk.ts'
import type { LogDirectories } from '../log/log-directories.ts'
import type { LogDirectory } from '../log/log-directory.ts'
import { Pace } from '../log/pace.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { retainedFrom } from '../log/retention.ts'
import type { Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'

export interface HousekeepingOptions {
  readonly partitions: Pick<Partitions, 'all'>
  readonly directory: Pick<LogDirectories, 'checkpoint' | 'directoryOf'>
  readonly config: BrokerConfig
  readonly clock: Clock
  readonly logger: Logger
}

/**
 * Retention and compaction of all partitions, each by a timer of its own: every log.retention.check.interval.ms for topics
 * that are not compacted, and a compaction of the dirtiest log, one after the other, with a pause of log.cleaner.backoff.ms
 * when none is dirty enough; compacted topics have their retention before it.
 *
 * A log that fails is left alone until the broker starts again: what a half-done change left on the disk is for the next
 * start to put in order.
 */
export class Housekeeping {
  readonly #options: HousekeepingOptions
  readonly #clock: Clock
  readonly #logger: Logger
  #retentionTimer: Timer | null = null
  #compactionTimer: Timer | null = null
  /** What is under way. A failure of the world ends in the log's lines, so a rejection is a mistake in the code. */
  #retention: Promise<void> = Promise.resolve()
  #compaction: Promise<void> = Promise.resolve()
  #pace: Pace | null = null
  /** Logs in the hands of one of the two, so that a change of the policy does not give them to both. */
  readonly #busy = new Set<PartitionLog>()
  readonly #failed = new WeakSet<PartitionLog>()
  #isClosed = false

  constructor(options: HousekeepingOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#logger = options.logger
  }

  start(): void {
    const { config } = this.#options
    this.#retainAfter(config.int('log.initial.task.delay.ms'))
    if (config.boolean('log.cleaner.enable')) this.#compactAfter(config.int('log.cleaner.backoff.ms'))
  }

  /** Resolves when nothing is under way. A compaction is given up, a swap of segments that has begun is brought to its end. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#retentionTimer?.cancel()
    this.#compactionTimer?.cancel()
    this.#pace?.stop()
    await this.#retention
    await this.#compaction
  }

  /** Applies retention to the topics that are not compacted, now. */
  retain(): Promise<void> {
    return this.#retain(({ log }) => !log.config.isCompacted)
  }

  /** Compacts what is dirty enough, one log after the other, and applies retention to the compacted topics, now. */
  async compact(): Promise<void> {
    // What is too old is neither read nor put together with what stays.
    await this.#retain(({ log }) => log.config.isCompacted)
    // Those that a compaction did not get on with in this round.
    const stuck = new Set<PartitionLog>()
    for (let next = this.#dirtiest(stuck); next !== null && !this.#isClosed; next = this.#dirtiest(stuck)) {
      const progress = await this.#compactOne(next)
      if (!progress) stuck.add(next.log)
    }
  }

  #retainAfter(delayMs: number): void {
    if (this.#isClosed) return
    this.#retentionTimer = this.#clock.setTimer(delayMs, () => {
      this.#retention = this.retain().then(() =>
        this.#retainAfter(this.#options.config.int('log.retention.check.interval.ms')),
      )
    })
  }

  #compactAfter(delayMs: number): void {
    if (this.#isClosed) return
    this.#compactionTimer = this.#clock.setTimer(delayMs, () => {
      this.#compaction = this.compact().then(() =>
        this.#compactAfter(this.#options.config.int('log.cleaner.backoff.ms')),
      )
    })
  }

  async #retain(isChosen: (partition: Partition) => boolean): Promise<void> {
    const shortened = this.#idle(isChosen).filter((partition) =>
      this.#guarded(partition, () => this.#shorten(partition)),
    )
    if (shortened.length === 0 || this.#isClosed) return
    for (const { log } of shortened) this.#busy.add(log)
    try {
      const directories = new Set(shortened.map((partition) => this.#directoryOf(partition)))
      for (const directory of directories) {
        const due = shortened.filter((partition) => this.#directoryOf(partition) === directory)
        if (directory !== undefined) await this.#deleteIn(directory, due)
      }
    } finally {
      for (const { log } of shortened) this.#busy.delete(log)
    }
  }

  /** Deletes what is due in one data directory, whatever becomes of the others. */
  async #deleteIn(directory: LogDirectory, due: readonly Partition[]): Promise<void> {
    // A crash may leave any part of the renames, and what is left below the start is removed by that.
    let failure = await savedOffsets(directory)
    // A directory without room cannot write that down, and what is due may be why. One segment after the other leaves no gap.
    for (const partition of due) {
      while (isOutOfRoom(failure) && directory.failure === null && !this.#isClosed) {
        if ((await this.#deleteSegments(partition, { countMax: 1, delayMs: 0 })) === 0) break
        failure = await savedOffsets(directory)
      }
    }
    if (failure !== null) return this.#notSaved(directory, failure)
    for (const partition of due) {
      if (this.#isClosed) return
      await this.#deleteSegments(partition)
    }
  }

  async #deleteSegments(
    partition: Partition,
    options: { readonly countMax?: number; readonly delayMs?: number } = {},
  ): Promise<number> {
    let count = 0
    await this.#guardedAsync(partition, async () => {
      count = await partition.log.deleteSegmentsBelowStart(options)
      if (count > 0) this.#log('segments deleted', partition, { count, logStart: partition.log.logStartOffset })
    })
    return count
  }

  /** Moves the start of the log to where retention puts it; whether there are segments to delete. */
  #shorten(partition: Partition): boolean {
    const { log, offsets } = partition
    // A transaction that nobody ends does not keep its records for ever, nor those behind it.
    let start = retainedFrom(log, log.config, { upTo: offsets.highWatermark, nowMs: this.#clock.nowMs() })
    // All of it is due: the log goes on, empty, in a segment of its own. Without room for that, what is closed goes first.
    if (start > log.activeBaseOffset && !roomFor(() => log.roll())) start = log.activeBaseOffset
    if (start <= log.segments[0]!.baseOffset) return false
    // The start has moved though the file of the leader epochs has not been written.
    roomFor(() => partition.deleteRecordsBefore(start))
    return true
  }

  #dirtiest(except: ReadonlySet<PartitionLog>): Partition | null {
    let dirtiest: Partition | null = null
    let ratio = -1
    for (const partition of this.#idle(({ log }) => log.config.isCompacted && !except.has(log))) {
      const dirty = this.#dirtyPart(partition)
      if (dirty === null || !(dirty.isOverdue || dirty.ratio > partition.log.config.minCleanableDirtyRatio)) continue
      if (dirty.ratio > ratio) {
        dirtiest = partition
        ratio = dirty.ratio
      }
    }
    return dirtiest
  }

  #dirtyPart(partition: Partition, stableTo = partition.offsets.lastStable): DirtyPart | null {
    let dirty: DirtyPart | null = null
    this.#guarded(partition, () => {
      dirty = dirtyPart(partition.log, { stableTo, nowMs: this.#clock.nowMs() })
      return true
    })
    return dirty
  }

  /** Whether more of the log is clean than before. */
  async #compactOne(partition: Partition): Promise<boolean> {
    const { log } = partition
    const { config, directory } = this.#options
    let progress = false
    this.#busy.add(log)
    try {
      await this.#guardedAsync(partition, async () => {
        // What follows a record must be durable before the record goes, and so must the marker by which that counts, which
        // may be in the active segment.
        const stableTo = partition.offsets.lastStable
        if (log.recoveryPoint < stableTo) await log.flush()
        // That the checkpoint says so spares a start after a crash the reading of segments with gaps, which it would take
        // for damage in a topic that is compacted no more.
        await directory.checkpoint()
        const dirty = this.#dirtyPart(partition, stableTo)
        if (dirty === null || dirty.upTo > log.recoveryPoint || log.isClosed || this.#isClosed) return
        const startMs = this.#clock.monoMs()
        const pace = new Pace(this.#clock, () => config.double('log.cleaner.io.max.bytes.per.second'))
        this.#pace = pace
        const done = await compact(log, {
          upTo: dirty.upTo,
          nowMs: this.#clock.nowMs(),
          mapBytesMax: config.int('log.cleaner.dedupe.buffer.size'),
          mapLoadFactor: config.double('log.cleaner.io.buffer.load.factor'),
          bufferBytes: Math.floor(config.int('log.cleaner.io.buffer.size') / 2),
          pace,
        })
        if (done === null) return
        progress = done.to > done.from
        const itsDirectory = this.#directoryOf(partition)
        const failure = itsDirectory === undefined ? null : await savedOffsets(itsDirectory)
        if (failure !== null) this.#notSaved(itsDirectory!, failure)
        this.#log('log compacted', partition, { ...done, durationMs: Math.round(this.#clock.monoMs() - startMs) })
      })
    } finally {
      this.#pace = null
      this.#busy.delete(log)
    }
    return progress
  }

  /** The partitions that may be worked on now. */
  #idle(isChosen: (partition: Partition) => boolean): Partition[] {
    const chosen: Partition[] = []
    for (const partition of this.#options.partitions.all()) {
      const { log, isReadOnly } = partition
      const isFree = !isReadOnly && !log.isClosed && !this.#busy.has(log) && !this.#failed.has(log)
      if (isFree && isChosen(partition)) chosen.push(partition)
    }
    return chosen
  }

  #directoryOf({ topicPartition }: Partition): LogDirectory | undefined {
    return this.#options.directory.directoryOf(topicPartition)
  }

  /** The next round tries again. */
  #notSaved({ path }: LogDirectory, cause: StorageError): void {
    this.#logger.error('the offsets of a data directory could not be saved', { path, error: cause.message })
  }

  #guarded(partition: Partition, work: () => boolean): boolean {
    try {
      return work()
    } catch (cause) {
      this.#fail(partition, cause)
      return false
    }
  }

  async #guardedAsync(partition: Partition, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (cause) {
      this.#fail(partition, cause)
    }
  }

  #fail(partition: Partition, cause: unknown): void {
    if (!(cause instanceof StorageError) && !(cause instanceof CorruptLogError)) throw cause
    if (partition.log.isClosed) return
    if (isScarcity(cause)) {
      this.#logger.warn('retention and compaction try again later: there was no room', {
        partition: directoryName(partition.topicPartition),
        error: cause.message,
      })
      return
    }
    this.#failed.add(partition.log)
    this.#logger.error('retention and compaction leave a log alone until restart: it failed', {
      partition: directoryName(partition.topicPartition),
      error: cause.message,
    })
  }

  #log(message: string, partition: Partition, fields: Readonly<Record<string, number>>): void {
    this.#logger.info(message, { partition: directoryName(partition.topicPartition), ...fields })
  }
}

/** Writes down what is in the checkpoints of a directory; answers why that failed, or null. */
async function savedOffsets(directory: LogDirectory): Promise<StorageError | null> {
  try {
    await directory.saveOffsets()
    return null
  } catch (cause) {
    if (!(cause instanceof StorageError)) throw cause
    return cause
  }
}

/** Whether there was room for a change. */
function roomFor(change: () => void): boolean {
  try {
    change()
    return true
  } catch (cause) {
    if (!isOutOfRoom(cause)) throw cause
    return false
  }
}
