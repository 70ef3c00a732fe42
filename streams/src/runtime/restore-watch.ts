import type { RestoreProgress } from './restorer.ts'

/** How far an application is with the state of the tasks that it was given. */
export interface RestoreSummary {
  /** Changes read and to be read, over all stores since the restore began. */
  readonly restored: number
  readonly total: number
  /** Between 0 and 1. */
  readonly share: number
  readonly storesToGo: number
  readonly changesPerSecond: number
  /** Null while nothing has been read yet. */
  readonly remainingMs: number | null
  readonly isDone: boolean
}

/**
 * Adds up the progress of all stores from one look to the next: a task that has got all its state is not in the
 * progress any more, and still counts as restored.
 */
export class RestoreWatch {
  readonly #stores = new Map<string, { start: number; offset: number; end: number }>()
  readonly #beganAtMs: number

  constructor(nowMs: number) {
    this.#beganAtMs = nowMs
  }

  look(progress: readonly RestoreProgress[], isRunning: boolean, nowMs: number): RestoreSummary {
    const gone = new Set(this.#stores.keys())
    for (const { taskId, store, startOffset, offset, endOffset, isStandby } of progress) {
      if (isStandby) continue
      const key = `${taskId}/${store}`
      gone.delete(key)
      this.#stores.set(key, { start: startOffset, offset: Math.min(offset, endOffset), end: endOffset })
    }
    for (const key of gone) {
      const store = this.#stores.get(key)!
      store.offset = store.end
    }
    let restored = 0
    let total = 0
    let storesToGo = 0
    for (const { start, offset, end } of this.#stores.values()) {
      restored += offset - start
      total += end - start
      if (offset < end) storesToGo++
    }
    const changesPerSecond = (restored * 1000) / Math.max(1, nowMs - this.#beganAtMs)
    const isDone = isRunning && storesToGo === 0
    return {
      restored,
      total,
      share: total === 0 ? (isDone ? 1 : 0) : restored / total,
      storesToGo,
      changesPerSecond,
      remainingMs: restored === 0 ? (isDone ? 0 : null) : ((total - restored) * 1000) / changesPerSecond,
      isDone,
    }
  }
}
