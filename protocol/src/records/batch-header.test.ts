import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildBatch } from './batch-builder.ts'
import {
  ATTRIBUTES,
  BASE_TIMESTAMP,
  LOG_APPEND_TIME_FLAG,
  MAX_TIMESTAMP,
  PRODUCER_ID,
  attributesAt,
  baseOffsetAt,
  baseSequenceAt,
  baseTimestampAt,
  batchSizeAt,
  crcAt,
  hasExactNumbersAt,
  int16At,
  int32At,
  int64At,
  isCrcValidAt,
  lastOffsetAt,
  lastOffsetDeltaAt,
  leaderEpochAt,
  magicAt,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
  recordCountAt,
  refreshCrc,
  setAttributes,
  setBaseOffset,
  setInt16,
  setInt32,
  setInt64,
  setLeaderEpoch,
  setMaxTimestamp,
} from './batch-header.ts'

const aBatch = (): Buffer =>
  buildBatch({
    records: [
      { key: null, value: Buffer.from('a'), timestampMs: 1000 },
      { key: null, value: null, timestampMs: 3000 },
    ],
    baseOffset: 2 ** 40 + 5,
    leaderEpoch: 7,
    producerId: 2 ** 33,
    producerEpoch: 258,
    baseSequence: 65_537,
    isTransactional: true,
  })

describe('numbers of a header', () => {
  it('are read as Buffer reads them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (bytes) => {
        const buffer = Buffer.from(bytes)
        expect(int16At(buffer, 1)).toBe(buffer.readInt16BE(1))
        expect(int32At(buffer, 2)).toBe(buffer.readInt32BE(2))
      }),
    )
  })

  it('keep every value they are set to', () => {
    const buffer = Buffer.alloc(10, 0xaa)
    const extremes = fc.constantFrom(-1, 0, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 32 - 1, Number.MAX_SAFE_INTEGER)
    fc.assert(
      fc.property(
        fc.oneof(fc.maxSafeInteger(), extremes),
        fc.integer(),
        fc.integer({ min: -32768, max: 32767 }),
        (long, int, short) => {
          setInt64(buffer, 1, long)
          expect(int64At(buffer, 1)).toBe(long)
          expect(buffer.readBigInt64BE(1)).toBe(BigInt(long))
          setInt32(buffer, 1, int)
          expect(int32At(buffer, 1)).toBe(int)
          setInt16(buffer, 1, short)
          expect(int16At(buffer, 1)).toBe(short)
          expect([buffer[0], buffer[9]]).toEqual([0xaa, 0xaa])
        },
      ),
    )
  })

  it('are refused where a number would not be exact', () => {
    const buffer = Buffer.alloc(8)
    expect(() => setInt64(buffer, 0, 2 ** 53)).toThrow(RangeError)
    expect(() => setInt64(buffer, 0, 0.5)).toThrow(RangeError)
    for (const beyond of [2n ** 53n, 2n ** 63n - 1n, -(2n ** 53n) - 1n, -(2n ** 63n)]) {
      buffer.writeBigInt64BE(beyond)
      expect(() => int64At(buffer, 0)).toThrow(RangeError)
    }
  })
})

describe('a batch header', () => {
  it('has its fields where they are looked for, wherever the batch starts', () => {
    const batch = aBatch()
    for (const at of [0, 3]) {
      const buffer = Buffer.concat([Buffer.alloc(at, 0xff), batch])
      expect(batchSizeAt(buffer, at)).toBe(batch.length)
      expect(baseOffsetAt(buffer, at)).toBe(2 ** 40 + 5)
      expect(lastOffsetDeltaAt(buffer, at)).toBe(1)
      expect(lastOffsetAt(buffer, at)).toBe(2 ** 40 + 6)
      expect(leaderEpochAt(buffer, at)).toBe(7)
      expect(magicAt(buffer, at)).toBe(2)
      expect(attributesAt(buffer, at)).toBe(0x10)
      expect(baseTimestampAt(buffer, at)).toBe(1000)
      expect(maxTimestampAt(buffer, at)).toBe(3000)
      expect(producerIdAt(buffer, at)).toBe(2 ** 33)
      expect(producerEpochAt(buffer, at)).toBe(258)
      expect(baseSequenceAt(buffer, at)).toBe(65_537)
      expect(recordCountAt(buffer, at)).toBe(2)
      expect(isCrcValidAt(buffer, at)).toBe(true)
    }
  })

  it('keeps its checksum when the base offset and the leader epoch are stamped', () => {
    const batch = aBatch()
    const crc = crcAt(batch, 0)
    setBaseOffset(batch, 0, 123)
    setLeaderEpoch(batch, 0, 9)
    expect(baseOffsetAt(batch, 0)).toBe(123)
    expect(leaderEpochAt(batch, 0)).toBe(9)
    expect(crcAt(batch, 0)).toBe(crc)
    expect(isCrcValidAt(batch, 0)).toBe(true)
  })

  it('needs a new checksum for every byte behind it', () => {
    for (let at = ATTRIBUTES; at < aBatch().length; at++) {
      const batch = aBatch()
      batch[at]! ^= 1
      expect(isCrcValidAt(batch, 0)).toBe(false)
      refreshCrc(batch, 0)
      expect(isCrcValidAt(batch, 0)).toBe(true)
    }
  })

  it('takes a log append time', () => {
    const batch = aBatch()
    setAttributes(batch, 0, attributesAt(batch, 0) | LOG_APPEND_TIME_FLAG)
    setMaxTimestamp(batch, 0, 9000)
    refreshCrc(batch, 0)
    expect(maxTimestampAt(batch, 0)).toBe(9000)
    expect(attributesAt(batch, 0)).toBe(0x18)
  })

  it('says beforehand whether its numbers can be read', () => {
    expect(hasExactNumbersAt(aBatch(), 0)).toBe(true)
    for (const field of [0, BASE_TIMESTAMP, MAX_TIMESTAMP, PRODUCER_ID]) {
      const batch = aBatch()
      batch.writeBigInt64BE(2n ** 53n, field)
      expect(hasExactNumbersAt(batch, 0)).toBe(false)
      batch.writeBigInt64BE(-(2n ** 63n), field)
      expect(hasExactNumbersAt(batch, 0)).toBe(false)
    }
  })
})
