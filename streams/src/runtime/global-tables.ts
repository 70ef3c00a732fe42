import type { Cluster } from '../client/cluster.ts'
import { Fetcher, type Isolation } from '../client/fetcher.ts'
import { EARLIEST, LATEST, listOffsets } from '../client/offsets.ts'
import { PartitionBuffer } from '../client/partition-buffer.ts'
import { partitionKey } from '../client/topic-partition.ts'
import { StreamsError } from '../errors.ts'
import { openStore } from '../state/open-store.ts'
import type { StateStore, StoreDefinition } from '../state/store.ts'
import { fail, RetryLater, type ErrorHandler } from '../topology/error-handler.ts'
import type {
  Headers,
  RecordMetadata,
  SourceNode,
  SubTopology,
  TaskContext,
  TaskTopology,
} from '../topology/task-topology.ts'
import type { Plan } from './prepare.ts'

export interface GlobalTablesOptions {
  readonly topology: { readonly name: string; instantiate(subTopologyId: number, context: TaskContext): TaskTopology }
  readonly plan: Plan
  readonly isolation: Isolation
}

const RECORDS_PER_TURN = 1_000

/**
 * The global tables of a process: every partition of their topics, read whole before tasks start and followed from then
 * on. They live in memory and are read again after a restart; the topic itself is their changelog.
 */
export class GlobalTables {
  readonly #cluster: Cluster
  readonly #options: GlobalTablesOptions
  readonly #tables: GlobalTable[] = []
  readonly #fetcher: Fetcher
  readonly #stores = new Map<string, StateStore>()
  #onData: (() => void) | null = null
  #failure: Error | null = null
  #onFailure: ((error: Error) => void) | null = null
  #isPumping = false

  constructor(cluster: Cluster, options: GlobalTablesOptions) {
    this.#cluster = cluster
    this.#options = options
    this.#fetcher = new Fetcher(cluster, {
      isolation: options.isolation,
      onData: () => this.#onData?.(),
      onError: (error) => this.#fail(error),
      onOutOfRange: (buffer) => this.#fetcher.seek(buffer.topic, buffer.partition, Math.max(0, buffer.logStartOffset)),
    })
    for (const subTopology of options.plan.subTopologies) {
      if (subTopology.isGlobal) {
        this.#tables.push(
          new GlobalTable(options.topology, subTopology, this.#stores, (delayMs) => this.#later(delayMs)),
        )
      }
    }
  }

  has(name: string): boolean {
    return this.#stores.has(name)
  }

  store(name: string): StateStore {
    const store = this.#stores.get(name)
    if (store === undefined) throw new StreamsError('unknown-store', `no global table has a store named ${name}`)
    return store
  }

  /** Reads the topics up to their ends as they are now. */
  async fill(): Promise<void> {
    if (this.#tables.length === 0) return
    const { partitionCounts } = this.#options.plan
    const partitions = this.#tables.flatMap((table) =>
      table.topics.flatMap((topic) =>
        Array.from({ length: partitionCounts.get(topic) ?? 0 }, (_, partition) => ({ table, topic, partition })),
      ),
    )
    const { isolation } = this.#options
    const at = (timestampMs: number) => partitions.map(({ topic, partition }) => ({ topic, partition, timestampMs }))
    const [starts, ends] = await Promise.all([
      listOffsets(this.#cluster, at(EARLIEST), { isolation }),
      listOffsets(this.#cluster, at(LATEST), { isolation }),
    ])
    for (const { table, topic, partition } of partitions) {
      const buffer = new PartitionBuffer(topic, partition, { position: starts.get(partitionKey(topic, partition))! })
      table.buffers.push(buffer)
      this.#fetcher.add(buffer)
    }
    const isFull = (): boolean =>
      this.#tables.every(({ buffers }) =>
        buffers.every(({ topic, partition, position }) => position >= ends.get(partitionKey(topic, partition))!),
      )
    while (!isFull()) {
      if (this.#failure !== null) throw this.#failure
      if (this.#process()) await new Promise((resolve) => setImmediate(resolve))
      else if (!isFull()) await new Promise<void>((resolve) => (this.#onData = resolve))
    }
    this.#onData = null
  }

  /** Keeps the tables up to date from now on. */
  follow(onFailure: (error: Error) => void): void {
    this.#onFailure = onFailure
    if (this.#failure !== null) onFailure(this.#failure)
    this.#onData = () => this.#pump()
    this.#pump()
  }

  close(): void {
    this.#onData = null
    this.#fetcher.close()
    for (const table of this.#tables) table.close()
  }

  #pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    setImmediate(() => {
      this.#isPumping = false
      if (this.#onData === null) return
      try {
        if (this.#process()) this.#pump()
      } catch (error) {
        this.#fail(error as Error)
      }
    })
  }

  /** True when there may be more. */
  #process(): boolean {
    let hasMore = false
    for (const table of this.#tables) hasMore = table.process(RECORDS_PER_TURN) || hasMore
    return hasMore
  }

  /** The record at hand waits for something: its table is looked at again then. */
  #later(delayMs: number): void {
    setTimeout(() => this.#onData?.(), delayMs)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#onFailure?.(error)
    this.#onData?.()
  }
}

/** A sub-topology that reads a global table: it has one instance for all partitions, and sends nothing. */
class GlobalTable implements TaskContext {
  readonly applicationId: string
  readonly subTopologyId: number
  readonly partition = 0
  readonly topics: readonly string[]
  readonly buffers: PartitionBuffer[] = []
  streamTimeMs = -1
  readonly #onRetry: (delayMs: number) => void
  readonly #stores: Map<string, StateStore>
  readonly #topology: TaskTopology
  readonly #sources: ReadonlyMap<string, SourceNode>
  readonly #current = { topic: '', partition: 0, offset: 0 }
  #record: RecordMetadata | null = null

  constructor(
    topology: GlobalTablesOptions['topology'],
    subTopology: SubTopology,
    stores: Map<string, StateStore>,
    onRetry: (delayMs: number) => void,
  ) {
    this.#onRetry = onRetry
    this.applicationId = topology.name
    this.subTopologyId = subTopology.id
    this.topics = subTopology.sourceTopics
    this.#stores = stores
    this.#topology = topology.instantiate(subTopology.id, this)
    this.#sources = new Map(this.#topology.sources.map((source) => [source.topic, source]))
    this.#topology.initialize()
  }

  get record(): RecordMetadata | null {
    return this.#record
  }

  process(limit: number): boolean {
    let hasMore = false
    for (const buffer of this.buffers) {
      const source = this.#sources.get(buffer.topic)!
      let count = 0
      for (; count < limit && buffer.peek(); count++) {
        const { timestampMs } = buffer
        this.#current.topic = buffer.topic
        this.#current.partition = buffer.partition
        this.#current.offset = buffer.offset
        this.#record = this.#current
        if (timestampMs > this.streamTimeMs) this.streamTimeMs = timestampMs
        try {
          source.process(buffer.key, buffer.value, timestampMs, buffer.headers)
        } catch (error) {
          if (!(error instanceof RetryLater)) throw error
          this.#onRetry(error.delayMs)
          break
        }
        buffer.take()
      }
      hasMore ||= count === limit
    }
    this.#record = null
    return hasMore
  }

  close(): void {
    this.#topology.close()
  }

  wallClockMs(): number {
    return Date.now()
  }

  openStore(definition: StoreDefinition): StateStore {
    const store = openStore(definition, { changelogTopic: null, log: null, backing: null })
    this.#stores.set(definition.name, store)
    return store
  }

  globalStore(name: string): StateStore {
    return this.#stores.get(name)!
  }

  send(topic: string, ..._record: [number | null, Uint8Array | null, Uint8Array | null, number, Headers]): void {
    throw new StreamsError('invalid-topology', `a global table cannot write to ${topic}`)
  }

  logChange(): void {}

  recordDropped(): void {}

  get onProcessingError(): ErrorHandler {
    return fail()
  }
}
