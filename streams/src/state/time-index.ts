/** What a TimeIndex orders: `timeMs` never changes while the entry is live, and a dead entry is skipped. */
export interface Timed {
  readonly timeMs: number
  isLive: boolean
}

/**
 * Live entries by time, for taking the earliest ones out. Adding is O(1) for a time that is already there and O(log n)
 * for a new one; entries die in place and are skipped when their time comes, so removing is free.
 */
export class TimeIndex<E extends Timed> {
  readonly #buckets = new Map<number, E[]>()
  /** A binary heap of the distinct times in #buckets. */
  readonly #times: number[] = []

  /** The earliest time that may still have a live entry; Infinity when there is none. */
  get earliestMs(): number {
    return this.#times.length === 0 ? Number.POSITIVE_INFINITY : this.#times[0]!
  }

  add(entry: E): void {
    const bucket = this.#buckets.get(entry.timeMs)
    if (bucket !== undefined) bucket.push(entry)
    else {
      this.#buckets.set(entry.timeMs, [entry])
      this.#push(entry.timeMs)
    }
  }

  /** Takes out the entries of the earliest time; dead ones are left out, so the result may be empty. */
  takeEarliest(): E[] {
    const timeMs = this.#pop()
    const bucket = this.#buckets.get(timeMs)!
    this.#buckets.delete(timeMs)
    return bucket.filter((entry) => entry.isLive)
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
