interface Punctuation {
  dueMs: number
  /** Infinity for an alarm, which rings once each time it is set. */
  readonly everyMs: number
  readonly callback: (timeMs: number) => void
  isCancelled: boolean
}

/** Callbacks at intervals of one clock. Intervals that were missed are skipped, not made up for. */
export class Punctuations {
  #all: Punctuation[] = []
  #earliestMs = Number.POSITIVE_INFINITY

  add(dueMs: number, everyMs: number, callback: (timeMs: number) => void): () => void {
    const punctuation = { dueMs, everyMs, callback, isCancelled: false }
    this.#all.push(punctuation)
    this.#earliestMs = Math.min(this.#earliestMs, dueMs)
    return () => {
      punctuation.isCancelled = true
    }
  }

  /** A callback for a time that is set again and again; what is returned sets it. */
  alarm(callback: (timeMs: number) => void): (dueMs: number) => void {
    const alarm = {
      dueMs: Number.POSITIVE_INFINITY,
      everyMs: Number.POSITIVE_INFINITY,
      callback,
      isCancelled: false,
    }
    this.#all.push(alarm)
    return (dueMs) => {
      alarm.dueMs = dueMs
      this.#earliestMs = Math.min(this.#earliestMs, dueMs)
    }
  }

  isDue(nowMs: number): boolean {
    return nowMs >= this.#earliestMs
  }

  run(nowMs: number): void {
    if (nowMs < this.#earliestMs) return
    for (const punctuation of this.#all.toSorted((left, right) => left.dueMs - right.dueMs)) {
      if (punctuation.isCancelled || punctuation.dueMs > nowMs) continue
      const { dueMs, everyMs } = punctuation
      const missed = Math.floor((nowMs - dueMs) / everyMs)
      punctuation.dueMs = everyMs === Number.POSITIVE_INFINITY ? everyMs : dueMs + (missed + 1) * everyMs
      punctuation.callback(nowMs)
    }
    this.#all = this.#all.filter((punctuation) => !punctuation.isCancelled)
    this.#earliestMs = this.#all.reduce((earliest, { dueMs }) => Math.min(earliest, dueMs), Number.POSITIVE_INFINITY)
  }
}
