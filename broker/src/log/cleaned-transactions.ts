import { ControlType } from '@millrace/protocol'
import type { AbortedTransaction } from './aborted-transaction.ts'

const NONE: readonly AbortedTransaction[] = []

/**
 * Which transactions a compaction is in the middle of, as it goes through a log in order, and what of them can go.
 *
 * The data of an aborted transaction can go at once, its marker when no data is left before it; the marker of a committed
 * one when none of its data is left. Markers go through the time of tombstones after that, so that a reader who was
 * between data and marker meets the marker still.
 */
export class CleanedTransactions {
  /** Those that lie ahead, the first one last. */
  #ahead: AbortedTransaction[] = []
  /** By producer: the aborted transaction that is under way here, and whether some of its data is still there. */
  readonly #aborted = new Map<number, { readonly transaction: AbortedTransaction; hasData: boolean }>()
  readonly #withData = new Set<number>()
  #retained: AbortedTransaction[] = []

  /** Takes in the aborted transactions of the segments that come next. */
  addAborted(transactions: readonly AbortedTransaction[]): void {
    if (transactions.length === 0) return
    this.#ahead = [...this.#ahead, ...transactions].sort((a, b) => b.firstOffset - a.firstOffset)
  }

  /** The aborted transactions that have data still and whose marker came last: for the index of the segment that is written. */
  takeRetained(): readonly AbortedTransaction[] {
    if (this.#retained.length === 0) return NONE
    const retained = this.#retained
    this.#retained = []
    return retained
  }

  /** A data batch; answers whether it belongs to an aborted transaction, so that nobody may see it. */
  onBatch(producerId: number, isTransactional: boolean, lastOffset: number): boolean {
    this.#advance(lastOffset)
    if (!isTransactional) return false
    const aborted = this.#aborted.get(producerId)
    if (aborted === undefined) {
      this.#withData.add(producerId)
      return false
    }
    aborted.hasData = true
    return true
  }

  /** A control batch, with the type of its record or null if an earlier compaction emptied it; whether it can go. */
  onControlBatch(producerId: number, type: number | null, lastOffset: number): boolean {
    this.#advance(lastOffset)
    if (type === null) return true
    if (type !== ControlType.abort && type !== ControlType.commit) return false
    // An index that does not know of an aborted transaction is no reason to take the marker from its data.
    const hasData = this.#withData.delete(producerId)
    if (type === ControlType.commit) return !hasData
    const aborted = this.#aborted.get(producerId)
    this.#aborted.delete(producerId)
    if (aborted?.hasData === true) this.#retained.push(aborted.transaction)
    return !hasData && aborted?.hasData !== true
  }

  #advance(offset: number): void {
    for (let next = this.#ahead.at(-1); next !== undefined && next.firstOffset <= offset; next = this.#ahead.at(-1)) {
      this.#ahead.pop()
      if (!this.#aborted.has(next.producerId)) this.#aborted.set(next.producerId, { transaction: next, hasData: false })
    }
  }
}
