import type { KeyValueStore } from '../state/key-value-store.ts'
import type { VersionedStore } from '../state/versioned-store.ts'
import type { Operator, StreamEmit, TableEmit } from '../topology/operator.ts'

/** Whether a table keeps its values; decided by the builder, and by what comes after the table. */
export interface Materialization {
  storeName: string | null
  isVersioned: boolean
}

/**
 * Reads a stream as the changes of a table: the last record of a key to arrive is its value, whatever its timestamp. A
 * versioned table keeps history instead, takes late records into it, and refuses those that are older than that.
 */
export function tableSource<K, V>(
  materialization: Materialization,
): Operator<StreamEmit<K, V | null>, TableEmit<K, V>> {
  return (task, next) => {
    const { storeName, isVersioned } = materialization
    if (storeName === null) {
      return (key, value, timestampMs) => {
        if (key === null || key === undefined) task.drop('null-key')
        else next(key, value, timestampMs, null, true)
      }
    }
    if (isVersioned) {
      const versions = task.store(storeName) as VersionedStore<K, V>
      return (key, value, timestampMs) => {
        if (key === null || key === undefined) {
          task.drop('null-key')
          return
        }
        const old = versions.get(key)
        const put = versions.put(key, value, timestampMs)
        if (put === 'too-old') task.drop('out-of-order')
        else next(key, value, timestampMs, old, put === 'latest')
      }
    }
    const store = task.store(storeName) as KeyValueStore<K, V>
    return (key, value, timestampMs) => {
      if (key === null || key === undefined) {
        task.drop('null-key')
        return
      }
      const entry = store.find(key)
      const old = entry === null ? null : entry.value
      if (entry === null) store.put(key, value, timestampMs)
      else store.update(entry, value, timestampMs)
      next(key, value, timestampMs, old, true)
    }
  }
}
