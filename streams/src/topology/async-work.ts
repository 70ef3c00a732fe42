import type { ErrorHandler } from './error-handler.ts'

/** Which results may overtake which: none, those of other keys, or all. */
export type AsyncOrder = 'input' | 'key' | 'none'

/** How far an `advance` may go. */
export interface Advance {
  /** Nothing more comes in until all is out: what waits for company goes alone. */
  readonly isDraining: boolean
  /** For failures that no handler of the topology deals with. */
  readonly otherwise: ErrorHandler
}

/**
 * What a task has under way when the call that began it has returned: calls of user code that have not answered, and
 * records that wait for them.
 *
 * The task's driver owns the moments at which something happens: answers are kept until it calls `advance`, so results
 * come out between two records and never during a commit. Nothing may be committed unless `isEmpty`.
 */
export interface AsyncWork {
  /** The task must not take a record now. */
  readonly isFull: boolean
  /** Everything that came in has come out. */
  readonly isEmpty: boolean
  /** Calls that have not answered. */
  readonly callCount: number
  /** When `advance` has something to do although no call has answered; Infinity when it has not. */
  readonly wakeAtMs: number
  /**
   * Hands on what is ready, and starts, repeats or gives up what is due. Called before every run of records, also when
   * there is nothing: what comes in then is timed from `nowMs`, which is of any clock that does not go back.
   */
  advance(nowMs: number, how: Advance): void
}

/** Several as one. Earlier ones feed later ones. */
export function combined(works: readonly AsyncWork[]): AsyncWork {
  if (works.length === 1) return works[0]!
  return {
    get isFull() {
      return works.some((work) => work.isFull)
    },
    get isEmpty() {
      return works.every((work) => work.isEmpty)
    },
    get callCount() {
      return works.reduce((sum, work) => sum + work.callCount, 0)
    },
    get wakeAtMs() {
      return works.reduce((earliest, work) => Math.min(earliest, work.wakeAtMs), Number.POSITIVE_INFINITY)
    },
    advance(nowMs, how) {
      for (const work of works) work.advance(nowMs, how)
    },
  }
}
