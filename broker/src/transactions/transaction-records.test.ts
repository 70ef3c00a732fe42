import { buildBatch, readBatch, readRecords, type BatchRecord } from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TRANSACTION_STATUSES, type Transaction } from './transaction.ts'
import { decodeTransactionRecord, encodeTransactionRecord, type TransactionRecord } from './transaction-records.ts'

const id = fc.integer({ min: -1, max: 2 ** 50 })
const epoch = fc.integer({ min: -1, max: 0x7fff })
const time = fc.integer({ min: -1, max: 2 ** 45 })
const partitions = fc
  .dictionary(fc.stringMatching(/^[a-z.]{1,20}$/), fc.uniqueArray(fc.nat(), { minLength: 1, maxLength: 5 }))
  .map((topics) => new Map(Object.entries(topics).map(([topic, indexes]) => [topic, new Set(indexes)])))

const transactions: fc.Arbitrary<Transaction> = fc
  .record({
    producerId: id,
    previousProducerId: id,
    nextProducerId: id,
    producerEpoch: epoch,
    lastProducerEpoch: fc.constant(-1),
    timeoutMs: fc.nat(),
    status: fc.constantFrom(...TRANSACTION_STATUSES),
    partitions,
    startTimestampMs: time,
    lastUpdateTimestampMs: time,
    clientVersion: fc.constantFrom(0, 1, 2),
  })
  .map((transaction) => (transaction.status === 'Empty' ? { ...transaction, partitions: new Map() } : transaction))

function stored(record: TransactionRecord, transactionVersion: number): BatchRecord {
  const batch = buildBatch({ records: [encodeTransactionRecord(record, transactionVersion)], nowMs: 0 })
  return readRecords(readBatch(batch))[0]!
}

describe('a record of __transaction_state', () => {
  it('gives back what was stored', () => {
    fc.assert(
      fc.property(fc.string(), transactions, fc.constantFrom(1, 2), (transactionalId, transaction, version) => {
        const record = { transactionalId, transaction }
        expect(decodeTransactionRecord(stored(record, version))).toEqual(record)
      }),
    )
  })

  it('leaves out what brokers of before transaction.version 1 do not know', () => {
    fc.assert(
      fc.property(transactions, (transaction) => {
        const record = stored({ transactionalId: 'x', transaction }, 0)
        expect(record.value!.readInt16BE(0)).toBe(0)
        const known = { ...transaction, previousProducerId: -1, nextProducerId: -1, clientVersion: 0 }
        expect(decodeTransactionRecord(record)?.transaction).toEqual(known)
      }),
    )
  })

  it('without a value says that the id is forgotten', () => {
    const record = { transactionalId: 'gone', transaction: null }
    expect(decodeTransactionRecord(stored(record, 2))).toEqual(record)
  })

  it('of another kind says nothing, and one that is cut short is an error', () => {
    const { key, value, ...rest } = stored({ transactionalId: 'x', transaction: null }, 2)
    expect(decodeTransactionRecord({ ...rest, key: null, value })).toBeNull()
    expect(decodeTransactionRecord({ ...rest, key: Buffer.from([0, 9, 0, 1, 65]), value })).toBeNull()
    expect(() => decodeTransactionRecord({ ...rest, key, value: Buffer.from([0, 1, 0]) })).toThrow(RangeError)
    expect(() => decodeTransactionRecord({ ...rest, key: key!.subarray(0, 4), value })).toThrow(RangeError)
  })
})
