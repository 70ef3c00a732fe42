import assert from 'node:assert/strict'
import { StreamsError, TopologyError } from '../errors.ts'
import type { StateStore } from '../state/store.ts'
import { combined, type AsyncWork } from './async-work.ts'
import { isNoFaultOfRecord, RetryLater } from './error-handler.ts'
import type { GraphNode, GraphSink, GraphSource, TopologyGraph } from './graph.ts'
import { handleError, located, noAttempts } from './handle-error.ts'
import { internalTopic } from './naming.ts'
import type { Clock, Emit, OperatorTask, Origin } from './operator.ts'
import type { NodeGroup } from './sub-topologies.ts'
import { Punctuations } from './punctuations.ts'
import type { DropReason, Headers, RecordMetadata, SourceNode, TaskContext, TaskTopology } from './task-topology.ts'

const NO_HEADERS: Headers = []

/**
 * One sub-topology for one partition: the operators of its nodes fused into closures, and its stores.
 *
 * Nodes are built from the sinks backwards, so that each is handed a function for everything after it. A record is one
 * call into a source and comes back when all its effects have been handed to the context.
 */
export class Task implements TaskTopology, OperatorTask {
  readonly subTopologyId: number
  readonly context: TaskContext
  readonly sources: readonly SourceNode[]
  headers: Headers = NO_HEADERS
  timestampMs = 0
  rawKey: Uint8Array | null = null
  rawValue: Uint8Array | null = null
  readonly #graph: TopologyGraph
  readonly #stores = new Map<string, StateStore>()
  readonly #shared = new Map<object, unknown>()
  readonly #initializers: (() => void)[] = []
  readonly #closers: (() => void)[] = []
  readonly #eventTime = new Punctuations()
  readonly #wallClock = new Punctuations()
  readonly #works: AsyncWork[] = []
  readonly asyncWork: AsyncWork | null
  onProgress: (() => void) | null = null
  /** What the task goes on with; null while it works on the record of its context. */
  #resumed: Origin | null = null
  #pass = 0

  constructor(graph: TopologyGraph, group: NodeGroup, context: TaskContext) {
    this.#graph = graph
    this.context = context
    this.subTopologyId = group.id
    const { nodes } = group
    for (const node of nodes) {
      if (node.kind === 'processor') for (const name of node.stores) this.#open(name, group.isGlobal)
    }
    const entries = new Map<GraphNode, Emit>()
    for (const node of nodes.toReversed()) {
      if (node.kind === 'source') continue
      if (node.kind === 'sink') entries.set(node, this.#sink(node))
      else {
        const results = node.children.filter((child) => !node.lateChildren.includes(child))
        const next = fanOut(results.map((child) => entries.get(child)!))
        const late = fanOut(node.lateChildren.map((child) => entries.get(child)!))
        entries.set(node, node.build(this, next, late))
      }
    }
    this.sources = nodes
      .filter((node) => node.kind === 'source')
      .map((node) => this.#source(node, fanOut(node.children.map((child) => entries.get(child)!))))
    // Initializers were registered from the sinks backwards; parents come first when they run.
    this.#initializers.reverse()
    this.asyncWork = this.#works.length === 0 ? null : combined(this.#works.reverse())
  }

  get record(): RecordMetadata | null {
    return this.#resumed === null ? this.context.record : this.#resumed.record
  }

  get stores(): readonly StateStore[] {
    return [...this.#stores.values()]
  }

  initialize(): void {
    for (const initialize of this.#initializers) initialize()
  }

  punctuate(wallClockMs: number): void {
    if (this.#eventTime.isDue(this.context.streamTimeMs)) this.#runTimers(this.#eventTime, this.context.streamTimeMs)
    if (this.#wallClock.isDue(wallClockMs)) this.#runTimers(this.#wallClock, wallClockMs)
  }

  flush(): void {
    for (const store of this.#stores.values()) store.flush()
  }

  close(): void {
    const failures: unknown[] = []
    const attempt = (close: () => void): void => {
      try {
        close()
      } catch (error) {
        failures.push(error)
      }
    }
    // What fails to end keeps nothing else from it: a store that stays open holds its files, and the task for others.
    for (const close of this.#closers) attempt(close)
    for (const store of this.#stores.values()) attempt(() => store.close())
    if (failures.length > 0) throw failures.find(isStorageFailure) ?? failures[0]
  }

  store(name: string): StateStore {
    const store = this.#stores.get(name)
    if (store === undefined) throw new StreamsError('unknown-store', `the task has no store named ${name}`)
    return store
  }

  globalStore(name: string): StateStore {
    return this.context.globalStore(name)
  }

  shared<T>(owner: object, create: () => T): T {
    if (!this.#shared.has(owner)) this.#shared.set(owner, create())
    return this.#shared.get(owner) as T
  }

  drop(reason: DropReason): void {
    this.context.recordDropped(reason)
  }

  onInitialize(callback: () => void): void {
    this.#initializers.push(callback)
  }

  onClose(callback: () => void): void {
    this.#closers.push(callback)
  }

  origin(): Origin {
    const { context, headers, timestampMs, rawKey, rawValue } = this
    if (this.#resumed !== null) return { ...this.#resumed, headers }
    const { record } = context
    return {
      record: record === null ? null : { topic: record.topic, partition: record.partition, offset: record.offset },
      headers:
        headers.length === 0
          ? NO_HEADERS
          : headers.map(({ key, value }) => ({ key, value: value && Buffer.from(value) })),
      timestampMs,
      rawKey: rawKey && Buffer.from(rawKey),
      rawValue: rawValue && Buffer.from(rawValue),
      pass: this.#pass,
      hasSiblings: false,
    }
  }

  resume(origin: Origin, work: () => void): void {
    const { headers, timestampMs, rawKey, rawValue } = this
    const before = this.#resumed
    this.#resumed = origin
    this.headers = origin.headers
    this.timestampMs = origin.timestampMs
    this.rawKey = origin.rawKey
    this.rawValue = origin.rawValue
    try {
      work()
    } finally {
      this.#resumed = before
      this.headers = headers
      this.timestampMs = timestampMs
      this.rawKey = rawKey
      this.rawValue = rawValue
    }
  }

  addAsyncWork(work: AsyncWork): void {
    this.#works.push(work)
  }

  progressed(): void {
    this.onProgress?.()
  }

  alarm(clock: Clock, callback: (timeMs: number) => void): (dueMs: number) => void {
    return (clock === 'event-time' ? this.#eventTime : this.#wallClock).alarm(callback)
  }

  schedule(everyMs: number, clock: Clock, callback: (timeMs: number) => void): () => void {
    // As in Kafka Streams: event time is aligned to 0 and due with the first record, wall clock after one interval.
    if (clock === 'event-time') return this.#eventTime.add(0, everyMs, callback)
    return this.#wallClock.add(this.context.wallClockMs() + everyMs, everyMs, callback)
  }

  #open(name: string, isGlobal: boolean): void {
    if (this.#stores.has(name) || (!isGlobal && this.#graph.globalStores.has(name))) return
    const definition = this.#graph.stores.get(name)
    if (definition === undefined) throw new TopologyError(`no store is named ${name}`)
    this.#stores.set(name, this.context.openStore(definition))
  }

  #source(node: GraphSource, next: Emit): SourceNode {
    const { keySerde, valueSerde, onError } = node
    const { context } = this
    const attempts = noAttempts()
    const run = (key: unknown, value: unknown, timestampMs: number): void => {
      try {
        next(key, value, timestampMs, null, true)
      } catch (error) {
        throw error instanceof RetryLater ? error : located(this, node.name, 'processing', error)
      }
      if (this.#eventTime.isDue(context.streamTimeMs)) this.#runTimers(this.#eventTime, context.streamTimeMs)
    }
    return {
      name: node.name,
      topic: this.#topicName(node),
      keySerde,
      valueSerde,
      process: (rawKey, rawValue, timestampMs, headers) => {
        this.headers = headers
        this.timestampMs = timestampMs
        this.rawKey = rawKey
        this.rawValue = rawValue
        this.#pass++
        let key: unknown
        let value: unknown
        try {
          key = rawKey === null ? null : keySerde.deserialize(rawKey)
          value = rawValue === null ? null : valueSerde.deserialize(rawValue)
        } catch (error) {
          if (isNoFaultOfRecord(error)) throw error
          if (onError === null) throw located(this, node.name, 'deserialization', error)
          handleError(onError, this, attempts, node.name, 'deserialization', error)
          return
        }
        run(key, value, timestampMs)
      },
      processDecoded: (key, value, timestampMs, headers) => {
        this.headers = headers
        this.timestampMs = timestampMs
        this.rawKey = null
        this.rawValue = null
        this.#pass++
        run(key, value, timestampMs)
      },
    }
  }

  #runTimers(timers: Punctuations, timeMs: number): void {
    const nothing = { record: null, headers: NO_HEADERS, rawKey: null, rawValue: null, pass: 0, hasSiblings: false }
    this.resume({ ...nothing, timestampMs: Math.max(0, timeMs) }, () => timers.run(timeMs))
  }

  #topicName(node: GraphSource | GraphSink): string {
    return node.isInternal ? internalTopic(this.context.applicationId, node.topic) : node.topic
  }

  #sink(node: GraphSink): Emit {
    const { context } = this
    const { keySerde, valueSerde, partitioner, onError } = node
    const topic = this.#topicName(node)
    const attempts = noAttempts()
    return (key, value, timestampMs) => {
      let keyBytes: Uint8Array | null
      let valueBytes: Uint8Array | null
      try {
        keyBytes = key === null || key === undefined ? null : keySerde.serialize(key)
        valueBytes = value === null || value === undefined ? null : valueSerde.serialize(value)
      } catch (error) {
        if (onError === null) throw located(this, node.name, 'serialization', error)
        handleError(onError, this, attempts, node.name, 'serialization', error)
        return
      }
      const partition = partitioner === null ? null : partitioner(key, value)
      context.send(topic, partition, keyBytes, valueBytes, timestampMs, this.headers)
    }
  }
}

function isStorageFailure(error: unknown): boolean {
  return error instanceof StreamsError && error.code === 'storage'
}

/** One function for all children; the common cases without a loop. */
function fanOut(children: readonly Emit[]): Emit {
  assert(
    children.every((child) => child !== undefined),
    'children are built before their parents',
  )
  const [first, second] = children
  if (first === undefined) return () => {}
  if (second === undefined) return first
  if (children.length === 2) {
    return (key, value, timestampMs, old, isLatest) => {
      first(key, value, timestampMs, old, isLatest)
      second(key, value, timestampMs, old, isLatest)
    }
  }
  return (key, value, timestampMs, old, isLatest) => {
    for (const child of children) child(key, value, timestampMs, old, isLatest)
  }
}
