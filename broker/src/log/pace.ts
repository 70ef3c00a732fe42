import type { Clock, Timer } from '../base/clock.ts'

/** How long work goes on in one turn of the event loop: what a produce may have to wait for it. */
const SLICE_MS = 2
/** The same in bytes, for a clock that stands still. */
const SLICE_BYTES = 1024 * 1024
/** Where bytes are limited a slice has no more of them than there are for so long, so that the rests are short ones. */
const LIMITED_SLICE_MS = 50

/**
 * Cuts long work into slices, so that the event loop serves clients in between: after each the work rests as long as the
 * slice took, or longer where it may read and write only so many bytes a second.
 *
 *     if (pace.spend(bytes)) await pace.rest()
 */
export class Pace {
  readonly #clock: Clock
  readonly #bytesPerSecond: () => number
  #sliceStartMs: number
  #sliceBytes = 0
  /** By when the bytes that were spent may have been spent. */
  #paidUntilMs: number
  #rest: { readonly timer: Timer; readonly end: () => void } | null = null
  #isStopped = false

  constructor(clock: Clock, bytesPerSecond: () => number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
    this.#sliceStartMs = clock.monoMs()
    this.#paidUntilMs = this.#sliceStartMs
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /** Counts bytes that were read or written; true when it is time to rest. */
  spend(bytes: number): boolean {
    this.#sliceBytes += bytes
    if (this.#sliceBytes >= Math.min(SLICE_BYTES, (this.#bytesPerSecond() * LIMITED_SLICE_MS) / 1000)) return true
    return this.#clock.monoMs() - this.#sliceStartMs >= SLICE_MS
  }

  /** Resolves when the next slice may begin, at once after `stop`. */
  async rest(): Promise<void> {
    const nowMs = this.#clock.monoMs()
    this.#paidUntilMs =
      Math.max(this.#paidUntilMs, this.#sliceStartMs) + (this.#sliceBytes / this.#bytesPerSecond()) * 1000
    const restMs = Math.max(nowMs - this.#sliceStartMs, this.#paidUntilMs - nowMs, 0)
    if (!this.#isStopped) {
      await new Promise<void>((resolve) => {
        this.#rest = { timer: this.#clock.setTimer(restMs, resolve), end: resolve }
      })
      this.#rest = null
    }
    this.#sliceStartMs = this.#clock.monoMs()
    this.#sliceBytes = 0
  }

  /** The work is to end: nobody rests any more. */
  stop(): void {
    this.#isStopped = true
    this.#rest?.timer.cancel()
    this.#rest?.end()
  }
}
