/** A connection, as the budget sees it. */
export interface BudgetHolder {
  /** The bytes it waited for are taken: it may receive on. */
  granted(bytes: number): void
  /** Others wait: gives its bytes back now if it has no use for them. */
  reclaim(): void
}

/**
 * What all connections together may hold of requests that have not arrived whole, beyond what each has by itself. A
 * connection that finds it used up is not read from until others are done, so that memory stays bounded and nobody is
 * turned away.
 *
 * Requests that each hold a part and wait for the rest would wait for ever: one connection at a time may exceed the
 * limit, which bounds the whole at the limit and the largest request.
 */
export class ReceiveBudget {
  readonly #limitBytes: number
  #usedBytes = 0
  #exempt: BudgetHolder | null = null
  readonly #held = new Map<BudgetHolder, number>()
  readonly #waiting = new Map<BudgetHolder, number>()

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get hasWaiters(): boolean {
    return this.#waiting.size > 0
  }

  /** Takes bytes now, or returns false and calls `granted` once they are taken. */
  take(bytes: number, holder: BudgetHolder): boolean {
    if (this.#usedBytes + bytes > this.#limitBytes && this.#exempt !== holder) {
      for (const other of [...this.#held.keys()]) if (other !== holder) other.reclaim()
    }
    if (this.#exempt === holder || (this.#waiting.size === 0 && this.#mayTake(bytes, holder))) {
      this.#give(bytes, holder)
      return true
    }
    this.#waiting.set(holder, bytes)
    return false
  }

  /** Gives back all that a connection took, when its request is done or the connection closed. */
  release(holder: BudgetHolder): void {
    this.#waiting.delete(holder)
    this.#usedBytes -= this.#held.get(holder) ?? 0
    this.#held.delete(holder)
    if (this.#exempt === holder) this.#exempt = null
    for (const [waiter, bytes] of [...this.#waiting]) {
      if (!this.#mayTake(bytes, waiter)) continue
      this.#waiting.delete(waiter)
      this.#give(bytes, waiter)
      waiter.granted(bytes)
    }
  }

  #mayTake(bytes: number, holder: BudgetHolder): boolean {
    if (this.#usedBytes + bytes <= this.#limitBytes) return true
    if (this.#exempt !== null) return this.#exempt === holder
    this.#exempt = holder
    return true
  }

  #give(bytes: number, holder: BudgetHolder): void {
    this.#usedBytes += bytes
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + bytes)
  }
}
