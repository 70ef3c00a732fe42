import type { Operator, StreamEmit } from '../topology/operator.ts'

/**
 * Lets through what the first matching of several predicates sends to the branch at `index`. Each branch has such a
 * filter; they are siblings, and a record passes at most one of them. `index` -1 is what no predicate matches.
 */
export function branch<K, V>(
  predicates: readonly ((key: K, value: V) => boolean)[],
  index: number,
): Operator<StreamEmit<K, V>, StreamEmit<K, V>> {
  return (_task, next) => (key, value, timestampMs) => {
    if (predicates.findIndex((predicate) => predicate(key, value)) === index) next(key, value, timestampMs)
  }
}
