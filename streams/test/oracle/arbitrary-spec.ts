import fc from 'fast-check'
import type { Spec, SpecInput, SpecNode } from './spec.ts'

type Shape = { readonly name: string; readonly topics: readonly string[]; readonly nodes: readonly SpecNode[] }

const to = (id: string, topic = 'OUT'): SpecNode => ({ op: 'to', in: id, topic })
const stream = (id: string, topic: string): SpecNode => ({ id, op: 'stream', topic })
const table = (id: string, topic: string, versioned?: number): SpecNode => ({
  id,
  op: 'table',
  topic,
  ...(versioned === undefined ? {} : { versioned }),
})

const grace = fc.constantFrom(0, 1, 5, 20)
const size = fc.constantFrom(4, 10)
const joinKind = fc.constantFrom('inner', 'left', 'outer')
const leftOrInner = fc.constantFrom('inner', 'left')
const aggregation = fc.constantFrom('count', 'concat')

const windows = fc.oneof(
  fc.record({ size, grace, step: fc.constantFrom(0, 1, 2) }).map(({ size, grace, step }) => ({
    window: { type: 'hopping', size, advance: [size, size / 2, size - 1][step]!, grace },
    isSuppressible: true,
  })),
  fc.record({ gap: size, grace }).map(({ gap, grace }) => ({
    window: { type: 'session', gap, grace },
    isSuppressible: true,
  })),
  fc.record({ size, grace }).map(({ size, grace }) => ({
    window: { type: 'sliding', size, grace },
    isSuppressible: false,
  })),
)

/** What comes before an aggregation or join of a stream; some of it changes the key, so that it is repartitioned. */
const upstream = fc.constantFrom<readonly SpecNode[]>(
  [],
  [{ id: 'u', op: 'filter', in: 'a', fn: 'vNotEmpty' }],
  [{ id: 'u', op: 'map', in: 'a', fn: 'upper' }],
  [{ id: 'u', op: 'selectKey', in: 'a', fn: 'keyFirst' }],
  [{ id: 'u', op: 'map', in: 'a', fn: 'swap' }],
  [{ id: 'u', op: 'flatChars', in: 'a' }],
  [{ id: 'u', op: 'flatPairs', in: 'a' }],
  [{ id: 'u', op: 'repartition', in: 'a' }],
)

const windowed = fc.record({ windows, aggregation, upstream, isSuppressed: fc.boolean() }).map((parts): Shape => {
  const { windows, aggregation, isSuppressed } = parts
  // The model of sessions starts from the input as it is.
  const upstream = windows.window.type === 'session' ? [] : parts.upstream
  const from = upstream.length === 0 ? 'a' : 'u'
  return {
    name: windows.window.type,
    topics: ['A'],
    nodes: [
      stream('a', 'A'),
      ...upstream,
      { id: 'g', op: 'groupByKey', in: from },
      { id: 'w', op: 'windowedBy', in: 'g', window: windows.window },
      { id: 'c', op: aggregation, in: 'w' },
      to('c', 'UPD'),
      ...(isSuppressed && windows.isSuppressible
        ? [{ id: 's', op: 'suppress', in: 'c', until: 'windowClose' }, to('s', 'FIN')]
        : []),
    ],
  }
})

const grouped = fc
  .record({ aggregation, upstream, by: fc.constantFrom('none', 'keyFirst', 'swap') })
  .map((parts): Shape => {
    const { aggregation, upstream, by } = parts
    const from = upstream.length === 0 ? 'a' : 'u'
    const group = by === 'none' ? { op: 'groupByKey' } : { op: 'groupBy', fn: by }
    return {
      name: 'grouped',
      topics: ['A'],
      nodes: [
        stream('a', 'A'),
        ...upstream,
        { id: 'g', in: from, ...group },
        { id: 'c', op: aggregation, in: 'g' },
        to('c'),
      ],
    }
  })

const streamStream = fc
  .record({ kind: joinKind, before: fc.constantFrom(0, 3, 8), after: fc.constantFrom(0, 3, 8), grace })
  .map(({ kind, before, after, grace }): Shape => ({
    name: 'stream-stream',
    topics: ['L', 'R'],
    nodes: [
      stream('l', 'L'),
      stream('r', 'R'),
      { id: 'j', op: 'join', kind, in: ['l', 'r'], window: { before, after, grace } },
      to('j'),
    ],
  }))

const tableStep = fc.constantFrom<readonly SpecNode[]>(
  [],
  [{ id: 'f', op: 'filter', in: 'j', fn: 'vLenOdd' }],
  [{ id: 'f', op: 'mapValues', in: 'j', fn: 'upper' }],
  [
    { id: 'm', op: 'mapValues', in: 'j', fn: 'upper' },
    { id: 'f', op: 'filter', in: 'm', fn: 'kA' },
  ],
)

const tableTable = fc
  .record({ kind: joinKind, versioned: fc.constantFrom(undefined, undefined, 12, 100), step: tableStep })
  .map(({ kind, versioned, step }): Shape => ({
    name: 'table-table',
    topics: ['L', 'R'],
    nodes: [
      table('x', 'L', versioned),
      table('y', 'R', versioned),
      { id: 'j', op: 'join', kind, in: ['x', 'y'] },
      ...step,
      to(step.length === 0 ? 'j' : 'f'),
    ],
  }))

const foreignKey = fc.record({ kind: fc.constantFrom('fk', 'fkLeft') }).map(({ kind }): Shape => ({
  name: 'foreign-key',
  topics: ['L', 'R'],
  nodes: [table('x', 'L'), table('y', 'R'), { id: 'j', op: 'join', kind, in: ['x', 'y'] }, to('j')],
}))

const streamTable = fc
  .record({
    kind: leftOrInner,
    versioned: fc.constantFrom(undefined, 12, 100),
    grace: fc.constantFrom(undefined, 0, 4, 10),
  })
  .map(({ kind, versioned, grace }): Shape => ({
    name: 'stream-table',
    topics: ['L', 'R'],
    nodes: [
      stream('s', 'L'),
      table('t', 'R', versioned),
      {
        id: 'j',
        op: 'join',
        kind,
        in: ['s', 't'],
        ...(versioned === undefined || grace === undefined ? {} : { grace }),
      },
      to('j'),
    ],
  }))

const streamGlobal = fc
  .record({ kind: leftOrInner, fn: fc.constantFrom('id', 'keyFirst', 'swap') })
  .map(({ kind, fn }): Shape => ({
    name: 'stream-global',
    topics: ['L', 'G'],
    nodes: [
      stream('s', 'L'),
      { id: 'g', op: 'globalTable', topic: 'G' },
      { id: 'j', op: 'join', kind, fn, in: ['s', 'g'] },
      to('j'),
    ],
  }))

const tableGroup = fc
  .record({ aggregation, fn: fc.constantFrom('keyFirst', 'swap', 'id'), isFiltered: fc.boolean() })
  .map(({ aggregation, fn, isFiltered }): Shape => ({
    name: 'table-group',
    topics: ['L'],
    nodes: [
      table('x', 'L'),
      ...(isFiltered ? [{ id: 'f', op: 'filter', in: 'x', fn: 'vNotEmpty' }] : []),
      { id: 'g', op: 'groupBy', in: isFiltered ? 'f' : 'x', fn },
      { id: 'c', op: aggregation, in: 'g' },
      to('c'),
    ],
  }))

const merged = fc.record({ aggregation, upstream }).map(({ aggregation, upstream }): Shape => ({
  name: 'merge',
  topics: ['A', 'B'],
  nodes: [
    stream('a', 'A'),
    stream('b', 'B'),
    ...upstream,
    { id: 'm', op: 'merge', in: [upstream.length === 0 ? 'a' : 'u', 'b'] },
    { id: 'g', op: 'groupByKey', in: 'm' },
    { id: 'c', op: aggregation, in: 'g' },
    to('m', 'BOTH'),
    to('c'),
  ],
}))

const timeLimit = fc
  .record({ ms: fc.constantFrom(0, 5, 10), maxRecords: fc.constantFrom(undefined, 1, 2) })
  .map(({ ms, maxRecords }): Shape => ({
    name: 'time-limit',
    topics: ['A'],
    nodes: [
      table('x', 'A'),
      {
        id: 's',
        op: 'suppress',
        in: 'x',
        until: 'timeLimit',
        ms,
        ...(maxRecords === undefined ? {} : { maxRecords }),
      },
      to('s'),
    ],
  }))

const ticking = fc.record({ every: fc.constantFrom(5, 10) }).map(({ every }): Shape => ({
  name: 'tick',
  topics: ['A'],
  nodes: [stream('a', 'A'), { id: 't', op: 'tick', in: 'a', every }, to('t')],
}))

const shape = fc.oneof(
  { weight: 4, arbitrary: windowed },
  { weight: 2, arbitrary: streamStream },
  grouped,
  tableTable,
  foreignKey,
  streamTable,
  streamGlobal,
  tableGroup,
  merged,
  timeLimit,
  ticking,
)

/** Moves on in time as often as not, and looks back now and then: what out-of-order input is like. */
function inputs(topics: readonly string[], hasClock: boolean): fc.Arbitrary<readonly SpecInput[]> {
  const record = fc.record({
    topic: fc.constantFrom(...topics),
    key: fc.oneof({ weight: 12, arbitrary: fc.constantFrom('a', 'b', 'c', 'x') }, fc.constant(null)),
    value: fc.oneof(
      {
        weight: 11,
        arbitrary: fc.tuple(fc.constantFrom('x', 'y', 'a'), fc.nat(9)).map(([letter, n]) => `${letter}${n}`),
      },
      { weight: 1, arbitrary: fc.constant('x') },
      fc.constant(null),
    ),
    forward: fc.constantFrom(0, 0, 1, 2, 3, 5, 8),
    back: fc.constantFrom(0, 0, 0, 0, 1, 3, 6, 12, 25),
  })
  const tick = fc.constantFrom(1, 5, 12).map((advanceWallClock) => ({ advanceWallClock }))
  const step = hasClock ? fc.oneof({ weight: 3, arbitrary: record }, tick) : record
  return fc.array(step, { minLength: 1, maxLength: 35, size: 'max' }).map((steps) => {
    let now = 0
    return steps.map((step) => {
      if ('advanceWallClock' in step) return step
      now += step.forward
      return { topic: step.topic, key: step.key, value: step.value, ts: Math.max(0, now - step.back) }
    })
  })
}

/** Topologies and inputs of the kinds that the oracle knows, with the stores that it would use. */
export const arbitrarySpec: fc.Arbitrary<Spec> = shape.chain(({ name, topics, nodes }) =>
  inputs(topics, name === 'tick').map((input) => ({
    name,
    stores: 'memory' as const,
    topics: false,
    // In memory the oracle names the stores of a stream-stream join by hand.
    describe: nodes.every((node) => node.window?.before === undefined),
    nodes,
    input,
  })),
)
