import type { Operator, StreamEmit } from '../topology/operator.ts'

export function peek<K, V>(look: (key: K, value: V) => void): Operator<StreamEmit<K, V>, StreamEmit<K, V>> {
  return (_task, next) => (key, value, timestampMs) => {
    look(key, value)
    next(key, value, timestampMs)
  }
}
