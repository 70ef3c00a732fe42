import type { Operator, TableEmit } from '../topology/operator.ts'

/** Maps a table's values. The old value is mapped only where someone downstream wants it. */
export function tableMapValues<K, V, R>(
  mapper: (value: V, key: K) => R | null,
  needs: { readonly oldValues: boolean },
): Operator<TableEmit<K, V>, TableEmit<K, R>> {
  return (_task, next) => {
    const { oldValues } = needs
    return (key, value, timestampMs, old, isLatest) => {
      const mapped = value === null ? null : mapper(value, key)
      const oldMapped = !oldValues || old === null ? null : mapper(old, key)
      next(key, mapped, timestampMs, oldMapped, isLatest)
    }
  }
}
