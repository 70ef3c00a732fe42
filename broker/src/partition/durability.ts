import type { GroupCommit } from '../log/group-commit.ts'

/** What a response waits for. */
export interface Barrier {
  /** Calls back once, at once if there is nothing to wait for any more: false when it can never be acknowledged. */
  whenPassed(done: (isDurable: boolean) => void): void
}

/**
 * Holds back what acknowledges a write until the write is durable. A handler appends and answers as if that were all;
 * the connection then asks here what was appended to while the request was handled.
 */
export class Durability {
  #touched: GroupCommit[] = []

  /** Notes an append to the log behind `commit`, within the request that is being handled. */
  appended(commit: GroupCommit): void {
    commit.appended()
    if (!this.#touched.includes(commit)) this.#touched.push(commit)
  }

  /** What was appended to since the last call and is not durable yet; null when nothing. */
  takeBarrier(): Barrier | null {
    if (this.#touched.length === 0) return null
    const waits = this.#touched.map((commit) => ({ commit, endOffset: commit.log.endOffset }))
    this.#touched = []
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
}
