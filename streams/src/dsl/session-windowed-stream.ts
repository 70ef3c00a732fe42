import { sessionAggregate, type SessionAggregator } from '../operators/session-aggregate.ts'
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
import type { Session } from './windows.ts'

/** The records of a stream by key and session. */
export class SessionWindowedStream<K, V> {
  readonly #builder: Builder
  readonly #handle: StreamHandle<K, V>
  readonly #name: string | undefined
  readonly #windows: Session

  constructor(builder: Builder, handle: StreamHandle<K, V>, name: string | undefined, windows: Session) {
    this.#builder = builder
    this.#handle = handle
    this.#name = name
    this.#windows = windows
  }

  count<L extends Late = 'drop'>(options: WindowedOptions<number, L> = {}): WindowedResult<K, V, number, L> {
    const aggregator: SessionAggregator<K, V, number> = {
      ...counter<K, V>(),
      merge: (_key, left, right) => (left ?? 0) + right,
    }
    const serde = options.serde ?? int64()
    return this.#aggregate(aggregator, { ...options, serde }, 'KSTREAM-AGGREGATE-')
  }

  reduce<L extends Late = 'drop'>(
    reducer: (aggregate: NonNullable<V>, value: NonNullable<V>) => NonNullable<V>,
    options: WindowedOptions<NonNullable<V>, L> = {},
  ): WindowedResult<K, V, NonNullable<V>, L> {
    const aggregator: SessionAggregator<K, V, NonNullable<V>> = {
      ...reducing<K, V>(reducer),
      merge: (_key, left, right) => (left === null ? right : reducer(left, right)),
    }
    const serde = options.serde ?? (this.#handle.valueSerde as Serde<NonNullable<V>> | null) ?? undefined
    return this.#aggregate(aggregator, { ...options, serde }, 'KSTREAM-REDUCE-')
  }

  aggregate<A, I extends A | null, L extends Late = 'drop'>(
    options: WindowedOptions<A, L> &
      WithSerde<A, I> & {
        readonly add: (key: K, value: V, aggregate: AggregateOr<A, I>) => NoInfer<A> | null
        /** Joins two sessions; the first call of a merge gets `init()` on the left. */
        readonly merge: (key: K, left: AggregateOr<A, I>, right: NoInfer<A>) => NoInfer<A>
      },
  ): WindowedResult<K, V, A, L>
  aggregate<A, L extends Late = 'drop'>(
    options: WindowedOptions<never, L> &
      WithoutSerde<A> & {
        readonly add: (key: K, value: V, aggregate: NoInfer<A>) => NoInfer<A>
        readonly merge: (key: K, left: NoInfer<A>, right: NoInfer<A>) => NoInfer<A>
      },
  ): WindowedResult<K, V, NonNullable<A>, L>
  aggregate<A, L extends Late>(
    options: WindowedOptions<A, L> & {
      readonly init: () => A | null
      readonly add: SessionAggregator<K, V, A>['add']
      readonly merge: SessionAggregator<K, V, A>['merge']
    },
  ): WindowedResult<K, V, A, L> {
    const { init, add, merge } = options
    return this.#aggregate({ initial: init, add, merge }, options, 'KSTREAM-AGGREGATE-')
  }

  #aggregate<A, L extends Late>(
    aggregator: SessionAggregator<K, V, A>,
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
    const neededMs = windows.gapMs + windows.graceMs
    const retentionMs = retentionOf(storeName, options.retention, neededMs)
    graph.addStore({
      kind: 'session',
      retentionMs,
      ...storeBasics(storeName, options, keySerde as Serde<unknown>, valueSerde as Serde<unknown>),
    })
    return windowedTable(this.#builder, handle, {
      name,
      storeName,
      keySerde,
      valueSerde,
      closing: { afterEndMs: neededMs, isEndInclusive: true },
      late: options.late,
      operator: sessionAggregate<K, V, A>({
        store: storeName,
        windows,
        retentionMs,
        aggregator,
        emit: options.emit ?? 'on-update',
      }),
    })
  }
}
