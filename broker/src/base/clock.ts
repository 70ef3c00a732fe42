/** A timer that has been set; cancelling one that has fired, or twice, does nothing. */
export interface Timer {
  cancel(): void
}

/**
 * Where the core gets its time. Timeouts, sessions and idle limits use the monotonic clock; only record timestamps and
 * retention against them use the wall clock, so that a jump of the machine's clock expires nobody.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, by the wall clock; may jump. */
  nowMs(): number
  /** Milliseconds since an arbitrary moment; never goes back. */
  monoMs(): number
  /** Calls back once, not before `delayMs` (0 or more) has passed on the monotonic clock. */
  setTimer(delayMs: number, callback: () => void): Timer
}
