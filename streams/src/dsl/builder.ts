import type { WindowClosing } from '../operators/window-closing.ts'
import { msgpack } from '../serdes/msgpack.ts'
import type { Serde } from '../serdes/serde.ts'
import type { GraphNode, TopologyGraph } from '../topology/graph.ts'
import type { TableViewSource } from '../topology/table-view.ts'
import type { Stream } from './stream.ts'
import type { Table } from './table.ts'

/** Where a stream comes out of the graph, and what is known of its records. */
export interface StreamHandle<K, V> {
  readonly node: GraphNode
  /** Null where only the program knows: such records are written as MessagePack to internal topics and stores. */
  readonly keySerde: Serde<K> | null
  readonly valueSerde: Serde<V> | null
  /** Whether the key may have changed since the records were partitioned by it. */
  readonly needsRepartition: boolean
  /** The source nodes that the stream's partitioning comes from. */
  readonly sources: readonly string[]
}

export interface TableHandle<K, V> {
  readonly node: GraphNode
  readonly keySerde: Serde<K> | null
  readonly valueSerde: Serde<V> | null
  readonly sources: readonly string[]
  readonly isVersioned: boolean
  /** When the table's windows are final; null for a table that is not one of windows. */
  readonly closing: WindowClosing | null
  /** Set by those downstream that compare a change with what was before. */
  readonly needs: { oldValues: boolean }
  /** Makes sure that changes carry old values, back to a table that has a store. */
  requireOldValues(): void
  /** A way to look keys up in the table; gives it a store if it has none. */
  view(): TableViewSource<K, V>
}

/** What the classes of the DSL share: the graph they add to, and each other's constructors. */
export interface Builder {
  readonly graph: TopologyGraph
  stream<K, V>(handle: StreamHandle<K, V>): Stream<K, V>
  table<K, V>(handle: TableHandle<K, V>): Table<K, V>
}

export function serdeOr<T>(serde: Serde<T> | null | undefined): Serde<T> {
  return serde ?? msgpack<T>()
}

/** Options of everything that keeps state. */
export interface StoreOptions<V> {
  /** Name of the store and, with the application's before it, of its changelog topic. Unnamed state is lost to a change of the topology. */
  readonly name?: string | undefined
  readonly serde?: Serde<V> | undefined
  /** Where the state lives while a task runs; the runtime's default unless given. */
  readonly location?: 'memory' | 'disk' | undefined
  /** Whether changes are written to a changelog topic, from which the state can be restored. True unless given. */
  readonly changelog?: boolean | undefined
}

/** Of an aggregation whose serde says what the aggregate is: `init` may give a part of that type, or null. */
export type WithSerde<A, I> = {
  readonly serde: Serde<A>
  readonly init: () => I
}

/** What `add` is given in the place of the aggregate: null only where `init` may give it. */
export type AggregateOr<A, I> = A | Extract<I, null>

/** Of an aggregation without a serde: `init` says what the aggregate is. */
export type WithoutSerde<A> = {
  readonly serde?: undefined
  readonly init: () => A
}

export function storeBasics(
  name: string,
  options: StoreOptions<never> | StoreOptions<unknown>,
  keySerde: Serde<unknown>,
  valueSerde: Serde<unknown>,
): {
  name: string
  hasChangelog: boolean
  keySerde: Serde<unknown>
  valueSerde: Serde<unknown>
  location?: 'memory' | 'disk'
} {
  return {
    name,
    hasChangelog: options.changelog ?? true,
    keySerde,
    valueSerde,
    ...(options.location === undefined ? {} : { location: options.location }),
  }
}
