import type { Operator, StreamEmit } from '../topology/operator.ts'
import type { KeyValue } from './map.ts'

export function flatMap<K, V, K2, V2>(
  mapper: (key: K, value: V) => Iterable<KeyValue<K2, V2>>,
): Operator<StreamEmit<K, V>, StreamEmit<K2, V2>> {
  return (_task, next) => (key, value, timestampMs) => {
    for (const [newKey, newValue] of mapper(key, value)) next(newKey, newValue, timestampMs)
  }
}
