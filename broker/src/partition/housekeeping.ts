import type { Clock, Timer } from '../base/clock.ts'
import { CorruptLogError, StorageError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { directoryName } from '../base/topic-partition.ts'
import type { BrokerConfig } from '../config/broker-config.ts'
import { compact } from '../log/compaction.ts'
import { dirtyPart, type DirtyPart } from '../log/dirty-part.ts'
import { isScarcity } from '../log/guarded-disk.ts'
import type { LogDirectories } from '../log/log-directories.ts'
import { Pace } from '../log/pace.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { retainedFrom } from '../log/retention.ts'
import type { Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'

export interface HousekeepingOptions {
  readonly partitions: Pick<Partitions, 'all'>
  readonly directory: Pick<LogDirectories, 'checkpoint' | 'saveOffsets'>
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
      // A crash may leave any part of the renames, and what is left below the start is removed by that.
      if (!(await this.#saveOffsets())) return
      for (const partition of shortened) {
        if (this.#isClosed) return
        await this.#guardedAsync(partition, async () => {
          const count = await partition.log.deleteSegmentsBelowStart()
          if (count > 0) this.#log('segments deleted', partition, { count, logStart: partition.log.logStartOffset })
        })
      }
    } finally {
      for (const { log } of shortened) this.#busy.delete(log)
    }
  }

  /** Moves the start of the log to where retention puts it; whether there are segments to delete. */
  #shorten(partition: Partition): boolean {
    const { log, offsets } = partition
    // A transaction that nobody ends does not keep its records for ever, nor those behind it.
    const start = retainedFrom(log, log.config, { upTo: offsets.highWatermark, nowMs: this.#clock.nowMs() })
    if (start <= log.segments[0]!.baseOffset) return false
    // All of it is due: the log goes on, empty, in a segment of its own.
    if (start > log.activeBaseOffset) log.roll()
    partition.deleteRecordsBefore(start)
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

  #dirtyPart(partition: Partition): DirtyPart | null {
    let dirty: DirtyPart | null = null
    this.#guarded(partition, () => {
      const { log, offsets } = partition
      dirty = dirtyPart(log, { stableTo: offsets.lastStable, nowMs: this.#clock.nowMs() })
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
        // What follows a record must be durable before the record goes. That the checkpoint says so spares a start after
        // a crash the reading of segments with gaps, which it would take for damage in a topic that is compacted no more.
        await directory.checkpoint()
        const dirty = this.#dirtyPart(partition)
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
        await this.#saveOffsets()
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

  /** Without what is in the checkpoints nothing is deleted; the next round tries again. */
  async #saveOffsets(): Promise<boolean> {
    try {
      await this.#options.directory.saveOffsets()
      return true
    } catch (cause) {
      if (!(cause instanceof StorageError)) throw cause
      this.#logger.error('the offsets of a data directory could not be saved', { error: cause.message })
      return false
    }
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
