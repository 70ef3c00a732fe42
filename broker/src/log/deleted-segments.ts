import { StorageError } from '../base/errors.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { LogSegment } from './log-segment.ts'

/** How long a segment stays beyond its time while somebody reads it, before it is looked at again. */
const STILL_READ_MS = 1000

interface Waiting {
  readonly segment: LogSegment
  dueMs: number
}

/**
 * Segments that have left a log. Their files have `.deleted` behind their names, stay readable for those who had begun
 * to read, and are removed after `file.delete.delay.ms`, one segment at a time, as removing a large file takes a while.
 *
 * What is left when the log closes keeps its name, and the next start removes it.
 */
export class DeletedSegments {
  readonly #clock: Clock
  readonly #logger: Logger
  #waiting: Waiting[] = []
  #timer: Timer | null = null
  #isClosed = false

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  get count(): number {
    return this.#waiting.length
  }

  /** Takes segments that are renamed, durably, and that nobody finds any more. */
  add(segments: readonly LogSegment[], delayMs: number): void {
    if (this.#isClosed) {
      for (const segment of segments) segment.close()
      return
    }
    const dueMs = this.#clock.monoMs() + delayMs
    for (const segment of segments) this.#waiting.push({ segment, dueMs })
    this.#wait()
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#timer = null
    for (const { segment } of this.#waiting.splice(0)) segment.close()
  }

  #wait(): void {
    this.#timer?.cancel()
    this.#timer = null
    if (this.#waiting.length === 0) return
    const nextMs = this.#waiting.reduce((earliest, { dueMs }) => Math.min(earliest, dueMs), Infinity)
    this.#timer = this.#clock.setTimer(Math.max(0, nextMs - this.#clock.monoMs()), () => this.#removeOne())
  }

  #removeOne(): void {
    const nowMs = this.#clock.monoMs()
    const due = this.#waiting.find(({ dueMs }) => dueMs <= nowMs)
    if (due?.segment.isBeingRead === true) {
      due.dueMs = nowMs + STILL_READ_MS
    } else if (due !== undefined) {
      this.#waiting = this.#waiting.filter((waiting) => waiting !== due)
      try {
        due.segment.delete()
      } catch (cause) {
        if (!(cause instanceof StorageError)) throw cause
        this.#logger.warn('a deleted segment could not be removed', { segment: due.segment.path, error: cause.message })
      }
    }
    this.#wait()
  }
}
