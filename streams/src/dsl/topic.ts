import type { Serde } from '../serdes/serde.ts'

/** A topic and how its keys and values are read and written; the types of a topology start here. */
export interface Topic<K, V> {
  readonly name: string
  readonly key: Serde<K>
  readonly value: Serde<V>
}

/** What `to` needs of a serde; property and not method, so that the compiler compares it strictly. */
export interface Serializer<in T> {
  readonly name: string
  readonly serialize: (value: T) => Uint8Array
}

/** A topic as something to write to. It takes more than it is given: every `Topic` of a wider type is one. */
export interface WritableTopic<in K, in V> {
  readonly name: string
  readonly key: Serializer<K>
  readonly value: Serializer<V>
}

export function topic<K, V>(name: string, serdes: { readonly key: Serde<K>; readonly value: Serde<V> }): Topic<K, V> {
  return { name, key: serdes.key, value: serdes.value }
}
