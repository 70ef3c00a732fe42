import type { Aggregator } from '../operators/aggregate.ts'
import { slidingAggregate } from '../operators/sliding-aggregate.ts'
import { windowAggregate } from '../operators/window-aggregate.ts'
import { int64 } from '../serdes/primitives.ts'
import type { Serde } from '../serdes/serde.ts'
import {
  serdeOr,
  storeBasics,
  type AggregateOr,
  type Builder,
  type StreamHandle,
  type WithoutSerde,
  type WithSerde,
} from './builder.ts'
import { counter, grouped, reducing } from './grouping.ts'
import { retentionOf, type Late, type WindowedOptions, type WindowedResult } from './windowed-result.ts'
import { windowedTable } from './windowed-table.ts'
import type { Sliding, TumblingOrHopping } from './windows.ts'

/** The records of a stream by key and window: tumbling, hopping or sliding. */
export class WindowedStream<K, V> {
  readonly #builder: Builder
  readonly #handle: StreamHandle<K, V>
  readonly #name: string | undefined
  readonly #windows: TumblingOrHopping | Sliding

  constructor(
    builder: Builder,
    handle: StreamHandle<K, V>,
    name: string | undefined,
    windows: TumblingOrHopping | Sliding,
  ) {
    this.#builder = builder
    this.#handle = handle
    this.#name = name
    this.#windows = windows
  }

  count<L extends Late = 'drop'>(options: WindowedOptions<number, L> = {}): WindowedResult<K, V, number, L> {
    const serde = options.serde ?? int64()
    return this.#aggregate(counter<K, V>(), { ...options, serde }, 'KSTREAM-AGGREGATE-')
  }

  reduce<L extends Late = 'drop'>(
    reducer: (aggregate: NonNullable<V>, value: NonNullable<V>) => NonNullable<V>,
    options: WindowedOptions<NonNullable<V>, L> = {},
  ): WindowedResult<K, V, NonNullable<V>, L> {
    const serde = options.serde ?? (this.#handle.valueSerde as Serde<NonNullable<V>> | null) ?? undefined
    return this.#aggregate(reducing<K, V>(reducer), { ...options, serde }, 'KSTREAM-REDUCE-')
  }

  aggregate<A, I extends A | null, L extends Late = 'drop'>(
    options: WindowedOptions<A, L> &
      WithSerde<A, I> & { readonly add: (key: K, value: V, aggregate: AggregateOr<A, I>) => NoInfer<A> | null },
  ): WindowedResult<K, V, A, L>
  aggregate<A, L extends Late = 'drop'>(
    options: WindowedOptions<never, L> &
      WithoutSerde<A> & { readonly add: (key: K, value: V, aggregate: NoInfer<A>) => NoInfer<A> },
  ): WindowedResult<K, V, NonNullable<A>, L>
  aggregate<A, L extends Late>(
    options: WindowedOptions<A, L> & { readonly init: () => A | null; readonly add: Aggregator<K, V, A>['add'] },
  ): WindowedResult<K, V, A, L> {
    const { init, add } = options
    return this.#aggregate({ initial: init, add }, options, 'KSTREAM-AGGREGATE-')
  }

  #aggregate<A, L extends Late>(
    aggregator: Aggregator<K, V, A>,
    options: WindowedOptions<A, L>,
    prefix: string,
  ): WindowedResult<K, V, A, L> {
    const { graph } = this.#builder
    const windows = this.#windows
    const storeName = graph.storeName(options.name, prefix)
    const name = graph.generateName(prefix)
    const handle = grouped(this.#builder, this.#handle, this.#name ?? storeName)
    const keySerde = serdeOr(handle.keySerde)
    const valueSerde = serdeOr(options.serde)
    // A sliding window is built from those up to two sizes before it.
    const neededMs = (windows.kind === 'sliding' ? 2 : 1) * windows.sizeMs + windows.graceMs
    const retentionMs = retentionOf(storeName, options.retention, neededMs)
    graph.addStore({
      kind: 'window',
      windowSizeMs: windows.sizeMs,
      retentionMs,
      ...storeBasics(storeName, options, keySerde as Serde<unknown>, valueSerde as Serde<unknown>),
    })
    const common = { store: storeName, retentionMs, aggregator, emit: options.emit ?? ('on-update' as const) }
    return windowedTable(this.#builder, handle, {
      name,
      storeName,
      keySerde,
      valueSerde,
      closing: { afterEndMs: windows.graceMs, isEndInclusive: windows.kind === 'sliding' },
      late: options.late,
      operator:
        windows.kind === 'sliding'
          ? slidingAggregate<K, V, A>({ ...common, windows })
          : windowAggregate<K, V, A>({ ...common, windows }),
    })
  }
}
