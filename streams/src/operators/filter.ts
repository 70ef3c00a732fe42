import type { Operator, StreamEmit } from '../topology/operator.ts'

export function filter<K, V>(predicate: (key: K, value: V) => boolean): Operator<StreamEmit<K, V>, StreamEmit<K, V>> {
  return (_task, next) => (key, value, timestampMs) => {
    if (predicate(key, value)) next(key, value, timestampMs)
  }
}
