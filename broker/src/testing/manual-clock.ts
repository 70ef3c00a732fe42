import type { Clock, Timer } from '../base/clock.ts'

interface ManualTimer extends Timer {
  readonly dueMs: number
  readonly fire: () => void
}

/** A clock that stands still until a test moves it. Timers fire in the order they are due, then in that they were set. */
export class ManualClock implements Clock {
  /** What the wall clock shows when the monotonic one shows 0; a test may set it to make the wall clock jump. */
  wallOffsetMs: number
  #monoMs = 0
  readonly #timers = new Set<ManualTimer>()

  constructor(startMs = 1_767_225_600_000) {
    this.wallOffsetMs = startMs
  }

  get timerCount(): number {
    return this.#timers.size
  }

  nowMs(): number {
    return this.wallOffsetMs + this.#monoMs
  }

  monoMs(): number {
    return this.#monoMs
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer: ManualTimer = {
      dueMs: this.#monoMs + Math.max(0, delayMs),
      fire: callback,
      cancel: () => void this.#timers.delete(timer),
    }
    this.#timers.add(timer)
    return timer
  }

  /** Lets time pass, firing on the way every timer that comes due, also those set by others that fire. */
  advance(ms: number): void {
    const endMs = this.#monoMs + ms
    for (let next = this.#nextDue(endMs); next !== null; next = this.#nextDue(endMs)) {
      this.#monoMs = next.dueMs
      this.#timers.delete(next)
      next.fire()
    }
    this.#monoMs = endMs
  }

  #nextDue(endMs: number): ManualTimer | null {
    let next: ManualTimer | null = null
    for (const timer of this.#timers) {
      if (timer.dueMs <= endMs && (next === null || timer.dueMs < next.dueMs)) next = timer
    }
    return next
  }
}
