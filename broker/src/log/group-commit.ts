import assert from 'node:assert/strict'
import type { PartitionLog } from './partition-log.ts'

interface Waiting {
  readonly endOffset: number
  readonly done: (isDurable: boolean) => void
}

export interface GroupCommitListener {
  /** All up to `endOffset` is durable, and of that `sizeBytes` since the last call. */
  durable(endOffset: number, sizeBytes: number): void
  failed(error: unknown): void
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
  readonly #listener: GroupCommitListener
  /** Where this is noted while something of the log is not durable. */
  readonly #behind: Set<GroupCommit>
  readonly #waiting: Waiting[] = []
  #durableEnd: number
  /** Appended since the last sync began. */
  #unsyncedBytes = 0
  #isScheduled = false
  #isSyncing = false
  #isStopped = false
  #hasFailed = false

  constructor(log: PartitionLog, listener: GroupCommitListener, behind: Set<GroupCommit>) {
    this.log = log
    this.#listener = listener
    this.#behind = behind
    // What a crash left in the log may be in the system's memory alone still.
    this.#durableEnd = log.recoveryPoint
    if (this.isBehind) this.appended(0)
  }

  /** Whether something of the log is not durable and will be. */
  get isBehind(): boolean {
    return !this.#isStopped && this.#durableEnd < this.log.endOffset
  }

  /** Something was appended. The sync starts when the callback that runs is over, so that it covers all of it. */
  appended(sizeBytes: number): void {
    if (this.#isStopped) return
    this.#unsyncedBytes += sizeBytes
    this.#behind.add(this)
    if (this.#isScheduled || this.#isSyncing) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.#sync()
    })
  }

  /** Calls back once everything below `endOffset` is durable, or with false when it never will be. */
  whenDurable(endOffset: number, done: (isDurable: boolean) => void): void {
    if (this.#isStopped) done(!this.#hasFailed)
    else if (endOffset <= this.#durableEnd) done(true)
    else this.#waiting.push({ endOffset, done })
  }

  /** The log is taken away: what it held is as it was to be, and nobody waits for it any more. */
  stop(): void {
    this.#isStopped = true
    this.#behind.delete(this)
    for (const { done } of this.#waiting.splice(0)) done(!this.#hasFailed)
  }

  /** The log failed: what was not durable never will be. */
  fail(): void {
    this.#hasFailed = true
    this.stop()
  }

  #sync(): void {
    if (this.#isSyncing || this.#isStopped || this.log.isClosed) return
    const end = this.log.endOffset
    if (end <= this.#durableEnd) return
    const sizeBytes = this.#unsyncedBytes
    this.#unsyncedBytes = 0
    this.#isSyncing = true
    this.log.flush().then(
      () => {
        this.#isSyncing = false
        if (this.#isStopped) return
        this.#durable(end, sizeBytes)
        this.#sync()
      },
      (error: unknown) => {
        this.#isSyncing = false
        if (this.#isStopped) return
        this.fail()
        this.#listener.failed(error)
      },
    )
  }

  #durable(end: number, sizeBytes: number): void {
    assert(end >= this.#durableEnd, 'what is durable stays durable')
    this.#durableEnd = end
    if (!this.isBehind) this.#behind.delete(this)
    this.#listener.durable(end, sizeBytes)
    let count = 0
    while (count < this.#waiting.length && this.#waiting[count]!.endOffset <= end) count += 1
    for (const { done } of this.#waiting.splice(0, count)) done(true)
  }
}
