import type { Clock, Timer } from '../base/clock.ts'

/** Where a waiting fetch can be woken from: a partition that grows, or goes away. */
export interface FetchWatch {
  readonly pendingFetches: Set<PendingFetch>
}

/**
 * A fetch that found fewer than `minBytes` and waits for more, for its time to run out, or for its connection to close:
 * one entry of the fetch purgatory. An append completes it directly; there is no timer on that path.
 */
export class PendingFetch {
  /** Whether it waits for what is decided and not for what is written. */
  readonly isCommitted: boolean
  readonly #minBytes: number
  readonly #watches: readonly FetchWatch[]
  readonly #complete: () => void
  readonly #timer: Timer
  #bytes: number
  #done = false

  /** Calls `complete` exactly once, unless cancelled first. */
  constructor(options: {
    readonly clock: Clock
    readonly maxWaitMs: number
    readonly minBytes: number
    readonly bytesFound: number
    readonly isCommitted?: boolean
    readonly watches: readonly FetchWatch[]
    readonly complete: () => void
  }) {
    this.isCommitted = options.isCommitted ?? false
    this.#minBytes = options.minBytes
    this.#bytes = options.bytesFound
    this.#watches = options.watches
    this.#complete = options.complete
    for (const watch of this.#watches) watch.pendingFetches.add(this)
    this.#timer = options.clock.setTimer(options.maxWaitMs, () => this.finish())
  }

  /** A watched partition has `sizeBytes` more to read. */
  grown(sizeBytes: number): void {
    this.#bytes += sizeBytes
    if (this.#bytes >= this.#minBytes) this.finish()
  }

  /** Answers now with what there is: time is up, or a watched partition changed in another way than by growing. */
  finish(): void {
    if (this.#done) return
    this.cancel()
    this.#complete()
  }

  cancel(): void {
    if (this.#done) return
    this.#done = true
    this.#timer.cancel()
    for (const watch of this.#watches) watch.pendingFetches.delete(this)
  }
}
