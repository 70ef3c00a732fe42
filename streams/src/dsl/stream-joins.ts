import { durationMs, type Duration } from '../duration.ts'
import { TopologyError } from '../errors.ts'
import { passThrough } from '../operators/pass-through.ts'
import {
  joinSide,
  joinWindow,
  unmatchedLayoutTimeMs,
  unmatchedSerde,
  type StreamStreamJoin,
} from '../operators/stream-stream-join.ts'
import { streamTableJoin } from '../operators/stream-table-join.ts'
import type { Serde } from '../serdes/serde.ts'
import { timeOrderedLayout } from '../state/timed-layouts.ts'
import { serdeOr, storeBasics, type Builder, type StreamHandle } from './builder.ts'
import type { GlobalTable } from './global-table.ts'
import { repartitioned } from './repartition.ts'
import type { Table } from './table.ts'

export interface JoinOptions {
  /** Name of the join's stores and repartition topics. */
  readonly name?: string
  readonly location?: 'memory' | 'disk'
  readonly changelog?: boolean
}

type Joiner<K> = (left: unknown, right: unknown, key: K) => unknown

export function joinStreams<K>(
  builder: Builder,
  leftHandle: StreamHandle<K, unknown>,
  rightHandle: StreamHandle<K, unknown>,
  joiner: Joiner<K>,
  kind: 'inner' | 'left' | 'outer',
  options: JoinOptions & {
    readonly within: Duration | { readonly before: Duration; readonly after: Duration }
    readonly grace?: Duration
  },
): StreamHandle<K, unknown> {
  const { graph } = builder
  const [left, right] = copartitioned(builder, leftHandle, rightHandle, options.name)
  const { within } = options
  const windows = {
    beforeMs: durationMs(typeof within === 'object' ? within.before : within),
    afterMs: durationMs(typeof within === 'object' ? within.after : within),
    graceMs: durationMs(options.grace ?? 0),
  }
  const isLeftOuter = kind !== 'inner'
  const isRightOuter = kind === 'outer'
  const leftWindow = graph.generateName('KSTREAM-WINDOWED-')
  const rightWindow = graph.generateName('KSTREAM-WINDOWED-')
  const leftName = graph.generateName(isRightOuter ? 'KSTREAM-OUTERTHIS-' : 'KSTREAM-JOINTHIS-')
  const rightName = graph.generateName(isLeftOuter ? 'KSTREAM-OUTEROTHER-' : 'KSTREAM-JOINOTHER-')
  const mergeName = graph.generateName('KSTREAM-MERGE-')
  const names = joinStoreNames(options.name, leftName, rightName, kind)
  if (options.name === undefined) graph.generatedNames.push(names.left, names.right)

  const keySerde = serdeOr(left.keySerde ?? right.keySerde)
  const key = keySerde as Serde<unknown>
  const retentionMs = windows.beforeMs + windows.afterMs + windows.graceMs
  const leftValues = serdeOr(left.valueSerde)
  const rightValues = serdeOr(right.valueSerde)
  graph.addStore({ kind: 'join-window', retentionMs, ...storeBasics(names.left, options, key, leftValues) })
  graph.addStore({ kind: 'join-window', retentionMs, ...storeBasics(names.right, options, key, rightValues) })
  if (isLeftOuter) {
    const values = unmatchedSerde(leftValues, rightValues) as Serde<unknown>
    graph.addStore({
      kind: 'time-ordered',
      layout: { ...timeOrderedLayout, timeMs: (startMs, side) => unmatchedLayoutTimeMs(windows, startMs, side) },
      ...storeBasics(names.unmatched, options, key, values),
    })
  }
  const join: StreamStreamJoin<K, unknown, unknown, unknown> = {
    windows,
    leftStore: names.left,
    rightStore: names.right,
    unmatchedStore: isLeftOuter ? names.unmatched : null,
    isLeftOuter,
    isRightOuter,
    joiner,
  }
  const leftNode = graph.addProcessor(leftWindow, [left.node], joinWindow(names.left, retentionMs), [names.left])
  const rightNode = graph.addProcessor(rightWindow, [right.node], joinWindow(names.right, retentionMs), [names.right])
  const unmatched = isLeftOuter ? [names.unmatched] : []
  const sides = [
    graph.addProcessor(leftName, [leftNode], joinSide(join, 'left'), [names.right, ...unmatched]),
    graph.addProcessor(rightName, [rightNode], joinSide(join, 'right'), [names.left, ...unmatched]),
  ]
  return {
    node: graph.addProcessor(mergeName, sides, passThrough()),
    keySerde,
    valueSerde: null,
    needsRepartition: false,
    sources: [...left.sources, ...right.sources],
  }
}

export function joinStreamWithTable<K>(
  builder: Builder,
  stream: StreamHandle<K, unknown>,
  table: Table<K, unknown>,
  joiner: Joiner<K>,
  isLeft: boolean,
  options: JoinOptions & { readonly grace?: Duration },
): StreamHandle<K, unknown> {
  const { graph } = builder
  if (options.grace !== undefined && !table.handle.isVersioned) {
    throw new TopologyError('a join waits for late rows only of a versioned table: give the table a history')
  }
  const handle = stream.needsRepartition
    ? repartitioned(builder, stream, options.name ?? stream.node.name, { keySerde: table.handle.keySerde })
    : stream
  graph.copartitioned.push([...handle.sources, ...table.handle.sources])
  const generated = graph.generateName(isLeft ? 'KSTREAM-LEFTJOIN-' : 'KSTREAM-JOIN-')
  const name = options.name ?? generated
  const view = table.handle.view()
  const bufferName = `${name}-Buffer`
  const buffer = options.grace === undefined ? null : { store: bufferName, graceMs: durationMs(options.grace) }
  if (buffer !== null) {
    const keySerde = serdeOr(handle.keySerde) as Serde<unknown>
    graph.addStore({
      kind: 'time-ordered',
      ...storeBasics(bufferName, options, keySerde, serdeOr(handle.valueSerde)),
    })
    if (options.name === undefined) graph.generatedNames.push(bufferName)
  }
  const node = graph.addProcessor(
    name,
    [handle.node],
    streamTableJoin({ table: view, tableKey: (key: K) => key, joiner, isLeft, buffer }),
    [...view.stores, ...(buffer === null ? [] : [buffer.store])],
  )
  return { ...handle, node, valueSerde: null, sources: [...handle.sources, ...table.handle.sources] }
}

export function joinStreamWithGlobalTable<K>(
  builder: Builder,
  stream: StreamHandle<K, unknown>,
  table: GlobalTable<unknown, unknown>,
  joiner: Joiner<K>,
  isLeft: boolean,
  options: JoinOptions & { readonly on: (key: K, value: unknown) => unknown },
): StreamHandle<K, unknown> {
  const { graph } = builder
  // Kafka Streams calls an inner join with a global table a left join, too.
  const name = graph.generateName('KSTREAM-LEFTJOIN-')
  const node = graph.addProcessor(
    name,
    [stream.node],
    streamTableJoin({ table: table.view(), tableKey: options.on, joiner, isLeft, buffer: null }),
  )
  return { ...stream, node, valueSerde: null }
}

/** Both sides partitioned by the key they are joined on; with one key serde, or equal keys would not meet. */
function copartitioned<K>(
  builder: Builder,
  left: StreamHandle<K, unknown>,
  right: StreamHandle<K, unknown>,
  name: string | undefined,
): [StreamHandle<K, unknown>, StreamHandle<K, unknown>] {
  const keySerde = left.keySerde ?? right.keySerde
  const leftReady = left.needsRepartition
    ? repartitioned(builder, left, name === undefined ? left.node.name : `${name}-left`, { keySerde })
    : left
  const rightReady = right.needsRepartition
    ? repartitioned(builder, right, name === undefined ? right.node.name : `${name}-right`, { keySerde })
    : right
  builder.graph.copartitioned.push([...leftReady.sources, ...rightReady.sources])
  return [leftReady, rightReady]
}

/** Kafka Streams' names of the three stores. */
function joinStoreNames(
  name: string | undefined,
  leftName: string,
  rightName: string,
  kind: 'inner' | 'left' | 'outer',
): { left: string; right: string; unmatched: string } {
  const isLeftOuter = kind !== 'inner'
  const isRightOuter = kind === 'outer'
  if (name === undefined) {
    const suffix = leftName.slice(-10)
    return {
      left: `${leftName}-store`,
      right: `${rightName}-store`,
      unmatched: `KSTREAM-OUTERSHARED-${suffix}-store`,
    }
  }
  return {
    left: `${name}${isRightOuter ? '-outer-this-join' : '-this-join'}-store`,
    right: `${name}${isLeftOuter ? '-outer-other-join' : '-other-join'}-store`,
    unmatched: `${name}${isRightOuter ? '-outer-shared-join' : '-left-shared-join'}-store`,
  }
}
