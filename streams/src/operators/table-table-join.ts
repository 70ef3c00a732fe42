import type { Operator, TableEmit } from '../topology/operator.ts'
import type { TableViewSource } from '../topology/table-view.ts'

export type TableJoinKind = 'inner' | 'left' | 'outer'

export interface TableJoinSide<K, V, O, R> {
  /** How this side's row and the other table's become a result; null for a row that is not there. */
  readonly joiner: (own: V | null, other: O | null, key: K) => R
  readonly other: TableViewSource<K, O>
  /** Whether a row of this side has a result without a partner. */
  readonly isOuter: boolean
  /** Whether a row of the other side has one. */
  readonly isOtherOuter: boolean
  /** Whether late versions of this side are to be ignored, because it has a history. */
  readonly isVersioned: boolean
  readonly needs: { readonly oldValues: boolean }
}

/**
 * One side of a join of two tables: every change looks up the other table and changes the result.
 *
 * The result has the later of both timestamps. A tombstone goes on as long as the other row exists, repeated ones, too.
 */
export function tableJoinSide<K, V, O, R>(side: TableJoinSide<K, V, O, R>): Operator<TableEmit<K, V>, TableEmit<K, R>> {
  const { joiner, isOuter, isOtherOuter, isVersioned } = side
  return (task, next) => {
    const others = side.other.open(task)
    const { oldValues } = side.needs
    return (key, value, timestampMs, old, isLatest) => {
      if (key === null || key === undefined) {
        task.drop('null-key')
        return
      }
      if (isVersioned && !isLatest) {
        task.drop('out-of-order')
        return
      }
      const other = others.get(key)
      if (other === null) {
        if (!isOuter || (value === null && old === null)) return
      }
      const resultMs = other !== null && others.foundMs > timestampMs ? others.foundMs : timestampMs
      const hasResult = value !== null || (isOtherOuter && other !== null)
      const hadResult = oldValues && (old !== null || (isOtherOuter && other !== null))
      next(
        key,
        hasResult ? joiner(value, other, key) : null,
        resultMs,
        hadResult ? joiner(old, other, key) : null,
        isLatest,
      )
    }
  }
}

/** The table that a join results in, computed from the two tables when someone looks a key up. */
export function joinedView<K, L, R, O>(
  left: TableViewSource<K, L>,
  right: TableViewSource<K, R>,
  kind: TableJoinKind,
  joiner: (left: L | null, right: R | null, key: K) => O,
): TableViewSource<K, O> {
  return {
    stores: [...left.stores, ...right.stores],
    isVersioned: false,
    open(task) {
      const lefts = left.open(task)
      const rights = right.open(task)
      const view = {
        foundMs: -1,
        get(key: K): O | null {
          const leftValue = lefts.get(key)
          const rightValue = rights.get(key)
          view.foundMs = Math.max(leftValue === null ? -1 : lefts.foundMs, rightValue === null ? -1 : rights.foundMs)
          if (leftValue === null && (kind !== 'outer' || rightValue === null)) return null
          if (rightValue === null && kind === 'inner') return null
          return joiner(leftValue, rightValue, key)
        },
        asOf: (key: K): O | null => view.get(key),
      }
      return view
    },
  }
}
