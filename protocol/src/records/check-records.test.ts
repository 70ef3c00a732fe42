import { RECORD_FACT_COUNT, RecordFact, RecordStatus } from '@millrace/native'
import { describe, expect, it } from 'vitest'
import { buildBatch } from './batch-builder.ts'
import { RECORD_COUNT, setAttributes, setInt32 } from './batch-header.ts'
import { checkCompressedRecords } from './check-records.ts'
import { COMPRESSIONS } from './compressions.ts'

const records = Array.from({ length: 20 }, (_, i) => ({
  key: i === 7 ? null : Buffer.from(`key ${i}`),
  value: Buffer.alloc(500),
  timestampMs: 1000 + ((i * 7) % 20),
}))

const facts = new Float64Array(RECORD_FACT_COUNT)
const prefix = Buffer.alloc(5, 0xff)

describe.each(COMPRESSIONS)('checkCompressedRecords with %s', (compression) => {
  const aBatch = (): Buffer => Buffer.concat([prefix, buildBatch({ records, compression }), prefix])

  it('accepts the batch and tells what is in it', () => {
    expect(checkCompressedRecords(aBatch(), prefix.length, 1e6, facts)).toBe(RecordStatus.ok)
    expect(facts[RecordFact.maxTimestampDelta]).toBe(19)
    expect(facts[RecordFact.firstNullKeyIndex]).toBe(7)
    expect(facts[RecordFact.hasContiguousOffsets]).toBe(1)
    expect(facts[RecordFact.lastOffsetDelta]).toBe(19)
  })

  it('sees that the count in the header is wrong', () => {
    for (const [count, status] of [
      [19, RecordStatus.tooManyBytes],
      [21, RecordStatus.tooFewRecords],
    ] as const) {
      const batch = aBatch()
      setInt32(batch, prefix.length + RECORD_COUNT, count)
      expect(checkCompressedRecords(batch, prefix.length, 1e6, facts)).toBe(status)
    }
  })

  it('sees that a batch without body holds no records', () => {
    const empty = buildBatch({ records: [], lastOffsetDelta: 0 })
    setAttributes(empty, 0, COMPRESSIONS.indexOf(compression))
    expect(checkCompressedRecords(empty, 0, 1e6, facts)).toBe(RecordStatus.ok)
    setInt32(empty, RECORD_COUNT, 1)
    expect(checkCompressedRecords(empty, 0, 1e6, facts)).toBe(RecordStatus.tooFewRecords)
  })
})

describe('checkCompressedRecords', () => {
  it('answers for a body that is too large, malformed or of an unknown codec', () => {
    for (const compression of COMPRESSIONS.slice(1)) {
      const batch = buildBatch({ records, compression })
      expect(checkCompressedRecords(batch, 0, 5000, facts)).toBe(RecordStatus.bodyTooLarge)
      batch.fill(0xff, 61)
      expect(checkCompressedRecords(batch, 0, 1e6, facts)).toBe(RecordStatus.badCompression)
      setAttributes(batch, 0, 5)
      expect(checkCompressedRecords(batch, 0, 1e6, facts)).toBe(RecordStatus.badCompression)
    }
  })
})
