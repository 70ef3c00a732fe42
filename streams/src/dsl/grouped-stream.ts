import { aggregate, type Aggregator } from '../operators/aggregate.ts'
import { int64 } from '../serdes/primitives.ts'
import type { Serde } from '../serdes/serde.ts'
import { storeView } from '../topology/table-view.ts'
import {
  serdeOr,
  storeBasics,
  type AggregateOr,
  type Builder,
  type StoreOptions,
  type StreamHandle,
  type WithoutSerde,
  type WithSerde,
} from './builder.ts'
import { CogroupedStream } from './cogrouped-stream.ts'
import { counter, grouped, reducing } from './grouping.ts'
import type { Table } from './table.ts'
import { WindowedStream } from './windowed-stream.ts'
import { SessionWindowedStream } from './session-windowed-stream.ts'
import type { Session, Sliding, TumblingOrHopping, Windows } from './windows.ts'

/** The records of a stream by key, on their way to an aggregate. Repartitions where the key may have changed. */
export class GroupedStream<K, V> {
  readonly #builder: Builder
  readonly #handle: StreamHandle<K, V>
  readonly #name: string | undefined

  constructor(builder: Builder, handle: StreamHandle<K, V>, name: string | undefined) {
    this.#builder = builder
    this.#handle = handle
    this.#name = name
  }

  /** How many records each key has. Those without a value do not count. */
  count(options: StoreOptions<number> = {}): Table<K, number> {
    const serde = options.serde ?? int64()
    return this.#aggregate(counter<K, V>(), { ...options, serde }, 'KSTREAM-AGGREGATE-')
  }

  reduce(
    reducer: (aggregate: NonNullable<V>, value: NonNullable<V>) => NonNullable<V>,
    options: StoreOptions<NonNullable<V>> = {},
  ): Table<K, NonNullable<V>> {
    const serde = options.serde ?? (this.#handle.valueSerde as Serde<NonNullable<V>> | null) ?? undefined
    return this.#aggregate(reducing<K, V>(reducer), { ...options, serde }, 'KSTREAM-REDUCE-')
  }

  /** Puts the records of a key together. `add` returns a new aggregate, or null to remove the key's. */
  aggregate<A, I extends A | null>(
    options: StoreOptions<A> &
      WithSerde<A, I> & {
        readonly add: (key: K, value: NonNullable<V>, aggregate: AggregateOr<A, I>) => NoInfer<A> | null
      },
  ): Table<K, A>
  aggregate<A>(
    options: StoreOptions<never> &
      WithoutSerde<A> & {
        readonly add: (key: K, value: NonNullable<V>, aggregate: NoInfer<A>) => NoInfer<A>
      },
  ): Table<K, NonNullable<A>>
  aggregate<A>(
    options: StoreOptions<A> & { readonly init: () => A | null; readonly add: Aggregator<K, V, A>['add'] },
  ): Table<K, A> {
    const { init, add } = options
    return this.#aggregate({ initial: init, add }, options, 'KSTREAM-AGGREGATE-')
  }

  /** Aggregates several streams with the same key into one table; more are added with `and`. */
  cogroup<A>(add: (key: K, value: NonNullable<V>, aggregate: A) => A): CogroupedStream<K, A> {
    return new CogroupedStream<K, A>(this.#builder, []).with(this.#handle, this.#name, add)
  }

  windowedBy(windows: TumblingOrHopping | Sliding): WindowedStream<K, V>
  windowedBy(windows: Session): SessionWindowedStream<K, V>
  windowedBy(windows: Windows): WindowedStream<K, V> | SessionWindowedStream<K, V> {
    return windows.kind === 'session'
      ? new SessionWindowedStream(this.#builder, this.#handle, this.#name, windows)
      : new WindowedStream(this.#builder, this.#handle, this.#name, windows)
  }

  /** For the DSL's own use. */
  get parts(): { readonly handle: StreamHandle<K, V>; readonly name: string | undefined } {
    return { handle: this.#handle, name: this.#name }
  }

  #aggregate<A>(aggregator: Aggregator<K, V, A>, options: StoreOptions<A>, prefix: string): Table<K, A> {
    const { graph } = this.#builder
    const storeName = graph.storeName(options.name, prefix)
    const name = graph.generateName(prefix)
    const handle = grouped(this.#builder, this.#handle, this.#name ?? storeName)
    const keySerde = serdeOr(handle.keySerde)
    const valueSerde = serdeOr(options.serde)
    graph.addStore({
      kind: 'key-value',
      ...storeBasics(storeName, options, keySerde as Serde<unknown>, valueSerde as Serde<unknown>),
    })
    return this.#builder.table<K, A>({
      node: graph.addProcessor(name, [handle.node], aggregate(storeName, aggregator), [storeName]),
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
}
