import { durationMs, type Duration } from '../duration.ts'
import { TopologyError } from '../errors.ts'
import type { CallContext } from '../operators/async-call.ts'
import { branch } from '../operators/branch.ts'
import { filter } from '../operators/filter.ts'
import { flatMapValues } from '../operators/flat-map-values.ts'
import { flatMap } from '../operators/flat-map.ts'
import { idempotentSink } from '../operators/idempotent-sink.ts'
import { mapValuesAsync, type AsyncMapping } from '../operators/map-values-async.ts'
import { mapValues } from '../operators/map-values.ts'
import { map, type KeyValue } from '../operators/map.ts'
import { passThrough } from '../operators/pass-through.ts'
import { peek } from '../operators/peek.ts'
import { processor, type Processor, type ProcessorContext } from '../operators/process.ts'
import { selectKey } from '../operators/select-key.ts'
import { tableSource } from '../operators/table-source.ts'
import { timerSerde } from '../operators/timers.ts'
import { withErrorHandler } from '../operators/with-error-handler.ts'
import type { Serde } from '../serdes/serde.ts'
import type { AsyncOrder } from '../topology/async-work.ts'
import type { ErrorHandler } from '../topology/error-handler.ts'
import type { Clock, Operator, StreamEmit } from '../topology/operator.ts'
import { storeView } from '../topology/table-view.ts'
import { serdeOr, storeBasics, type Builder, type StoreOptions, type StreamHandle } from './builder.ts'
import type { GlobalTable } from './global-table.ts'
import { GroupedStream } from './grouped-stream.ts'
import { repartitioned } from './repartition.ts'
import type { Sink } from './sink.ts'
import { joinStreamWithGlobalTable, joinStreamWithTable, joinStreams, type JoinOptions } from './stream-joins.ts'
import type { StateStoreHandle } from './state-store.ts'
import type { Table } from './table.ts'
import type { WritableTopic } from './topic.ts'
import { isTable } from './table-brand.ts'
import { isGlobalTable } from './table-brand.ts'

/** A predicate that knows more of the values it lets through. */
export type Guard<K, V, R extends V> = (key: K, value: V) => value is R

/** What `split` makes: a branch whose predicate narrows values has narrower values. */
export type Branches<K, V, B> = {
  readonly [Name in keyof B]: Stream<K, B[Name] extends Guard<K, V, infer R> ? R : V>
} & { readonly rest: Stream<K, V> }

/** Options of a function that answers later. */
export interface AsyncOptions extends OnError {
  /** Of the operator in descriptions and errors. */
  readonly name?: string
  /**
   * How many records of a task may be under way: called for, or answered and waiting for their turn. 16 unless given.
   */
  readonly concurrency?: number
  /**
   * `input`: results come out in the order of the records. `key`: only those of the same key are in order. `none`: each
   * as it comes. `input` unless given.
   */
  readonly order?: AsyncOrder
  /** How long one call may take before it has failed and its signal is aborted; 30 s unless given. */
  readonly timeout?: Duration
}

export interface ProcessOptions {
  /** Of the processor, and before the names of the stores of its timers. */
  readonly name?: string
  /** Stores that the code may use. */
  readonly stores?: readonly StateStoreHandle[]
  /** By which clocks it sets timers for keys: each has a store of its own. */
  readonly timers?: readonly Clock[]
  /** Where the timers live while a task runs; the runtime's default unless given. */
  readonly location?: 'memory' | 'disk'
}

export interface OnError {
  /** What to do with a record for which the function throws; the task fails unless given. */
  readonly onError?: ErrorHandler
}

/** How new keys are written where they are kept or sent through a topic; MessagePack unless given. */
export interface KeySerde<K> {
  readonly key?: Serde<K>
}

/** How new values are written where they are kept or sent through a topic; MessagePack unless given. */
export interface ValueSerde<V> {
  readonly value?: Serde<V>
}

/** Options of a join with a stream: how far apart two records may be. */
export interface StreamJoinOptions extends JoinOptions {
  /** The other record may be this much earlier or later; one duration for both. */
  readonly within: Duration | { readonly before: Duration; readonly after: Duration }
  /** How long after its window a record still finds late partners, and waits before it counts as alone. */
  readonly grace?: Duration
}

/** Options of a join with a table. */
export interface StreamTableJoinOptions extends JoinOptions {
  /** Waits this long (event time) for late rows of a versioned table before a record is joined. */
  readonly grace?: Duration
}

export interface GlobalJoinOptions<K, V, GK> extends JoinOptions {
  /** The global table's key for a record. */
  readonly on: (key: K, value: V) => GK | null
}

/**
 * An unbounded sequence of records, each on its own. Every method adds to the topology and returns a new stream; a
 * stream may be used any number of times.
 *
 * Values may be null at run time where the topic has tombstones; keys, where it has records without one.
 */
export class Stream<K, V> {
  readonly #builder: Builder
  readonly #handle: StreamHandle<K, V>

  constructor(builder: Builder, handle: StreamHandle<K, V>) {
    this.#builder = builder
    this.#handle = handle
  }

  /** Where the stream stands in the graph; for the DSL's own use. */
  get handle(): StreamHandle<K, V> {
    return this.#handle
  }

  map<K2, V2>(
    mapper: (key: K, value: V) => KeyValue<K2, V2>,
    options: OnError & KeySerde<K2> & ValueSerde<V2> = {},
  ): Stream<K2, V2> {
    return this.#rekeyed(this.#step('KSTREAM-MAP-', mapper, map<K, V, K2, V2>, options), options)
  }

  mapValues<R>(mapper: (value: V, key: K) => R, options: OnError & ValueSerde<R> = {}): Stream<K, R> {
    return this.#mapped(this.#step('KSTREAM-MAPVALUES-', mapper, mapValues<K, V, R>, options), options)
  }

  flatMap<K2, V2>(
    mapper: (key: K, value: V) => Iterable<KeyValue<K2, V2>>,
    options: OnError & KeySerde<K2> & ValueSerde<V2> = {},
  ): Stream<K2, V2> {
    return this.#rekeyed(this.#step('KSTREAM-FLATMAP-', mapper, flatMap<K, V, K2, V2>, options), options)
  }

  flatMapValues<R>(mapper: (value: V, key: K) => Iterable<R>, options: OnError & ValueSerde<R> = {}): Stream<K, R> {
    return this.#mapped(this.#step('KSTREAM-FLATMAPVALUES-', mapper, flatMapValues<K, V, R>, options), options)
  }

  /**
   * Like `mapValues` with a function that answers later: a lookup in a service or a database. Several records are
   * called for at a time; the task takes no more of them while `concurrency` are under way, and none is committed
   * before its result is.
   */
  mapValuesAsync<R>(
    mapper: (value: V, key: K, context: CallContext) => PromiseLike<R> | R,
    options: AsyncOptions & ValueSerde<R> = {},
  ): Stream<K, R> {
    const { graph } = this.#builder
    const { concurrency = 16, order = 'input', timeout = '30s', onError = null, name } = options
    const node = name ?? graph.generateName('KSTREAM-MAPVALUES-ASYNC-')
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      throw new TopologyError(`${node}: ${concurrency} is not a number of calls`)
    }
    const mapping: AsyncMapping<K, V, Awaited<R>> = {
      node,
      mapper: mapper as (value: V, key: K, context: CallContext) => PromiseLike<Awaited<R>>,
      concurrency,
      order,
      timeoutMs: durationMs(timeout),
      onError,
      keySerde: serdeOr(this.#handle.keySerde),
    }
    graph.noteHandler(onError)
    const added = graph.addProcessor(node, [this.#handle.node], mapValuesAsync(mapping), [], 'async')
    added.asyncOrder = order
    return this.#mapped<R>(added, options)
  }

  filter<R extends V>(predicate: Guard<K, V, R>, options?: OnError): Stream<K, R>
  filter(predicate: (key: K, value: V) => boolean, options?: OnError): Stream<K, V>
  filter(predicate: (key: K, value: V) => boolean, options?: OnError): Stream<K, V> {
    return this.#same(this.#step('KSTREAM-FILTER-', predicate, filter<K, V>, options))
  }

  /** Looks at every record and passes it on. */
  peek(look: (key: K, value: V) => void, options?: OnError): Stream<K, V> {
    return this.#same(this.#step('KSTREAM-PEEK-', look, peek<K, V>, options))
  }

  /** A new key for every record. What groups or joins by it is repartitioned first, with `key` as the key's serde. */
  selectKey<K2>(
    selector: (key: K, value: V) => K2,
    options: OnError & { readonly key?: Serde<K2> } = {},
  ): Stream<K2, V> {
    const node = this.#step('KSTREAM-KEY-SELECT-', selector, selectKey<K, V, K2>, options)
    return this.#builder.stream({ ...this.#handle, node, keySerde: options.key ?? null, needsRepartition: true })
  }

  merge(other: Stream<K, V>): Stream<K, V> {
    const { graph } = this.#builder
    const handles = [this.#handle, other.handle]
    const node = graph.addProcessor(
      graph.generateName('KSTREAM-MERGE-'),
      handles.map((handle) => handle.node),
      passThrough(),
    )
    return this.#builder.stream<K, V>({
      node,
      keySerde: this.#handle.keySerde ?? other.handle.keySerde,
      valueSerde: this.#handle.valueSerde ?? other.handle.valueSerde,
      needsRepartition: handles.some((handle) => handle.needsRepartition),
      sources: handles.flatMap((handle) => handle.sources),
    })
  }

  /** One stream per predicate, and `rest`. A record goes to the first whose predicate it passes. */
  split<B extends Readonly<Record<string, (key: K, value: V) => boolean>>>(branches: B): Branches<K, V, B> {
    const { graph } = this.#builder
    const splitter = graph.generateName('KSTREAM-BRANCH-')
    const parent = graph.addProcessor(splitter, [this.#handle.node], passThrough())
    const predicates = Object.values(branches)
    const streams: Record<string, Stream<K, V>> = {}
    for (const [index, name] of [...Object.keys(branches), 'rest'].entries()) {
      graph.generateName(splitter)
      const at = index === predicates.length ? -1 : index
      const node = graph.addProcessor(`${splitter}-${name}`, [parent], branch(predicates, at))
      streams[name] = this.#same(node)
    }
    return streams as unknown as Branches<K, V, B>
  }

  /** Through a topic of its own, whatever its key. */
  repartition(
    options: {
      readonly name?: string
      readonly key?: Serde<K>
      readonly value?: Serde<V>
      readonly partitions?: number
    } = {},
  ): Stream<K, V> {
    const name = options.name ?? this.#builder.graph.generateName('KSTREAM-REPARTITION-')
    return this.#builder.stream(
      repartitioned(this.#builder, this.#handle, name, {
        keySerde: options.key ?? null,
        valueSerde: options.value ?? null,
        partitions: options.partitions,
      }),
    )
  }

  groupByKey(options: { readonly name?: string } = {}): GroupedStream<K, V> {
    return new GroupedStream(this.#builder, this.#handle, options.name)
  }

  /** Groups by a new key. `name` is that of the repartition topic; the aggregation's unless given. */
  groupBy<K2>(
    selector: (key: K, value: V) => K2,
    options: OnError & KeySerde<K2> & { readonly name?: string } = {},
  ): GroupedStream<K2, V> {
    const node = this.#step('KSTREAM-KEY-SELECT-', selector, selectKey<K, V, K2>, options)
    const handle = { ...this.#handle, node, keySerde: options.key ?? null, needsRepartition: true }
    return new GroupedStream<K2, V>(this.#builder, handle, options.name)
  }

  /** Takes every record as the key's new value. */
  toTable(options: StoreOptions<V> & { readonly key?: Serde<K> } = {}): Table<K, NonNullable<V>> {
    const { graph } = this.#builder
    const name = graph.generateName('KSTREAM-TOTABLE-')
    const storeName = graph.storeName(options.name, 'KSTREAM-TOTABLE-')
    const handle = this.#handle.needsRepartition
      ? repartitioned(this.#builder, this.#handle, name, { keySerde: options.key ?? null })
      : this.#handle
    const keySerde = serdeOr(options.key ?? handle.keySerde)
    const valueSerde = serdeOr(options.serde ?? handle.valueSerde) as Serde<NonNullable<V>>
    graph.addStore({
      kind: 'key-value',
      ...storeBasics(storeName, options, keySerde as Serde<unknown>, valueSerde as Serde<unknown>),
    })
    const node = graph.addProcessor(
      name,
      [handle.node],
      tableSource<K, NonNullable<V>>({ storeName, isVersioned: false }),
      [storeName],
    )
    return this.#builder.table({
      node,
      keySerde,
      valueSerde,
      sources: handle.sources,
      isVersioned: false,
      closing: null,
      needs: { oldValues: true },
      requireOldValues: () => {},
      view: () => storeView(storeName, false),
    })
  }

  /** Every pair of records of both streams with the same key and close in time; or each record with its table row. */
  join<W, O>(
    other: Stream<K, W>,
    joiner: (value: NonNullable<V>, other: NonNullable<W>, key: K) => O,
    options: StreamJoinOptions,
  ): Stream<K, O>
  join<W, O>(
    table: Table<K, W>,
    joiner: (value: NonNullable<V>, row: W, key: K) => O,
    options?: StreamTableJoinOptions,
  ): Stream<K, O>
  join<GK, W, O>(
    table: GlobalTable<GK, W>,
    joiner: (value: NonNullable<V>, row: W, key: K) => O,
    options: GlobalJoinOptions<K, V, GK>,
  ): Stream<K, O>
  join(other: unknown, joiner: unknown, options: unknown = {}): Stream<K, unknown> {
    return this.#join('inner', other, joiner, options)
  }

  /** Like `join`, but no record of this stream is lost: one without a partner comes out with null. */
  leftJoin<W, O>(
    other: Stream<K, W>,
    joiner: (value: NonNullable<V>, other: NonNullable<W> | null, key: K) => O,
    options: StreamJoinOptions,
  ): Stream<K, O>
  leftJoin<W, O>(
    table: Table<K, W>,
    joiner: (value: NonNullable<V>, row: W | null, key: K) => O,
    options?: StreamTableJoinOptions,
  ): Stream<K, O>
  leftJoin<GK, W, O>(
    table: GlobalTable<GK, W>,
    joiner: (value: NonNullable<V>, row: W | null, key: K) => O,
    options: GlobalJoinOptions<K, V, GK>,
  ): Stream<K, O>
  leftJoin(other: unknown, joiner: unknown, options: unknown = {}): Stream<K, unknown> {
    return this.#join('left', other, joiner, options)
  }

  /** Like `join`, but no record of either stream is lost. */
  outerJoin<W, O>(
    other: Stream<K, W>,
    joiner: (value: NonNullable<V> | null, other: NonNullable<W> | null, key: K) => O,
    options: StreamJoinOptions,
  ): Stream<K, O> {
    return this.#join('outer', other, joiner, options) as Stream<K, O>
  }

  /**
   * Code of your own, with stores and timers. `create` is called once per task. The key may be changed, so that what
   * follows and needs the key is repartitioned.
   */
  process<KOut = never, VOut = never>(
    create: (context: ProcessorContext<KOut, VOut, K>) => Processor<K, V>,
    options: KeySerde<KOut> & ValueSerde<VOut> & ProcessOptions = {},
  ): Stream<KOut, VOut> {
    const { graph } = this.#builder
    const { stores = [], timers = [], location } = options
    const name = options.name ?? graph.generateName('KSTREAM-PROCESSOR-')
    const given = stores.map(({ definition }) => definition)
    const timerStores = [...new Set(timers)].map((clock) => ({ clock, store: `${name}-${clock}-timers` }))
    const keySerde = serdeOr(this.#handle.keySerde) as Serde<unknown>
    for (const { store } of timerStores) {
      const basics = storeBasics(store, { location }, keySerde, timerSerde as Serde<unknown>)
      graph.addStore({ kind: 'time-ordered', ...basics })
      if (options.name === undefined) graph.generatedNames.push(store)
    }
    for (const definition of given) if (!graph.stores.has(definition.name)) graph.addStore(definition)
    const names = given.map((definition) => definition.name)
    const all = [...names, ...timerStores.map(({ store }) => store)]
    const operator = processor(name, create, names, timerStores)
    return this.#rekeyed<KOut, VOut>(graph.addProcessor(name, [this.#handle.node], operator, all), options)
  }

  /** Writes to a topic, with the topic's serdes. A null value is a tombstone. */
  to(
    topic: WritableTopic<K, NonNullable<V>>,
    options: OnError & { readonly partition?: (key: K, value: V) => number | null } = {},
  ): void {
    const { graph } = this.#builder
    graph.addSink([this.#handle.node], {
      name: graph.generateName('KSTREAM-SINK-'),
      topic: topic.name,
      isInternal: false,
      keySerde: topic.key as Serde<unknown>,
      valueSerde: topic.value as Serde<unknown>,
      partitioner: (options.partition ?? null) as ((key: unknown, value: unknown) => number | null) | null,
      onError: options.onError ?? null,
    })
  }

  /**
   * Ends in another system. The records are handed over in batches, those of a partition in its order; none is
   * committed before it is written.
   */
  sink(sink: Sink<K, V>): void {
    const { graph } = this.#builder
    const { name, write, maxRows, lingerMs, timeoutMs, onError } = sink
    const ancestors = [...graph.ancestors(this.#handle.node)]
    const orders = ancestors.flatMap((node) => (node.kind === 'processor' ? (node.asyncOrder ?? []) : []))
    if (orders.length > 0 && ancestors.some(({ parents }) => parents.length > 1)) {
      throw new TopologyError(
        `${name}: behind mapValuesAsync and a merge or join, rows of one record could come in another order each time, ` +
          'and could not be told apart: send the stream through a topic before the sink',
      )
    }
    const isUnordered = orders.some((order) => order !== 'input')
    const operator = idempotentSink<K, V>({ node: name, write, maxRows, lingerMs, timeoutMs, onError, isUnordered })
    graph.noteHandler(onError)
    graph.addProcessor(name, [this.#handle.node], operator, [], 'idempotent sink')
  }

  #join(kind: 'inner' | 'left' | 'outer', other: unknown, joiner: unknown, options: unknown): Stream<K, unknown> {
    const join = joiner as (left: unknown, right: unknown, key: K) => unknown
    const handle = this.#handle as StreamHandle<K, unknown>
    if (other instanceof Stream) {
      const right = other.handle as StreamHandle<K, unknown>
      return this.#builder.stream(joinStreams(this.#builder, handle, right, join, kind, options as StreamJoinOptions))
    }
    const isLeft = kind === 'left'
    if (isTable(other)) {
      const table = other as Table<K, unknown>
      const tableOptions = options as StreamTableJoinOptions
      return this.#builder.stream(joinStreamWithTable(this.#builder, handle, table, join, isLeft, tableOptions))
    }
    if (isGlobalTable(other)) {
      const table = other as GlobalTable<unknown, unknown>
      const globalOptions = options as GlobalJoinOptions<K, unknown, unknown>
      return this.#builder.stream(joinStreamWithGlobalTable(this.#builder, handle, table, join, isLeft, globalOptions))
    }
    throw new TypeError('a stream is joined with a stream, a table or a global table')
  }

  /** A stateless node; with an error handler, guarded by it. */
  #step<In extends unknown[], R, Out>(
    prefix: string,
    userFunction: (...args: In) => R,
    operator: (guarded: (...args: In) => R) => Operator<StreamEmit<K, V>, Out>,
    options: OnError | undefined,
  ) {
    const { graph } = this.#builder
    const name = graph.generateName(prefix)
    graph.noteHandler(options?.onError ?? null)
    const built =
      options?.onError === undefined
        ? operator(userFunction)
        : withErrorHandler(options.onError, name, userFunction, operator)
    return graph.addProcessor(name, [this.#handle.node], built)
  }

  #same(node: StreamHandle<K, V>['node']): Stream<K, V> {
    return this.#builder.stream({ ...this.#handle, node })
  }

  #mapped<R>(node: StreamHandle<K, R>['node'], { value }: ValueSerde<R>): Stream<K, R> {
    return this.#builder.stream({ ...this.#handle, node, valueSerde: value ?? null })
  }

  #rekeyed<K2, V2>(node: StreamHandle<K2, V2>['node'], { key, value }: KeySerde<K2> & ValueSerde<V2>): Stream<K2, V2> {
    const { sources } = this.#handle
    const serdes = { keySerde: key ?? null, valueSerde: value ?? null }
    return this.#builder.stream({ node, ...serdes, needsRepartition: true, sources })
  }
}
