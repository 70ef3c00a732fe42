import assert from 'node:assert/strict'
import { ErrorCode } from '@millrace/protocol'

/** By topic. */
export type TransactionPartitions = ReadonlyMap<string, ReadonlySet<number>>

/** By the numbers that stand for them in the records of __transaction_state; the names are what administrators see. */
export const TRANSACTION_STATUSES = [
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
] as const

export type TransactionStatus = (typeof TRANSACTION_STATUSES)[number]

/** A producer as it calls itself. */
export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

/** A transactional id, its producer, and the one transaction that it can have: what one record of the topic says. */
export interface Transaction extends ProducerIdentity {
  /** Of the step before; -1 where that is not known. */
  readonly previousProducerId: number
  /** Takes the place of `producerId` when the transaction that is ending has ended; -1 if none does. */
  readonly nextProducerId: number
  /** The epoch that the producer gave up for this one; -1 when it did not, and after a restart. */
  readonly lastProducerEpoch: number
  readonly timeoutMs: number
  readonly status: TransactionStatus
  /** Those that take part; while the transaction ends, those that have no marker yet. */
  readonly partitions: TransactionPartitions
  /** -1 outside of a transaction. */
  readonly startTimestampMs: number
  readonly lastUpdateTimestampMs: number
  /** 2 when the client lets every transaction have an epoch of its own (KIP-890), else 0. */
  readonly clientVersion: ClientVersion
}

export type ClientVersion = 0 | 1 | 2

export const NO_PRODUCER_ID = -1
export const NO_EPOCH = -1
const EPOCH_MAX = 0x7fff
const NO_PARTITIONS: TransactionPartitions = new Map()

/** What a step needs besides the transaction: the time, and a producer id that nobody has, if it comes to that. */
export interface Surroundings {
  readonly nowMs: number
  readonly newProducerId: () => number
}

// Each step below takes a transaction as it is and gives what it becomes, or a code of Kafka's if nothing changes. Nothing
// has happened until the caller has stored what it got.

/** The last epoch is kept for fencing, so one before it is the last that a producer gets. */
function isExhausted(epoch: number): boolean {
  return epoch >= EPOCH_MAX - 1
}

/**
 * A producer begins, or begins again: it gets an epoch above all before it. `expected` is who it says it was (KIP-360).
 * 'fence' asks for the open transaction to be aborted by `fence` first; the producer is told to come again.
 */
export function initialize(
  current: Transaction | null,
  request: { readonly timeoutMs: number; readonly expected: ProducerIdentity | null },
  { nowMs, newProducerId }: Surroundings,
): Transaction | 'fence' | number {
  const { timeoutMs, expected } = request
  const fresh = {
    nextProducerId: NO_PRODUCER_ID,
    timeoutMs,
    status: 'Empty',
    partitions: NO_PARTITIONS,
    startTimestampMs: -1,
    lastUpdateTimestampMs: nowMs,
  } as const
  if (current === null) {
    const producerId = newProducerId()
    return {
      ...fresh,
      producerId,
      previousProducerId: producerId,
      producerEpoch: 0,
      lastProducerEpoch: NO_EPOCH,
      clientVersion: 0,
    }
  }
  if (expected !== null && !mayBe(current, expected)) return ErrorCode.producerFenced

  switch (current.status) {
    case 'PrepareCommit':
    case 'PrepareAbort':
      return ErrorCode.concurrentTransactions
    case 'Ongoing':
      return 'fence'
    case 'Empty':
    case 'CompleteCommit':
    case 'CompleteAbort':
      break
    case 'Dead':
    case 'PrepareEpochFence':
      assert.fail(`a transaction is never stored as ${current.status}`)
  }

  const { producerId, producerEpoch, lastProducerEpoch, clientVersion } = current
  const kept = { ...fresh, previousProducerId: producerId, clientVersion }
  const isCurrent = expected === null || expected.producerEpoch === producerEpoch
  if (isExhausted(producerEpoch) && isCurrent) {
    const last = expected === null ? NO_EPOCH : producerEpoch
    return { ...kept, producerId: newProducerId(), producerEpoch: 0, lastProducerEpoch: last }
  }
  if (isCurrent) {
    const last = expected === null ? NO_EPOCH : producerEpoch
    return { ...kept, producerId, producerEpoch: producerEpoch + 1, lastProducerEpoch: last }
  }
  if (expected.producerEpoch === lastProducerEpoch) {
    // The coordinator aborted its last transaction with the epoch that no producer gets.
    if (producerEpoch === EPOCH_MAX)
      return { ...kept, producerId: newProducerId(), producerEpoch: 0, lastProducerEpoch }
    // The answer to the same request got lost: it is given again.
    return { ...kept, producerId, producerEpoch, lastProducerEpoch }
  }
  return ErrorCode.producerFenced
}

function mayBe(current: Transaction, { producerId, producerEpoch }: ProducerIdentity): boolean {
  if (producerId === current.producerId) return true
  return producerId === current.previousProducerId && isExhausted(producerEpoch)
}

/** Partitions join the transaction; the first ones begin it. */
export function addPartitions(
  current: Transaction,
  request: ProducerIdentity & { readonly partitions: TransactionPartitions; readonly clientVersion: ClientVersion },
  nowMs: number,
): Transaction | number {
  const errorCode = checkWriter(current, request)
  if (errorCode !== ErrorCode.none) return errorCode
  const isOngoing = current.status === 'Ongoing'
  if (isOngoing && includesAll(current.partitions, request.partitions)) return ErrorCode.none
  return {
    ...current,
    previousProducerId: current.producerId,
    nextProducerId: NO_PRODUCER_ID,
    status: 'Ongoing',
    partitions: union(isOngoing ? current.partitions : NO_PARTITIONS, request.partitions),
    startTimestampMs: isOngoing ? current.startTimestampMs : nowMs,
    lastUpdateTimestampMs: nowMs,
    clientVersion: request.clientVersion,
  }
}

/** Whether the producer may write to the partition now, because it takes part in the transaction: a code of Kafka's. */
export function verifyPartition(
  current: Transaction,
  identity: ProducerIdentity,
  topic: string,
  partition: number,
): number {
  const errorCode = checkWriter(current, identity)
  if (errorCode !== ErrorCode.none) return errorCode
  const isIn = current.status === 'Ongoing' && current.partitions.get(topic)?.has(partition) === true
  return isIn ? ErrorCode.none : ErrorCode.transactionAbortable
}

function checkWriter(current: Transaction, { producerId, producerEpoch }: ProducerIdentity): number {
  if (producerId !== current.producerId) return ErrorCode.invalidProducerIdMapping
  if (producerEpoch !== current.producerEpoch) return ErrorCode.producerFenced
  return isEnding(current) ? ErrorCode.concurrentTransactions : ErrorCode.none
}

/**
 * The producer commits or aborts. Since version 2 the epoch is raised with it, so that a request that says the epoch before
 * is a repetition and can be told from the next transaction; code 0 is the answer to one whose effect is there already.
 */
export function end(
  current: Transaction,
  request: ProducerIdentity & { readonly isCommit: boolean; readonly clientVersion: ClientVersion },
  { nowMs, newProducerId }: Surroundings,
): Transaction | number {
  const { isCommit, clientVersion } = request
  if (clientVersion < 2) return endWithEpochKept(current, request, nowMs)

  const isRepetitionAfterRotation =
    current.previousProducerId === request.producerId &&
    request.producerEpoch === EPOCH_MAX - 1 &&
    current.producerEpoch === 0
  if (request.producerId !== current.producerId && !isRepetitionAfterRotation) return ErrorCode.invalidProducerIdMapping
  const isRepetition = isRepetitionAfterRotation || current.producerEpoch === request.producerEpoch + 1
  const isCurrent = current.producerEpoch === request.producerEpoch
  const prepare = (): Transaction => {
    const nextProducerId = isExhausted(current.producerEpoch) ? newProducerId() : NO_PRODUCER_ID
    return prepareEnd(current, isCommit, { clientVersion, nextProducerId, nowMs })
  }
  switch (current.status) {
    case 'Ongoing':
      return isCurrent ? prepare() : ErrorCode.producerFenced
    case 'Empty':
      if (!isCurrent) return ErrorCode.producerFenced
      return isCommit ? ErrorCode.invalidTxnState : prepare()
    case 'PrepareCommit':
    case 'PrepareAbort':
      if (current.producerEpoch !== request.producerEpoch + 1) return ErrorCode.producerFenced
      return isCommit === (current.status === 'PrepareCommit')
        ? ErrorCode.concurrentTransactions
        : ErrorCode.invalidTxnState
    case 'CompleteCommit':
    case 'CompleteAbort':
      if (isRepetition) {
        return isCommit === (current.status === 'CompleteCommit') ? ErrorCode.none : ErrorCode.invalidTxnState
      }
      if (!isCurrent) return ErrorCode.producerFenced
      // A producer that has added nothing yet may abort; it gets an epoch beyond whatever it sent.
      return isCommit ? ErrorCode.invalidTxnState : prepare()
    case 'Dead':
    case 'PrepareEpochFence':
      assert.fail(`a transaction is never stored as ${current.status}`)
  }
}

/** Clients of before KIP-890 keep their epoch from one transaction to the next. */
function endWithEpochKept(
  current: Transaction,
  { producerId, producerEpoch, isCommit }: ProducerIdentity & { readonly isCommit: boolean },
  nowMs: number,
): Transaction | number {
  if (producerId !== current.producerId) return ErrorCode.invalidProducerIdMapping
  if (producerEpoch !== current.producerEpoch) return ErrorCode.producerFenced
  switch (current.status) {
    case 'Ongoing':
      return prepareEnd(current, isCommit, { clientVersion: 0, nextProducerId: NO_PRODUCER_ID, nowMs })
    case 'CompleteCommit':
    case 'CompleteAbort':
      return isCommit === (current.status === 'CompleteCommit') ? ErrorCode.none : ErrorCode.invalidTxnState
    case 'PrepareCommit':
    case 'PrepareAbort':
      return isCommit === (current.status === 'PrepareCommit')
        ? ErrorCode.concurrentTransactions
        : ErrorCode.invalidTxnState
    case 'Empty':
      return ErrorCode.invalidTxnState
    case 'Dead':
    case 'PrepareEpochFence':
      assert.fail(`a transaction is never stored as ${current.status}`)
  }
}

/**
 * The coordinator aborts an open transaction, because of its timeout or for a producer that takes over. The epoch is raised
 * by that, also of a client that keeps its own.
 */
export function fence(current: Transaction, serverVersion: number, nowMs: number): Transaction {
  assert(current.status === 'Ongoing')
  const how = { nextProducerId: NO_PRODUCER_ID, nowMs }
  if (serverVersion >= 2) return prepareEnd(current, false, { ...how, clientVersion: 2 })
  const producerEpoch = Math.min(current.producerEpoch + 1, EPOCH_MAX)
  const fenced = { ...current, producerEpoch, lastProducerEpoch: NO_EPOCH }
  return prepareEnd(fenced, false, { ...how, clientVersion: 0 })
}

function prepareEnd(
  current: Transaction,
  isCommit: boolean,
  how: { readonly clientVersion: ClientVersion; readonly nextProducerId: number; readonly nowMs: number },
): Transaction {
  const { producerId, producerEpoch, lastProducerEpoch } = current
  const raises = how.clientVersion >= 2
  return {
    ...current,
    producerEpoch: raises ? Math.min(producerEpoch + 1, EPOCH_MAX) : producerEpoch,
    lastProducerEpoch: raises ? producerEpoch : lastProducerEpoch,
    previousProducerId: producerId,
    nextProducerId: how.nextProducerId,
    status: isCommit ? 'PrepareCommit' : 'PrepareAbort',
    // An abort without a transaction has no other beginning.
    startTimestampMs: current.status === 'Ongoing' ? current.startTimestampMs : how.nowMs,
    lastUpdateTimestampMs: how.nowMs,
    clientVersion: how.clientVersion,
  }
}

/** A partition has its marker, or is gone. */
export function withoutPartition(current: Transaction, topic: string, partition: number): Transaction {
  assert(isEnding(current))
  const partitions = new Map(current.partitions)
  const left = new Set(partitions.get(topic))
  left.delete(partition)
  if (left.size === 0) partitions.delete(topic)
  else partitions.set(topic, left)
  return { ...current, partitions }
}

/** Every partition has its marker. */
export function complete(current: Transaction, nowMs: number): Transaction {
  assert(isEnding(current))
  const rotates = current.nextProducerId !== NO_PRODUCER_ID
  return {
    ...current,
    producerId: rotates ? current.nextProducerId : current.producerId,
    producerEpoch: rotates ? 0 : current.producerEpoch,
    previousProducerId: current.producerId,
    nextProducerId: NO_PRODUCER_ID,
    status: current.status === 'PrepareCommit' ? 'CompleteCommit' : 'CompleteAbort',
    partitions: NO_PARTITIONS,
    lastUpdateTimestampMs: nowMs,
  }
}

/** Whether how the transaction ends is decided, and not everybody who took part has been told. */
export function isEnding({ status }: Transaction): boolean {
  return status === 'PrepareCommit' || status === 'PrepareAbort'
}

/** Whether the transactional id has not been used for so long that it may be forgotten. */
export function isExpired(current: Transaction, nowMs: number, expirationMs: number): boolean {
  return current.status !== 'Ongoing' && !isEnding(current) && current.lastUpdateTimestampMs <= nowMs - expirationMs
}

function includesAll(all: TransactionPartitions, some: TransactionPartitions): boolean {
  for (const [topic, indexes] of some) {
    const present = all.get(topic)
    if (present === undefined) return false
    for (const index of indexes) if (!present.has(index)) return false
  }
  return true
}

function union(one: TransactionPartitions, other: TransactionPartitions): TransactionPartitions {
  const both = new Map(one)
  for (const [topic, indexes] of other) both.set(topic, new Set([...(both.get(topic) ?? []), ...indexes]))
  return both
}
