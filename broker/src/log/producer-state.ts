import {
  CONTROL_FLAG,
  ErrorCode,
  TRANSACTIONAL_FLAG,
  attributesAt,
  baseOffsetAt,
  baseSequenceAt,
  lastOffsetDeltaAt,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
  readBatch,
  readEndTransactionMarker,
  readRecords,
  recordCountAt,
  type EndTransactionMarker,
} from '@millrace/protocol'
import type { AbortedTransaction } from './aborted-transaction.ts'
import type { ProducerSnapshotEntry } from './producer-snapshot.ts'

/** A client has at most this many requests in flight, so no older batch can come again. */
const BATCHES_REMEMBERED = 5
const NO_EPOCH = -1
const LARGEST_EPOCH = 0x7fff
const NO_SEQUENCE = -1
const LARGEST_SEQUENCE = 0x7fff_ffff
const NO_OFFSET = -1

/** A batch that a producer wrote, as far as it takes to recognise it when it comes again. */
export interface ProducedBatch {
  readonly lastSequence: number
  readonly lastOffset: number
  readonly offsetDelta: number
  readonly timestampMs: number
}

/** What there is to know of a batch that is not in it. */
export interface ProducerCheckOptions {
  /** 'client' for Produce; 'coordinator' for what this broker writes itself, control records included. */
  readonly origin: 'client' | 'coordinator'
  /** Of a client's transactional batch: whether the coordinator has the partition in the producer's transaction. */
  readonly isAdmitted?: boolean
  /** Of the end of a transaction; 1 when not given. */
  readonly transactionVersion?: 1 | 2
}

export type ProducerVerdict =
  | { readonly kind: 'new' }
  | { readonly kind: 'duplicate'; readonly of: ProducedBatch }
  | { readonly kind: 'refused'; readonly errorCode: number; readonly message: string }

/** A transaction that has its marker. If it was aborted, this is its entry in a transaction index. */
export interface CompletedTransaction extends AbortedTransaction {
  readonly isAborted: boolean
}

const NEW: ProducerVerdict = { kind: 'new' }

interface Producer {
  epoch: number
  coordinatorEpoch: number
  currentTxnFirstOffset: number
  lastTimestampMs: number
  /** By the monotonic clock: a batch may carry a timestamp of any year. */
  lastSeenMs: number
  /** At most BATCHES_REMEMBERED, the oldest first. */
  readonly batches: ProducedBatch[]
}

/** Of a producer whose transaction has written nothing here yet: the batches that came and were not taken. */
interface Candidate {
  epoch: number
  lowestSequence: number
  /** Whether the producer gets a new epoch with each transaction (KIP-890). */
  readonly bumpsEpoch: boolean
  readonly seenMs: number
}

/**
 * What a partition remembers of its idempotent producers: epoch and last batches, by which it answers a batch that comes
 * twice with the offset it already has, and refuses a gap or a producer that was replaced; and their open transactions,
 * by which it knows from where on nothing is decided.
 *
 * `check` asks and `record` tells, with the write between them. The state follows from the log, and the snapshots that
 * PartitionLog writes spare reading all of it at start; they keep the last batch of each producer, as Kafka's do. Whether
 * a transaction may write here at all is the coordinator's to say: who appends for a client asks it when
 * `needsAdmission` says so, in the same turn of the event loop, so that no marker comes between.
 */
export class ProducerStates {
  readonly #expirationMs: number
  readonly #producers = new Map<number, Producer>()
  /** Open transactions: producer ids by first offset, in the order of the offsets, as a transaction begins at the end. */
  readonly #ongoing = new Map<number, number>()
  /** Of the first of `#ongoing`; Infinity without any. */
  #firstOngoing = Infinity
  /** Transactions whose marker was not below the high watermark the last time somebody asked, in order of the markers. */
  readonly #unreplicated: CompletedTransaction[] = []
  readonly #candidates = new Map<number, Candidate>()
  /** Producers whose open transaction the coordinator may not know of. */
  readonly #doubted = new Set<number>()

  constructor(expirationMs: number) {
    this.#expirationMs = expirationMs
  }

  get count(): number {
    return this.#producers.size
  }

  /** Open transactions. */
  get ongoingCount(): number {
    return this.#ongoing.size
  }

  /** What is to be done with the batch at `start`, whose base offset may not be set yet. */
  check(bytes: Buffer, start: number, options: ProducerCheckOptions): ProducerVerdict {
    const producerId = producerIdAt(bytes, start)
    if (producerId < 0) return NEW
    const attributes = attributesAt(bytes, start)
    const producer = this.#producers.get(producerId)
    if (attributes & CONTROL_FLAG) return checkMarker(bytes, start, producer, options.transactionVersion ?? 1)

    const epoch = producerEpochAt(bytes, start)
    const isClient = options.origin === 'client'
    const isTransactional = (attributes & TRANSACTIONAL_FLAG) !== 0
    if (isClient && producer?.epoch === epoch) {
      const again = findBatch(producer, baseSequenceAt(bytes, start), lastOffsetDeltaAt(bytes, start))
      if (again !== null) return { kind: 'duplicate', of: again }
    }
    const storedEpoch = producer?.epoch ?? NO_EPOCH
    if (epoch < storedEpoch) return fenced(producerId, epoch, storedEpoch)
    const hasTransaction = producer !== undefined && producer.currentTxnFirstOffset !== NO_OFFSET
    if (isClient) {
      if (isTransactional && options.isAdmitted !== true && !(hasTransaction && epoch === storedEpoch)) {
        return refused(ErrorCode.invalidTxnState, `producer ${producerId} has no transaction on this partition`)
      }
      const outOfOrder = this.#checkSequence(producerId, producer, epoch, baseSequenceAt(bytes, start))
      if (outOfOrder !== null) return outOfOrder
    }
    if (hasTransaction && !isTransactional) {
      return refused(
        ErrorCode.invalidTxnState,
        `producer ${producerId} has a transaction open and writes outside of it`,
      )
    }
    return NEW
  }

  #checkSequence(
    producerId: number,
    producer: Producer | undefined,
    epoch: number,
    baseSequence: number,
  ): ProducerVerdict | null {
    const candidate = this.#candidates.size === 0 ? undefined : this.#candidates.get(producerId)
    if (candidate !== undefined) {
      const { bumpsEpoch, lowestSequence } = candidate
      // An epoch begins with 0. The partition may not know the producer, but of an epoch for each transaction it knows that.
      const first = bumpsEpoch && producer?.epoch !== epoch ? 0 : lowestSequence
      if (baseSequence > first) {
        return refused(
          ErrorCode.outOfOrderSequenceNumber,
          `producer ${producerId} begins a transaction with sequence ${baseSequence}, ${first} is not here yet`,
        )
      }
    }
    if (producer === undefined) return null
    if (epoch !== producer.epoch) {
      if (baseSequence === 0 || producer.epoch === NO_EPOCH) return null
      return refused(
        ErrorCode.outOfOrderSequenceNumber,
        `producer ${producerId} begins epoch ${epoch} with sequence ${baseSequence}, an epoch begins with 0`,
      )
    }
    const lastSequence = producer.batches.at(-1)?.lastSequence ?? NO_SEQUENCE
    const expected = lastSequence === LARGEST_SEQUENCE ? 0 : lastSequence + 1
    if (baseSequence === expected) return null
    return refused(
      ErrorCode.outOfOrderSequenceNumber,
      `producer ${producerId} comes with sequence ${baseSequence}, ${expected} is next`,
    )
  }

  /** Whether the producer has a transaction open here. */
  hasOngoingTransaction(producerId: number, epoch: number): boolean {
    const producer = this.#producers.get(producerId)
    return producer !== undefined && producer.epoch === epoch && producer.currentTxnFirstOffset !== NO_OFFSET
  }

  /**
   * Whether the transaction coordinator must say that a client's transactional batch may be appended: its transaction has
   * written nothing here yet. The batch is noted until one of its transaction is in the log, so that no later one of the
   * producer overtakes it. A batch of an old epoch is no question for the coordinator; `check` refuses it. Every batch is
   * one of a transaction that is in doubt.
   */
  needsAdmission(
    batch: {
      readonly producerId: number
      readonly epoch: number
      readonly baseSequence: number
      readonly bumpsEpoch: boolean
    },
    nowMonoMs: number,
  ): boolean {
    const { producerId, epoch, baseSequence, bumpsEpoch } = batch
    const producer = this.#producers.get(producerId)
    if (producer !== undefined && epoch < producer.epoch) return false
    if (this.hasOngoingTransaction(producerId, epoch)) return this.#doubted.has(producerId)
    const candidate = this.#candidates.get(producerId)
    if (candidate === undefined) {
      this.#candidates.set(producerId, { epoch, lowestSequence: baseSequence, bumpsEpoch, seenMs: nowMonoMs })
    } else if (epoch > candidate.epoch) {
      candidate.epoch = epoch
      candidate.lowestSequence = baseSequence
    } else if (epoch === candidate.epoch && baseSequence < candidate.lowestSequence) {
      candidate.lowestSequence = baseSequence
    }
    return true
  }

  /**
   * The transactions that are open now were found in the log, and it is not known whether the coordinator has them: nobody
   * goes on with one unasked.
   */
  doubtOngoing(): void {
    for (const producerId of this.#ongoing.values()) this.#doubted.add(producerId)
  }

  /** Takes a batch of the log into account, whose base offset is set; the transaction that it ended, or null. */
  record(bytes: Buffer, start: number, nowMonoMs: number): CompletedTransaction | null {
    const producerId = producerIdAt(bytes, start)
    if (producerId < 0) return null
    const attributes = attributesAt(bytes, start)
    // Compaction leaves a marker without its record when all of the transaction is gone.
    const marker = attributes & CONTROL_FLAG ? markerIn(bytes, start) : null
    if (attributes & CONTROL_FLAG && marker === null) return null
    const epoch = producerEpochAt(bytes, start)
    let producer = this.#producers.get(producerId)
    if (producer === undefined) {
      producer = newProducer(epoch)
      this.#producers.set(producerId, producer)
    } else if (producer.epoch !== epoch) {
      producer.epoch = epoch
      producer.batches.length = 0
    }
    const timestampMs = maxTimestampAt(bytes, start)
    producer.lastTimestampMs = timestampMs
    producer.lastSeenMs = nowMonoMs
    const baseOffset = baseOffsetAt(bytes, start)
    if (marker !== null) {
      producer.coordinatorEpoch = marker.coordinatorEpoch
      return this.#complete(producerId, producer, baseOffset, !marker.isCommit)
    }
    const offsetDelta = lastOffsetDeltaAt(bytes, start)
    if (producer.batches.length === BATCHES_REMEMBERED) producer.batches.shift()
    producer.batches.push({
      lastSequence: lastSequenceOf(baseSequenceAt(bytes, start), offsetDelta),
      lastOffset: baseOffset + offsetDelta,
      offsetDelta,
      timestampMs,
    })
    if (attributes & TRANSACTIONAL_FLAG && producer.currentTxnFirstOffset === NO_OFFSET) {
      producer.currentTxnFirstOffset = baseOffset
      this.#begin(producerId, baseOffset)
    }
    return null
  }

  #begin(producerId: number, firstOffset: number): void {
    this.#ongoing.set(firstOffset, producerId)
    this.#firstOngoing = Math.min(this.#firstOngoing, firstOffset)
    this.#candidates.delete(producerId)
  }

  #complete(
    producerId: number,
    producer: Producer,
    markerOffset: number,
    isAborted: boolean,
  ): CompletedTransaction | null {
    const firstOffset = producer.currentTxnFirstOffset
    if (firstOffset === NO_OFFSET) return null
    producer.currentTxnFirstOffset = NO_OFFSET
    this.#ongoing.delete(firstOffset)
    this.#doubted.delete(producerId)
    if (firstOffset === this.#firstOngoing) this.#firstOngoing = this.#ongoing.keys().next().value ?? Infinity
    const completed = {
      producerId,
      firstOffset,
      lastOffset: markerOffset,
      lastStableOffset: Math.min(this.#firstOngoing, markerOffset + 1),
      isAborted,
    }
    this.#unreplicated.push(completed)
    return completed
  }

  /**
   * Up to where everything is decided and replicated, for a high watermark that never goes back: the first offset of a
   * transaction that is open, or whose marker is not replicated, or else the high watermark.
   */
  stableUpTo(highWatermark: number): number {
    let offset = Math.min(highWatermark, this.#firstOngoing)
    if (this.#unreplicated.length === 0) return offset
    const replicated = this.#unreplicated.findIndex((transaction) => transaction.lastOffset >= highWatermark)
    this.#unreplicated.splice(0, replicated < 0 ? this.#unreplicated.length : replicated)
    for (const { firstOffset } of this.#unreplicated) offset = Math.min(offset, firstOffset)
    return offset
  }

  /** The transactions before `offset` whose markers are not replicated, for a state that is about to be loaded again. */
  unreplicatedBelow(offset: number): readonly CompletedTransaction[] {
    return this.#unreplicated.filter(({ lastOffset }) => lastOffset < offset)
  }

  /** Takes them back. */
  awaitReplication(transactions: readonly CompletedTransaction[]): void {
    this.#unreplicated.push(...transactions)
  }

  /** Forgets the producers that have written nothing for the expiration time and have no transaction open. */
  expire(nowMonoMs: number): void {
    for (const [producerId, producer] of this.#producers) {
      if (producer.currentTxnFirstOffset !== NO_OFFSET) continue
      if (nowMonoMs - producer.lastSeenMs >= this.#expirationMs) this.#producers.delete(producerId)
    }
    for (const [producerId, { seenMs }] of this.#candidates) {
      if (nowMonoMs - seenMs >= this.#expirationMs) this.#candidates.delete(producerId)
    }
  }

  clear(): void {
    this.#producers.clear()
    this.#ongoing.clear()
    this.#firstOngoing = Infinity
    this.#unreplicated.length = 0
    this.#candidates.clear()
  }

  /** What DescribeProducers tells, and a snapshot keeps. */
  entries(): ProducerSnapshotEntry[] {
    const entries: ProducerSnapshotEntry[] = []
    for (const [producerId, producer] of this.#producers) {
      const last = producer.batches.at(-1)
      entries.push({
        producerId,
        epoch: producer.epoch,
        lastSequence: last?.lastSequence ?? NO_SEQUENCE,
        lastOffset: last?.lastOffset ?? -1,
        offsetDelta: last?.offsetDelta ?? 0,
        timestamp: producer.lastTimestampMs,
        coordinatorEpoch: producer.coordinatorEpoch,
        currentTxnFirstOffset: producer.currentTxnFirstOffset,
      })
    }
    return entries
  }

  /** Begins again from a snapshot. Its producers count as seen now, as nothing tells when they last were. */
  restore(entries: readonly ProducerSnapshotEntry[], nowMonoMs: number): void {
    this.clear()
    for (const entry of entries) {
      const producer = newProducer(entry.epoch)
      producer.coordinatorEpoch = entry.coordinatorEpoch
      producer.currentTxnFirstOffset = entry.currentTxnFirstOffset
      producer.lastTimestampMs = entry.timestamp
      producer.lastSeenMs = nowMonoMs
      const { lastSequence, lastOffset, offsetDelta, timestamp } = entry
      if (lastOffset >= 0) producer.batches.push({ lastSequence, lastOffset, offsetDelta, timestampMs: timestamp })
      this.#producers.set(entry.producerId, producer)
    }
    const ongoing = entries.filter(({ currentTxnFirstOffset }) => currentTxnFirstOffset !== NO_OFFSET)
    ongoing.sort((a, b) => a.currentTxnFirstOffset - b.currentTxnFirstOffset)
    for (const { producerId, currentTxnFirstOffset } of ongoing) this.#begin(producerId, currentTxnFirstOffset)
  }
}

/** KIP-890: the end of a transaction of version 2 has the epoch of the next one, so one that does not is late. */
function checkMarker(
  bytes: Buffer,
  start: number,
  producer: Producer | undefined,
  transactionVersion: 1 | 2,
): ProducerVerdict {
  const marker = markerIn(bytes, start)
  if (producer === undefined || marker === null) return NEW
  const producerId = producerIdAt(bytes, start)
  const epoch = producerEpochAt(bytes, start)
  if (epoch < producer.epoch) return fenced(producerId, epoch, producer.epoch)
  if (transactionVersion === 2 && epoch === producer.epoch) {
    // The coordinator sends a marker again when it has not seen the answer. The largest epoch cannot be followed by one.
    const isDone = producer.currentTxnFirstOffset === NO_OFFSET
    if (!isDone && epoch !== LARGEST_EPOCH) return fenced(producerId, epoch, producer.epoch)
  }
  if (marker.coordinatorEpoch < producer.coordinatorEpoch) {
    return refused(
      ErrorCode.transactionCoordinatorFenced,
      `a coordinator of epoch ${marker.coordinatorEpoch} ends a transaction of producer ${producerId}, the partition has ` +
        `seen ${producer.coordinatorEpoch}`,
    )
  }
  return NEW
}

/** What the control batch at `start` says, or null if it has no record or says nothing of transactions. */
function markerIn(bytes: Buffer, start: number): EndTransactionMarker | null {
  if (recordCountAt(bytes, start) === 0) return null
  try {
    const [record] = readRecords(readBatch(bytes, start))
    return record === undefined ? null : readEndTransactionMarker(record)
  } catch (cause) {
    // Written by somebody else: it passed the checksum, and says nothing that is known here.
    if (cause instanceof RangeError) return null
    throw cause
  }
}

function fenced(producerId: number, epoch: number, storedEpoch: number): ProducerVerdict {
  return refused(
    ErrorCode.invalidProducerEpoch,
    `producer ${producerId} comes with epoch ${epoch}, the partition has seen ${storedEpoch}`,
  )
}

function newProducer(epoch: number): Producer {
  return {
    epoch,
    coordinatorEpoch: -1,
    currentTxnFirstOffset: NO_OFFSET,
    lastTimestampMs: -1,
    lastSeenMs: 0,
    batches: [],
  }
}

function refused(errorCode: number, message: string): ProducerVerdict {
  return { kind: 'refused', errorCode, message }
}

function findBatch(producer: Producer, baseSequence: number, offsetDelta: number): ProducedBatch | null {
  const lastSequence = lastSequenceOf(baseSequence, offsetDelta)
  for (const batch of producer.batches) {
    // Equal ends and equal lengths make equal beginnings.
    if (batch.lastSequence === lastSequence && batch.offsetDelta === offsetDelta) return batch
  }
  return null
}

/** Sequences count to 2^31 - 1 and go on with 0. */
function lastSequenceOf(baseSequence: number, offsetDelta: number): number {
  if (baseSequence === NO_SEQUENCE) return NO_SEQUENCE
  const last = baseSequence + offsetDelta
  return last > LARGEST_SEQUENCE ? last - LARGEST_SEQUENCE - 1 : last
}
