import type { ConnectionOptions } from '../client/platformatic-transport.ts'
import type { ProducerOptions } from '../client/producer.ts'
import type { Duration } from '../duration.ts'
import type { ErrorHandler } from '../topology/error-handler.ts'
import type { OpenBacking } from './state-directory.ts'

/** Where an application says what happens to it; `console` is one. */
export interface StreamsLogger {
  info(message: string): void
  warn(message: string): void
}

export type Guarantee = 'at-least-once' | 'exactly-once'

export interface RunOptions extends ConnectionOptions {
  /** `host:port` of some brokers of the cluster. */
  readonly brokers: readonly string[]
  /** `at-least-once` unless given: after a crash some records can be processed, and their results written, twice. */
  readonly guarantee?: Guarantee
  /** Where stores on disk are kept, one directory for each application in it. Without it all state is in memory. */
  readonly stateDir?: string
  /** What keeps the stores in `stateDir`: LMDB unless given. */
  readonly openBacking?: OpenBacking
  /**
   * How many sets of tasks this process takes on, each with its own consumer and producer. 1 unless given. Of a topology
   * they share the thread; of a module that exports one each has its own.
   */
  readonly workers?: number
  /** How often progress is stored. 30 s unless given, 100 ms with exactly-once. */
  readonly commitInterval?: Duration
  /** With exactly-once: how long a transaction may stay open before the broker aborts it. 1 min unless given. */
  readonly transactionTimeout?: Duration
  /** How many other processes keep a copy of each task's state, ready to take over. 0 unless given. */
  readonly standbyReplicas?: number
  /** Where a group that has committed nothing starts to read: `earliest` unless given. */
  readonly offsetReset?: 'earliest' | 'latest' | 'fail'
  /** How long a task waits for records of a partition that is at its end, to process in order of time; -1 for not at all. */
  readonly maxTaskIdle?: Duration
  /** For a record that cannot be read, where its source says nothing else. `fail` unless given. */
  readonly onDeserializationError?: ErrorHandler
  /** For a record for which an operator throws, where the operator says nothing else. `fail` unless given. */
  readonly onProcessingError?: ErrorHandler
  /** For records that the broker refuses for good. `fail` unless given. */
  readonly onProductionError?: ErrorHandler
  /** What to do when internal topics are there that the topology has no use for. `fail` unless given. */
  readonly onTopologyChange?: 'fail' | 'ignore'
  /** `host:port` under which this process answers queries for others, told to all instances. */
  readonly endpoint?: string
  /** Of internal topics that are created; -1, the broker's default, unless given. */
  readonly replicationFactor?: number
  /** A name for this process that survives a restart, so that it gets its tasks back without a rebalance. */
  readonly instanceId?: string
  readonly sessionTimeout?: Duration
  readonly heartbeatInterval?: Duration
  readonly rebalanceTimeout?: Duration
  /** How long `close` tries to commit and to hand over before it just ends. 30 s unless given. */
  readonly closeTimeout?: Duration
  /** Fetched and not yet processed, for each partition; a pull stops beyond it and resumes below half of it. */
  readonly bufferBytes?: number
  readonly producer?: Pick<
    ProducerOptions,
    'batchBytes' | 'bufferBytes' | 'compression' | 'deliveryTimeoutMs' | 'lingerMs'
  >
  /** Without it, warnings become process warnings and the rest is not said. */
  readonly logger?: StreamsLogger
  /** Stops the application as `close` does. */
  readonly signal?: AbortSignal
}
