interface Punctuation {
  dueMs: number
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

  isDue(nowMs: number): boolean {
    return nowMs >= this.#earliestMs
  }

  run(nowMs: number): void {
    if (nowMs < this.#earliestMs) return
    for (const punctuation of this.#all.toSorted((left, right) => left.dueMs - right.dueMs)) {
      if (punctuation.isCancelled || punctuation.dueMs > nowMs) continue
      const missed = Math.floor((nowMs - punctuation.dueMs) / punctuation.everyMs)
      punctuation.dueMs += (missed + 1) * punctuation.everyMs
      punctuation.callback(nowMs)
    }
    this.#all = this.#all.filter((punctuation) => !punctuation.isCancelled)
    this.#earliestMs = this.#all.reduce((earliest, { dueMs }) => Math.min(earliest, dueMs), Number.POSITIVE_INFINITY)
  }
}
