import type { Operator, StreamEmit } from '../topology/operator.ts'

/** A new key and value, as `map` and `flatMap` return them. */
export type KeyValue<K, V> = readonly [key: K, value: V]

export function map<K, V, K2, V2>(
  mapper: (key: K, value: V) => KeyValue<K2, V2>,
): Operator<StreamEmit<K, V>, StreamEmit<K2, V2>> {
  return (_task, next) => (key, value, timestampMs) => {
    const [newKey, newValue] = mapper(key, value)
    next(newKey, newValue, timestampMs)
  }
}
