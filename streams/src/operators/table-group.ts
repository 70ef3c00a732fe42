import type { Operator, StreamEmit, TableEmit } from '../topology/operator.ts'
import type { KeyValueStore } from '../state/key-value-store.ts'
import { remotesOf, type Serde } from '../serdes/serde.ts'
import type { KeyValue } from './map.ts'

/** A row that left a group, one that entered it, or both at once. Crosses the repartition topic as one record. */
export interface RowChange<V> {
  readonly removed: V | null
  readonly added: V | null
}

/**
 * Sends each change of a table to the group it belongs to: what the row was is taken out, what it is now is put in. In
 * the same group that is one change, else two. `sameKey` compares groups by their bytes.
 */
export function groupTable<K, V, K2, V2>(
  mapper: (key: K, value: V) => KeyValue<K2, V2>,
  sameKey: (left: K2, right: K2) => boolean,
  isVersioned: boolean,
): Operator<TableEmit<K, V>, StreamEmit<K2, RowChange<V2>>> {
  return (_task, next) => (key, value, timestampMs, old, isLatest) => {
    if (isVersioned && !isLatest) return
    const now = value === null ? null : present(mapper(key, value))
    const before = old === null ? null : present(mapper(key, old))
    if (now !== null && before !== null && sameKey(before[0], now[0])) {
      next(now[0], { removed: before[1], added: now[1] }, timestampMs)
      return
    }
    if (before !== null) next(before[0], { removed: before[1], added: null }, timestampMs)
    if (now !== null) next(now[0], { removed: null, added: now[1] }, timestampMs)
  }
}

function present<K, V>(pair: KeyValue<K, V>): KeyValue<K, V> | null {
  return pair[0] === null || pair[0] === undefined || pair[1] === null || pair[1] === undefined ? null : pair
}

export interface TableAggregator<K, V, A> {
  initial(): A | null
  add(key: K, value: V, aggregate: A | null): A | null
  subtract(key: K, value: V, aggregate: A): A | null
}

/** The aggregate of each group of a table's rows, corrected as rows change: subtract first, then add. */
export function tableAggregate<K, V, A>(
  storeName: string,
  aggregator: TableAggregator<K, V, A>,
): Operator<StreamEmit<K, RowChange<V>>, TableEmit<K, A>> {
  return (task, next) => {
    const store = task.store(storeName) as KeyValueStore<K, A>
    return (key, { removed, added }, timestampMs) => {
      const entry = store.find(key)
      const old = entry === null ? null : entry.value
      let aggregate = old
      let resultMs = timestampMs
      if (removed !== null && aggregate !== null) {
        aggregate = aggregator.subtract(key, removed, aggregate)
        resultMs = Math.max(resultMs, entry!.timestampMs)
      }
      if (added !== null) {
        aggregate = aggregator.add(key, added, aggregate ?? aggregator.initial())
        if (entry !== null) resultMs = Math.max(resultMs, entry.timestampMs)
      }
      if (entry === null) store.put(key, aggregate, resultMs)
      else store.update(entry, aggregate, resultMs)
      next(key, aggregate, resultMs, old, true)
    }
  }
}

/** One byte that says what is there, the length of the added value, then both values. */
export function rowChangeSerde<V>(value: Serde<V>): Serde<RowChange<V>> {
  return {
    name: `change of ${value.name}`,
    ...remotesOf(value),
    serialize({ removed, added }) {
      const addedBytes = added === null ? EMPTY : value.serialize(added)
      const removedBytes = removed === null ? EMPTY : value.serialize(removed)
      const bytes = Buffer.allocUnsafe(5 + addedBytes.length + removedBytes.length)
      bytes[0] = (added === null ? 0 : HAS_ADDED) | (removed === null ? 0 : HAS_REMOVED)
      bytes.writeUInt32BE(addedBytes.length, 1)
      bytes.set(addedBytes, 5)
      bytes.set(removedBytes, 5 + addedBytes.length)
      return bytes
    },
    deserialize(bytes) {
      const removedAt = 5 + bytes.readUInt32BE(1)
      return {
        added: (bytes[0]! & HAS_ADDED) === 0 ? null : value.deserialize(bytes.subarray(5, removedAt)),
        removed: (bytes[0]! & HAS_REMOVED) === 0 ? null : value.deserialize(bytes.subarray(removedAt)),
      }
    },
  }
}

const EMPTY = Buffer.alloc(0)
const HAS_ADDED = 1
const HAS_REMOVED = 2
