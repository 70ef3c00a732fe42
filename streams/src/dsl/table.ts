import { materialize } from '../operators/materialize.ts'
import { suppress, type Suppressed } from '../operators/suppress.ts'
import { tableFilter } from '../operators/table-filter.ts'
import { groupTable, rowChangeSerde, type RowChange } from '../operators/table-group.ts'
import { tableMapValues } from '../operators/table-map-values.ts'
import { sameBytes } from '../operators/foreign-key-join.ts'
import { toStream } from '../operators/to-stream.ts'
import { TopologyError } from '../errors.ts'
import type { KeyValue } from '../operators/map.ts'
import { remotesOf, type Serde } from '../serdes/serde.ts'
import { msgpack } from '../serdes/msgpack.ts'
import type { GraphNode } from '../topology/graph.ts'
import type { TimedStore } from '../state/timed-store.ts'
import { derivedView, storeView, type TableViewSource } from '../topology/table-view.ts'
import { serdeOr, storeBasics, type Builder, type StoreOptions, type TableHandle } from './builder.ts'
import { GroupedTable } from './grouped-table.ts'
import type { Guard, Stream } from './stream.ts'
import type { Suppression } from './suppression.ts'
import { TABLE } from './table-brand.ts'
import { joinTables, joinTablesByForeignKey } from './table-joins.ts'

export interface ForeignKeyOptions<K, V, FK> {
  /** The other table's key for a row of this one; null for a row without. */
  readonly on: (value: V, key: K) => FK | null
  readonly name?: string
}

/**
 * The latest value of each key, and the changes that lead to it. Every method adds to the topology and returns a new
 * table. A table keeps a store only where something needs to look keys up or to know old values, or where it is named.
 */
export class Table<K, V> {
  readonly [TABLE] = true
  readonly #builder: Builder
  readonly #handle: TableHandle<K, V>

  constructor(builder: Builder, handle: TableHandle<K, V>) {
    this.#builder = builder
    this.#handle = handle
  }

  /** Where the table stands in the graph; for the DSL's own use. */
  get handle(): TableHandle<K, V> {
    return this.#handle
  }

  filter<R extends V>(predicate: Guard<K, V, R>, options?: StoreOptions<R>): Table<K, R>
  filter(predicate: (key: K, value: V) => boolean, options?: StoreOptions<V>): Table<K, V>
  filter(predicate: (key: K, value: V) => boolean, options?: StoreOptions<V>): Table<K, V> {
    const { graph } = this.#builder
    this.#handle.requireOldValues()
    const { isVersioned } = this.#handle
    if (options !== undefined) graph.storeName(options.name, 'KTABLE-FILTER-')
    const name = graph.generateName('KTABLE-FILTER-')
    const node = graph.addProcessor(name, [this.#handle.node], tableFilter(predicate, isVersioned))
    const view = (): TableViewSource<K, V> =>
      derivedView(this.#handle.view(), (key, value) => (predicate(key, value) ? value : null))
    return this.#derived(node, this.#handle.valueSerde, view, { oldValues: true }, options)
  }

  mapValues<R>(mapper: (value: V, key: K) => R, options?: StoreOptions<NonNullable<R>>): Table<K, NonNullable<R>> {
    const { graph } = this.#builder
    if (options !== undefined) graph.storeName(options.name, 'KTABLE-MAPVALUES-')
    const needs = { oldValues: false }
    const name = graph.generateName('KTABLE-MAPVALUES-')
    const map = (value: V, key: K): NonNullable<R> | null => mapper(value, key) ?? null
    const node = graph.addProcessor(name, [this.#handle.node], tableMapValues(map, needs))
    const view = (): TableViewSource<K, NonNullable<R>> =>
      derivedView(this.#handle.view(), (key, value) => map(value, key))
    return this.#derived(node, null, view, needs, options)
  }

  /** The changes as records; null where a row went away. */
  toStream(): Stream<K, V | null> {
    const { graph } = this.#builder
    const node = graph.addProcessor(graph.generateName('KTABLE-TOSTREAM-'), [this.#handle.node], toStream())
    const { keySerde, valueSerde, sources } = this.#handle
    return this.#builder.stream<K, V | null>({
      node,
      keySerde,
      valueSerde: valueSerde as Serde<V | null> | null,
      needsRepartition: false,
      sources,
    })
  }

  /** Groups the rows by a new key, with the value to aggregate. A row counts in one group at a time. */
  groupBy<K2, V2>(
    mapper: (key: K, value: V) => KeyValue<K2, V2>,
    options: { readonly name?: string; readonly key?: Serde<K2>; readonly value?: Serde<V2> } = {},
  ): GroupedTable<K2, V2> {
    const { graph } = this.#builder
    this.#handle.requireOldValues()
    const keySerde = options.key ?? msgpack<K2>()
    const operator = groupTable(mapper, sameBytes(keySerde), this.#handle.isVersioned)
    const name = graph.generateName('KTABLE-SELECT-')
    const node: GraphNode = graph.addProcessor(name, [this.#handle.node], operator)
    return new GroupedTable<K2, V2>(this.#builder, node, keySerde, options.value ?? msgpack<V2>(), options.name)
  }

  /** Holds changes back until a window is final, or for a time; see `untilWindowCloses` and `untilTimeLimit`. */
  suppress(until: Suppression, options: StoreOptions<never> = {}): Table<K, V> {
    const { graph } = this.#builder
    const { closing, isVersioned } = this.#handle
    if (isVersioned) throw new TopologyError('a versioned table cannot be suppressed')
    if (until.kind === 'window-close' && closing === null) {
      throw new TopologyError('only the results of windows are final: this table has no windows that close')
    }
    this.#handle.requireOldValues()
    const node = options.name ?? graph.generateName('KTABLE-SUPPRESS-')
    const store = options.name === undefined ? graph.storeName(undefined, 'KTABLE-SUPPRESS-') : `${options.name}-store`
    const values = suppressedSerde(serdeOr(this.#handle.valueSerde)) as Serde<unknown>
    const keys = serdeOr(this.#handle.keySerde) as Serde<unknown>
    graph.addStore({ kind: 'time-ordered', ...storeBasics(store, options, keys, values) })
    const operator = suppress<K, V>({
      store,
      node,
      until: until.kind === 'window-close' ? { kind: 'window-close', closing: closing! } : until,
      maxRecords: until.maxRecords,
      whenFull: until.kind === 'window-close' ? 'fail' : until.whenFull,
    })
    const parent = this.#handle
    return this.#builder.table({
      ...parent,
      node: graph.addProcessor(node, [parent.node], operator, [store]),
      needs: { oldValues: true },
      requireOldValues: () => {},
      // Whoever looks a key up sees what has been let through: the parent's row, unless a newer one is held back.
      view: () => suppressedView(parent.view(), store),
    })
  }

  /** The rows of both tables with the same key; or, with `on`, each row with the other table's row that it refers to. */
  join<FK, W, O>(
    other: Table<FK, W>,
    joiner: (left: V, right: W, key: K) => O,
    options: ForeignKeyOptions<K, V, NoInfer<FK>>,
  ): Table<K, NonNullable<O>>
  join<W, O>(
    other: Table<K, W>,
    joiner: (left: V, right: W, key: K) => O,
    options?: StoreOptions<NonNullable<O>>,
  ): Table<K, NonNullable<O>>
  join(other: unknown, joiner: unknown, options: unknown = {}): Table<K, NonNullable<unknown>> {
    return this.#join('inner', other, joiner, options)
  }

  /** Like `join`, but no row of this table is left out: one without a partner is joined with null. */
  leftJoin<FK, W, O>(
    other: Table<FK, W>,
    joiner: (left: V, right: W | null, key: K) => O,
    options: ForeignKeyOptions<K, V, NoInfer<FK>>,
  ): Table<K, NonNullable<O>>
  leftJoin<W, O>(
    other: Table<K, W>,
    joiner: (left: V, right: W | null, key: K) => O,
    options?: StoreOptions<NonNullable<O>>,
  ): Table<K, NonNullable<O>>
  leftJoin(other: unknown, joiner: unknown, options: unknown = {}): Table<K, NonNullable<unknown>> {
    return this.#join('left', other, joiner, options)
  }

  /** Like `join`, but no row of either table is left out. */
  outerJoin<W, O>(
    other: Table<K, W>,
    joiner: (left: V | null, right: W | null, key: K) => O,
    options: StoreOptions<NonNullable<O>> = {},
  ): Table<K, NonNullable<O>> {
    return this.#join('outer', other, joiner, options) as Table<K, NonNullable<O>>
  }

  #join(
    kind: 'inner' | 'left' | 'outer',
    other: unknown,
    joiner: unknown,
    options: unknown,
  ): Table<K, NonNullable<unknown>> {
    const join = joiner as (left: V | null, right: unknown, key: K) => NonNullable<unknown>
    if (typeof options === 'object' && options !== null && 'on' in options) {
      const foreign = other as Table<unknown, unknown>
      const handle = joinTablesByForeignKey(this.#builder, this.#handle, foreign.handle, join, kind === 'left', {
        ...(options as ForeignKeyOptions<K, V, unknown>),
      })
      return this.#builder.table(handle)
    }
    const right = other as Table<K, unknown>
    const storeOptions = options as StoreOptions<NonNullable<unknown>>
    const { node, view, needs, sources } = joinTables(this.#builder, this.#handle, right.handle, join, kind)
    const keySerde = this.#handle.keySerde ?? right.handle.keySerde
    const base = { ...this.#handle, keySerde, sources, isVersioned: false, closing: null }
    const requireOldValues = (): void => {
      needs.oldValues = true
      this.#handle.requireOldValues()
      right.handle.requireOldValues()
    }
    if (storeOptions.name === undefined) {
      return this.#builder.table({ ...base, node, valueSerde: null, needs, requireOldValues, view: () => view })
    }
    return this.#stored({ ...base, valueSerde: null }, node, storeOptions)
  }

  #derived<R>(
    node: GraphNode,
    valueSerde: Serde<R> | null,
    view: () => TableViewSource<K, R>,
    needs: { oldValues: boolean },
    options: StoreOptions<R> | undefined,
  ): Table<K, R> {
    const parent = this.#handle
    if (options?.name !== undefined) return this.#stored<R>({ ...parent, valueSerde }, node, options)
    const requireOldValues = (): void => {
      needs.oldValues = true
      parent.requireOldValues()
    }
    return this.#builder.table({ ...parent, node, valueSerde, needs, requireOldValues, view })
  }

  /** Puts the table behind `node` into a store of its own. */
  #stored<R>(
    base: Pick<TableHandle<K, R>, 'keySerde' | 'valueSerde' | 'sources' | 'closing'>,
    node: GraphNode,
    options: StoreOptions<R>,
  ): Table<K, R> {
    const { graph } = this.#builder
    const name = options.name!
    const keySerde = serdeOr(base.keySerde)
    const valueSerde = serdeOr(options.serde ?? base.valueSerde)
    graph.addStore({
      kind: 'key-value',
      ...storeBasics(name, options, keySerde as Serde<unknown>, valueSerde as Serde<unknown>),
    })
    return this.#builder.table<K, R>({
      node: graph.addProcessor(`${node.name}-store`, [node], materialize(name), [name]),
      keySerde,
      valueSerde,
      sources: base.sources,
      closing: base.closing,
      isVersioned: false,
      needs: { oldValues: true },
      requireOldValues: () => {},
      view: () => storeView(name, false),
    })
  }
}

function suppressedView<K, V>(parent: TableViewSource<K, V>, store: string): TableViewSource<K, V> {
  return {
    stores: [...parent.stores, store],
    isVersioned: false,
    open(task) {
      const parentView = parent.open(task)
      const buffer = task.store(store) as TimedStore<K, Suppressed<V>>
      const view = {
        foundMs: -1,
        get(key: K): V | null {
          const held = buffer.group(key)?.entries[0]
          if (held !== undefined) {
            view.foundMs = -1
            return held.value.prior
          }
          const value = parentView.get(key)
          view.foundMs = parentView.foundMs
          return value
        },
        asOf: (key: K): V | null => view.get(key),
      }
      return view
    },
  }
}

/** A byte for what is there, the length of the value, then the value and the one before it. */
function suppressedSerde<V>(value: Serde<V>): Serde<Suppressed<V>> {
  const changes = rowChangeSerde(value)
  return {
    name: `held back ${value.name}`,
    ...remotesOf(value),
    serialize: (held) => changes.serialize({ added: held.value, removed: held.prior }),
    deserialize(bytes) {
      const { added, removed }: RowChange<V> = changes.deserialize(bytes)
      return { value: added, prior: removed }
    },
  }
}
