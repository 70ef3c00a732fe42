import type { Serde } from '../serdes/serde.ts'
import type { StateStore, StoreDefinition } from '../state/store.ts'
import type { AsyncWork } from './async-work.ts'
import type { ErrorHandler } from './error-handler.ts'

/** One header of a record, as on the wire. */
export interface Header {
  readonly key: string
  readonly value: Uint8Array | null
}

export type Headers = readonly Header[]

/** The record that a task is working on; operators and error handlers read where it came from. */
export interface RecordMetadata {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export type DropReason =
  | 'null-key'
  | 'null-value'
  | 'late'
  | 'out-of-order'
  | 'deserialization'
  | 'processing'
  | 'serialization'

/**
 * What the operators of one task need of their surroundings. The runtime implements it over Kafka, the test driver over
 * arrays; both are synchronous. One task, one context.
 */
export interface TaskContext {
  readonly applicationId: string
  readonly subTopologyId: number
  readonly partition: number
  /** The largest timestamp that any source of the task has seen, -1 before the first; it never goes back. */
  readonly streamTimeMs: number
  wallClockMs(): number
  /** The record being processed, null inside a punctuation. */
  readonly record: RecordMetadata | null
  /**
   * Hands a record to a sink or repartition topic. `partition` is null when the topic's partitioner decides (by key
   * bytes). The bytes may be kept; the call never blocks and never fails for reasons of the network.
   */
  send(
    topic: string,
    partition: number | null,
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestampMs: number,
    headers: Headers,
  ): void
  /** A change of a store, on its way to the store's changelog topic (partition = the task's). */
  logChange(topic: string, key: Uint8Array, value: Uint8Array | null, timestampMs: number): void
  /** Opens (and restores, where the surroundings do that) a store of this task. */
  openStore(definition: StoreDefinition): StateStore
  /** The store of a global table: one per process, filled before tasks start, read-only for operators. */
  globalStore(name: string): StateStore
  recordDropped(reason: DropReason): void
  /** What the application does about a failure that no handler of the topology deals with. */
  readonly onProcessingError: ErrorHandler
}

/**
 * Where records enter a task. `process` runs the whole sub-topology for one record: when it returns, everything that
 * the record causes has been handed to the context. It throws what user code throws unless a handler of the topology
 * deals with it.
 */
export interface SourceNode {
  readonly name: string
  readonly topic: string
  readonly keySerde: Serde<unknown>
  readonly valueSerde: Serde<unknown>
  /** Raw bytes as they came from the partition. A serde's failure goes to the source's error handler. */
  process(key: Buffer | null, value: Buffer | null, timestampMs: number, headers: Headers): void
  /** The same for values that are decoded already (test driver with typed input, async enrichment). */
  processDecoded(key: unknown, value: unknown, timestampMs: number, headers: Headers): void
}

/**
 * One sub-topology instantiated for one partition; made by `topology.instantiate(subTopologyId, context)`.
 *
 * Driven by one caller, one call at a time: `source.process` per record, `punctuate` when time has passed, `flush`
 * before a commit, `close` at the end. The caller advances `context.streamTimeMs` before it calls `process`.
 */
export interface TaskTopology {
  readonly subTopologyId: number
  readonly sources: readonly SourceNode[]
  /** In the order in which they were opened; those with a changelog topic are restored by the runtime before the first record. */
  readonly stores: readonly StateStore[]
  /**
   * What goes on by itself; null where all operators are synchronous. The driver looks at it before each record, and
   * lets it come to rest before a commit.
   */
  readonly asyncWork: AsyncWork | null
  /** Called from anywhere when the async work has something to do. */
  onProgress: (() => void) | null
  /** Once, after the stores have been restored and before the first record. */
  initialize(): void
  /** Runs what is due by stream time or by wall clock; cheap when nothing is. */
  punctuate(wallClockMs: number): void
  /** Hands what the stores changed since the last flush to `context.logChange`; first half of a commit. */
  flush(): void
  close(): void
}

/** What the runtime must know of a sub-topology before it can create tasks. */
export interface SubTopology {
  readonly id: number
  /** Topics (with the application's prefix for internal ones) that feed it; they must be co-partitioned. */
  readonly sourceTopics: readonly string[]
  readonly sinkTopics: readonly string[]
  readonly stores: readonly StoreDefinition[]
  readonly repartitionTopics: readonly InternalTopic[]
  readonly changelogTopics: readonly InternalTopic[]
  /** Global tables are fed by every partition of their topic in every process; they have no tasks. */
  readonly isGlobal: boolean
}

export interface InternalTopic {
  /** With the prefix: `<app>-<name>-repartition` or `<app>-<name>-changelog`. */
  readonly name: string
  readonly kind: 'repartition' | 'changelog'
  /** null: as many as the widest source of the sub-topology that writes (repartition) or owns (changelog) it. */
  readonly partitionCount: number | null
  readonly configs: Readonly<Record<string, string>>
}
