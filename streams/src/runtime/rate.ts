const SPAN_MS = 10_000

/** How fast a count grows, over the last ten seconds, whoever asks and however often. */
export class Rate {
  readonly #samples: { readonly atMs: number; readonly count: number }[]

  constructor(nowMs: number, count = 0) {
    this.#samples = [{ atMs: nowMs, count }]
  }

  /** Notes where the count is; to be called about once a second. */
  sample(nowMs: number, count: number): void {
    const samples = this.#samples
    samples.push({ atMs: nowMs, count })
    // The oldest one that is kept is at or just beyond the span.
    while (samples.length > 2 && samples[1]!.atMs <= nowMs - SPAN_MS) samples.shift()
  }

  perSecond(nowMs: number, count: number): number {
    const { atMs, count: before } = this.#samples[0]!
    return (Math.max(0, count - before) * 1000) / Math.max(1, nowMs - atMs)
  }
}
