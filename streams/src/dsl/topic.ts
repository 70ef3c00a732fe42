import type { Serde } from '../serdes/serde.ts'

/** A topic and how its keys and values are read and written; the types of a topology start here. */
export interface Topic<K, V> {
  readonly name: string
  readonly key: Serde<K>
  readonly value: Serde<V>
}

export function topic<K, V>(name: string, serdes: { readonly key: Serde<K>; readonly value: Serde<V> }): Topic<K, V> {
  return { name, key: serdes.key, value: serdes.value }
}
