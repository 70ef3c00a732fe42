import type { Operator, StreamEmit } from '../topology/operator.ts'

export function selectKey<K, V, K2>(selector: (key: K, value: V) => K2): Operator<StreamEmit<K, V>, StreamEmit<K2, V>> {
  return (_task, next) => (key, value, timestampMs) => next(selector(key, value), value, timestampMs)
}
