import { readFileSync } from 'node:fs'
import { RECORD_FACT_COUNT, RecordFact, RecordStatus } from '@millrace/native'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildBatch, type BatchInput, type RecordInput } from './batch-builder.ts'
import { ATTRIBUTES, BATCH_LENGTH, MAGIC, RECORD_COUNT, isCrcValidAt, setInt32 } from './batch-header.ts'
import { checkCompressedRecords } from './check-records.ts'
import { COMPRESSIONS, type Compression } from './compressions.ts'
import { RecordFormatError, endOfWholeBatches, readBatch, readBatches } from './record-batch.ts'
import { RecordReader, readRecords, type BatchRecord } from './record-reader.ts'

const bytes = fc.uint8Array({ maxLength: 300 }).map((content) => Buffer.from(content))

const aTimestamp = fc.oneof(fc.integer({ min: -1, max: 2 ** 41 }), fc.integer({ min: 0, max: 2 ** 52 }))

const aRecord: fc.Arbitrary<RecordInput> = fc.record(
  {
    key: fc.option(bytes),
    value: fc.option(bytes),
    headers: fc.array(fc.record({ key: fc.string({ unit: 'grapheme', maxLength: 8 }), value: fc.option(bytes) }), {
      maxLength: 3,
    }),
    timestampMs: aTimestamp,
  },
  { requiredKeys: ['key', 'value'] },
)

const aBatchInput: fc.Arbitrary<BatchInput> = fc.record(
  {
    records: fc.array(aRecord, { minLength: 1, maxLength: 10 }),
    baseOffset: fc.integer({ min: 0, max: 2 ** 52 }),
    leaderEpoch: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
    compression: fc.constantFrom(...COMPRESSIONS),
    timestampType: fc.constantFrom('CreateTime', 'LogAppendTime'),
    producerId: fc.integer({ min: -1, max: 2 ** 52 }),
    producerEpoch: fc.integer({ min: -1, max: 32767 }),
    baseSequence: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
    isTransactional: fc.boolean(),
    isControl: fc.boolean(),
    nowMs: aTimestamp,
  },
  { requiredKeys: ['records'] },
)

function expectedRecords(input: BatchInput): BatchRecord[] {
  const { baseOffset = 0, nowMs = -1, timestampType } = input
  return input.records.map((record, index) => ({
    offset: baseOffset + index,
    timestampMs: timestampType === 'LogAppendTime' ? nowMs : (record.timestampMs ?? nowMs),
    key: record.key,
    value: record.value,
    headers: record.headers ?? [],
  }))
}

const plainRecord: RecordInput = { key: null, value: Buffer.from('v') }

describe('a batch', () => {
  it('gives back what it was built of', () => {
    fc.assert(
      fc.property(aBatchInput, (input) => {
        const built = buildBatch(input)
        const batch = readBatch(built)
        const { records, baseOffset = 0, timestampType = 'CreateTime', nowMs = -1 } = input
        const timestamps = records.map((record) => record.timestampMs ?? nowMs)
        expect(batch).toEqual({
          baseOffset,
          lastOffset: baseOffset + records.length - 1,
          leaderEpoch: input.leaderEpoch ?? -1,
          compression: input.compression ?? 'none',
          timestampType,
          isTransactional: input.isTransactional ?? false,
          isControl: input.isControl ?? false,
          hasDeleteHorizon: false,
          producerId: input.producerId ?? -1,
          producerEpoch: input.producerEpoch ?? -1,
          baseSequence: input.baseSequence ?? -1,
          recordCount: records.length,
          baseTimestampMs: timestamps[0],
          maxTimestampMs: timestampType === 'LogAppendTime' ? nowMs : Math.max(...timestamps),
          sizeBytes: built.length,
          buffer: built,
          start: 0,
        })
        expect(isCrcValidAt(built, 0)).toBe(true)
        expect(readRecords(batch)).toEqual(expectedRecords(input))

        const facts = new Float64Array(RECORD_FACT_COUNT)
        expect(checkCompressedRecords(built, 0, 1e6, facts)).toBe(RecordStatus.ok)
        expect(facts[RecordFact.maxTimestampDelta]).toBe(Math.max(...timestamps) - timestamps[0]!)
      }),
    )
  })

  it('is found among others, wherever the first one starts', () => {
    fc.assert(
      fc.property(fc.array(aBatchInput, { maxLength: 4 }), fc.nat(9), (inputs, shift) => {
        const buffer = Buffer.concat([Buffer.alloc(shift, 0xff), ...inputs.map(buildBatch), Buffer.alloc(shift, 0xff)])
        const batches = [...readBatches(buffer, shift, buffer.length - shift)]
        expect(batches.map((batch) => readRecords(batch))).toEqual(inputs.map(expectedRecords))
      }),
    )
  })

  it('may have gaps between its offsets, as compaction leaves them', () => {
    const records = [
      { ...plainRecord, offsetDelta: 2 },
      { ...plainRecord, offsetDelta: 300 },
    ]
    const batch = readBatch(buildBatch({ records, baseOffset: 1000, lastOffsetDelta: 500 }))
    expect(readRecords(batch).map((record) => record.offset)).toEqual([1002, 1300])
    expect(batch.lastOffset).toBe(1500)
  })

  it('may be empty, and then says which offsets it stands for', () => {
    const built = buildBatch({ records: [], baseOffset: 5, lastOffsetDelta: 3, producerId: 9, compression: 'lz4' })
    const batch = readBatch(built)
    expect(built.length).toBe(61)
    expect([batch.baseOffset, batch.lastOffset, batch.producerId, batch.compression]).toEqual([5, 8, 9, 'none'])
    expect(readRecords(batch)).toEqual([])
    expect(() => buildBatch({ records: [] })).toThrow(/which offsets/)
  })

  it('refuses timestamps too far apart for an exact delta', () => {
    const records = [
      { ...plainRecord, timestampMs: -(2 ** 52) },
      { ...plainRecord, timestampMs: 2 ** 52 + 2 ** 51 + 2 ** 51 },
    ]
    expect(() => buildBatch({ records })).toThrow(RangeError)
  })
})

describe('readBatches', () => {
  const batch = buildBatch({ records: [plainRecord] })

  function changed(change: (copy: Buffer) => void): Buffer {
    const copy = Buffer.from(batch)
    change(copy)
    return copy
  }

  it.each([
    ['a header that is cut off', batch.subarray(0, 60), 0],
    ['a batch that is cut off', batch.subarray(0, batch.length - 1), BATCH_LENGTH],
    ['a negative length', changed((copy) => setInt32(copy, BATCH_LENGTH, -13)), BATCH_LENGTH],
    ['a length below that of a header', changed((copy) => setInt32(copy, BATCH_LENGTH, 48)), BATCH_LENGTH],
    ['a message of the old formats', changed((copy) => (copy[MAGIC] = 1)), 0],
    ['a compression that does not exist', changed((copy) => (copy[ATTRIBUTES + 1] = 7)), ATTRIBUTES],
  ])('refuses %s and names the byte', (_, buffer, position) => {
    const second = Buffer.concat([batch, buffer])
    const batches = readBatches(second)
    expect(batches.next().done).toBe(false)
    expect(() => batches.next()).toThrow(expect.objectContaining({ position: batch.length + position }))
    expect(() => batches.next()).not.toThrow()
  })

  it('refuses a range that is not in the buffer', () => {
    expect(() => [...readBatches(batch, -1)]).toThrow(RangeError)
    expect(() => [...readBatches(batch, 0, batch.length + 1)]).toThrow(RangeError)
  })
})

describe('endOfWholeBatches', () => {
  it('tells where a cut-off batch begins, whatever is left of it', () => {
    const batches = Buffer.concat([1, 2, 3].map((count) => buildBatch({ records: Array(count).fill(plainRecord) })))
    const ends = [0, ...[...readBatches(batches)].map((batch) => batch.start + batch.sizeBytes)]
    for (let end = 0; end <= batches.length; end++) {
      expect(endOfWholeBatches(batches, 0, end)).toBe(ends.findLast((whole) => whole <= end))
    }
  })

  it('leaves garbage to be reported', () => {
    const garbage = Buffer.alloc(100, 0xff)
    expect(endOfWholeBatches(garbage)).toBe(100)
  })
})

describe('readRecords', () => {
  it('does not believe a record count that cannot be', () => {
    const built = buildBatch({ records: [plainRecord] })
    for (const count of [-1, 2, 2 ** 31 - 1]) {
      setInt32(built, RECORD_COUNT, count)
      expect(() => readRecords(readBatch(built))).toThrow(RecordFormatError)
    }
  })

  it('refuses a body with bytes behind its records, compressed or not', () => {
    for (const compression of COMPRESSIONS) {
      const built = buildBatch({ records: [plainRecord, plainRecord], compression })
      setInt32(built, RECORD_COUNT, 1)
      expect(() => readRecords(readBatch(built))).toThrow(/after the last record/)
    }
  })

  it('stops at the bytes it was allowed', () => {
    const records = [{ key: null, value: Buffer.alloc(100_000) }]
    for (const compression of COMPRESSIONS.slice(1)) {
      const batch = readBatch(buildBatch({ records, compression }))
      expect(() => readRecords(batch, { maxBytes: 100_000 })).toThrow(/more than 100000 bytes/)
      expect(readRecords(batch, { maxBytes: 100_100 })).toHaveLength(1)
    }
  })

  it('makes views, not copies', () => {
    const built = buildBatch({ records: [{ key: Buffer.from('key'), value: Buffer.from('value') }] })
    const [record] = readRecords(readBatch(built))
    built.fill(0x78)
    expect(record?.key?.toString()).toBe('xxx')
    expect(record?.value?.toString()).toBe('xxxxx')
  })
})

describe('RecordReader', () => {
  it('answers for the record it is at, in any order of asking', () => {
    const headers = [
      { key: 'a', value: Buffer.from('1') },
      { key: 'b', value: null },
    ]
    const first = { key: Buffer.from('k'), value: null, headers, timestampMs: 5 }
    const reader = new RecordReader(readBatch(buildBatch({ records: [first, plainRecord], nowMs: 9 })))
    expect(reader.next()).toBe(true)
    expect(reader.headers).toEqual(headers)
    expect(reader.headers).toEqual(headers)
    expect(reader.value).toBe(null)
    expect(reader.key).toEqual(Buffer.from('k'))
    expect(reader.next()).toBe(true)
    expect([reader.offset, reader.timestampMs, reader.key, reader.headers]).toEqual([1, 9, null, []])
    expect(reader.next()).toBe(false)
    expect(reader.next()).toBe(false)
  })
})

describe('batches written by Kafka', () => {
  const stored = JSON.parse(readFileSync(new URL('fixtures/kafka-batches.json', import.meta.url), 'utf8')) as Record<
    Compression,
    string
  >
  const plain = Buffer.from(stored.none, 'base64')

  it.each(COMPRESSIONS)('hold the same records with compression %s', (compression) => {
    const buffer = Buffer.from(stored[compression], 'base64')
    const [batch, ...more] = readBatches(buffer)
    expect(more).toEqual([])
    expect(isCrcValidAt(buffer, 0)).toBe(true)
    expect(batch).toMatchObject({
      compression,
      baseOffset: 1000,
      lastOffset: 1039,
      producerId: 77,
      isTransactional: true,
    })
    const records = readRecords(batch!)
    expect(records).toHaveLength(40)
    expect(records[8]).toEqual({
      offset: 1008,
      timestampMs: 1_700_000_002_992,
      key: Buffer.from('key8'),
      value: Buffer.from(Array.from({ length: 24 }, (_, i) => Math.floor(i / 7) * 8)),
      headers: [
        { key: 'hé8', value: Buffer.from('v') },
        { key: 'n', value: null },
      ],
    })
    expect(records).toEqual(readRecords(readBatch(plain)))
  })

  it('are built the same, byte by byte', () => {
    const { baseOffset, leaderEpoch, producerId, producerEpoch, baseSequence, isTransactional } = readBatch(plain)
    const header = { baseOffset, leaderEpoch, producerId, producerEpoch, baseSequence, isTransactional }
    expect(buildBatch({ records: readRecords(readBatch(plain)), ...header })).toEqual(plain)
  })
})
