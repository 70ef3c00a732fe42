import type { Operator, TableEmit } from '../topology/operator.ts'

/**
 * The table without the rows that fail the predicate. A row that stops passing is removed; one that never passed is not
 * mentioned, so that a tombstone goes on only if the value before it did. Late versions of a versioned table go on as
 * they are: whether they change anything is for the joins to see.
 */
export function tableFilter<K, V>(
  predicate: (key: K, value: V) => boolean,
  isVersioned: boolean,
): Operator<TableEmit<K, V>, TableEmit<K, V>> {
  return (_task, next) => (key, value, timestampMs, old, isLatest) => {
    const passed = value !== null && predicate(key, value) ? value : null
    const oldPassed = old !== null && predicate(key, old) ? old : null
    if (passed === null && oldPassed === null && !isVersioned) return
    next(key, passed, timestampMs, oldPassed, isLatest)
  }
}
