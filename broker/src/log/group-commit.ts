import assert from 'node:assert/strict'
import type { PartitionLog } from './partition-log.ts'

interface Waiting {
  readonly endOffset: number
  readonly done: (isDurable: boolean) => void
}

/**
 * Makes what is appended to one log durable, many appends at a time: one sync is in flight, and everything appended
 * before it started is durable when it ends. What came meanwhile waits for the next, which starts at once.
 *
 * A sync that fails is final. What reached the disk is not known then, and a second sync would answer for pages that the
 * system has already given up (fsyncgate), so nothing is synced or acknowledged any more.
 */
export class GroupCommit {
  readonly log: PartitionLog
  readonly #onDurable: (endOffset: number) => void
  readonly #onFailed: (error: unknown) => void
  readonly #waiting: Waiting[] = []
  #durableEnd: number
  #isScheduled = false
  #isSyncing = false
  #hasFailed = false

  constructor(
    log: PartitionLog,
    on: { readonly durable: (endOffset: number) => void; readonly failed: (error: unknown) => void },
  ) {
    this.log = log
    this.#durableEnd = log.endOffset
    this.#onDurable = on.durable
    this.#onFailed = on.failed
  }

  get durableEnd(): number {
    return this.#durableEnd
  }

  get hasFailed(): boolean {
    return this.#hasFailed
  }

  /** Something was appended. The sync starts when the running turn of the event loop is over, so that it covers all of it. */
  appended(): void {
    if (this.#isScheduled || this.#isSyncing || this.#hasFailed) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.#sync()
    })
  }

  /** Calls back once everything below `endOffset` is durable, or with false when it never will be. */
  whenDurable(endOffset: number, done: (isDurable: boolean) => void): void {
    if (this.#hasFailed) done(false)
    else if (endOffset <= this.#durableEnd) done(true)
    else this.#waiting.push({ endOffset, done })
  }

  /** The log is gone: nobody waits for it any more. */
  stop(): void {
    this.#hasFailed = true
    for (const { done } of this.#waiting.splice(0)) done(false)
  }

  #sync(): void {
    if (this.#isSyncing || this.#hasFailed || this.log.isClosed) return
    const end = this.log.endOffset
    if (end <= this.#durableEnd) return
    this.#isSyncing = true
    this.log.flush().then(
      () => {
        this.#isSyncing = false
        if (this.#hasFailed) return
        this.#durable(end)
        this.#sync()
      },
      (error: unknown) => {
        this.#isSyncing = false
        if (this.#hasFailed) return
        this.stop()
        this.#onFailed(error)
      },
    )
  }

  #durable(end: number): void {
    assert(end >= this.#durableEnd, 'what is durable stays durable')
    this.#durableEnd = end
    this.#onDurable(end)
    let count = 0
    while (count < this.#waiting.length && this.#waiting[count]!.endOffset <= end) count += 1
    for (const { done } of this.#waiting.splice(0, count)) done(true)
  }
}
