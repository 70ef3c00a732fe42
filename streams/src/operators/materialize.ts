import type { KeyValueStore } from '../state/key-value-store.ts'
import type { Operator, TableEmit } from '../topology/operator.ts'

/** Keeps a derived table in a store of its own, from which it also takes the old values. */
export function materialize<K, V>(storeName: string): Operator<TableEmit<K, V>, TableEmit<K, V>> {
  return (task, next) => {
    const store = task.store(storeName) as KeyValueStore<K, V>
    return (key, value, timestampMs, _old, isLatest) => {
      const entry = store.find(key)
      const old = entry === null ? null : entry.value
      if (entry === null) store.put(key, value, timestampMs)
      else store.update(entry, value, timestampMs)
      next(key, value, timestampMs, old, isLatest)
    }
  }
}
