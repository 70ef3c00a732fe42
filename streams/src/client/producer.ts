import assert from 'node:assert/strict'
import {
  apis,
  ErrorCode,
  readBatches,
  readRecords,
  ZERO_UUID,
  type Compression,
  type ResponseOf,
} from '@millrace/protocol'
import type { Cluster } from './cluster.ts'
import { ConnectionError, isRetriableCode, isStaleMetadata, KafkaError } from './errors.ts'
import { StreamsError } from '../errors.ts'
import { partitionOfKey } from './murmur2.ts'
import { OpenBatch, stampBatch, type RecordHeaderInput } from './open-batch.ts'
import { backoffMs } from './retry.ts'
import { byTopic, partitionName, type TopicPartition } from './topic-partition.ts'

export interface ProducerOptions {
  readonly compression?: Compression
  /** How long a record waits for others before its batch goes out; a flush and a full batch do not wait. */
  readonly lingerMs?: number
  /** A batch is closed when the next record could make it larger than this. */
  readonly batchBytes?: number
  /** Beyond this much unsent `isFull` asks the caller to wait; nothing is refused. */
  readonly bufferBytes?: number
  /** How long a batch is tried before it has failed. */
  readonly deliveryTimeoutMs?: number
  /** What becomes of a batch that the broker refuses for good; without it the producer fails. */
  readonly onFailure?: (failure: ProductionFailure) => FailureResponse | Promise<FailureResponse>
  readonly transaction?: TransactionPort
}

/** Leave the batch out, stop, or try the same batch again later, with its partition waiting. */
export type FailureResponse = 'continue' | 'fail' | { readonly retryAfterMs: number }

/** A batch that could not be written. Its records are read with `failedRecords`. */
export interface ProductionFailure extends TopicPartition {
  readonly error: Error
  readonly recordCount: number
  readonly batch: Buffer
  /** How often this batch has failed, this time included. */
  readonly failures: number
}

export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

/** What a transactional producer asks of its transaction. */
export interface TransactionPort {
  readonly transactionalId: string
  identity(): Promise<ProducerIdentity>
  /** Resolves when the coordinator knows that the transaction writes to these partitions. */
  addPartitions(partitions: readonly TopicPartition[]): Promise<void>
  has(topic: string, partition: number): boolean
}

interface SealedBatch {
  readonly bytes: Buffer
  readonly recordCount: number
  readonly sizeBytes: number
  /** Memory to give back once the bytes are out of use. */
  readonly memory: OpenBatch | null
  /** From here on the delivery timeout counts. */
  sealedAtMs: number
  /** Where it stands in the partition's sequence; -1 until it was first sent under the identity of now. */
  baseSequence: number
  /** How often the failure handler was asked about it. */
  failures: number
}

/** Everything of one partition. At most one of its batches is under way, so a retry cannot overtake its successor. */
class PartitionQueue implements TopicPartition {
  readonly topic: string
  readonly partition: number
  open: OpenBatch | null = null
  openedAtMs = 0
  readonly sealed: SealedBatch[] = []
  isInFlight = false
  nextSequence = 0
  attempts = 0
  retryAtMs = 0
  /** Its first batch waits for as long as the failure handler said. */
  isHeldUp = false
  /** One past the last acknowledged record; -1 before the first. */
  endOffset = -1

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  get isEmpty(): boolean {
    return this.sealed.length === 0 && this.open === null
  }
}

interface TopicQueues {
  readonly partitions: PartitionQueue[]
  /** Where records without a key go until the batch there is closed. */
  sticky: number
}

/** A record for a topic whose partitions are not known yet. */
interface EarlyRecord {
  readonly partition: number | null
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly timestampMs: number
  readonly headers: readonly RecordHeaderInput[] | undefined
}

const LINGER_MS = 10
const BATCH_BYTES = 256 * 1024
const BUFFER_BYTES = 8 * 1024 * 1024
const DELIVERY_TIMEOUT_MS = 120_000
const REQUEST_TIMEOUT_MS = 30_000
const REQUEST_BYTES_MAX = 4 * 1024 * 1024
const REQUESTS_PER_NODE_MAX = 5
const SPARE_BATCHES_MAX = 16
const SEQUENCES = 2 ** 31
/** Since 13 a topic goes by its id; from 12 on a broker adds partitions to transactions by itself (KIP-890). */
const TRANSACTIONAL_VERSION_MAX = 11
const TOPIC_ID_VERSION = 13

/**
 * Writes records to topics: idempotent, acks=all, in the order of the calls within each partition.
 *
 * `send` is synchronous: it appends the record's bytes to the open batch of its partition and returns. What happens to
 * them is seen by `flush`, which resolves when everything sent before is acknowledged, and by `failure`, after which
 * nothing more goes out. There is one producer for each worker; nobody else calls it.
 */
export class Producer {
  readonly #cluster: Cluster
  readonly #options: ProducerOptions
  readonly #lingerMs: number
  readonly #batchBytes: number
  readonly #bufferBytes: number
  readonly #deliveryTimeoutMs: number
  readonly #compression: Compression
  readonly #topics = new Map<string, TopicQueues>()
  readonly #early = new Map<string, EarlyRecord[]>()
  /** Partitions with something to send. */
  readonly #pending = new Set<PartitionQueue>()
  readonly #requestsOf = new Map<number, number>()
  readonly #spare: OpenBatch[] = []
  #identity: ProducerIdentity | null = null
  #isIdentifying = false
  #isAddingPartitions = false
  #isRefreshing = false
  #isLocating = false
  /** Batches under way or in the hands of the failure handler. */
  #inFlight = 0
  #heldUp = 0
  #bufferedBytes = 0
  #flushes = 0
  #timer: NodeJS.Timeout | null = null
  #isPumpDue = false
  #failure: Error | null = null
  readonly #waiting = new Set<() => void>()
  recordsSent = 0
  bytesSent = 0

  constructor(cluster: Cluster, options: ProducerOptions = {}) {
    this.#cluster = cluster
    this.#options = options
    this.#lingerMs = options.lingerMs ?? LINGER_MS
    this.#batchBytes = options.batchBytes ?? BATCH_BYTES
    this.#bufferBytes = options.bufferBytes ?? BUFFER_BYTES
    this.#deliveryTimeoutMs = options.deliveryTimeoutMs ?? DELIVERY_TIMEOUT_MS
    this.#compression = options.compression ?? 'none'
  }

  /** Why nothing is sent any more, null while all is well. */
  get failure(): Error | null {
    return this.#failure
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /** Whether a batch was refused and is to be tried again later: a flush would take that long. */
  get isHeldUp(): boolean {
    return this.#heldUp > 0
  }

  get isFull(): boolean {
    return this.#bufferedBytes > this.#bufferBytes
  }

  /** One past the last acknowledged record of the partition, null when this producer has written none. */
  endOffset(topic: string, partition: number): number | null {
    const offset = this.#topics.get(topic)?.partitions[partition]?.endOffset ?? -1
    return offset < 0 ? null : offset
  }

  /** `partition` null: by the key as Java's producer does, or any for a record without one. */
  send(
    topic: string,
    partition: number | null,
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestampMs: number,
    headers?: readonly RecordHeaderInput[],
  ): void {
    const queues = this.#topics.get(topic) ?? this.#queuesOf(topic)
    if (queues === null) {
      this.#keepEarly(topic, { partition, key, value, timestampMs, headers })
      return
    }
    const at = partition ?? (key === null ? queues.sticky : partitionOfKey(key, queues.partitions.length))
    const queue = queues.partitions[at]
    if (queue === undefined) {
      this.#fail(new StreamsError('unknown-topic', `topic ${topic} has no partition ${at}`))
      return
    }
    let open = queue.open
    if (open !== null && open.sizeBytes + OpenBatch.boundOf(key, value, headers) > this.#batchBytes) {
      this.#seal(queue)
      if (at === queues.sticky) queues.sticky = (queues.sticky + 1) % queues.partitions.length
      this.#pumpSoon()
      open = null
    }
    if (open === null) {
      open = this.#spare.pop() ?? new OpenBatch()
      queue.open = open
      queue.openedAtMs = performance.now()
      this.#pending.add(queue)
      this.#timer ??= setTimeout(this.#onTimer, this.#lingerMs)
    }
    const before = open.sizeBytes
    open.append(key, value, timestampMs, headers)
    this.#bufferedBytes += open.sizeBytes - before
    this.recordsSent++
  }

  /** Resolves when everything sent before is acknowledged; fails with `failure`. */
  async flush(): Promise<void> {
    this.#flushes++
    try {
      this.#pump()
      await this.#until(() => this.#isFlushed)
    } finally {
      this.#flushes--
    }
  }

  /** Like `flush`, but waits for no batch that is held up: false when one is. */
  async tryFlush(): Promise<boolean> {
    this.#flushes++
    try {
      this.#pump()
      await this.#until(() => this.#isFlushed || this.isHeldUp)
      return this.#isFlushed
    } finally {
      this.#flushes--
    }
  }

  get #isFlushed(): boolean {
    return this.#pending.size === 0 && this.#inFlight === 0 && this.#early.size === 0
  }

  /** Resolves when less than half of the buffer is in use; fails with `failure`. */
  drained(): Promise<void> {
    return this.#until(() => this.#bufferedBytes < this.#bufferBytes / 2)
  }

  /**
   * Drops what has not been sent, of a transaction that is given up. What is under way is waited for, partitions that
   * the coordinator is being told about as well: they are part of what has to be aborted.
   */
  async discard(): Promise<void> {
    for (const queue of this.#pending) {
      if (queue.open !== null) this.#seal(queue)
      for (const batch of queue.sealed.splice(queue.isInFlight ? 1 : 0)) this.#release(batch)
    }
    this.#pending.clear()
    for (const record of [...this.#early.values()].flat()) {
      this.#bufferedBytes -= OpenBatch.boundOf(record.key, record.value, record.headers)
    }
    this.#early.clear()
    await this.#until(() => this.#inFlight === 0 && !this.#isAddingPartitions)
    for (const { partitions } of this.#topics.values()) {
      for (const queue of partitions) {
        for (const batch of queue.sealed.splice(0)) this.#release(batch)
      }
    }
    this.#pending.clear()
  }

  /** Starts the sequences anew under another identity. Nothing may be under way. */
  resetIdentity(): void {
    assert(this.#inFlight === 0, 'an identity changes between batches')
    this.#identity = null
    for (const { partitions } of this.#topics.values()) {
      for (const queue of partitions) {
        queue.nextSequence = 0
        for (const batch of queue.sealed) batch.baseSequence = -1
      }
    }
  }

  /** Ends without sending what is left; `flush` first where it matters. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#fail(new StreamsError('closed', 'the producer is closed'))
  }

  #queuesOf(topic: string): TopicQueues | null {
    const metadata = this.#cluster.topic(topic)
    if (metadata === undefined || metadata.partitions.length === 0) return null
    const partitions = metadata.partitions.map(({ partition }) => new PartitionQueue(topic, partition))
    const queues = { partitions, sticky: Math.floor(Math.random() * partitions.length) }
    this.#topics.set(topic, queues)
    return queues
  }

  #keepEarly(topic: string, record: EarlyRecord): void {
    this.#bufferedBytes += OpenBatch.boundOf(record.key, record.value, record.headers)
    const kept = this.#early.get(topic)
    if (kept === undefined) this.#early.set(topic, [record])
    else kept.push(record)
    void this.#locate()
  }

  /** Finds the partitions of topics that records came for, and sends those records. Its failure is the producer's. */
  async #locate(): Promise<void> {
    if (this.#isLocating) return
    this.#isLocating = true
    try {
      while (this.#early.size > 0 && this.#failure === null) {
        const topics = [...this.#early.keys()]
        const findAll = async (): Promise<void> => {
          await this.#cluster.watch(topics)
          const missing = topics.find((topic) => (this.#cluster.topic(topic)?.partitions.length ?? 0) === 0)
          if (missing === undefined) return
          throw new KafkaError('Metadata', ErrorCode.unknownTopicOrPartition, `topic ${missing}`)
        }
        await this.#cluster.retry(findAll, { timeoutMs: TOPIC_TIMEOUT_MS })
        for (const topic of topics) {
          const records = this.#early.get(topic) ?? []
          this.#early.delete(topic)
          for (const { partition, key, value, timestampMs, headers } of records) {
            this.#bufferedBytes -= OpenBatch.boundOf(key, value, headers)
            this.send(topic, partition, key, value, timestampMs, headers)
          }
        }
      }
    } catch (error) {
      this.#fail(error as Error)
    } finally {
      this.#isLocating = false
      this.#pump()
    }
  }

  readonly #onTimer = (): void => {
    this.#timer = null
    this.#pump()
  }

  #pumpSoon(): void {
    if (this.#isPumpDue) return
    this.#isPumpDue = true
    queueMicrotask(() => {
      this.#isPumpDue = false
      this.#pump()
    })
  }

  /** Sends what is ready; whatever keeps a batch from going out calls this again when it has passed. */
  #pump(): void {
    if (this.#failure !== null || this.#pending.size === 0) {
      this.#wake()
      return
    }
    if (this.#identity === null) {
      void this.#identify()
      return
    }
    const nowMs = performance.now()
    const ready = new Map<number, PartitionQueue[]>()
    const notInTransaction: PartitionQueue[] = []
    const { transaction } = this.#options
    let wakeAtMs = Infinity
    for (const queue of this.#pending) {
      if (queue.isInFlight) continue
      const readyAtMs = Math.max(
        queue.retryAtMs,
        queue.sealed.length > 0 || this.#flushes > 0 ? 0 : queue.openedAtMs + this.#lingerMs,
      )
      if (readyAtMs > nowMs) {
        wakeAtMs = Math.min(wakeAtMs, readyAtMs)
        continue
      }
      if (transaction !== undefined && !transaction.has(queue.topic, queue.partition)) {
        notInTransaction.push(queue)
        continue
      }
      const leader = this.#cluster.leaderOf(queue.topic, queue.partition)
      const sameLeader = ready.get(leader)
      if (sameLeader === undefined) ready.set(leader, [queue])
      else sameLeader.push(queue)
    }
    if (notInTransaction.length > 0) void this.#addToTransaction(notInTransaction)
    for (const [leader, queues] of ready) {
      if (leader < 0) {
        for (const queue of queues) this.#retryLater(queue)
        wakeAtMs = Math.min(wakeAtMs, ...queues.map(({ retryAtMs }) => retryAtMs))
        void this.#refreshMetadata()
      } else {
        this.#sendTo(leader, queues, nowMs)
      }
    }
    if (wakeAtMs < Infinity) this.#timer ??= setTimeout(this.#onTimer, Math.max(1, wakeAtMs - nowMs))
  }

  #sendTo(leader: number, queues: readonly PartitionQueue[], nowMs: number): void {
    for (let at = 0; at < queues.length;) {
      if ((this.#requestsOf.get(leader) ?? 0) >= REQUESTS_PER_NODE_MAX) return
      const request: PartitionQueue[] = []
      for (let bytes = 0; at < queues.length; at++) {
        const queue = queues[at]!
        if (queue.sealed.length === 0) this.#seal(queue)
        const size = queue.sealed[0]!.bytes.length
        if (bytes > 0 && bytes + size > REQUEST_BYTES_MAX) break
        bytes += size
        request.push(queue)
      }
      void this.#produce(leader, request, nowMs)
    }
  }

  /** One Produce request with the first batch of each of these partitions. Failures end at the partitions. */
  async #produce(leader: number, queues: readonly PartitionQueue[], nowMs: number): Promise<void> {
    const { transaction } = this.#options
    const identity = this.#identity!
    this.#requestsOf.set(leader, (this.#requestsOf.get(leader) ?? 0) + 1)
    for (const queue of queues) {
      const batch = queue.sealed[0]!
      queue.isInFlight = true
      this.#inFlight++
      if (queue.isHeldUp) {
        queue.isHeldUp = false
        this.#heldUp--
        // The wait was the handler's wish: it is not part of the time in which the batches must be delivered.
        for (const waiting of queue.sealed) waiting.sealedAtMs = nowMs
      }
      if (batch.baseSequence >= 0) continue
      batch.baseSequence = queue.nextSequence
      queue.nextSequence = (queue.nextSequence + batch.recordCount) % SEQUENCES
      stampBatch(batch.bytes, {
        ...identity,
        baseSequence: batch.baseSequence,
        isTransactional: transaction !== undefined,
      })
    }
    const topics = [...byTopic(queues)]
    const body = (version: number): object => ({
      transactionalId: transaction?.transactionalId ?? null,
      acks: -1,
      timeoutMs: REQUEST_TIMEOUT_MS,
      topicData: topics.map(([name, partitions]) => ({
        name,
        ...(version >= TOPIC_ID_VERSION ? { topicId: this.#cluster.topic(name)?.id } : {}),
        partitionData: partitions.map(({ partition, sealed }) => ({ index: partition, records: sealed[0]!.bytes })),
      })),
    })
    let answers: ResponseOf<typeof apis.produce>['responses'] = []
    let failure: Error | null = null
    try {
      const hasIds = topics.every(([name]) => this.#cluster.topic(name)?.id !== ZERO_UUID)
      const maxVersion = transaction === undefined ? (hasIds ? TOPIC_ID_VERSION : 12) : TRANSACTIONAL_VERSION_MAX
      const response = await this.#cluster.request(leader, apis.produce, body as never, { lane: 'produce', maxVersion })
      answers = response.responses
    } catch (error) {
      failure = error as Error
    }
    this.#requestsOf.set(leader, this.#requestsOf.get(leader)! - 1)
    for (const queue of queues) {
      const id = this.#cluster.topic(queue.topic)?.id
      const answer = answers
        .find(({ name, topicId }) => (name === '' ? topicId === id : name === queue.topic))
        ?.partitionResponses.find(({ index }) => index === queue.partition)
      if (answer === undefined) {
        failure ??= new ConnectionError(
          `node ${leader}`,
          `node ${leader} left ${partitionName(queue)} out of its answer`,
        )
        this.#onRequestFailure(queue, failure, nowMs)
      } else if (answer.errorCode === ErrorCode.none || answer.errorCode === ErrorCode.duplicateSequenceNumber) {
        this.#onWritten(queue, answer.baseOffset)
      } else {
        const subject = `${queue.sealed[0]!.recordCount} records for ${partitionName(queue)}`
        this.#onRefused(queue, new KafkaError('Produce', answer.errorCode, subject, answer.errorMessage))
      }
    }
    this.#wake()
    this.#pump()
  }

  #onWritten(queue: PartitionQueue, baseOffset: number): void {
    const batch = queue.sealed.shift()!
    // A duplicate that the broker remembers only as such has no offset; the next batch brings one.
    if (baseOffset >= 0) queue.endOffset = baseOffset + batch.recordCount
    queue.attempts = 0
    queue.retryAtMs = 0
    this.bytesSent += batch.bytes.length
    this.#landed(queue)
    this.#release(batch)
  }

  /** No answer came: the batch may or may not be there, which its sequence number settles on the next try. */
  #onRequestFailure(queue: PartitionQueue, error: Error, nowMs: number): void {
    const isPassing = error instanceof ConnectionError && error.isRetriable
    if (isPassing && nowMs - queue.sealed[0]!.sealedAtMs < this.#deliveryTimeoutMs) {
      this.#landed(queue)
      this.#retryLater(queue)
      void this.#refreshMetadata()
      return
    }
    this.#landed(queue)
    this.#fail(error)
  }

  #onRefused(queue: PartitionQueue, error: KafkaError): void {
    const batch = queue.sealed[0]!
    const { errorCode } = error
    const isInTime = performance.now() - batch.sealedAtMs < this.#deliveryTimeoutMs
    if (errorCode === ErrorCode.unknownProducerId || errorCode === ErrorCode.outOfOrderSequenceNumber) {
      // The broker has lost track of this producer (its records were deleted, say). One batch is under way at a time,
      // so none before this one is missing: it can start a sequence of a new identity. A transaction cannot.
      this.#landed(queue)
      if (this.#options.transaction !== undefined || !isInTime) this.#fail(error)
      else void this.#identifyAnew()
    } else if (errorCode === ErrorCode.messageTooLarge && batch.recordCount > 1) {
      this.#landed(queue)
      this.#split(queue)
    } else if (isRetriableCode(errorCode) && isInTime) {
      this.#landed(queue)
      this.#retryLater(queue)
      if (isStaleMetadata(error)) void this.#refreshMetadata()
    } else if (FATAL.has(errorCode) || this.#options.onFailure === undefined) {
      this.#landed(queue)
      this.#fail(error)
    } else {
      void this.#askHandler(queue, error)
    }
  }

  /** The batch stays the first of its partition, and the partition waits, until the handler has decided. */
  async #askHandler(queue: PartitionQueue, error: Error): Promise<void> {
    const batch = queue.sealed[0]!
    const { topic, partition } = queue
    let response: FailureResponse = 'fail'
    let cause: Error = error
    try {
      response = await this.#options.onFailure!({
        topic,
        partition,
        error,
        recordCount: batch.recordCount,
        batch: batch.bytes,
        failures: ++batch.failures,
      })
    } catch (thrown) {
      cause = new StreamsError('processing', `the production error handler failed: ${String(thrown)}`, {
        cause: thrown,
      })
    }
    this.#landed(queue)
    if (response === 'fail') {
      this.#fail(cause)
      return
    }
    if (response !== 'continue') {
      queue.retryAtMs = performance.now() + response.retryAfterMs
      queue.isHeldUp = true
      this.#heldUp++
      this.#wake()
      this.#pump()
      return
    }
    queue.sealed.shift()
    // The broker refused the batch, so its place in the sequence is free again.
    queue.nextSequence = batch.baseSequence
    this.#release(batch)
    if (queue.isEmpty) this.#pending.delete(queue)
    this.#pump()
  }

  /** Two batches of half the records, in the place of one that the broker found too large. */
  #split(queue: PartitionQueue): void {
    const batch = queue.sealed.shift()!
    const records = failedRecords(batch.bytes)
    const half = Math.ceil(records.length / 2)
    const parts = [records.slice(0, half), records.slice(half)].map((part) => {
      const memory = new OpenBatch()
      for (const { key, value, timestampMs, headers } of part) memory.append(key, value, timestampMs, headers)
      const bytes = memory.finish(this.#compression)
      const { sealedAtMs } = batch
      return { bytes, recordCount: part.length, sizeBytes: 0, memory: null, sealedAtMs, baseSequence: -1, failures: 0 }
    })
    queue.nextSequence = batch.baseSequence
    queue.sealed.unshift(...parts)
    this.#release(batch)
    this.#pending.add(queue)
  }

  #seal(queue: PartitionQueue): void {
    const open = queue.open!
    const bytes = open.finish(this.#compression)
    queue.sealed.push({
      bytes,
      recordCount: open.recordCount,
      sizeBytes: open.sizeBytes,
      memory: open,
      sealedAtMs: performance.now(),
      baseSequence: -1,
      failures: 0,
    })
    queue.open = null
  }

  #release({ memory, sizeBytes }: SealedBatch): void {
    if (sizeBytes > 0) this.#bufferedBytes -= sizeBytes - EMPTY_BATCH_BYTES
    if (memory === null || this.#spare.length >= SPARE_BATCHES_MAX || sizeBytes > 2 * this.#batchBytes) return
    memory.reset()
    this.#spare.push(memory)
  }

  #landed(queue: PartitionQueue): void {
    queue.isInFlight = false
    this.#inFlight--
    if (queue.isEmpty) this.#pending.delete(queue)
  }

  #retryLater(queue: PartitionQueue): void {
    queue.attempts++
    queue.retryAtMs = performance.now() + backoffMs(queue.attempts)
  }

  async #identify(): Promise<void> {
    if (this.#isIdentifying) return
    this.#isIdentifying = true
    try {
      const { transaction } = this.#options
      this.#identity = await (transaction === undefined ? this.#newIdentity() : transaction.identity())
    } catch (error) {
      this.#fail(error as Error)
    } finally {
      this.#isIdentifying = false
    }
    this.#pump()
  }

  /** Waits until nothing is under way: batches of two identities must not cross. */
  async #identifyAnew(): Promise<void> {
    if (this.#isIdentifying) return
    this.#isIdentifying = true
    this.#identity = null
    try {
      await this.#until(() => this.#inFlight === 0)
      this.resetIdentity()
    } catch {
      // The producer has failed meanwhile, which is known where `failure` is read.
    } finally {
      this.#isIdentifying = false
    }
    this.#pump()
  }

  #newIdentity(): Promise<ProducerIdentity> {
    return this.#cluster.retry(async () => {
      const body = { transactionalId: null, transactionTimeoutMs: REQUEST_TIMEOUT_MS }
      const response = await this.#cluster.request(null, apis.initProducerId, body)
      const { errorCode, producerId, producerEpoch } = response
      if (errorCode !== ErrorCode.none) throw new KafkaError('InitProducerId', errorCode, 'an idempotent producer')
      return { producerId, producerEpoch }
    })
  }

  async #addToTransaction(queues: readonly PartitionQueue[]): Promise<void> {
    if (this.#isAddingPartitions) return
    this.#isAddingPartitions = true
    try {
      await this.#options.transaction!.addPartitions(queues)
    } catch (error) {
      this.#fail(error as Error)
    } finally {
      this.#isAddingPartitions = false
    }
    this.#pump()
  }

  async #refreshMetadata(): Promise<void> {
    if (this.#isRefreshing) return
    this.#isRefreshing = true
    try {
      await this.#cluster.refresh()
    } catch {
      // The batches that wait for it are tried again until their time is over, and say why then.
    } finally {
      this.#isRefreshing = false
    }
    this.#pump()
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#wake()
  }

  #wake(): void {
    for (const look of this.#waiting) look()
  }

  #until(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.#failure === null && !isTrue()) return
        this.#waiting.delete(look)
        if (this.#failure === null) resolve()
        else reject(this.#failure)
      }
      this.#waiting.add(look)
      look()
    })
  }
}

/** The records of a batch that could not be written, for a handler that puts them elsewhere. */
export function failedRecords(batch: Buffer): ReturnType<typeof readRecords> {
  return [...readBatches(batch)].flatMap((one) => readRecords(one))
}

const TOPIC_TIMEOUT_MS = 60_000
const EMPTY_BATCH_BYTES = new OpenBatch().sizeBytes

/** Nobody but the owner of the producer can do something about these. */
const FATAL: ReadonlySet<number> = new Set([
  ErrorCode.producerFenced,
  ErrorCode.invalidProducerEpoch,
  ErrorCode.invalidTxnState,
  ErrorCode.transactionalIdAuthorizationFailed,
  ErrorCode.clusterAuthorizationFailed,
  ErrorCode.transactionAbortable,
])
