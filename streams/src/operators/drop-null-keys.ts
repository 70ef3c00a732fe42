import type { Operator, StreamEmit } from '../topology/operator.ts'

/** In front of a repartition topic: a record without a key has no partition there. Not counted as dropped, as in Kafka. */
export function dropNullKeys<K, V>(): Operator<StreamEmit<K | null, V>, StreamEmit<K | null, V>> {
  return (_task, next) => (key, value, timestampMs) => {
    if (key !== null && key !== undefined) next(key, value, timestampMs)
  }
}
