import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildBatch } from './batch-builder.ts'
import { isCrcValidAt, refreshCrc, setAttributes } from './batch-header.ts'
import type { Compression } from './compressions.ts'
import { readBatch } from './record-batch.ts'
import { readRecords } from './record-reader.ts'

/** The encoder and decoder of kafkajs, which nobody here wrote, against ours in both directions. */
const require = createRequire(import.meta.url)

interface KafkaJsEncoder {
  readonly buffer: Buffer
}

interface KafkaJsRecord {
  readonly offset: string
  readonly timestamp: string
  readonly key: unknown
  readonly value: unknown
  readonly headers: unknown
}

interface KafkaJsBatch {
  readonly firstOffset: string
  readonly maxTimestamp: string
  readonly producerId: string
  readonly producerEpoch: number
  readonly firstSequence: number
  readonly inTransaction: boolean
  readonly isControlBatch: boolean
  readonly records: readonly KafkaJsRecord[]
}

type Attributes = Readonly<Record<string, unknown>>

const { RecordBatch: encodeBatch } = require('kafkajs/src/protocol/recordBatch/v0/index.js') as {
  readonly RecordBatch: (attributes: Attributes) => Promise<KafkaJsEncoder>
}
const encodeRecord = require('kafkajs/src/protocol/recordBatch/record/v0/index.js') as (
  attributes: Attributes,
) => KafkaJsEncoder
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder.js') as (
  decoder: object,
) => Promise<KafkaJsBatch>
const Decoder = require('kafkajs/src/protocol/decoder.js') as new (bytes: Buffer) => object

/** What both can read: kafkajs has no snappy, lz4 or zstd of its own. */
const SHARED: readonly (readonly [Compression, number])[] = [
  ['none', 0],
  ['gzip', 1],
]

const bytes = fc.uint8Array({ maxLength: 200 }).map((content) => Buffer.from(content))

/** Header keys are distinct and never numbers, since kafkajs makes an object of them. */
const headers = fc.dictionary(
  fc.string({ unit: 'grapheme', maxLength: 6 }).map((key) => `h${key}`),
  bytes,
  {
    maxKeys: 3,
    noNullPrototype: true,
  },
)

const someRecords = fc.array(
  fc.record({
    key: fc.option(bytes),
    value: fc.option(bytes),
    timestampMs: fc.integer({ min: 1_600_000_000_000, max: 1_800_000_000_000 }),
    headers,
  }),
  { minLength: 1, maxLength: 8 },
)

describe.each(SHARED)('batches of kafkajs with compression %s', (compression, code) => {
  it('are read', async () => {
    await fc.assert(
      fc.asyncProperty(someRecords, fc.boolean(), async (records, transactional) => {
        const firstTimestamp = records[0]!.timestampMs
        const encoder = await encodeBatch({
          compression: code,
          firstTimestamp,
          maxTimestamp: Math.max(...records.map((record) => record.timestampMs)),
          lastOffsetDelta: records.length - 1,
          transactional,
          producerId: 12,
          producerEpoch: 3,
          firstSequence: 40,
          records: records.map((record, offsetDelta) =>
            encodeRecord({ ...record, offsetDelta, timestampDelta: record.timestampMs - firstTimestamp }),
          ),
        })
        // Its decoder works on the buffer of the encoder as well; this one is ours alone.
        const buffer = Buffer.from(encoder.buffer)
        expect(isCrcValidAt(buffer, 0)).toBe(true)
        const batch = readBatch(buffer)
        expect(batch.sizeBytes).toBe(buffer.length)
        expect(batch).toMatchObject({ compression, producerId: 12, producerEpoch: 3, baseSequence: 40 })
        expect(batch.isTransactional).toBe(transactional)
        expect(readRecords(batch)).toEqual(
          records.map((record, offset) => ({
            offset,
            timestampMs: record.timestampMs,
            key: record.key,
            value: record.value,
            headers: Object.entries(record.headers).map(([key, value]) => ({ key, value })),
          })),
        )
      }),
    )
  })
})

describe.each(SHARED)('kafkajs', (compression) => {
  it(`reads our batches with compression ${compression}`, async () => {
    await fc.assert(
      fc.asyncProperty(someRecords, fc.integer({ min: 0, max: 2 ** 52 }), async (records, baseOffset) => {
        const built = buildBatch({
          records: records.map((record) => ({
            ...record,
            headers: Object.entries(record.headers).map(([key, value]) => ({ key, value })),
          })),
          compression,
          baseOffset,
          producerId: 2 ** 40,
          producerEpoch: 5,
          baseSequence: 6,
          isTransactional: true,
        })
        const batch = await decodeBatch(new Decoder(built))
        expect(batch).toMatchObject({ firstOffset: String(baseOffset), producerId: String(2 ** 40), firstSequence: 6 })
        expect(batch).toMatchObject({ producerEpoch: 5, inTransaction: true, isControlBatch: false })
        expect(batch.maxTimestamp).toBe(String(Math.max(...records.map((record) => record.timestampMs))))
        expect(
          batch.records.map(({ offset, timestamp, key, value, headers: decoded }) => ({
            offset,
            timestamp,
            key,
            value,
            decoded,
          })),
        ).toEqual(
          records.map((record, index) => ({
            offset: String(baseOffset + index),
            timestamp: String(record.timestampMs),
            key: record.key,
            value: record.value,
            decoded: record.headers,
          })),
        )
      }),
    )
  })
})

describe('the checksum of kafkajs', () => {
  const crc32C = require('kafkajs/src/protocol/recordBatch/crc32C/index.js') as (bytes: Buffer) => number

  it('is ours', () => {
    const built = buildBatch({ records: [{ key: null, value: Buffer.alloc(5000, 'value') }] })
    setAttributes(built, 0, 0x10)
    refreshCrc(built, 0)
    expect(crc32C(built.subarray(21)) >>> 0).toBe(built.readUInt32BE(17))
  })
})
