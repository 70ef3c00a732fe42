import assert from 'node:assert/strict'

/**
 * The four offsets of a partition, and the only place that changes them:
 * `logStart <= lastStable <= highWatermark <= end`.
 *
 * Records from `highWatermark` on are not replicated yet and nobody reads them; those from `lastStable` on may belong to
 * an open transaction and readers of committed data wait for them. Without replicas and transactions all three at the
 * top are equal. Where a log starts within an open transaction, it is stable up to its start.
 */
export class PartitionOffsets {
  #logStart: number
  #lastStable: number
  #highWatermark: number
  #end: number

  constructor(offsets: { readonly logStart: number; readonly lastStable: number; readonly end: number }) {
    this.#logStart = offsets.logStart
    this.#lastStable = offsets.lastStable
    this.#highWatermark = offsets.end
    this.#end = offsets.end
    this.#check()
  }

  get logStart(): number {
    return this.#logStart
  }

  get lastStable(): number {
    return this.#lastStable
  }

  get highWatermark(): number {
    return this.#highWatermark
  }

  get end(): number {
    return this.#end
  }

  appended(end: number): void {
    assert(end >= this.#end, 'an append does not shorten the log')
    this.#end = end
  }

  replicated(highWatermark: number, lastStable: number): void {
    assert(highWatermark >= this.#highWatermark, 'the high watermark never goes back')
    assert(highWatermark <= this.#end, 'the high watermark does not pass the end')
    assert(lastStable >= this.#lastStable, 'what is decided stays decided')
    assert(lastStable <= highWatermark, 'what is decided is replicated')
    this.#highWatermark = highWatermark
    this.#lastStable = lastStable
  }

  startsAt(logStart: number): void {
    assert(logStart >= this.#logStart, 'the log start never goes back')
    this.#logStart = logStart
    this.#lastStable = Math.max(logStart, this.#lastStable)
    this.#check()
  }

  #check(): void {
    assert(
      this.#logStart <= this.#lastStable && this.#lastStable <= this.#highWatermark && this.#highWatermark <= this.#end,
      'logStart <= lastStable <= highWatermark <= end',
    )
  }
}
