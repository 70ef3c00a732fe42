import type { Operator, StreamEmit, TableEmit } from '../topology/operator.ts'

/** A table's changes as records: the new value, null where the row went away. */
export function toStream<K, V>(): Operator<TableEmit<K, V>, StreamEmit<K, V | null>> {
  return (_task, next) => (key, value, timestampMs) => next(key, value, timestampMs)
}
