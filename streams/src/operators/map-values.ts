import type { Operator, StreamEmit } from '../topology/operator.ts'

export function mapValues<K, V, R>(mapper: (value: V, key: K) => R): Operator<StreamEmit<K, V>, StreamEmit<K, R>> {
  return (_task, next) => (key, value, timestampMs) => next(key, mapper(value, key), timestampMs)
}
