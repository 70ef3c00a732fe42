import type { Operator, StreamEmit } from '../topology/operator.ts'

export function flatMapValues<K, V, R>(
  mapper: (value: V, key: K) => Iterable<R>,
): Operator<StreamEmit<K, V>, StreamEmit<K, R>> {
  return (_task, next) => (key, value, timestampMs) => {
    const values = mapper(value, key)
    if (Array.isArray(values)) {
      // Arrays are what user code returns nearly always; an index needs no iterator per record.
      for (let index = 0; index < values.length; index++) next(key, values[index] as R, timestampMs)
    } else {
      for (const result of values) next(key, result, timestampMs)
    }
  }
}
