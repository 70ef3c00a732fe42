import { MIN_RECORD_BYTES, RECORD_FACT_COUNT, RecordStatus } from '@millrace/native'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildBatch } from './batch-builder.ts'
import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH,
  BATCH_OVERHEAD_BYTES,
  COMPRESSION_MASK,
  CURRENT_MAGIC,
  MAGIC,
  attributesAt,
  hasExactNumbersAt,
  setInt32,
} from './batch-header.ts'
import { checkCompressedRecords } from './check-records.ts'
import { COMPRESSIONS } from './compressions.ts'
import { endOfWholeBatches, readBatch, readBatches } from './record-batch.ts'
import { readRecords } from './record-reader.ts'

/**
 * Batches as a hostile or broken client sends them. The bound is on what comes out: no reader may make more bytes than
 * it was allowed, or more records than those bytes can hold, and none may fail with anything but a RangeError.
 */
const MAX_BODY_BYTES = 20_000

const seeds = COMPRESSIONS.flatMap((compression) => [
  buildBatch({
    records: Array.from({ length: 5 }, (_, i) => ({
      key: i === 2 ? null : Buffer.from(`key ${i}`),
      value: i === 3 ? null : Buffer.alloc(20 * i, `value ${i}`),
      headers: [{ key: 'h', value: i === 1 ? null : Buffer.from('x') }],
      timestampMs: 1_700_000_000_000 - i * 100,
    })),
    compression,
    producerId: 5,
    producerEpoch: 1,
    baseSequence: 9,
  }),
  buildBatch({ records: [{ key: null, value: Buffer.alloc(15_000) }], compression }),
])

type Mutation = {
  readonly kind: 'set' | 'int32' | 'cut' | 'remove' | 'repeat'
  readonly at: number
  readonly value: number
}

const aMutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('set', 'set', 'set', 'int32', 'cut', 'remove', 'repeat'),
  at: fc.oneof(fc.nat({ max: 120 }), fc.nat()),
  value: fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(-1, 0x7fffffff, -0x80000000), fc.integer()),
})

function mutated(bytes: Buffer, { kind, at, value }: Mutation): Buffer {
  const place = at % bytes.length
  switch (kind) {
    case 'set':
      bytes[place] = value
      return bytes
    case 'int32':
      if (place + 4 <= bytes.length) setInt32(bytes, place, value)
      return bytes
    case 'cut':
      return bytes.subarray(0, place)
    case 'remove':
      return Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + 1)])
    case 'repeat':
      return Buffer.concat([bytes, bytes.subarray(place)])
  }
}

const someBytes = fc.oneof(
  fc.tuple(fc.constantFrom(...seeds), fc.array(aMutation, { minLength: 1, maxLength: 5 })).map(([seed, mutations]) => {
    let bytes: Buffer = Buffer.from(seed)
    for (const mutation of mutations) if (bytes.length > 0) bytes = mutated(bytes, mutation)
    return bytes
  }),
  fc.uint8Array({ maxLength: 200 }).map((noise) => Buffer.from(noise)),
)

/** What is thrown, or null. */
function errorOf(run: () => void): unknown {
  try {
    run()
    return null
  } catch (cause) {
    return cause
  }
}

describe('the readers of batches', () => {
  it('give records or throw a RangeError, within what they were allowed', () => {
    let recordCount = 0
    let errorCount = 0
    fc.assert(
      fc.property(someBytes, (bytes) => {
        const mostBytes = Math.max(MAX_BODY_BYTES, bytes.length)
        const error = errorOf(() => {
          for (const batch of readBatches(bytes)) {
            const records = readRecords(batch, { maxBytes: MAX_BODY_BYTES })
            expect(records.length).toBe(batch.recordCount)
            expect(records.length * MIN_RECORD_BYTES).toBeLessThanOrEqual(mostBytes)
            let contentBytes = 0
            for (const record of records) contentBytes += (record.key?.length ?? 0) + (record.value?.length ?? 0)
            expect(contentBytes).toBeLessThanOrEqual(mostBytes)
            recordCount += records.length
          }
        })
        expect(error === null || error instanceof RangeError ? null : error).toBe(null)
        if (error !== null) errorCount++
      }),
      { numRuns: 2000 },
    )
    expect(recordCount).toBeGreaterThan(100)
    expect(errorCount).toBeGreaterThan(100)
  })

  it('agree with the check that a log makes', () => {
    const facts = new Float64Array(RECORD_FACT_COUNT)
    const seen = { accepted: 0, refused: 0 }
    fc.assert(
      fc.property(someBytes, (bytes) => {
        fc.pre(bytes.length >= BATCH_HEADER_BYTES)
        // The header is made whole again, so that what differs are the records.
        setInt32(bytes, BATCH_LENGTH, bytes.length - BATCH_OVERHEAD_BYTES)
        bytes[MAGIC] = CURRENT_MAGIC
        fc.pre(hasExactNumbersAt(bytes, 0) && (attributesAt(bytes, 0) & COMPRESSION_MASK) < COMPRESSIONS.length)
        const status = checkCompressedRecords(bytes, 0, MAX_BODY_BYTES, facts)
        const error = errorOf(() => readRecords(readBatch(bytes), { maxBytes: MAX_BODY_BYTES }))
        expect(error === null || error instanceof RangeError ? null : error).toBe(null)
        expect(status === RecordStatus.ok).toBe(error === null)
        seen[error === null ? 'accepted' : 'refused']++
      }),
      { numRuns: 600 },
    )
    expect(seen.accepted).toBeGreaterThan(20)
    expect(seen.refused).toBeGreaterThan(20)
  })

  it('find the end of the whole batches within the bytes', () => {
    fc.assert(
      fc.property(someBytes, (bytes) => {
        const end = endOfWholeBatches(bytes)
        expect(end).toBeGreaterThanOrEqual(0)
        expect(end).toBeLessThanOrEqual(bytes.length)
      }),
    )
  })
})
