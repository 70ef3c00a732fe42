import {
  decodeVersioned,
  encodeVersioned,
  transactionLogKey,
  transactionLogValue,
  type BatchRecord,
  type RecordInput,
} from '@millrace/protocol'
import { NO_EPOCH, TRANSACTION_STATUSES, type ClientVersion, type Transaction } from './transaction.ts'

const KEY_VERSION = 0
// Since transaction.version 1; before it there was no place for what KIP-890 needs.
const VALUE_VERSION_FLEXIBLE = 1

/** A record of __transaction_state; `transaction` is null in a tombstone. */
export interface TransactionRecord {
  readonly transactionalId: string
  readonly transaction: Transaction | null
}

export function encodeTransactionRecord(record: TransactionRecord, transactionVersion: number): RecordInput {
  const { transactionalId, transaction } = record
  const key = encodeVersioned(transactionLogKey, KEY_VERSION, { transactionalId })
  if (transaction === null) return { key, value: null }
  const valueVersion = transactionVersion >= 1 ? VALUE_VERSION_FLEXIBLE : 0
  const partitions = Array.from(transaction.partitions, ([topic, indexes]) => ({ topic, partitionIds: [...indexes] }))
  return {
    key,
    value: encodeVersioned(transactionLogValue, valueVersion, {
      producerId: transaction.producerId,
      previousProducerId: transaction.previousProducerId,
      nextProducerId: transaction.nextProducerId,
      producerEpoch: transaction.producerEpoch,
      transactionTimeoutMs: transaction.timeoutMs,
      transactionStatus: TRANSACTION_STATUSES.indexOf(transaction.status),
      transactionPartitions: transaction.status === 'Empty' ? null : partitions,
      transactionLastUpdateTimestampMs: transaction.lastUpdateTimestampMs,
      transactionStartTimestampMs: transaction.startTimestampMs,
      clientTransactionVersion: transaction.clientVersion,
    }),
  }
}

/** Null for a record that is not of a transactional id. Throws a RangeError for one that should be and cannot be read. */
export function decodeTransactionRecord({ key, value }: BatchRecord): TransactionRecord | null {
  if (key === null || key.length < 2 || key.readInt16BE(0) !== KEY_VERSION) return null
  const { transactionalId } = decodeVersioned(transactionLogKey, key).value
  return { transactionalId, transaction: value && decodeValue(value) }
}

function decodeValue(bytes: Buffer): Transaction {
  const { value } = decodeVersioned(transactionLogValue, bytes)
  const status = TRANSACTION_STATUSES[value.transactionStatus]
  if (status === undefined) throw new RangeError(`transaction status ${value.transactionStatus} is not known`)
  return {
    producerId: value.producerId,
    previousProducerId: value.previousProducerId,
    nextProducerId: value.nextProducerId,
    producerEpoch: value.producerEpoch,
    // Kafka does not store it: a repetition of InitProducerId across a restart of the broker is refused.
    lastProducerEpoch: NO_EPOCH,
    timeoutMs: value.transactionTimeoutMs,
    status,
    partitions: new Map(
      (value.transactionPartitions ?? []).map(({ topic, partitionIds }) => [topic, new Set(partitionIds)]),
    ),
    startTimestampMs: value.transactionStartTimestampMs,
    lastUpdateTimestampMs: value.transactionLastUpdateTimestampMs,
    clientVersion: asClientVersion(value.clientTransactionVersion),
  }
}

function asClientVersion(version: number): ClientVersion {
  if (version === 0 || version === 1 || version === 2) return version
  throw new RangeError(`client transaction version ${version} is not known`)
}
