import type { Clock, Timer } from '../base/clock.ts'

// The longest delay that setTimeout takes; a longer one would fire at once.
const DELAY_MS_MAX = 0x7fff_ffff

class SystemTimer implements Timer {
  #handle: NodeJS.Timeout | null = null
  #dueMs: number

  constructor(delayMs: number, callback: () => void) {
    this.#dueMs = performance.now() + delayMs
    this.#arm(callback)
  }

  cancel(): void {
    if (this.#handle !== null) clearTimeout(this.#handle)
    this.#handle = null
  }

  #arm(callback: () => void): void {
    const restMs = Math.max(0, this.#dueMs - performance.now())
    this.#handle = setTimeout(
      () => {
        // setTimeout may fire up to a millisecond early, and a delay beyond its range comes in pieces.
        if (this.#dueMs > performance.now()) {
          this.#arm(callback)
          return
        }
        this.#handle = null
        callback()
      },
      Math.min(Math.ceil(restMs), DELAY_MS_MAX),
    )
  }
}

/** The machine's clocks. A timer that is set keeps the process alive, so whoever sets one cancels it on close. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monoMs: () => performance.now(),
  setTimer: (delayMs, callback) => new SystemTimer(delayMs, callback),
}
