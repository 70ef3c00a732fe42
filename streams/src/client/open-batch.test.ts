import { isCrcValidAt, readBatch, readRecords } from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OpenBatch, stampBatch } from './open-batch.ts'

const bytes = fc.option(fc.uint8Array({ maxLength: 300 }))
const record = fc.record({
  key: bytes,
  value: bytes,
  timestampMs: fc.oneof(fc.integer({ min: 0, max: 2_000_000_000_000 }), fc.integer({ min: -1, max: 100_000 })),
  headers: fc.array(fc.record({ key: fc.string({ unit: 'grapheme', maxLength: 8 }), value: bytes }), { maxLength: 3 }),
})
const stamp = { producerId: 4711, producerEpoch: 3, baseSequence: 17, isTransactional: true }

describe('an open batch', () => {
  it('holds what was appended, in order, in every compression', () => {
    const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 20 }),
        fc.constantFrom(...compressions),
        (records, how) => {
          const open = new OpenBatch()
          for (const { key, value, timestampMs, headers } of records) open.append(key, value, timestampMs, headers)
          const finished = open.finish(how)
          stampBatch(finished, stamp)
          expect(isCrcValidAt(finished, 0)).toBe(true)
          const batch = readBatch(finished)
          expect(batch).toMatchObject({ ...stamp, compression: how, recordCount: records.length })
          expect(batch.maxTimestampMs).toBe(Math.max(...records.map(({ timestampMs }) => timestampMs)))
          const read = readRecords(batch).map(({ key, value, timestampMs, headers }) => ({
            key: key && [...key],
            value: value && [...value],
            timestampMs,
            headers: headers.map((header) => ({ key: header.key, value: header.value && [...header.value] })),
          }))
          const plain = records.map(({ key, value, timestampMs, headers }) => ({
            key: key && [...key],
            value: value && [...value],
            timestampMs,
            headers: headers.map((header) => ({ key: header.key, value: header.value && [...header.value] })),
          }))
          expect(read).toEqual(plain)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('never takes more room for a record than its bound says', () => {
    fc.assert(
      fc.property(record, record, (first, second) => {
        const open = new OpenBatch()
        open.append(first.key, first.value, first.timestampMs, first.headers)
        const before = open.sizeBytes
        open.append(second.key, second.value, second.timestampMs, second.headers)
        expect(open.sizeBytes - before).toBeLessThanOrEqual(OpenBatch.boundOf(second.key, second.value, second.headers))
      }),
    )
  })

  it('starts over after a reset and can be stamped again', () => {
    const open = new OpenBatch()
    open.append(Buffer.from('old'), null, 5)
    open.reset()
    open.append(Buffer.from('k'), Buffer.from('v'), 9)
    const batch = open.finish('none')
    stampBatch(batch, stamp)
    stampBatch(batch, { producerId: 1, producerEpoch: 0, baseSequence: 0, isTransactional: false })
    expect(isCrcValidAt(batch, 0)).toBe(true)
    expect(readBatch(batch)).toMatchObject({
      producerId: 1,
      isTransactional: false,
      recordCount: 1,
      baseTimestampMs: 9,
    })
    expect(readRecords(readBatch(batch)).map(({ key }) => String(key))).toEqual(['k'])
  })
})
