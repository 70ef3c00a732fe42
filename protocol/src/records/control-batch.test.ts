import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { buildBatch } from './batch-builder.ts'
import {
  ControlType,
  buildControlBatch,
  buildEndTransactionBatch,
  controlTypeOf,
  readEndTransactionMarker,
} from './control-batch.ts'
import { readBatch } from './record-batch.ts'
import { readRecords, type BatchRecord } from './record-reader.ts'

const aMarker = { producerId: 77, producerEpoch: 3, coordinatorEpoch: 8, nowMs: 1_700_000_000_000 }

function onlyRecord(built: Buffer): BatchRecord {
  const records = readRecords(readBatch(built))
  expect(records).toHaveLength(1)
  return records[0]!
}

describe('the end of a transaction', () => {
  it('says how it ended and who said so', () => {
    for (const isCommit of [true, false]) {
      const built = buildEndTransactionBatch({ ...aMarker, isCommit, baseOffset: 9, leaderEpoch: 4 })
      expect(readBatch(built)).toMatchObject({
        baseOffset: 9,
        lastOffset: 9,
        leaderEpoch: 4,
        isControl: true,
        isTransactional: true,
        producerId: 77,
        producerEpoch: 3,
        baseSequence: -1,
        maxTimestampMs: 1_700_000_000_000,
      })
      expect(readEndTransactionMarker(onlyRecord(built))).toEqual({ isCommit, coordinatorEpoch: 8 })
    }
  })

  it('is what Kafka writes, byte by byte', () => {
    const fixture = new URL('fixtures/kafka-batches.json', import.meta.url)
    const { commit } = JSON.parse(readFileSync(fixture, 'utf8')) as { commit: string }
    const built = buildEndTransactionBatch({ ...aMarker, isCommit: true, baseOffset: 9, leaderEpoch: 4 })
    expect(built).toEqual(Buffer.from(commit, 'base64'))
  })

  it('refuses keys and values that are too short', () => {
    const short = Buffer.alloc(3)
    const key = Buffer.from([0, 0, 0, 1])
    for (const [badKey, value] of [
      [null, null],
      [short, null],
      [key, null],
      [key, short],
      [Buffer.alloc(4, 0xff), short],
    ] as const) {
      const record = onlyRecord(buildBatch({ records: [{ key: badKey, value }], isControl: true }))
      expect(() => readEndTransactionMarker(record)).toThrow(RangeError)
    }
  })
})

describe('a control record of KRaft', () => {
  it('carries the message it was given and belongs to no producer', () => {
    const value = Buffer.from('leader 1')
    const built = buildControlBatch({ type: ControlType.leaderChange, value, nowMs: 5, baseOffset: 30, leaderEpoch: 2 })
    expect(readBatch(built)).toMatchObject({ baseOffset: 30, leaderEpoch: 2, isControl: true, isTransactional: false })
    expect(readBatch(built)).toMatchObject({ producerId: -1, producerEpoch: -1, baseSequence: -1 })
    const record = onlyRecord(built)
    expect(controlTypeOf(record)).toBe(2)
    expect(record.key).toEqual(Buffer.from([0, 0, 0, 2]))
    expect(record.value).toEqual(value)
    expect(readEndTransactionMarker(record)).toBe(null)
  })
})
