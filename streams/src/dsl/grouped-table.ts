import { TopologyError } from '../errors.ts'
import { rowChangeSerde, tableAggregate, type TableAggregator } from '../operators/table-group.ts'
import { int64 } from '../serdes/primitives.ts'
import type { Serde } from '../serdes/serde.ts'
import type { GraphNode, GraphSource } from '../topology/graph.ts'
import { storeView } from '../topology/table-view.ts'
import { serdeOr, storeBasics, type Builder, type StoreOptions, type WithoutSerde, type WithSerde } from './builder.ts'
import type { Table } from './table.ts'

/** The rows of a table by a new key, on their way to an aggregate that follows their changes. */
export class GroupedTable<K, V> {
  readonly #builder: Builder
  readonly #node: GraphNode
  readonly #keySerde: Serde<K>
  readonly #valueSerde: Serde<V>
  readonly #name: string | undefined
  readonly #sources = new Map<string, GraphSource>()

  constructor(builder: Builder, node: GraphNode, keySerde: Serde<K>, valueSerde: Serde<V>, name: string | undefined) {
    this.#builder = builder
    this.#node = node
    this.#keySerde = keySerde
    this.#valueSerde = valueSerde
    this.#name = name
  }

  /** How many rows each group has. */
  count(options: StoreOptions<number> = {}): Table<K, number> {
    const counter: TableAggregator<K, V, number> = {
      initial: () => 0,
      add: (_key, _value, count) => (count ?? 0) + 1,
      subtract: (_key, _value, count) => count - 1,
    }
    return this.#aggregate(counter, { ...options, serde: options.serde ?? int64() }, 'KTABLE-AGGREGATE-')
  }

  reduce(
    add: (aggregate: V, value: V) => V,
    subtract: (aggregate: V, value: V) => V | null,
    options: StoreOptions<V> = {},
  ): Table<K, V> {
    const reducer: TableAggregator<K, V, V> = {
      initial: () => null,
      add: (_key, value, aggregate) => (aggregate === null ? value : add(aggregate, value)),
      subtract: (_key, value, aggregate) => subtract(aggregate, value),
    }
    return this.#aggregate(reducer, { ...options, serde: options.serde ?? this.#valueSerde }, 'KTABLE-REDUCE-')
  }

  /** Puts the rows of a group together: `add` for each that comes, `subtract` for each that goes. */
  aggregate<A, I extends A>(
    options: StoreOptions<A> &
      WithSerde<A, I> & {
        readonly add: (key: K, value: V, aggregate: NoInfer<A>) => NoInfer<A>
        readonly subtract: (key: K, value: V, aggregate: NoInfer<A>) => NoInfer<A> | null
      },
  ): Table<K, A>
  aggregate<A>(
    options: StoreOptions<never> &
      WithoutSerde<A> & {
        readonly add: (key: K, value: V, aggregate: NoInfer<A>) => NoInfer<A>
        readonly subtract: (key: K, value: V, aggregate: NoInfer<A>) => NoInfer<A> | null
      },
  ): Table<K, A>
  aggregate<A>(
    options: StoreOptions<A> & {
      readonly init: () => A
      readonly add: (key: K, value: V, aggregate: A) => A
      readonly subtract: (key: K, value: V, aggregate: A) => A | null
    },
  ): Table<K, A> {
    const { init, add, subtract } = options
    const aggregator: TableAggregator<K, V, A> = {
      initial: init,
      add: (key, value, aggregate) => add(key, value, aggregate as A),
      subtract,
    }
    return this.#aggregate(aggregator, options, 'KTABLE-AGGREGATE-')
  }

  #aggregate<A>(aggregator: TableAggregator<K, V, A>, options: StoreOptions<A>, prefix: string): Table<K, A> {
    const { graph } = this.#builder
    const storeName = graph.storeName(options.name, prefix)
    const sinkName = graph.generateName('KSTREAM-SINK-')
    const sourceName = graph.generateName('KSTREAM-SOURCE-')
    const name = graph.generateName(prefix)
    const source = this.#repartition(`${this.#name ?? storeName}-repartition`, sinkName, sourceName)
    const valueSerde = serdeOr(options.serde)
    graph.addStore({
      kind: 'key-value',
      ...storeBasics(storeName, options, this.#keySerde as Serde<unknown>, valueSerde as Serde<unknown>),
    })
    return this.#builder.table<K, A>({
      node: graph.addProcessor(name, [source], tableAggregate(storeName, aggregator), [storeName]),
      keySerde: this.#keySerde,
      valueSerde,
      sources: [source.name],
      isVersioned: false,
      closing: null,
      needs: { oldValues: true },
      requireOldValues: () => {},
      view: () => storeView(storeName, false),
    })
  }

  /** The rows through a topic, from which the tasks that own the groups read; one topic for all aggregates of a name. */
  #repartition(topic: string, sinkName: string, sourceName: string): GraphSource {
    const { graph } = this.#builder
    const existing = this.#sources.get(topic)
    if (existing !== undefined) return existing
    if (graph.repartitionTopics.has(topic)) {
      throw new TopologyError(`two tables are grouped through ${topic}: give one of them another name`)
    }
    graph.addRepartitionTopic(topic, null)
    const serdes = {
      keySerde: this.#keySerde as Serde<unknown>,
      valueSerde: rowChangeSerde(this.#valueSerde) as Serde<unknown>,
      onError: null,
    }
    graph.addSink([this.#node], { name: sinkName, topic, isInternal: true, partitioner: null, ...serdes })
    const source = graph.addSource({ name: sourceName, topic, isInternal: true, isGlobal: false, ...serdes })
    this.#sources.set(topic, source)
    return source
  }
}
