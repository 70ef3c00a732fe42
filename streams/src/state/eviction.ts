/**
 * Lets a cache forget once whoever uses it now is done: an operator may hold entries for as long as its record takes, and
 * that never spans two turns.
 */
export class Eviction {
  readonly #evict: () => void
  #isPlanned = false

  constructor(evict: () => void) {
    this.#evict = evict
  }

  soon(): void {
    if (this.#isPlanned) return
    this.#isPlanned = true
    queueMicrotask(() => {
      this.#isPlanned = false
      this.#evict()
    })
  }
}
