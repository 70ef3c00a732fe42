import type { Aggregator } from '../operators/aggregate.ts'
import type { Builder, StreamHandle } from './builder.ts'
import { repartitioned } from './repartition.ts'

/** The stream partitioned by its key: through a topic of its own if that may have changed. */
export function grouped<K, V>(builder: Builder, handle: StreamHandle<K, V>, name: string): StreamHandle<K, V> {
  return handle.needsRepartition ? repartitioned(builder, handle, name) : handle
}

export function counter<K, V>(): Aggregator<K, V, number> {
  return { initial: () => 0, add: (_key, _value, count) => (count ?? 0) + 1 }
}

export function reducing<K, V>(
  reducer: (aggregate: NonNullable<V>, value: NonNullable<V>) => NonNullable<V>,
): Aggregator<K, V, NonNullable<V>> {
  return {
    initial: () => null,
    add: (_key, value, aggregate) => (aggregate === null ? value! : reducer(aggregate, value!)),
  }
}
