import type { TimedStore } from '../state/timed-store.ts'
import type { Operator, StreamEmit } from '../topology/operator.ts'
import type { TableViewSource } from '../topology/table-view.ts'

export interface StreamTableJoin<K, V, TK, T, O> {
  readonly table: TableViewSource<TK, T>
  /** The table's key for a record; the record's own, except for global tables. */
  readonly tableKey: (key: K, value: V) => TK | null
  readonly joiner: (value: V, tableValue: T | null, key: K) => O
  readonly isLeft: boolean
  /** Holds records until stream time has passed them by the grace; null joins each as it comes. */
  readonly buffer: { readonly store: string; readonly graceMs: number } | null
}

/**
 * Enriches the records of a stream from a table: the row as it is when the record is processed, or, for a table with
 * history, as it was at the record's time. With a grace a record waits until stream time has passed it by that much, so
 * that rows which arrive a little late are seen, too. The result has the record's timestamp.
 */
export function streamTableJoin<K, V, TK, T, O>(
  join: StreamTableJoin<K, V, TK, T, O>,
): Operator<StreamEmit<K, V>, StreamEmit<K, O>> {
  const { tableKey, joiner, isLeft, buffer } = join
  return (task, next) => {
    const view = join.table.open(task)
    const isVersioned = join.table.isVersioned
    const joinNow = (key: K, value: V, id: TK | null, timestampMs: number): void => {
      const found = id === null ? null : isVersioned ? view.asOf(id, timestampMs) : view.get(id)
      if (found !== null || isLeft) next(key, joiner(value, found, key), timestampMs)
    }
    const process = (key: K, value: V, timestampMs: number, wait: (() => boolean) | null): void => {
      const hasValue = value !== null && value !== undefined
      const id = tableKey(key, value) ?? null
      if (!hasValue || (id === null && !isLeft)) {
        task.drop(hasValue ? 'null-key' : 'null-value')
        return
      }
      if (wait === null || id === null || !wait()) joinNow(key, value, id, timestampMs)
    }
    if (buffer === null) return (key, value, timestampMs) => process(key, value, timestampMs, null)

    const store = task.store(buffer.store) as TimedStore<K, V>
    return (key, value, timestampMs) => {
      process(key, value, timestampMs, () => {
        // Time, here, is that of the records that wait: one that is dropped moves nothing.
        if (store.observedMs - buffer.graceMs > timestampMs) return false
        store.insertDuplicate(key, timestampMs, timestampMs, value, timestampMs)
        for (const entry of store.takeDue(store.observedMs - buffer.graceMs)) {
          store.remove(entry)
          joinNow(entry.group.key, entry.value, tableKey(entry.group.key, entry.value), entry.startMs)
        }
        return true
      })
    }
  }
}
