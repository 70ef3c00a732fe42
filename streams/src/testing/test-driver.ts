import { durationMs, type Duration } from '../duration.ts'
import { StreamsError } from '../errors.ts'
import type { Topic } from '../dsl/topic.ts'
import type { Topology } from '../dsl/topology.ts'
import type { ReadableKeyValueStore } from '../state/key-value-store.ts'
import { openStore } from '../state/open-store.ts'
import type { StoreBacking } from '../state/backing.ts'
import { NotReady } from '../serdes/not-ready.ts'
import type { StateStore, StoreDefinition } from '../state/store.ts'
import type { TimedStore } from '../state/timed-store.ts'
import { windowReader, type ReadableWindowStore } from '../state/window-reader.ts'
import type { AsyncWork } from '../topology/async-work.ts'
import { fail, RetryLater, type ErrorHandler } from '../topology/error-handler.ts'
import { changelogTopic } from '../topology/naming.ts'
import type {
  DropReason,
  Headers,
  RecordMetadata,
  SourceNode,
  TaskContext,
  TaskTopology,
} from '../topology/task-topology.ts'

export interface TestDriverOptions {
  /** Where the wall clock stands at the beginning. */
  readonly wallClockMs?: number
  /** Disks for the stores; in memory unless given. */
  readonly backing?: (definition: StoreDefinition) => StoreBacking | null
  /** How many clean entries a store on disk keeps in memory after each record; its default unless given. */
  readonly cacheLimit?: number
}

/** A record as a test sees it in an output topic. */
export interface TestRecord<K, V> {
  readonly key: K | null
  readonly value: V | null
  readonly timestampMs: number
  readonly headers: Headers
}

interface RawRecord {
  readonly topic: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestampMs: number
  readonly headers: Headers
  readonly offset: number
}

interface Change {
  readonly key: Buffer
  readonly value: Buffer | null
  readonly timestampMs: number
}

export interface TestInput<K, V> {
  send(key: K | null, value: V | null, options?: { readonly ts?: number; readonly headers?: Headers }): void
}

export interface TestOutput<K, V> {
  /** What was written since the last call, in order. */
  drain(): TestRecord<K, V>[]
  readonly isEmpty: boolean
}

/**
 * Runs a topology without a broker: one partition, a stream time that records carry and a wall clock that the test
 * moves. Every record is processed to its end, through repartition topics too, before `send` returns, and the stores
 * write their changelogs after each, so that serdes are exercised as in production.
 */
export function testDriver(topology: Topology, options: TestDriverOptions = {}): TestDriver {
  return new TestDriver(topology, options)
}

export class TestDriver implements Disposable {
  readonly #topology: Topology
  readonly #options: TestDriverOptions
  #tasks: DriverTask[] = []
  readonly #globals: DriverTask[] = []
  readonly #changelogs = new Map<string, Change[]>()
  readonly #outputs = new Map<string, RawRecord[]>()
  readonly #queue: RawRecord[] = []
  readonly #offsets = new Map<string, number>()
  readonly #produced = new Set<string>()
  readonly #sourceTopics = new Set<string>()
  #wallClockMs: number
  #dropped = 0
  /** Set while `settle` waits for an answer. */
  #onProgress: (() => void) | null = null

  constructor(topology: Topology, options: TestDriverOptions) {
    this.#topology = topology
    this.#options = options
    this.#wallClockMs = options.wallClockMs ?? 0
    // Tasks look global stores up as they are made.
    for (const { id, isGlobal } of topology.subTopologies) if (isGlobal) this.#globals.push(this.#start(id, -1))
    for (const { topology: task } of this.#globals) task.initialize()
    for (const { id, isGlobal } of topology.subTopologies) if (!isGlobal) this.#tasks.push(this.#start(id, -1))
    for (const { topology: task } of this.#tasks) task.initialize()
    for (const { topology: task } of [...this.#globals, ...this.#tasks]) {
      for (const source of task.sources) this.#sourceTopics.add(source.topic)
    }
  }

  /**
   * As if the process had ended after the last record and started again elsewhere: all tasks are closed, and new ones
   * begin with what the changelogs say. What `schedule` had set starts afresh; timers of keys are
   * state, and are as they were.
   */
  restart(): void {
    if (!this.#isSettled) throw new StreamsError('processing', 'calls are under way: await settle() before a restart')
    const before = this.#tasks
    for (const { topology } of before) topology.close()
    this.#tasks = before.map(({ context }) => this.#start(context.subTopologyId, context.streamTimeMs))
    for (const { topology } of this.#tasks) {
      for (const store of topology.stores) {
        if (store.changelogTopic === null || store.restoredOffset !== null) continue
        const changes = this.#changelogs.get(store.changelogTopic) ?? []
        for (const { key, value, timestampMs } of changes) store.restore(key, value, timestampMs)
        store.persist(null)
      }
      topology.initialize()
    }
  }

  #start(subTopologyId: number, streamTimeMs: number): DriverTask {
    const context = new DriverContext(this, this.#topology.name, subTopologyId)
    context.streamTimeMs = streamTimeMs
    const task = this.#topology.instantiate(subTopologyId, context)
    task.onProgress = () => this.#onProgress?.()
    return new DriverTask(task, context)
  }

  input<K, V>(topic: Topic<K, V>): TestInput<K, V> {
    if (!this.#sourceTopics.has(topic.name)) {
      throw new StreamsError('unknown-topic', `the topology does not read ${topic.name}`)
    }
    return {
      send: (key, value, { ts = this.#wallClockMs, headers = [] } = {}) => {
        const keyBytes = key === null ? null : Buffer.from(topic.key.serialize(key))
        const valueBytes = value === null ? null : Buffer.from(topic.value.serialize(value))
        this.#pipe(topic.name, keyBytes, valueBytes, ts, headers)
      },
    }
  }

  output<K, V>(topic: Topic<K, V>): TestOutput<K, V> {
    const records = (): RawRecord[] => this.#outputs.get(topic.name) ?? []
    return {
      drain: () => {
        const drained = records()
        this.#outputs.delete(topic.name)
        return drained.map(({ key, value, timestampMs, headers }) => ({
          key: key === null ? null : topic.key.deserialize(key),
          value: value === null ? null : topic.value.deserialize(value),
          timestampMs,
          headers,
        }))
      },
      get isEmpty() {
        return records().length === 0
      },
    }
  }

  /** Moves the wall clock and runs what is due by it. */
  advanceWallClock(by: Duration): void {
    this.#wallClockMs += durationMs(by)
    for (const { topology } of this.#tasks) topology.punctuate(this.#wallClockMs)
    this.#run()
  }

  /**
   * Waits until nothing is under way any more: calls of `mapValuesAsync` are answered, sinks have written. What a retry
   * waits for by the wall clock passes at once; a call that never answers is given up when `advanceWallClock` has taken
   * it past its timeout.
   */
  async settle(): Promise<void> {
    while (!this.#isSettled) {
      const progress = new Promise<void>((resolve) => (this.#onProgress = resolve))
      this.#run(true)
      if (this.#isSettled) break
      if (this.#works.some(({ callCount }) => callCount > 0)) await progress
      else this.#wallClockMs = Math.max(this.#wallClockMs, Math.min(...this.#works.map(({ wakeAtMs }) => wakeAtMs)))
    }
    this.#onProgress = null
  }

  get #works(): readonly AsyncWork[] {
    return this.#tasks.flatMap(({ topology }) => topology.asyncWork ?? [])
  }

  get #isSettled(): boolean {
    return this.#queue.length === 0 && this.#works.every(({ isEmpty }) => isEmpty)
  }

  /** A store by name, or a clear error with the names there are. */
  store(name: string): StateStore {
    const stores = [...this.#tasks, ...this.#globals].flatMap(({ topology }) => topology.stores)
    const store = stores.find((candidate) => candidate.name === name)
    if (store === undefined) {
      const names = stores.map((candidate) => candidate.name).join(', ')
      throw new StreamsError('unknown-store', `no store is named ${name}; there are ${names === '' ? 'none' : names}`)
    }
    return store
  }

  keyValueStore<K, V>(name: string): ReadableKeyValueStore<K, V> {
    return this.store(name) as unknown as ReadableKeyValueStore<K, V>
  }

  /** The windows or sessions of an aggregation. */
  windowStore<K, V>(name: string): ReadableWindowStore<K, V> {
    return windowReader(this.store(name) as TimedStore<K, V>)
  }

  get stores(): readonly StateStore[] {
    return [...this.#tasks, ...this.#globals].flatMap(({ topology }) => topology.stores)
  }

  /** Records, or windows of records, that were left out: too late, without a key, out of order, refused. */
  get dropped(): number {
    return this.#dropped
  }

  /** Names of all topics written so far, internal ones included, sorted. */
  get producedTopics(): readonly string[] {
    return [...this.#produced].toSorted()
  }

  get wallClockMs(): number {
    return this.#wallClockMs
  }

  close(): void {
    for (const { topology } of [...this.#tasks, ...this.#globals]) topology.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** For the tasks' contexts. */
  accept(topic: string, key: Uint8Array | null, value: Uint8Array | null, timestampMs: number, headers: Headers): void {
    this.#produced.add(topic)
    const record = this.#record(topic, key, value, timestampMs, headers)
    if (this.#sourceTopics.has(topic)) this.#queue.push(record)
    const outputs = this.#outputs.get(topic)
    if (outputs === undefined) this.#outputs.set(topic, [record])
    else outputs.push(record)
  }

  /** For the tasks' contexts. */
  change(topic: string, key: Uint8Array, value: Uint8Array | null, timestampMs: number): void {
    this.#produced.add(topic)
    const changes = this.#changelogs.get(topic) ?? []
    if (changes.length === 0) this.#changelogs.set(topic, changes)
    changes.push({ key: Buffer.from(key), value: value === null ? null : Buffer.from(value), timestampMs })
  }

  /** For the tasks' contexts. */
  noteDropped(): void {
    this.#dropped++
  }

  /** For the tasks' contexts. */
  disk(definition: StoreDefinition): { backing: StoreBacking | null; cacheLimit?: number } {
    const { backing, cacheLimit } = this.#options
    return { backing: backing?.(definition) ?? null, ...(cacheLimit === undefined ? {} : { cacheLimit }) }
  }

  #pipe(topic: string, key: Buffer | null, value: Buffer | null, timestampMs: number, headers: Headers): void {
    this.#queue.push(this.#record(topic, key, value, timestampMs, headers))
    this.#run()
  }

  #record(
    topic: string,
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestampMs: number,
    headers: Headers,
  ): RawRecord {
    const offset = this.#offsets.get(topic) ?? 0
    this.#offsets.set(topic, offset + 1)
    return {
      topic,
      key: key === null ? null : Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      timestampMs,
      headers,
      offset,
    }
  }

  /** Processes what waits, the earliest timestamp of all topics' heads first, until nothing does or a task is full. */
  #run(isDraining = false): void {
    try {
      this.#advance(isDraining)
      this.#commit()
      while (!this.#works.some(({ isFull }) => isFull)) {
        const record = this.#next()
        if (record === null) break
        this.#process(record)
        // What one task has sent another may be on its way to a sink that has room for it again.
        this.#advance(isDraining)
      }
    } catch (error) {
      this.#queue.length = 0
      throw error
    }
  }

  #advance(isDraining: boolean): void {
    for (const work of this.#works) {
      work.advance(this.#wallClockMs, { isDraining, otherwise: fail() })
    }
  }

  #next(): RawRecord | null {
    let best = -1
    const seen = new Set<string>()
    for (const [index, { topic, timestampMs }] of this.#queue.entries()) {
      if (seen.has(topic)) continue
      seen.add(topic)
      if (best < 0 || timestampMs < this.#queue[best]!.timestampMs) best = index
    }
    return best < 0 ? null : this.#queue.splice(best, 1)[0]!
  }

  #process(record: RawRecord): void {
    for (const { topology, context } of [...this.#globals, ...this.#tasks]) {
      for (const source of topology.sources) {
        if (source.topic === record.topic) this.#deliver(source, context, record)
      }
    }
    this.#commit()
  }

  #deliver(source: SourceNode, context: DriverContext, record: RawRecord): void {
    const { topic, key, value, timestampMs, headers, offset } = record
    if (timestampMs > context.streamTimeMs) context.streamTimeMs = timestampMs
    context.record = { topic, partition: 0, offset }
    try {
      for (;;) {
        try {
          source.process(key, value, timestampMs, headers)
          return
        } catch (error) {
          // In production the partition pauses; here its time passes at once.
          if (!(error instanceof RetryLater) || error instanceof NotReady) throw error
          this.#wallClockMs += error.delayMs
        }
      }
    } finally {
      context.record = null
    }
  }

  #commit(): void {
    for (const { topology } of this.#tasks) {
      topology.flush()
      for (const store of topology.stores) store.persist(null)
    }
    for (const { topology } of this.#globals) topology.flush()
  }

  /** For the tasks' contexts. */
  globalStore(name: string): StateStore {
    for (const { topology } of this.#globals) {
      const store = topology.stores.find((candidate) => candidate.name === name)
      if (store !== undefined) return store
    }
    throw new StreamsError('unknown-store', `no global store is named ${name}`)
  }
}

class DriverTask {
  readonly topology: TaskTopology
  readonly context: DriverContext

  constructor(topology: TaskTopology, context: DriverContext) {
    this.topology = topology
    this.context = context
  }
}

class DriverContext implements TaskContext {
  readonly applicationId: string
  readonly subTopologyId: number
  readonly partition = 0
  streamTimeMs = -1
  record: RecordMetadata | null = null
  readonly #driver: TestDriver

  constructor(driver: TestDriver, applicationId: string, subTopologyId: number) {
    this.#driver = driver
    this.applicationId = applicationId
    this.subTopologyId = subTopologyId
  }

  wallClockMs(): number {
    return this.#driver.wallClockMs
  }

  send(
    topic: string,
    _partition: number | null,
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestampMs: number,
    headers: Headers,
  ): void {
    this.#driver.accept(topic, key, value, timestampMs, headers)
  }

  logChange(topic: string, key: Uint8Array, value: Uint8Array | null, timestampMs: number): void {
    this.#driver.change(topic, key, value, timestampMs)
  }

  openStore(definition: StoreDefinition): StateStore {
    const topic = definition.hasChangelog ? changelogTopic(this.applicationId, definition.name) : null
    return openStore(definition, {
      changelogTopic: topic,
      log: topic === null ? null : (key, value, timestampMs) => this.logChange(topic, key, value, timestampMs),
      ...this.#driver.disk(definition),
    })
  }

  globalStore(name: string): StateStore {
    return this.#driver.globalStore(name)
  }

  recordDropped(_reason: DropReason): void {
    this.#driver.noteDropped()
  }

  get onProcessingError(): ErrorHandler {
    return fail()
  }
}
