import type { Serde } from '../serdes/serde.ts'
import type { StoreDefinition } from '../state/store.ts'
import { storeBasics, type StoreOptions } from './builder.ts'

/** A store for `process`, shared by all processors that list it. */
export interface StateStoreHandle {
  readonly definition: StoreDefinition
}

export function keyValueStore<K, V>(
  options: Omit<StoreOptions<V>, 'serde' | 'name'> & {
    readonly name: string
    readonly key: Serde<K>
    readonly value: Serde<V>
  },
): StateStoreHandle {
  const { name, key, value } = options
  const basics = storeBasics(name, options, key as Serde<unknown>, value as Serde<unknown>)
  return { definition: { kind: 'key-value', ...basics } }
}
