import type { KeyValueStore } from '../state/key-value-store.ts'
import type { Operator, StreamEmit, TableEmit } from '../topology/operator.ts'

/** The user's part of every aggregation of a stream. */
export interface Aggregator<K, V, A> {
  /** The aggregate before the first record; null leaves the first step to `add`, as `reduce` does. */
  initial(): A | null
  /** A null result removes the key's aggregate. Aggregates are values: return a new one, do not change the old. */
  add(key: K, value: V, aggregate: A | null): A | null
}

/** One aggregate per key. Records without key or value are dropped; the result's time is the largest of its records. */
export function aggregate<K, V, A>(
  storeName: string,
  aggregator: Aggregator<K, V, A>,
): Operator<StreamEmit<K, V>, TableEmit<K, A>> {
  return (task, next) => {
    const store = task.store(storeName) as KeyValueStore<K, A>
    return (key, value, timestampMs) => {
      if (key === null || key === undefined || value === null || value === undefined) {
        task.drop(key === null || key === undefined ? 'null-key' : 'null-value')
        return
      }
      const entry = store.find(key)
      if (entry === null) {
        const added = aggregator.add(key, value, aggregator.initial())
        store.put(key, added, timestampMs)
        next(key, added, timestampMs, null, true)
      } else {
        const old = entry.value
        const resultMs = timestampMs > entry.timestampMs ? timestampMs : entry.timestampMs
        const added = aggregator.add(key, value, old)
        store.update(entry, added, resultMs)
        next(key, added, resultMs, old, true)
      }
    }
  }
}
