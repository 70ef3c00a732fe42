import assert from 'node:assert/strict'
import {
  buildBatch,
  ErrorCode,
  errorName,
  readBatches,
  readRecords,
  type apis,
  type DescribeTransactionsRequest,
  type ListTransactionsRequest,
  type RecordBatch,
  type ResponseInput,
} from '@millrace/protocol'
import { StorageError } from '../base/errors.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { SlicedLoad } from '../base/sliced-load.ts'
import type { Logger } from '../base/logger.ts'
import type { BrokerConfig } from '../config/broker-config.ts'
import { coordinatorError } from '../groups/coordinator-error.ts'
import { partitionOfGroup } from '../groups/offsets-topic.ts'
import { TRANSACTION_STATE } from '../metadata/topic-names.ts'
import {
  addPartitions,
  complete,
  end,
  fence,
  initialize,
  isEnding,
  isExpired,
  NO_EPOCH,
  NO_PRODUCER_ID,
  TRANSACTION_STATUSES,
  verifyPartition,
  withoutPartition,
  type ClientVersion,
  type ProducerIdentity,
  type Surroundings,
  type Transaction,
  type TransactionPartitions,
} from './transaction.ts'
import { decodeTransactionRecord, encodeTransactionRecord, type TransactionRecord } from './transaction-records.ts'
import type { TransactionMarkers, TransactionTopic } from './transaction-topic.ts'

export interface InitializeRequest {
  readonly transactionalId: string
  readonly timeoutMs: number
  /** Who the producer was before; null for one that begins. */
  readonly expected: ProducerIdentity | null
}

export interface AddPartitionsRequest extends ProducerIdentity {
  readonly transactionalId: string
  readonly partitions: TransactionPartitions
}

export interface EndRequest extends ProducerIdentity {
  readonly transactionalId: string
  readonly isCommit: boolean
  readonly clientVersion: ClientVersion
}

/** How the producer goes on; -1 and -1 with an error. */
export interface ProducerAnswer extends ProducerIdentity {
  readonly errorCode: number
}

/** The transactional ids of one partition of __transaction_state. */
interface Shard {
  readonly partition: number
  state: 'loading' | 'loaded' | 'failed'
  readonly transactions: Map<string, Transaction>
}

/** Tombstones in one batch, so that it stays well below the size a log takes. */
const TOMBSTONES_PER_BATCH = 500
/** How long the coordinator waits before it tries again to end a transaction that a partition would not end. */
const COMPLETION_RETRY_MS = 1000

/** Marker errors that may pass: the partition is there and cannot be written to now. */
const PASSING_ERRORS: ReadonlySet<number> = new Set([
  ErrorCode.kafkaStorageError,
  ErrorCode.notLeaderOrFollower,
  ErrorCode.notEnoughReplicas,
  ErrorCode.notEnoughReplicasAfterAppend,
])

/**
 * The transactional ids of this broker and their transactions.
 *
 * What a request does to a transaction is decided in transaction.ts, without a clock or a disk; here it is stored as a
 * record of __transaction_state, in Kafka's form, and then counts. A transaction ends in three steps: that it will, and how,
 * is stored (from here on it cannot end otherwise, whatever happens); every partition gets a marker; that it has ended is
 * stored. load() takes up what a crash interrupted. Until the topic is there every request is answered NOT_COORDINATOR, while
 * it is being read COORDINATOR_LOAD_IN_PROGRESS, after close() COORDINATOR_NOT_AVAILABLE.
 *
 * Whether topics and partitions exist is not its business: see the handlers.
 */
export class TransactionCoordinator {
  readonly #clock: Clock
  readonly #config: BrokerConfig
  readonly #logger: Logger
  readonly #markers: TransactionMarkers
  readonly #newProducerId: () => number
  readonly #transactionVersion: () => number
  #topic: TransactionTopic | null = null
  #shards: Shard[] = []
  /** When a transaction that is open has been so for too long, on the monotonic clock, by transactional id. */
  readonly #deadlines = new Map<string, { readonly shard: Shard; readonly monoMs: number }>()
  /** The transactional ids whose transaction is being ended; those in `#retries` wait for the next attempt. */
  readonly #underWay = new Set<string>()
  /** Who wants to know how the transaction of a transactional id has ended, or why that is not certain. */
  readonly #waiting = new Map<string, (errorCode: number) => void>()
  readonly #retries = new Map<string, Timer>()
  readonly #loading: SlicedLoad
  #timeoutTimer: Timer | null = null
  #expiryTimer: Timer | null = null
  #isClosed = false

  constructor(options: {
    readonly clock: Clock
    readonly config: BrokerConfig
    readonly logger: Logger
    readonly markers: TransactionMarkers
    /** May throw a StorageError. */
    readonly newProducerId: () => number
    /** The finalized level of the feature `transaction.version`. */
    readonly transactionVersion: () => number
  }) {
    this.#clock = options.clock
    this.#loading = new SlicedLoad(options.clock)
    this.#config = options.config
    this.#logger = options.logger
    this.#markers = options.markers
    this.#newProducerId = options.newProducerId
    this.#transactionVersion = options.transactionVersion
  }

  /** Reads what is stored, ends what was about to end, and takes requests from then on. */
  load(topic: TransactionTopic): void {
    assert(!this.#isClosed)
    assert(this.#topic === null, 'the topic of transactions is loaded once')
    this.#topic = topic
    this.#shards = Array.from({ length: topic.partitionCount }, (_, partition) => ({
      partition,
      state: 'loading',
      transactions: new Map(),
    }))
    this.#loading.start(this.#replayAll(topic), () => this.#onLoaded())
    this.#scheduleTimeouts()
    this.#scheduleExpiry()
  }

  /** Resolves when nothing is left to load. */
  whenLoaded(): Promise<void> {
    return this.#loading.whenOver()
  }

  /** Stops every timer. What is about to end goes on with the next start. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.unload()
  }

  /** Forgets everything, because the topic is gone or the coordinator is closed. */
  unload(): void {
    this.#loading.giveUp()
    this.#timeoutTimer?.cancel()
    this.#timeoutTimer = null
    this.#expiryTimer?.cancel()
    this.#expiryTimer = null
    for (const timer of this.#retries.values()) timer.cancel()
    this.#retries.clear()
    this.#topic = null
    this.#shards = []
    this.#deadlines.clear()
    this.#underWay.clear()
    for (const id of this.#waiting.keys()) this.#answerEnd(id, ErrorCode.notCoordinator)
  }

  initProducerId({ transactionalId, timeoutMs, expected }: InitializeRequest): ProducerAnswer {
    if (transactionalId === '') return refusal(ErrorCode.invalidRequest)
    if (timeoutMs <= 0 || timeoutMs > this.#config.int('transaction.max.timeout.ms')) {
      return refusal(ErrorCode.invalidTransactionTimeout)
    }
    const shard = this.#shardOf(transactionalId)
    if (typeof shard === 'number') return refusal(shard)
    const current = shard.transactions.get(transactionalId) ?? null
    const next = this.#decide((surroundings) => initialize(current, { timeoutMs, expected }, surroundings))
    if (typeof next === 'number') return refusal(next)
    if (next === 'fence') {
      const errorCode = this.#fence(shard, transactionalId)
      return refusal(errorCode === ErrorCode.none ? ErrorCode.concurrentTransactions : errorCode)
    }
    const errorCode = this.#store(shard, transactionalId, next)
    if (errorCode !== ErrorCode.none) return refusal(errorCode)
    const { producerId, producerEpoch } = next
    this.#logger.debug('transactional id initialized', { transactionalId, producerId, producerEpoch })
    return { errorCode, producerId, producerEpoch }
  }

  /** Adds partitions that exist; the code is for all of them. */
  addPartitionsToTxn(request: AddPartitionsRequest): number {
    return this.#add(request, 0)
  }

  /**
   * Whether a producer may write to a partition that has no open transaction of it yet; 0 if it may. With `adds` the
   * partition becomes part of the transaction, which clients of KIP-890 count on. For the partition's own sake, so
   * synchronous: nothing comes between the answer and the write.
   */
  admit(
    transactionalId: string,
    producerId: number,
    producerEpoch: number,
    topic: string,
    partition: number,
    adds: boolean,
  ): number {
    const identity = { producerId, producerEpoch }
    if (adds) {
      const partitions = new Map([[topic, new Set([partition])]])
      return this.#add({ transactionalId, ...identity, partitions }, 2)
    }
    const isVerified = this.#config.boolean('transaction.partition.verification.enable')
    return isVerified ? this.verify(transactionalId, identity, topic, partition) : ErrorCode.none
  }

  /** Whether the partition is part of the producer's open transaction: 0 if it is. */
  verify(transactionalId: string, identity: ProducerIdentity, topic: string, partition: number): number {
    if (transactionalId === '') return ErrorCode.invalidRequest
    const shard = this.#shardOf(transactionalId)
    if (typeof shard === 'number') return shard
    const current = shard.transactions.get(transactionalId)
    return current === undefined
      ? ErrorCode.invalidProducerIdMapping
      : verifyPartition(current, identity, topic, partition)
  }

  #add({ transactionalId, ...request }: AddPartitionsRequest, clientVersion: ClientVersion): number {
    if (transactionalId === '') return ErrorCode.invalidRequest
    const shard = this.#shardOf(transactionalId)
    if (typeof shard === 'number') return shard
    const current = shard.transactions.get(transactionalId)
    if (current === undefined) return ErrorCode.invalidProducerIdMapping
    const next = addPartitions(current, { ...request, clientVersion }, this.#clock.nowMs())
    if (typeof next !== 'number') return this.#store(shard, transactionalId, next)
    // The record that says so may be another request's, and not safe yet.
    if (next === ErrorCode.none) this.#topic!.answersFor(shard.partition)
    return next
  }

  /** Notes that the answer to the request repeats one that needed the open transaction of the id to be stored. */
  answersFor(transactionalId: string): void {
    const shard = this.#shardOf(transactionalId)
    if (typeof shard !== 'number') this.#topic!.answersFor(shard.partition)
  }

  /**
   * Commits or aborts. It answers once every partition has its marker, so that who was told of a commit finds it wherever
   * it looks; if a partition cannot be written to, once it is certain how the transaction ends.
   */
  endTxn({ transactionalId, ...request }: EndRequest, answered: (answer: ProducerAnswer) => void): void {
    if (transactionalId === '') {
      answered(refusal(ErrorCode.invalidRequest))
      return
    }
    const shard = this.#shardOf(transactionalId)
    const current = typeof shard === 'number' ? undefined : shard.transactions.get(transactionalId)
    if (typeof shard === 'number' || current === undefined) {
      answered(refusal(typeof shard === 'number' ? shard : ErrorCode.invalidProducerIdMapping))
      return
    }
    const next = this.#decide((surroundings) => end(current, request, surroundings))
    if (next === ErrorCode.none) {
      answered({ errorCode: ErrorCode.none, ...identityOf(current) })
      return
    }
    const errorCode = typeof next === 'number' ? next : this.#store(shard, transactionalId, next)
    if (errorCode !== ErrorCode.none || typeof next === 'number') {
      answered(refusal(errorCode))
      return
    }
    // How the producer goes on is certain now, even if the partitions are told later.
    const producer = identityOf(complete(next, 0))
    this.#waiting.set(transactionalId, (failure) =>
      answered(failure === ErrorCode.none ? { errorCode: ErrorCode.none, ...producer } : refusal(failure)),
    )
    this.#finish(shard, transactionalId, next)
  }

  describeTransactions(request: DescribeTransactionsRequest): ResponseInput<typeof apis.describeTransactions> {
    const transactionStates = request.transactionalIds.map((transactionalId) => {
      const shard = transactionalId === '' ? ErrorCode.invalidRequest : this.#shardOf(transactionalId)
      if (typeof shard === 'number') return { ...NOTHING_DESCRIBED, transactionalId, errorCode: shard }
      const current = shard.transactions.get(transactionalId)
      if (current === undefined) {
        return { ...NOTHING_DESCRIBED, transactionalId, errorCode: ErrorCode.transactionalIdNotFound }
      }
      return {
        errorCode: ErrorCode.none,
        transactionalId,
        transactionState: current.status as string,
        transactionTimeoutMs: current.timeoutMs,
        transactionStartTimeMs: current.startTimestampMs,
        producerId: current.producerId,
        producerEpoch: current.producerEpoch,
        topics: Array.from(current.partitions, ([topic, indexes]) => ({ topic, partitions: [...indexes] })),
      }
    })
    return { throttleTimeMs: 0, transactionStates }
  }

  /** `isWanted` stands for the pattern of the request. */
  listTransactions(
    request: Omit<ListTransactionsRequest, 'transactionalIdPattern'>,
    isWanted: (transactionalId: string) => boolean,
  ): ResponseInput<typeof apis.listTransactions> {
    const nothing = { throttleTimeMs: 0, unknownStateFilters: [], transactionStates: [] }
    if (this.#isClosed) return { ...nothing, errorCode: ErrorCode.coordinatorNotAvailable }
    if (this.#loading.isUnderWay) return { ...nothing, errorCode: ErrorCode.coordinatorLoadInProgress }
    const states = new Set(request.stateFilters)
    const producerIds = new Set(request.producerIdFilters)
    const nowMs = this.#clock.nowMs()
    const transactionStates = []
    for (const { transactions } of this.#shards) {
      for (const [transactionalId, { producerId, status, startTimestampMs }] of transactions) {
        if (producerIds.size > 0 && !producerIds.has(producerId)) continue
        if (states.size > 0 && !states.has(status)) continue
        if (request.durationFilter >= 0 && nowMs - startTimestampMs <= request.durationFilter) continue
        if (!isWanted(transactionalId)) continue
        transactionStates.push({ transactionalId, producerId, transactionState: status as string })
      }
    }
    const known: ReadonlySet<string> = new Set(TRANSACTION_STATUSES)
    const unknownStateFilters = [...states].filter((state) => !known.has(state))
    return { throttleTimeMs: 0, errorCode: ErrorCode.none, unknownStateFilters, transactionStates }
  }

  /** What is open by producer id; null while not everything is known. */
  openPartitions(): ReadonlyMap<number, TransactionPartitions> | null {
    if (this.#isClosed || this.#shards.some(({ state }) => state !== 'loaded')) return null
    const open = new Map<number, TransactionPartitions>()
    for (const { transactions } of this.#shards) {
      for (const { producerId, partitions } of transactions.values()) {
        if (partitions.size > 0) open.set(producerId, partitions)
      }
    }
    return open
  }

  #shardOf(transactionalId: string): Shard | number {
    if (this.#isClosed) return ErrorCode.coordinatorNotAvailable
    const shard = this.#shards[partitionOfGroup(transactionalId, this.#shards.length)]
    if (shard === undefined || shard.state === 'failed') return ErrorCode.notCoordinator
    return shard.state === 'loading' ? ErrorCode.coordinatorLoadInProgress : shard
  }

  /** Takes a step that may need a producer id, for which the metadata may have to be written. */
  #decide<R>(step: (surroundings: Surroundings) => R): R | number {
    try {
      return step({ nowMs: this.#clock.nowMs(), newProducerId: this.#newProducerId })
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      this.#logger.error('no producer ids', { error: error.message })
      return ErrorCode.coordinatorNotAvailable
    }
  }

  /** Aborts an open transaction whose producer does not get to end it. */
  #fence(shard: Shard, transactionalId: string): number {
    const current = shard.transactions.get(transactionalId)
    assert(current !== undefined)
    const fenced = fence(current, this.#transactionVersion(), this.#clock.nowMs())
    const errorCode = this.#store(shard, transactionalId, fenced)
    if (errorCode === ErrorCode.none) this.#finish(shard, transactionalId, fenced)
    return errorCode
  }

  /** What is stored counts; what is not has not happened. The error is the one that clients are to see. */
  #store(shard: Shard, transactionalId: string, transaction: Transaction): number {
    const errorCode = this.#append(shard, [{ transactionalId, transaction }])
    if (errorCode !== ErrorCode.none) return errorCode
    const wasOngoing = shard.transactions.get(transactionalId)?.status === 'Ongoing'
    shard.transactions.set(transactionalId, transaction)
    if (transaction.status !== 'Ongoing') this.#deadlines.delete(transactionalId)
    else if (!wasOngoing) {
      this.#deadlines.set(transactionalId, { shard, monoMs: this.#clock.monoMs() + transaction.timeoutMs })
    }
    return ErrorCode.none
  }

  #append(shard: Shard, records: readonly TransactionRecord[]): number {
    assert(this.#topic !== null && shard.state === 'loaded')
    const transactionVersion = this.#transactionVersion()
    const encoded = records.map((record) => encodeTransactionRecord(record, transactionVersion))
    const { errorCode } = this.#topic.append(
      shard.partition,
      buildBatch({ records: encoded, nowMs: this.#clock.nowMs() }),
    )
    if (errorCode === ErrorCode.none) return errorCode
    this.#logger.error('transaction not stored', { partition: shard.partition, error: errorName(errorCode) })
    return coordinatorError(errorCode)
  }

  /**
   * Takes a transaction of which it is stored how it ends to its end. A marker must not be there before that is safe, or a
   * crash could leave a marker for a transaction that then ends otherwise; and it must not be stored that the transaction
   * has ended before its markers are safe, or a crash could leave it open on a partition for ever.
   */
  #finish(shard: Shard, transactionalId: string, prepared: Transaction): void {
    // Not when it was unloaded, or has ended, in the meantime.
    const isStillEnding = (): boolean => {
      const current = shard.transactions.get(transactionalId)
      return this.#shards[shard.partition] === shard && current !== undefined && isSameEnd(current, prepared)
    }
    this.#underWay.add(transactionalId)
    this.#markers.whenSafe((isSafe) => {
      if (!isStillEnding()) return
      // A log that fails says so once; whoever asks later is not told.
      if (!isSafe || !this.#topic!.isOnline(shard.partition)) {
        this.#notSafe(shard, transactionalId)
        return
      }
      const left = this.#writeMarkers(shard, transactionalId, prepared)
      this.#markers.whenSafe((areMarkersSafe) => {
        if (!isStillEnding()) return
        // A marker that is not safe is written again, or is known to be missing as its log takes nothing any more.
        if (areMarkersSafe) this.#told(shard, transactionalId, left)
        else this.#tryAgain(shard, transactionalId)
      })
    })
  }

  /** Whether it is on the disk how the transaction ends is not known, because some log has failed, perhaps this one. */
  #notSafe(shard: Shard, transactionalId: string): void {
    this.#underWay.delete(transactionalId)
    this.#answerEnd(transactionalId, ErrorCode.notCoordinator)
    if (this.#topic?.isOnline(shard.partition) === true) this.#tryAgain(shard, transactionalId)
  }

  /** Every partition has its marker for good, but for those that `left` still has. */
  #told(shard: Shard, transactionalId: string, left: Transaction): void {
    shard.transactions.set(transactionalId, left)
    const hasEnded =
      left.partitions.size === 0 &&
      this.#store(shard, transactionalId, complete(left, this.#clock.nowMs())) === ErrorCode.none
    if (!hasEnded) {
      this.#tryAgain(shard, transactionalId)
      return
    }
    this.#underWay.delete(transactionalId)
    this.#answerEnd(transactionalId)
  }

  /** The transaction with the partitions that could not be told. */
  #writeMarkers(shard: Shard, transactionalId: string, prepared: Transaction): Transaction {
    assert(this.#topic !== null)
    const marker = {
      ...identityOf(prepared),
      coordinatorEpoch: this.#topic.coordinatorEpoch(shard.partition),
      isCommit: prepared.status === 'PrepareCommit',
      transactionVersion: prepared.clientVersion >= 2 ? 2 : 1,
    } as const
    let left = prepared
    for (const [topic, indexes] of prepared.partitions) {
      for (const partition of indexes) {
        const errorCode = this.#markers.write(topic, partition, marker)
        if (PASSING_ERRORS.has(errorCode)) continue
        // A topic that is gone needs none, and a partition that knows a newer producer has no transaction of this one.
        if (errorCode !== ErrorCode.none && errorCode !== ErrorCode.unknownTopicOrPartition) {
          const error = errorName(errorCode)
          this.#logger.error('a partition refused the end of a transaction', {
            transactionalId,
            topic,
            partition,
            error,
          })
        }
        left = withoutPartition(left, topic, partition)
      }
    }
    return left
  }

  #tryAgain(shard: Shard, transactionalId: string): void {
    this.#underWay.delete(transactionalId)
    this.#answerEnd(transactionalId)
    const fire = (): void => {
      this.#retries.delete(transactionalId)
      const current = shard.transactions.get(transactionalId)
      if (current !== undefined && isEnding(current)) this.#finish(shard, transactionalId, current)
    }
    this.#retries.get(transactionalId)?.cancel()
    this.#retries.set(transactionalId, this.#clock.setTimer(COMPLETION_RETRY_MS, fire))
  }

  #answerEnd(transactionalId: string, errorCode: number = ErrorCode.none): void {
    const answer = this.#waiting.get(transactionalId)
    this.#waiting.delete(transactionalId)
    answer?.(errorCode)
  }

  #scheduleTimeouts(): void {
    const intervalMs = this.#config.int('transaction.abort.timed.out.transaction.cleanup.interval.ms')
    this.#timeoutTimer = this.#clock.setTimer(intervalMs, () => {
      this.#abortTimedOut()
      this.#scheduleTimeouts()
    })
  }

  #abortTimedOut(): void {
    const monoMs = this.#clock.monoMs()
    for (const [transactionalId, { shard, monoMs: deadlineMs }] of this.#deadlines) {
      if (deadlineMs >= monoMs) continue
      const errorCode = this.#fence(shard, transactionalId)
      this.#logger.info('transaction aborted: it was open for too long', {
        transactionalId,
        error: errorName(errorCode),
      })
    }
  }

  #scheduleExpiry(): void {
    const intervalMs = this.#config.int('transaction.remove.expired.transaction.cleanup.interval.ms')
    this.#expiryTimer = this.#clock.setTimer(intervalMs, () => {
      this.#forgetExpired()
      this.#scheduleExpiry()
    })
  }

  #forgetExpired(): void {
    const nowMs = this.#clock.nowMs()
    const expirationMs = this.#config.int('transactional.id.expiration.ms')
    for (const shard of this.#shards) {
      if (shard.state !== 'loaded') continue
      const expired = [...shard.transactions].filter(([, current]) => isExpired(current, nowMs, expirationMs))
      for (let at = 0; at < expired.length; at += TOMBSTONES_PER_BATCH) {
        const ids = expired.slice(at, at + TOMBSTONES_PER_BATCH).map(([transactionalId]) => transactionalId)
        const tombstones = ids.map((transactionalId) => ({ transactionalId, transaction: null }))
        if (this.#append(shard, tombstones) !== ErrorCode.none) break
        for (const transactionalId of ids) shard.transactions.delete(transactionalId)
        this.#logger.info('unused transactional ids forgotten', { partition: shard.partition, ids: ids.length })
      }
    }
  }

  #onLoaded(): void {
    for (const shard of this.#shards) this.#resume(shard)
  }

  /** Yields the number of records replayed since it was last resumed. */
  *#replayAll(topic: TransactionTopic): Generator<number, void> {
    for (const shard of this.#shards) {
      try {
        for (const bytes of topic.batches(shard.partition)) {
          for (const batch of readBatches(bytes)) yield this.#replay(shard, batch)
        }
        shard.state = 'loaded'
      } catch (error) {
        // Its transactional ids are answered NOT_COORDINATOR and what is stored is not touched, until the next start.
        shard.state = 'failed'
        shard.transactions.clear()
        const { partition } = shard
        this.#logger.error('transactions not loaded', { topic: TRANSACTION_STATE, partition, error: String(error) })
      }
    }
  }

  #replay({ transactions, partition }: Shard, batch: RecordBatch): number {
    if (batch.isControl) return 0
    const records = readRecords(batch)
    for (const stored of records) {
      const record = decodeTransactionRecord(stored)
      if (record === null) {
        this.#logger.warn('transaction record not understood', { partition, offset: stored.offset })
      } else if (record.transaction === null) {
        transactions.delete(record.transactionalId)
      } else {
        transactions.set(record.transactionalId, record.transaction)
      }
    }
    return records.length
  }

  /** Takes up what was going on when the broker went down. */
  #resume(shard: Shard): void {
    if (shard.state !== 'loaded') return
    const nowMs = this.#clock.nowMs()
    const monoMs = this.#clock.monoMs()
    for (const [transactionalId, current] of shard.transactions) {
      if (current.status === 'Ongoing') {
        // Begun by a request, which is taken as soon as its shard is read.
        if (this.#deadlines.get(transactionalId)?.shard === shard) continue
        // By the wall clock, which may have been set: no transaction gets longer than it asked for.
        const leftMs = current.startTimestampMs + current.timeoutMs - nowMs
        const withinMs = Math.min(Math.max(leftMs, 0), current.timeoutMs)
        this.#deadlines.set(transactionalId, { shard, monoMs: monoMs + withinMs })
      } else if (isEnding(current) && !this.#underWay.has(transactionalId) && !this.#retries.has(transactionalId)) {
        this.#finish(shard, transactionalId, current)
      }
    }
  }
}

const NOTHING_DESCRIBED = {
  transactionState: '',
  transactionTimeoutMs: 0,
  transactionStartTimeMs: 0,
  producerId: 0,
  producerEpoch: 0,
  topics: [],
}

function refusal(errorCode: number): ProducerAnswer {
  return { errorCode, producerId: NO_PRODUCER_ID, producerEpoch: NO_EPOCH }
}

/** Whether one is the other, perhaps with fewer partitions left to tell. */
function isSameEnd(one: Transaction, other: Transaction): boolean {
  return (
    one.status === other.status &&
    one.producerId === other.producerId &&
    one.producerEpoch === other.producerEpoch &&
    one.startTimestampMs === other.startTimestampMs
  )
}

function identityOf({ producerId, producerEpoch }: ProducerIdentity): ProducerIdentity {
  return { producerId, producerEpoch }
}
