import {
  hopping,
  session,
  sliding,
  string,
  testDriver,
  topic,
  topology,
  untilTimeLimit,
  untilWindowCloses,
  type GlobalTable,
  type GroupedStream,
  type GroupedTable,
  type Serde,
  type SessionWindowedStream,
  type Stream,
  type Table,
  type Topic,
  type Windowed,
  type WindowedStream,
} from '../../src/index.ts'
import { KeyValueStore } from '../../src/state/key-value-store.ts'
import type { TestDriverOptions } from '../../src/testing/test-driver.ts'
import type { Spec, SpecNode, SpecOutput, SpecResult } from './spec.ts'

type Key = string | Windowed<string>
type Text = string | null

/** What a node of a spec stands for. Specs are untyped: this is the one place that casts. */
interface Nodes {
  stream(id: string): Stream<string, Text>
  table(id: string): Table<Key, string>
  get(id: string): unknown
}

const serdes = { key: string(), value: string() }
const texts = serdes as { key: Serde<string>; value: Serde<Text> }

/** Builds the topology of a spec, feeds its input through the test driver and collects what comes out. `restarts`: the
 * tasks start anew from their changelogs before each record. */
export function runSpec(spec: Spec, options: TestDriverOptions & { readonly restarts?: boolean } = {}): SpecResult {
  const { app, inputs, outputs } = build(spec)
  using driver = testDriver(app, { wallClockMs: spec.wallClock ?? 0, ...options })
  const steps: { out: SpecOutput[]; error?: string }[] = []
  for (const input of spec.input) {
    if (options.restarts === true) driver.restart()
    let error: string | undefined
    try {
      if ('advanceWallClock' in input) driver.advanceWallClock(input.advanceWallClock)
      else driver.input(inputs.get(input.topic)!).send(input.key, input.value, { ts: input.ts })
    } catch (thrown) {
      let cause = thrown as Error
      while (cause.cause instanceof Error) cause = cause.cause
      error = `${cause.name}: ${cause.message}`
    }
    const out: SpecOutput[] = []
    for (const output of outputs) {
      for (const { key, value, timestampMs } of driver.output(output).drain()) {
        out.push({ topic: output.name, key, value, ts: timestampMs })
      }
    }
    steps.push(error === undefined ? { out } : { error, out })
  }
  const stores: Record<string, string[]> = {}
  for (const store of driver.stores) {
    if (!(store instanceof KeyValueStore)) continue
    const entries = [...(store as KeyValueStore<Key, string>).entries()]
    stores[store.name] = entries.map(({ key, value, timestampMs }) => `${keyText(key)}=<${value},${timestampMs}>`)
  }
  const internalTopics = driver.producedTopics.filter((name) => /-changelog$|-repartition$|-topic/.test(name))
  return {
    name: spec.name,
    steps,
    dropped: driver.dropped,
    ...(spec.describe === true ? { topology: app.describe() } : {}),
    ...(spec.topics === false ? {} : { internalTopics }),
    stores,
  }
}

function build(spec: Spec) {
  const app = topology('oracle')
  const inputs = new Map<string, Topic<string, string>>()
  const outputs = new Map<string, Topic<string, string>>()
  const made = new Map<string, unknown>()
  const nodes: Nodes = {
    get: (id) => made.get(id),
    stream: (id) => made.get(id) as Stream<string, Text>,
    table: (id) => made.get(id) as Table<Key, string>,
  }
  const input = (name: string): Topic<string, string> => {
    const known = inputs.get(name)
    if (known !== undefined) return known
    const created = topic(name, serdes)
    inputs.set(name, created)
    return created
  }
  for (const node of spec.nodes) {
    if (node.op === 'to') {
      const target = topic(node.topic!, serdes)
      outputs.set(target.name, target)
      const from = nodes.get(node.in as string)
      const stream: Stream<Key, Text> = isTable(from) ? from.toStream() : (from as Stream<Key, Text>)
      stream.map((key, value) => [keyText(key)!, value] as const).to(target)
      continue
    }
    made.set(node.id!, create(node, nodes, app, input))
  }
  return { app, inputs, outputs: [...outputs.values()] }
}

function create(
  node: SpecNode,
  nodes: Nodes,
  app: ReturnType<typeof topology>,
  input: (name: string) => Topic<string, string>,
): unknown {
  const id = node.id!
  const [first = '', second = ''] = typeof node.in === 'string' ? [node.in] : (node.in ?? [])
  const source = nodes.get(first)
  const fn = node.fn ?? 'id'
  switch (node.op) {
    case 'stream':
      return app.stream(input(node.topic!))
    case 'table':
      return app.table(input(node.topic!), {
        name: id,
        ...(node.versioned === undefined ? {} : { versioned: node.versioned }),
      })
    case 'globalTable':
      return app.globalTable(input(node.topic!), { name: id })
    case 'map':
      return nodes.stream(first).map((key, value) => keyValue(fn, key, value) as [string, Text], texts)
    case 'mapValues':
      return isTable(source)
        ? source.mapValues((value) => keyValue(fn, '', value)[1])
        : nodes.stream(first).mapValues((value) => keyValue(fn, '', value)[1], texts)
    case 'filter':
      return isTable(source)
        ? source.filter((key, value) => predicate(fn, key as string, value))
        : nodes.stream(first).filter((key, value) => predicate(fn, key, value))
    case 'flatChars':
      return nodes.stream(first).flatMapValues((value) => (value === null ? [] : split(value)), { value: string() })
    case 'flatPairs':
      return nodes
        .stream(first)
        .flatMap(
          (key, value) => (value === null ? [] : split(value).map((char) => [char, `${key}${char}`] as const)),
          serdes,
        )
    case 'selectKey':
      return nodes.stream(first).selectKey((key, value) => keyValue(fn, key, value)[0] as string, serdes)
    case 'merge':
      return nodes.stream(first).merge(nodes.stream(second))
    case 'repartition':
      return nodes.stream(first).repartition({ name: id, ...(serdes as object) })
    case 'toStream':
      return nodes.table(first).toStream()
    case 'toTable':
      return nodes.stream(first).toTable({ name: id, key: serdes.key, serde: serdes.value as never })
    case 'groupByKey':
      return nodes.stream(first).groupByKey()
    case 'groupBy':
      return isTable(source)
        ? source.groupBy((key, value) => keyValue(fn, key as string, value) as [string, string], serdes)
        : nodes.stream(first).groupBy((key, value) => keyValue(fn, key, value)[0] as string, { key: serdes.key })
    case 'windowedBy':
      return { grouped: source as GroupedStream<string, Text>, node }
    case 'count':
    case 'concat':
      return aggregate(node, source)
    case 'suppress': {
      const max = node.maxRecords === undefined ? {} : { maxRecords: node.maxRecords }
      const until = node.until === 'windowClose' ? untilWindowCloses(max) : untilTimeLimit(node.ms!, max)
      return nodes.table(first).suppress(until)
    }
    case 'tick':
      return nodes.stream(first).process<string, string>((context) => {
        const seen = new Map<string, number>()
        context.schedule(node.every!, 'wall-clock', (timeMs) => {
          for (const key of [...seen.keys()].toSorted()) context.forward(key, String(seen.get(key)), timeMs)
        })
        return {
          process(key) {
            if (key !== null) seen.set(key, (seen.get(key) ?? 0) + 1)
          },
        }
      })
    case 'join':
      return join(node, source, nodes.get(second), fn)
    default:
      throw new Error(`op ${node.op}`)
  }
}

function join(node: SpecNode, left: unknown, right: unknown, fn: string): unknown {
  const kind = node.kind ?? 'inner'
  const id = node.id!
  if (isTable(left)) {
    const [leftTable, rightTable] = [left as Table<string, string>, right as Table<string, string>]
    if (kind.startsWith('fk')) {
      const options = { on: (value: string) => (value === '' ? null : value[0]!) }
      return kind === 'fk' ? leftTable.join(rightTable, cat, options) : leftTable.leftJoin(rightTable, cat, options)
    }
    if (kind === 'inner') return leftTable.join(rightTable, cat)
    return kind === 'left' ? leftTable.leftJoin(rightTable, cat) : leftTable.outerJoin(rightTable, cat)
  }
  const stream = left as Stream<string, Text>
  if (isTable(right)) {
    const table = right as Table<string, string>
    const options = { name: id, ...(node.grace === undefined ? {} : { grace: node.grace }) }
    return kind === 'inner' ? stream.join(table, cat, options) : stream.leftJoin(table, cat, options)
  }
  if (node.window === undefined) {
    const global = right as GlobalTable<string, string>
    const options = { on: (key: string, value: Text) => keyValue(fn, key, value)[0] }
    return kind === 'inner' ? stream.join(global, cat, options) : stream.leftJoin(global, cat, options)
  }
  const { before, after, grace = 0 } = node.window
  const options = { name: id, within: { before: before!, after: after! }, grace }
  const other = right as Stream<string, Text>
  if (kind === 'inner') return stream.join(other, cat, options)
  return kind === 'left' ? stream.leftJoin(other, cat, options) : stream.outerJoin(other, cat, options)
}

function aggregate(node: SpecNode, source: unknown): unknown {
  const isCount = node.op === 'count'
  const common = {
    name: node.id!,
    serde: string(),
    init: () => (isCount ? '0' : ''),
    add: (_key: string, value: Text, total: string) => (isCount ? String(Number(total) + 1) : `${total}+${value}`),
  }
  if (!isWindowed(source)) {
    if ('cogroup' in (source as object)) return (source as GroupedStream<string, Text>).aggregate(common)
    const subtract = (_key: string, value: string, total: string): string =>
      isCount ? String(Number(total) - 1) : `${total}-${value}`
    return (source as GroupedTable<string, string>).aggregate({ ...common, subtract })
  }
  const { grouped, node: windowNode } = source
  const { type, size, advance, gap, grace = 0 } = windowNode.window!
  const options = {
    ...common,
    emit: windowNode.emit === 'close' ? ('on-window-close' as const) : ('on-update' as const),
    ...(node.retention === undefined ? {} : { retention: node.retention }),
  }
  if (type === 'session') {
    const windows: SessionWindowedStream<string, Text> = grouped.windowedBy(session(gap!, { grace }))
    const merge = (_key: string, a: string, b: string): string =>
      isCount ? String(Number(a) + Number(b)) : `${a}&${b}`
    return windows.aggregate({ ...options, merge })
  }
  const windows: WindowedStream<string, Text> =
    type === 'sliding'
      ? grouped.windowedBy(sliding(size!, { grace }))
      : grouped.windowedBy(hopping(size!, { advance: advance ?? size!, grace }))
  return windows.aggregate(options)
}

function isWindowed(source: unknown): source is { grouped: GroupedStream<string, Text>; node: SpecNode } {
  return typeof source === 'object' && source !== null && 'grouped' in source
}

function isTable(source: unknown): source is Table<Key, string> {
  return typeof source === 'object' && source !== null && 'suppress' in source
}

/** Java's String.split(""): the characters; one empty string for the empty one. */
function split(value: string): string[] {
  return value === '' ? [''] : Array.from({ length: value.length }, (_, index) => value.charAt(index))
}

function keyValue(fn: string, key: Text, value: Text): [Text, Text] {
  switch (fn) {
    case 'upper':
      return [key, value === null ? null : value.toUpperCase()]
    case 'keyFirst':
      return [value === null || value === '' ? null : value[0]!, value]
    case 'swap':
      return [value, key]
    case 'nullValue':
      return [key, null]
    case 'nullKey':
      return [null, value]
    default:
      return [key, value]
  }
}

function predicate(fn: string, key: Text, value: Text): boolean {
  switch (fn) {
    case 'vNotEmpty':
      return value !== null && value !== ''
    case 'vLenOdd':
      return value !== null && value.length % 2 === 1
    case 'kA':
      return key !== null && key.startsWith('a')
    default:
      return true
  }
}

function cat(left: Text, right: Text): string {
  return `${left}+${right}`
}

function keyText(key: Key | null): Text {
  return typeof key === 'object' && key !== null ? `${key.key}@${key.startMs}/${key.endMs}` : key
}
