import { BrokerError } from '../base/errors.ts'
import { GroupCommit, type GroupCommitListener } from '../log/group-commit.ts'
import type { PartitionLog } from '../log/partition-log.ts'

/** What a response waits for. */
export interface Barrier {
  /** Calls back once, at once if there is nothing to wait for any more: false when it can never be acknowledged. */
  whenPassed(done: (isDurable: boolean) => void): void
}

/** A partition with batches that are to be written. */
export interface Gatherer {
  /** False when they could not be. */
  writeGathered(): boolean
}

/**
 * Holds back what acknowledges a write until the write is durable. A handler appends and answers as if that were all; the
 * connection then asks here what the request had to do with. Where an acknowledgement only means "written", nothing is
 * followed here and nobody waits.
 */
export class Durability {
  /** What the request that is being handled appended to, or found appended and answers for. */
  #touched: GroupCommit[] = []
  /** Everything that is not durable yet, whoever appended it. */
  readonly #behind = new Set<GroupCommit>()
  #metadata: GroupCommit | null = null
  readonly #gathered: Gatherer[] = []
  #hasLostGathered = false
  /**
   * Whether batches are written together with those of the requests behind: set by a connection that has several in its
   * hands, which calls `writeGathered` before it answers any of them or gives their bytes away.
   */
  isGathering = false

  /** Makes what is appended to the log durable from now on. */
  follow(log: PartitionLog, listener: GroupCommitListener): GroupCommit {
    return new GroupCommit(log, listener, this.#behind)
  }

  /** As `follow`. Every answer waits for it: nobody may hear of a topic, or write to one, that a crash would undo. */
  followMetadata(log: PartitionLog, listener: GroupCommitListener): GroupCommit {
    this.#metadata = this.follow(log, listener)
    return this.#metadata
  }

  get hasGathered(): boolean {
    return this.#gathered.length > 0
  }

  /** Notes who has batches to write. */
  gathered(gatherer: Gatherer): void {
    if (!this.#gathered.includes(gatherer)) this.#gathered.push(gatherer)
  }

  /** Notes that what was gathered was tried to be written before its time, and is lost. */
  lostGathered(): void {
    this.#hasLostGathered = true
  }

  /** Writes everything that was gathered; false if some of it is lost, so that nothing of it may be acknowledged. */
  writeGathered(): boolean {
    while (this.#gathered.length > 0) if (!this.#gathered.pop()!.writeGathered()) this.#hasLostGathered = true
    const isWritten = !this.#hasLostGathered
    this.#hasLostGathered = false
    return isWritten
  }

  /** Forgets what timers, and requests that failed, have left behind. */
  requestBegins(): void {
    if (this.#touched.length > 0) this.#touched = []
  }

  /** Notes an append of `sizeBytes` to the log behind `commit`. */
  appended(commit: GroupCommit, sizeBytes: number): void {
    commit.appended(sizeBytes)
    this.answersFor(commit)
  }

  /** Notes that the answer tells of something in the log behind `commit` that another request appended. */
  answersFor(commit: GroupCommit): void {
    if (!this.#touched.includes(commit)) this.#touched.push(commit)
  }

  /** What the request had to do with since it began and is not durable yet; null when nothing. */
  takeBarrier(): Barrier | null {
    if (this.#metadata?.isBehind) this.answersFor(this.#metadata)
    if (this.#touched.length === 0) return null
    const barrier = barrierOf(this.#touched)
    this.#touched = []
    return barrier
  }

  /**
   * Resolves when all is durable that was appended so far; null when it is. For an answer that other requests and timers
   * had a part in. Rejects with a BrokerError of code NOT_DURABLE when that can never be acknowledged.
   */
  allDurable(): Promise<void> | null {
    if (this.#behind.size === 0) return null
    const barrier = barrierOf([...this.#behind])
    return new Promise((resolve, reject) => {
      barrier.whenPassed((isDurable) => {
        if (isDurable) resolve()
        else reject(new BrokerError('NOT_DURABLE', 'what was written could not be made durable'))
      })
    })
  }
}

function barrierOf(commits: readonly GroupCommit[]): Barrier {
  const waits = commits.map((commit) => ({ commit, endOffset: commit.log.endOffset }))
  return {
    whenPassed(done) {
      let left = waits.length
      let isDurable = true
      for (const { commit, endOffset } of waits) {
        commit.whenDurable(endOffset, (ok) => {
          isDurable &&= ok
          left -= 1
          if (left === 0) done(isDurable)
        })
      }
    },
  }
}
