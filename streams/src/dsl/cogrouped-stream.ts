import { aggregate, type Aggregator } from '../operators/aggregate.ts'
import { passThrough } from '../operators/pass-through.ts'
import { sessionAggregate, type SessionAggregator } from '../operators/session-aggregate.ts'
import { slidingAggregate } from '../operators/sliding-aggregate.ts'
import { windowAggregate } from '../operators/window-aggregate.ts'
import type { WindowClosing } from '../operators/window-closing.ts'
import type { Serde } from '../serdes/serde.ts'
import { windowed } from '../serdes/windowed.ts'
import type { GraphNode } from '../topology/graph.ts'
import { storeView, windowView } from '../topology/table-view.ts'
import type { Windowed } from '../windowed.ts'
import { serdeOr, storeBasics, type Builder, type StoreOptions, type StreamHandle } from './builder.ts'
import type { GroupedStream } from './grouped-stream.ts'
import { grouped } from './grouping.ts'
import type { Table } from './table.ts'
import { retentionOf, type WindowedOptions } from './windowed-result.ts'
import type { Windows } from './windows.ts'

interface Input<K, A> {
  readonly handle: StreamHandle<K, unknown>
  readonly name: string | undefined
  readonly add: (key: K, value: unknown, aggregate: A) => A
}

type Options<A> = StoreOptions<NonNullable<A>> & { readonly init: () => A }

/** Several streams with the same key, aggregated into one table: each has its own `add`, all share the aggregate. */
export class CogroupedStream<K, A> {
  readonly #builder: Builder
  readonly #inputs: readonly Input<K, A>[]

  constructor(builder: Builder, inputs: readonly Input<K, A>[]) {
    this.#builder = builder
    this.#inputs = inputs
  }

  and<V>(stream: GroupedStream<K, V>, add: (key: K, value: NonNullable<V>, aggregate: A) => A): CogroupedStream<K, A> {
    const { handle, name } = stream.parts
    return this.with(handle, name, add)
  }

  /** For the DSL's own use. */
  with<V>(
    handle: StreamHandle<K, V>,
    name: string | undefined,
    add: (key: K, value: NonNullable<V>, aggregate: A) => A,
  ): CogroupedStream<K, A> {
    const input = { handle, name, add } as unknown as Input<K, A>
    return new CogroupedStream(this.#builder, [...this.#inputs, input])
  }

  aggregate(options: Options<A>): Table<K, NonNullable<A>> {
    const { graph } = this.#builder
    const storeName = graph.storeName(options.name, 'COGROUPKSTREAM-AGGREGATE-')
    const { handles, keySerde, valueSerde } = this.#prepare(storeName, options)
    graph.addStore({ kind: 'key-value', ...storeBasics(storeName, options, keySerde, valueSerde) })
    const nodes = handles.map((handle, index) => {
      const operator = aggregate(storeName, this.#aggregator(options.init, index))
      return graph.addProcessor(this.#nodeName(), [handle.node], operator, [storeName])
    })
    return this.#builder.table<K, NonNullable<A>>({
      node: this.#merge(nodes),
      keySerde: keySerde as Serde<K>,
      valueSerde: valueSerde as Serde<NonNullable<A>>,
      sources: handles.flatMap((handle) => handle.sources),
      isVersioned: false,
      closing: null,
      needs: { oldValues: true },
      requireOldValues: () => {},
      view: () => storeView(storeName, false),
    })
  }

  windowedBy(windows: Windows): WindowedCogroupedStream<K, A> {
    return {
      aggregate: (options) => this.#windowed(windows, options),
    }
  }

  #windowed(
    windows: Windows,
    options: Omit<WindowedOptions<NonNullable<A>, 'drop'>, 'late'> & WindowedCogroup<K, A>,
  ): Table<Windowed<K>, NonNullable<A>> {
    const { graph } = this.#builder
    const storeName = graph.storeName(options.name, 'COGROUPKSTREAM-AGGREGATE-')
    const { handles, keySerde, valueSerde } = this.#prepare(storeName, options)
    const basics = storeBasics(storeName, options, keySerde, valueSerde)
    const afterEndMs = windows.kind === 'session' ? windows.gapMs + windows.graceMs : windows.graceMs
    const closing: WindowClosing = { afterEndMs, isEndInclusive: windows.kind !== 'hopping' }
    const sizeMs = windows.kind === 'session' ? 0 : windows.sizeMs * (windows.kind === 'sliding' ? 2 : 1)
    const retentionMs = retentionOf(storeName, options.retention, sizeMs + afterEndMs)
    if (windows.kind === 'session') graph.addStore({ kind: 'session', retentionMs, ...basics })
    else graph.addStore({ kind: 'window', windowSizeMs: windows.sizeMs, retentionMs, ...basics })
    const common = { store: storeName, retentionMs, emit: options.emit ?? ('on-update' as const) }
    const nodes = handles.map((handle, index) => {
      const aggregator = this.#aggregator(options.init, index)
      const operator =
        windows.kind === 'session'
          ? sessionAggregate({
              ...common,
              windows,
              aggregator: { ...aggregator, merge: options.merge } as unknown as SessionAggregator<
                K,
                unknown,
                NonNullable<A>
              >,
            })
          : windows.kind === 'sliding'
            ? slidingAggregate({ ...common, windows, aggregator })
            : windowAggregate({ ...common, windows, aggregator })
      return graph.addProcessorWithLate(this.#nodeName(), [handle.node], operator, [storeName])
    })
    return this.#builder.table<Windowed<K>, NonNullable<A>>({
      node: this.#merge(nodes),
      keySerde: windowed(keySerde as Serde<K>),
      valueSerde: valueSerde as Serde<NonNullable<A>>,
      sources: handles.flatMap((handle) => handle.sources),
      isVersioned: false,
      closing,
      needs: { oldValues: true },
      requireOldValues: () => {},
      view: () => windowView<K, NonNullable<A>>(storeName),
    })
  }

  #prepare(
    storeName: string,
    options: StoreOptions<NonNullable<A>>,
  ): { handles: StreamHandle<K, unknown>[]; keySerde: Serde<unknown>; valueSerde: Serde<unknown> } {
    const handles = this.#inputs.map(({ handle, name }, index) =>
      grouped(this.#builder, handle, name ?? (index === 0 ? storeName : `${storeName}-${index}`)),
    )
    this.#builder.graph.copartitioned.push(handles.flatMap((handle) => handle.sources))
    const keySerde = serdeOr(handles.find((handle) => handle.keySerde !== null)?.keySerde)
    return { handles, keySerde: keySerde as Serde<unknown>, valueSerde: serdeOr(options.serde) as Serde<unknown> }
  }

  #aggregator(init: () => A, index: number): Aggregator<K, unknown, NonNullable<A>> {
    const { add } = this.#inputs[index]!
    return { initial: init, add } as unknown as Aggregator<K, unknown, NonNullable<A>>
  }

  #nodeName(): string {
    return this.#builder.graph.generateName('COGROUPKSTREAM-AGGREGATE-')
  }

  #merge(nodes: readonly GraphNode[]): GraphNode {
    const { graph } = this.#builder
    return graph.addProcessor(graph.generateName('COGROUPKSTREAM-MERGE-'), nodes, passThrough())
  }
}

interface WindowedCogroup<K, A> {
  readonly init: () => A
  /** Joins two sessions; needed for session windows only. */
  readonly merge?: (key: K, left: A, right: A) => A
}

export interface WindowedCogroupedStream<K, A> {
  aggregate(
    options: Omit<WindowedOptions<NonNullable<A>, 'drop'>, 'late'> & WindowedCogroup<K, A>,
  ): Table<Windowed<K>, NonNullable<A>>
}
