/** What a TimeIndex orders: `timeMs` never changes while the entry is live, and a dead entry is skipped. */
export interface Timed {
  readonly timeMs: number
  readonly isLive: boolean
  /** The next entry of the same time; belongs to the index. */
  nextDue: Timed | null
}

/**
 * Live entries by time, for taking the earliest ones out. Adding is O(1) for a time that is already there and O(log n)
 * for a new one; entries die in place and are skipped when their time comes, so removing is free. Whoever removes many
 * calls `sweep` when `size` is well above what lives, or dead ones are kept until their time, which may be never.
 */
export class TimeIndex<E extends Timed> {
  /** The last entry added for each time, which leads to the others of it. */
  readonly #buckets = new Map<number, E>()
  /** A binary heap of the distinct times in #buckets. */
  readonly #times: number[] = []
  #size = 0

  /** Entries that are in here, dead ones included. */
  get size(): number {
    return this.#size
  }

  /** The earliest time that may still have a live entry; Infinity when there is none. */
  get earliestMs(): number {
    return this.#times.length === 0 ? Number.POSITIVE_INFINITY : this.#times[0]!
  }

  add(entry: E): void {
    const { timeMs } = entry
    const latest = this.#buckets.get(timeMs)
    entry.nextDue = latest ?? null
    this.#buckets.set(timeMs, entry)
    this.#size++
    if (latest === undefined) this.#push(timeMs)
  }

  /** Lets go of the entries that are no longer live, without waiting for their time. */
  sweep(): void {
    this.#size = 0
    for (const [timeMs, latest] of this.#buckets) {
      let kept: E | null = null
      for (let entry: E | null = latest; entry !== null;) {
        const next = entry.nextDue as E | null
        if (entry.isLive) {
          entry.nextDue = kept
          kept = entry
          this.#size++
        } else entry.nextDue = null
        entry = next
      }
      if (kept !== null) this.#buckets.set(timeMs, kept)
      else this.#buckets.delete(timeMs)
    }
    this.#times.length = 0
    for (const timeMs of this.#buckets.keys()) this.#push(timeMs)
  }

  /** Takes out the entries of the earliest time; dead ones are left out, so the result may be empty. */
  takeEarliest(): E[] {
    const timeMs = this.#pop()
    const latest = this.#buckets.get(timeMs)!
    this.#buckets.delete(timeMs)
    const live: E[] = []
    for (let entry: E | null = latest; entry !== null;) {
      const next = entry.nextDue as E | null
      entry.nextDue = null
      this.#size--
      if (entry.isLive) live.push(entry)
      entry = next
    }
    return live
  }

  #push(timeMs: number): void {
    const heap = this.#times
    let at = heap.length
    heap.push(timeMs)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent]! <= timeMs) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = timeMs
  }

  #pop(): number {
    const heap = this.#times
    const top = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++
      if (heap[child]! >= last) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return top
  }
}
