// The loop that every record goes through: no promise and no allocation of our own between the fetched bytes and the
// topology.
import assert from 'node:assert/strict'
import type { PartitionBuffer } from '../client/partition-buffer.ts'
import type { PartitionOffset } from '../client/offsets.ts'
import type { Isolation } from '../client/fetcher.ts'
import type { Producer } from '../client/producer.ts'
import { StreamsError } from '../errors.ts'
import type { StateStore, StoreDefinition } from '../state/store.ts'
import type { AsyncWork } from '../topology/async-work.ts'
import { isNoFaultOfRecord, retryDelayMs, RetryLater, type ErrorHandler } from '../topology/error-handler.ts'
import { isDecided } from '../topology/handle-error.ts'
import type {
  DropReason,
  Headers,
  RecordMetadata,
  SourceNode,
  TaskContext,
  TaskTopology,
} from '../topology/task-topology.ts'
import { partitionOf, subTopologyOf, type TaskId } from './task-id.ts'
import { isStorageFailure, type TaskStores } from './task-stores.ts'

export interface StreamTaskOptions {
  readonly id: TaskId
  readonly applicationId: string
  readonly producer: Producer
  readonly stores: TaskStores
  readonly globalStore: (name: string) => StateStore
  readonly buffers: readonly PartitionBuffer[]
  readonly isolation: Isolation
  /** How long to wait for records of partitions that are known to be at their end; -1 waits for nothing (T3). */
  readonly maxTaskIdleMs: number
  /** The largest timestamp seen before the last commit; -1 for a task that starts afresh. */
  readonly streamTimeMs: number
  /** Full names of repartition topics by the names that the topology has for them. */
  readonly internalTopics: ReadonlyMap<string, string>
  readonly instantiate: (context: TaskContext) => TaskTopology
  readonly onDeserializationError: ErrorHandler
  readonly onProcessingError: ErrorHandler
  /** Called when the task has something to do although no record came: an answer that it has waited for. */
  readonly onProgress?: () => void
}

/** A record that is being tried again, counted by the handlers of the whole application. */
interface Attempts {
  offset: number
  topic: string
  count: number
}

/**
 * One sub-topology at work on one partition of each of its topics. Its worker drives it: `process` while there are
 * records, `flush`, `offsets` and `committed` around a commit, `close` at the end.
 */
export class StreamTask implements TaskContext {
  readonly id: TaskId
  readonly applicationId: string
  readonly subTopologyId: number
  readonly partition: number
  readonly buffers: readonly PartitionBuffer[]
  readonly stores: TaskStores
  streamTimeMs: number
  /** When the record that failed is tried again; 0 when none is waiting. */
  retryAtMs = 0
  recordsProcessed = 0
  readonly recordsDropped = new Map<DropReason, number>()
  readonly #options: StreamTaskOptions
  readonly #producer: Producer
  readonly #topology: TaskTopology
  /** Null for a topology that is synchronous all through. */
  readonly #asyncWork: AsyncWork | null
  #isSettling = false
  /** The source of each buffer. */
  readonly #sources: readonly SourceNode[]
  readonly #current = { topic: '', partition: 0, offset: 0 }
  readonly #attempts: Attempts = { offset: -1, topic: '', count: 0 }
  readonly #internalTopics: ReadonlyMap<string, string>
  readonly #idleUntilMs: number[]
  readonly #committedPositions: number[]
  #record: RecordMetadata | null = null
  #isDirty = false

  constructor(options: StreamTaskOptions) {
    this.#options = options
    this.id = options.id
    this.applicationId = options.applicationId
    this.subTopologyId = subTopologyOf(options.id)
    this.partition = partitionOf(options.id)
    this.stores = options.stores
    this.streamTimeMs = options.streamTimeMs
    this.#producer = options.producer
    const { stores } = options
    stores.changes = (topic, key, value, timestampMs) => this.logChange(topic, key, value, timestampMs)
    this.#topology = options.instantiate(this)
    this.#asyncWork = this.#topology.asyncWork
    this.#topology.onProgress = options.onProgress ?? null
    this.#internalTopics = options.internalTopics
    this.#sources = options.buffers.map(({ topic }) => {
      const source = this.#topology.sources.find(
        (node) => (this.#internalTopics.get(node.topic) ?? node.topic) === topic,
      )
      if (source === undefined) throw new StreamsError('invalid-topology', `task ${this.id} has no source for ${topic}`)
      return source
    })
    this.buffers = options.buffers
    this.#idleUntilMs = options.buffers.map(() => 0)
    this.#committedPositions = options.buffers.map(({ position }) => position)
    this.#topology.initialize()
  }

  get record(): RecordMetadata | null {
    return this.#record
  }

  /** Whether there is something to commit. */
  get isDirty(): boolean {
    // Timers of the wall clock send and change state with no record taken.
    if (this.#isDirty || this.stores.unflushedBytes > 0) return true
    return this.buffers.some(({ position }, index) => position !== this.#committedPositions[index])
  }

  wallClockMs(): number {
    return Date.now()
  }

  /**
   * Processes up to `limit` records, each time the one with the lowest timestamp among the heads of the partitions.
   * Answers how many there were; less than `limit` means that the task has to wait for something.
   */
  process(limit: number): number {
    const asyncWork = this.#asyncWork
    if (asyncWork !== null) {
      this.#advance(asyncWork)
      if (this.#isSettling || asyncWork.isFull) return 0
    }
    if (this.retryAtMs > 0) {
      if (performance.now() < this.retryAtMs) return 0
      this.retryAtMs = 0
    }
    const { buffers } = this
    const current = this.#current
    let count = 0
    for (; count < limit; count++) {
      const index = buffers.length === 1 ? (buffers[0]!.peek() ? 0 : -1) : this.#lowest()
      if (index < 0) break
      const buffer = buffers[index]!
      const { timestampMs } = buffer
      current.topic = buffer.topic
      current.partition = buffer.partition
      current.offset = buffer.offset
      this.#record = current
      if (timestampMs > this.streamTimeMs) this.streamTimeMs = timestampMs
      try {
        if (timestampMs < 0) throw negativeTimestamp(current, timestampMs)
        this.#sources[index]!.process(buffer.key, buffer.value, timestampMs, buffer.headers)
      } catch (error) {
        if (!this.#onError(error, buffer)) break
      }
      buffer.take()
      if (asyncWork?.isFull === true) {
        count++
        break
      }
    }
    this.#record = null
    if (count > 0) this.#isDirty = true
    this.recordsProcessed += count
    return count
  }

  /** Runs what is due by time. */
  punctuate(wallClockMs: number): void {
    this.#topology.punctuate(wallClockMs)
  }

  lag(): { readonly topic: string; readonly partition: number; readonly lag: number | null }[] {
    const { isolation } = this.#options
    return this.buffers.map((buffer) => ({
      topic: buffer.topic,
      partition: buffer.partition,
      lag: buffer.lag(isolation),
    }))
  }

  /**
   * Comes to rest for a commit: takes no more records until `resume`. True when everything that was taken has come out,
   * results that had to be waited for as well.
   */
  settle(): boolean {
    const asyncWork = this.#asyncWork
    if (asyncWork === null) return true
    this.#isSettling = true
    this.#advance(asyncWork)
    return asyncWork.isEmpty
  }

  get isSettling(): boolean {
    return this.#isSettling
  }

  /** The commit is over, or off. */
  resume(): void {
    this.#isSettling = false
  }

  #advance(asyncWork: AsyncWork): void {
    const { onProcessingError } = this.#options
    asyncWork.advance(performance.now(), { isDraining: this.#isSettling, otherwise: onProcessingError })
  }

  /** First half of a commit: what the stores changed goes to their changelogs. */
  flush(): void {
    assert(this.stores.changes !== null, 'a task whose state is lost or given up has nothing to commit')
    this.#topology.flush()
  }

  /** Up to where the records are processed, with the stream time, so that the next owner goes on with it. */
  offsets(): PartitionOffset[] {
    const metadata = this.streamTimeMs < 0 ? '' : `stream-time=${this.streamTimeMs}`
    return this.buffers.map(({ topic, partition, position }) => ({ topic, partition, offset: position, metadata }))
  }

  /** Last half of a commit: the offsets are stored, so the state that goes with them can be. */
  committed(offsets: readonly PartitionOffset[]): void {
    offsets.forEach(({ offset }, index) => (this.#committedPositions[index] = offset))
    this.#isDirty = false
    for (const { changelogTopic } of this.stores.all) {
      if (changelogTopic === null) continue
      const end = this.#producer.endOffset(changelogTopic, this.partition)
      if (end !== null) this.stores.advance(changelogTopic, end)
    }
    this.stores.persist()
  }

  /** Closes operators and stores. What was not committed is done again by the next owner. */
  close(): void {
    this.stores.changes = null
    try {
      this.#topology.close()
    } catch (error) {
      if (isStorageFailure(error)) {
        this.stores.destroy()
        return
      }
      this.stores.closed()
      throw error
    }
    this.stores.closed()
  }

  /** When `process` has something to do again although nothing new has come; Infinity when it has not. */
  get wakeAtMs(): number {
    let wakeAtMs = this.#asyncWork?.wakeAtMs ?? Infinity
    if (this.retryAtMs > 0) return Math.min(wakeAtMs, this.retryAtMs)
    for (const idleUntilMs of this.#idleUntilMs) if (idleUntilMs > 0) wakeAtMs = Math.min(wakeAtMs, idleUntilMs)
    return wakeAtMs
  }

  send(
    topic: string,
    partition: number | null,
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestampMs: number,
    headers: Headers,
  ): void {
    this.#isDirty = true
    this.#producer.send(this.#internalTopics.get(topic) ?? topic, partition, key, value, timestampMs, headers)
  }

  logChange(topic: string, key: Uint8Array, value: Uint8Array | null, timestampMs: number): void {
    this.#isDirty = true
    this.#producer.send(topic, this.partition, key, value, timestampMs)
  }

  openStore({ name }: StoreDefinition): StateStore {
    return this.stores.get(name)
  }

  globalStore(name: string): StateStore {
    return this.#options.globalStore(name)
  }

  get onProcessingError(): ErrorHandler {
    return this.#options.onProcessingError
  }

  recordDropped(reason: DropReason): void {
    this.recordsDropped.set(reason, (this.recordsDropped.get(reason) ?? 0) + 1)
  }

  /** The buffer whose record is next; -1 when there is none, or one is to be waited for. */
  #lowest(): number {
    const { buffers } = this
    let lowest = -1
    let lowestMs = Infinity
    let hasEmpty = false
    for (let index = 0; index < buffers.length; index++) {
      const buffer = buffers[index]!
      if (!buffer.peek()) {
        hasEmpty = true
        continue
      }
      this.#idleUntilMs[index] = 0
      const { timestampMs } = buffer
      if (timestampMs < lowestMs) {
        lowest = index
        lowestMs = timestampMs
      }
    }
    if (hasEmpty && lowest >= 0 && this.#waitsForOthers()) return -1
    return lowest
  }

  /** T3: records are on their way to an empty partition, or it was seen at its end for less than the idle time. */
  #waitsForOthers(): boolean {
    const { maxTaskIdleMs, isolation } = this.#options
    if (maxTaskIdleMs < 0) return false
    let waits = false
    for (const [index, buffer] of this.buffers.entries()) {
      if (buffer.peek()) continue
      const lag = buffer.lag(isolation)
      if (lag === null || lag > 0) {
        this.#idleUntilMs[index] = 0
        waits = true
        continue
      }
      const nowMs = performance.now()
      if (this.#idleUntilMs[index] === 0) this.#idleUntilMs[index] = nowMs + maxTaskIdleMs
      if (nowMs < this.#idleUntilMs[index]!) waits = true
    }
    return waits
  }

  /** True when the record is dealt with and left behind; throws what ends the task. */
  #onError(error: unknown, buffer: PartitionBuffer): boolean {
    if (error instanceof RetryLater) {
      this.retryAtMs = performance.now() + error.delayMs
      return false
    }
    // Not the record's fault: the worker rebuilds the state, or a service that is needed does not answer.
    if (isStorageFailure(error) || isNoFaultOfRecord(error) || isDecided(error)) throw error
    const { onDeserializationError, onProcessingError } = this.#options
    const isUnreadable = error instanceof StreamsError && UNREADABLE.has(error.code)
    return this.#follow(isUnreadable ? onDeserializationError : onProcessingError, error, buffer)
  }

  #follow(handler: ErrorHandler, error: unknown, buffer: PartitionBuffer): boolean {
    switch (handler.kind) {
      case 'fail':
        throw error
      case 'skip':
        this.recordDropped(dropReason(error))
        return true
      case 'dead-letter':
        this.#producer.send(handler.topic, null, buffer.key, buffer.value, Math.max(0, buffer.timestampMs), [
          ...buffer.headers,
          ...errorHeaders(error, buffer),
        ])
        this.recordDropped(dropReason(error))
        return true
      case 'retry': {
        const attempts = this.#attempts
        const isSame = attempts.offset === buffer.offset && attempts.topic === buffer.topic
        attempts.count = isSame ? attempts.count + 1 : 1
        attempts.offset = buffer.offset
        attempts.topic = buffer.topic
        const delayMs = retryDelayMs(handler, attempts.count)
        if (delayMs === null) return this.#follow(handler.then, error, buffer)
        this.retryAtMs = performance.now() + delayMs
        return false
      }
    }
  }
}

const UNREADABLE: ReadonlySet<string> = new Set(['deserialization', 'negative-timestamp'])

function dropReason(error: unknown): DropReason {
  return error instanceof StreamsError && UNREADABLE.has(error.code) ? 'deserialization' : 'processing'
}

function negativeTimestamp({ topic, partition, offset }: RecordMetadata, timestampMs: number): StreamsError {
  return new StreamsError(
    'negative-timestamp',
    `${topic}-${partition} offset ${offset} has timestamp ${timestampMs}: event time starts at 0`,
    { topic, partition, offset },
  )
}

/** Kafka Streams' names (KIP-1034), so that its tools read these dead letters. */
export function errorHeaders(error: unknown, at: { topic: string; partition: number; offset: number }): Headers {
  const text = (key: string, value: string): { key: string; value: Buffer } => ({
    key: `__streams.errors.${key}`,
    value: Buffer.from(value),
  })
  return [
    text('exception', error instanceof Error ? error.name : typeof error),
    text('message', error instanceof Error ? error.message : String(error)),
    text('stacktrace', error instanceof Error ? (error.stack ?? '') : ''),
    text('topic', at.topic),
    text('partition', String(at.partition)),
    text('offset', String(at.offset)),
  ]
}
