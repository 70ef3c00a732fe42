import type { Clock, Timer } from '../base/clock.ts'
import { CorruptLogError, StorageError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { directoryName } from '../base/topic-partition.ts'
import type { BrokerConfig } from '../config/broker-config.ts'
import { isScarcity } from '../log/guarded-disk.ts'
import type { LogSegment } from '../log/log-segment.ts'
import { Pace } from '../log/pace.ts'
import { scrubSegment } from '../log/scrub-segment.ts'
import type { Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'

/** A start has better things to do. */
const FIRST_ROUND_MS = 60_000
const NEXT_ROUND_MS = 24 * 60 * 60 * 1000

/** What was found so far, over all rounds. */
export interface ScrubTotals {
  readonly rounds: number
  readonly segments: number
  readonly bytes: number
  readonly faults: number
}

/**
 * Reads all closed segments again, once a day and no faster than `scrub.max.bytes.per.second`, to find damage while there
 * is a copy of the data somewhere else. Consumers check what they read; nobody else looks at what is not read.
 *
 * A partition with a damaged segment takes no more records until somebody has chosen what is to become of it; under
 * `recovery.on.corruption=truncate` that is chosen already, and it goes on. Nothing is changed on the disk.
 */
export class Scrubber {
  readonly #partitions: Pick<Partitions, 'all'>
  readonly #config: BrokerConfig
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #totals = { rounds: 0, segments: 0, bytes: 0, faults: 0 }
  #timer: Timer | null = null
  #pace: Pace | null = null
  /** The round under way. A failure of the world ends in the log's lines, so a rejection is a mistake in the code. */
  #round: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(options: {
    readonly partitions: Pick<Partitions, 'all'>
    readonly config: BrokerConfig
    readonly clock: Clock
    readonly logger: Logger
  }) {
    this.#partitions = options.partitions
    this.#config = options.config
    this.#clock = options.clock
    this.#logger = options.logger
  }

  get totals(): ScrubTotals {
    return this.#totals
  }

  start(): void {
    if (this.#bytesPerSecond > 0) this.#scrubAfter(FIRST_ROUND_MS)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#pace?.stop()
    await this.#round
  }

  /** Reads what is there now, one segment after the other. */
  async scrub(): Promise<void> {
    const startMs = this.#clock.monoMs()
    const before = { ...this.#totals }
    const pace = new Pace(this.#clock, () => this.#bytesPerSecond)
    this.#pace = pace
    for (const partition of Array.from(this.#partitions.all())) {
      for (const segment of coldSegments(partition)) {
        if (this.#isClosed) return
        if (!(await this.#scrubOne(partition, segment, pace))) break
      }
    }
    this.#totals.rounds++
    this.#logger.info('closed segments were read again', {
      segments: this.#totals.segments - before.segments,
      bytes: this.#totals.bytes - before.bytes,
      faults: this.#totals.faults - before.faults,
      durationMs: Math.round(this.#clock.monoMs() - startMs),
    })
  }

  get #bytesPerSecond(): number {
    return this.#config.int('scrub.max.bytes.per.second')
  }

  #scrubAfter(delayMs: number): void {
    if (this.#isClosed) return
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#round = this.scrub().then(() => this.#scrubAfter(NEXT_ROUND_MS))
    })
  }

  /** Whether the rest of the partition is worth reading. */
  async #scrubOne(partition: Partition, segment: LogSegment, pace: Pace): Promise<boolean> {
    if (segment.isClosed) return true
    try {
      this.#totals.bytes += await scrubSegment(segment, pace)
      this.#totals.segments++
      return true
    } catch (cause) {
      if (!(cause instanceof CorruptLogError) && !(cause instanceof StorageError)) throw cause
      // Retention, compaction or the end of the topic may have taken the file away.
      if (segment.isClosed || partition.log.isClosed) return true
      // Nor is it damaged for want of a descriptor; the next round reads it.
      if (isScarcity(cause)) return true
      this.#totals.faults++
      this.#found(partition, cause.message)
      return false
    }
  }

  #found(partition: Partition, problem: string): void {
    if (this.#config.text('recovery.on.corruption') === 'truncate') {
      this.#logger.error('a closed segment is damaged', {
        partition: directoryName(partition.topicPartition),
        error: problem,
      })
      return
    }
    partition.stopWrites(
      `${problem}; a closed segment is damaged: restore the file from a copy, or set recovery.on.corruption=truncate to go ` +
        'on with the damage where it is',
    )
  }
}

/** The segments that are not appended to any more and that are durable. */
function coldSegments({ log, isOffline }: Partition): LogSegment[] {
  if (isOffline || log.isClosed) return []
  const { segments } = log
  return segments.filter((_, i) => i + 1 < segments.length && segments[i + 1]!.baseOffset <= log.recoveryPoint)
}
