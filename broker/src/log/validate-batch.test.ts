import {
  ATTRIBUTES,
  BASE_TIMESTAMP,
  BATCH_BASE_OFFSET,
  BATCH_LENGTH,
  ErrorCode,
  LAST_OFFSET_DELTA,
  MAGIC,
  MAX_TIMESTAMP,
  PRODUCER_ID,
  RECORDS,
  RECORD_COUNT,
  buildBatch,
  errorName,
  isCrcValidAt,
  readBatch,
  readRecords,
  refreshCrc,
  setInt16,
  setInt32,
  setInt64,
  type BatchInput,
  type RecordInput,
} from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultLogConfig, type LogConfig, type TopicCompression } from './log-config.ts'
import { validateBatch, type ValidationOptions } from './validate-batch.ts'

const NOW = Date.UTC(2026, 0, 1)
const HOUR_MS = 60 * 60 * 1000

function record(value: string, rest: Partial<RecordInput> = {}): RecordInput {
  return { key: Buffer.from('k'), value: Buffer.from(value), ...rest }
}

function batch(input: Partial<BatchInput> = {}): Buffer {
  return buildBatch({ records: [record('a'), record('b')], nowMs: NOW, ...input })
}

/** The batch after a change that its checksum covers, or with a checksum that is wrong since. */
function changed(bytes: Buffer, change: (bytes: Buffer) => void, options = { fixCrc: true }): Buffer {
  change(bytes)
  if (options.fixCrc) refreshCrc(bytes, 0)
  return bytes
}

function raw(bytes: Buffer, change: (bytes: Buffer) => void): Buffer {
  return changed(bytes, change, { fixCrc: false })
}

function validate(bytes: Buffer, config: Partial<LogConfig> = {}, options: Partial<ValidationOptions> = {}) {
  return validateBatch(
    bytes,
    0,
    bytes.length,
    { ...defaultLogConfig, ...config },
    {
      origin: 'client',
      produceVersion: undefined,
      nowMs: NOW,
      ...options,
    },
  )
}

/** The batch as it is stored, of which the test takes for granted that it is. */
function stored(bytes: Buffer, config: Partial<LogConfig> = {}, options: Partial<ValidationOptions> = {}): Buffer {
  const result = validate(bytes, config, options)
  if (!result.isValid) throw new Error(`refused: ${result.errorMessage}`)
  return result.bytes.subarray(result.start, result.end)
}

interface Case {
  readonly name: string
  readonly bytes: () => Buffer
  readonly config?: Partial<LogConfig>
  readonly produceVersion?: number
}

/**
 * What Apache Kafka 4.3.1 answered for these very bytes. It differs in three places: a body that cannot be decompressed
 * and an unknown codec are UNKNOWN_SERVER_ERROR there, and timestamps beyond 2^53 are taken.
 */
const refusals: Record<string, readonly Case[]> = {
  INVALID_RECORD: [
    { name: 'no bytes', bytes: () => Buffer.alloc(0) },
    { name: 'fewer bytes than tell a length', bytes: () => Buffer.alloc(10) },
    { name: 'a batch cut off by one byte', bytes: () => batch().subarray(0, -1) },
    { name: 'a length far beyond the bytes', bytes: () => raw(batch(), (x) => setInt32(x, BATCH_LENGTH, 0x7fff_ffff)) },
    { name: 'two batches', bytes: () => Buffer.concat([batch(), batch()]) },
    { name: 'magic 0', bytes: () => raw(batch(), (x) => (x[MAGIC] = 0)) },
    { name: 'magic 1', bytes: () => raw(batch(), (x) => (x[MAGIC] = 1)) },
    { name: 'a base offset', bytes: () => batch({ baseOffset: 7 }) },
    { name: 'a negative base offset', bytes: () => raw(batch(), (x) => setInt64(x, BATCH_BASE_OFFSET, -1)) },
    {
      name: 'a base offset beyond 2^53',
      bytes: () => raw(batch(), (x) => setInt32(x, BATCH_BASE_OFFSET, 0x7fff_ffff)),
    },
    { name: 'more records counted than offsets', bytes: () => changed(batch(), (x) => setInt32(x, RECORD_COUNT, 3)) },
    {
      name: 'more records counted than there are',
      bytes: () =>
        changed(batch(), (x) => {
          setInt32(x, RECORD_COUNT, 3)
          setInt32(x, LAST_OFFSET_DELTA, 2)
        }),
    },
    {
      name: 'fewer records counted than there are',
      bytes: () =>
        changed(batch(), (x) => {
          setInt32(x, RECORD_COUNT, 1)
          setInt32(x, LAST_OFFSET_DELTA, 0)
        }),
    },
    {
      name: 'two thousand million records in a compressed batch',
      bytes: () =>
        changed(batch({ compression: 'gzip' }), (x) => {
          setInt32(x, RECORD_COUNT, 2_000_000_000)
          setInt32(x, LAST_OFFSET_DELTA, 1_999_999_999)
        }),
    },
    {
      name: 'no records',
      bytes: () =>
        changed(batch(), (x) => {
          setInt32(x, RECORD_COUNT, 0)
          setInt32(x, LAST_OFFSET_DELTA, -1)
        }),
    },
    { name: 'a negative record count', bytes: () => changed(batch(), (x) => setInt32(x, RECORD_COUNT, -1)) },
    { name: 'a control batch', bytes: () => batch({ isControl: true }) },
    { name: 'a producer id without a sequence', bytes: () => batch({ producerId: 7, producerEpoch: 0 }) },
    { name: 'a record longer than the batch', bytes: () => changed(batch(), (x) => (x[RECORDS] = 0x7e)) },
    { name: 'a record of negative length', bytes: () => changed(batch(), (x) => (x[RECORDS] = 1)) },
    { name: 'a key of length -2', bytes: () => changed(batch(), (x) => (x[RECORDS + 4] = 3)) },
    { name: 'a key longer than its record', bytes: () => changed(batch(), (x) => (x[RECORDS + 4] = 0x7e)) },
    { name: 'headers that are not there', bytes: () => changed(batch(), (x) => (x[x.length - 1] = 18)) },
    { name: 'a negative header count', bytes: () => changed(batch(), (x) => (x[x.length - 1] = 1)) },
    {
      name: 'bytes behind the records',
      bytes: () => {
        const bytes = Buffer.concat([batch(), Buffer.alloc(3)])
        return changed(bytes, (x) => setInt32(x, BATCH_LENGTH, x.length - 12))
      },
    },
    {
      name: 'a record without a key in a compacted topic',
      config: { isCompacted: true },
      bytes: () => batch({ records: [record('a'), record('b', { key: null })] }),
    },
    ...(['gzip', 'snappy', 'lz4', 'zstd'] as const).map((compression) => ({
      name: `${compression} that is none`,
      bytes: () => changed(batch({ compression }), (x) => x.fill(7, RECORDS)),
    })),
  ],
  CORRUPT_MESSAGE: [
    { name: 'zeros', bytes: () => Buffer.alloc(61) },
    { name: 'a length below that of any batch', bytes: () => raw(batch(), (x) => setInt32(x, BATCH_LENGTH, 13)) },
    { name: 'a length below that of a header', bytes: () => raw(batch(), (x) => setInt32(x, BATCH_LENGTH, 48)) },
    { name: 'a negative length', bytes: () => raw(batch(), (x) => setInt32(x, BATCH_LENGTH, -5)) },
    { name: 'magic 3', bytes: () => raw(batch(), (x) => (x[MAGIC] = 3)) },
    { name: 'magic -1', bytes: () => raw(batch(), (x) => (x[MAGIC] = 0xff)) },
    { name: 'zeros behind the batch', bytes: () => Buffer.concat([batch(), Buffer.alloc(30)]) },
    { name: 'a wrong checksum', bytes: () => raw(batch(), (x) => (x[x.length - 1]! ^= 1)) },
  ],
  MESSAGE_TOO_LARGE: [
    { name: 'a batch larger than the topic takes', config: { maxMessageBytes: 78 }, bytes: () => batch() },
    {
      name: 'such a batch with a wrong checksum',
      config: { maxMessageBytes: 78 },
      bytes: () => raw(batch(), (x) => (x[x.length - 1]! ^= 1)),
    },
    {
      name: 'a batch that is too large when it is not compressed any more',
      config: { maxMessageBytes: 200, compressionType: 'uncompressed' },
      bytes: () => batch({ records: [record('x'.repeat(200))], compression: 'gzip' }),
    },
  ],
  INVALID_TIMESTAMP: [
    {
      name: 'a record from the future',
      bytes: () => batch({ records: [record('a'), record('b', { timestampMs: NOW + HOUR_MS + 1 })] }),
    },
    {
      name: 'a record of too long ago',
      config: { timestampBeforeMaxMs: HOUR_MS },
      bytes: () => batch({ records: [record('a'), record('b', { timestampMs: NOW - HOUR_MS - 1 })] }),
    },
    {
      name: 'a compressed record of too long ago',
      config: { timestampBeforeMaxMs: HOUR_MS },
      bytes: () => batch({ records: [record('a', { timestampMs: NOW - HOUR_MS - 1 })], compression: 'lz4' }),
    },
    {
      name: 'the timestamp type of the log where the log sets timestamps',
      config: { messageTimestampType: 'LogAppendTime' },
      bytes: () => batch({ timestampType: 'LogAppendTime' }),
    },
    {
      name: 'a timestamp beyond 2^53',
      config: { timestampAfterMaxMs: Infinity },
      bytes: () => changed(batch(), (x) => setInt32(x, BASE_TIMESTAMP, 0x7fff_ffff)),
    },
  ],
  UNSUPPORTED_COMPRESSION_TYPE: [
    {
      name: 'zstd from a client that is too old for it',
      produceVersion: 6,
      bytes: () => batch({ compression: 'zstd' }),
    },
    { name: 'codec 5', bytes: () => changed(batch(), (x) => setInt16(x, ATTRIBUTES, 5)) },
  ],
}

describe('validateBatch', () => {
  for (const [code, cases] of Object.entries(refusals)) {
    it.each(cases)(`answers ${code} for $name`, ({ bytes, config, produceVersion }) => {
      const result = validate(bytes(), config, { produceVersion })
      expect(result.isValid ? 'NONE' : errorName(result.errorCode)).toBe(code)
    })
  }

  it.each([
    { name: 'a good batch', bytes: () => batch() },
    { name: 'the beginning of a second one', bytes: () => Buffer.concat([batch(), batch().subarray(0, 65)]) },
    { name: 'a few bytes behind the batch', bytes: () => Buffer.concat([batch(), Buffer.alloc(5)]) },
    { name: 'a negative producer id', bytes: () => changed(batch(), (x) => setInt64(x, PRODUCER_ID, -2)) },
    { name: 'no timestamps', bytes: () => batch({ nowMs: -1 }), config: { timestampBeforeMaxMs: HOUR_MS } },
    { name: 'unused attribute bits', bytes: () => changed(batch(), (x) => setInt16(x, ATTRIBUTES, 0x100)) },
    { name: 'zstd', bytes: () => batch({ compression: 'zstd' }), produceVersion: 7 },
  ])('takes $name', ({ bytes, ...rest }) => {
    const sent = bytes()
    const { config, produceVersion } = rest as Partial<Case>
    const before = Buffer.from(sent.subarray(0, 12 + sent.readInt32BE(BATCH_LENGTH)))
    expect(stored(sent, config, { produceVersion })).toEqual(before)
  })

  it('names the records that it refuses, and a thousand of them at most', () => {
    const records = Array.from({ length: 3000 }, (_, i) => record(`v${i}`, i % 2 === 0 ? {} : { key: null }))
    const result = validate(batch({ records }), { isCompacted: true })
    expect(result).toMatchObject({ isValid: false, errorMessage: expect.stringContaining('1500 records') })
    const recordErrors = result.isValid ? [] : result.recordErrors
    expect(recordErrors.length).toBe(1000)
    expect(recordErrors[1]).toEqual({ batchIndex: 3, message: 'a record of a compacted topic needs a key' })
  })

  it('refuses a small batch that would become a very large one', () => {
    const records = [record('', { value: Buffer.alloc(80 * 1024 * 1024) })]
    const bytes = batch({ records, compression: 'zstd' })
    expect(bytes.length).toBeLessThan(100_000)
    expect(validate(bytes)).toMatchObject({ errorCode: ErrorCode.messageTooLarge })
  })

  it('corrects a wrong largest timestamp and the checksum with it', () => {
    const bytes = changed(batch({ records: [record('a'), record('b', { timestampMs: NOW - 5 })] }), (x) =>
      setInt64(x, MAX_TIMESTAMP, NOW + 777),
    )
    const kept = stored(bytes)
    expect(kept.buffer).toBe(bytes.buffer)
    expect(readBatch(kept).maxTimestampMs).toBe(NOW)
    expect(isCrcValidAt(kept, 0)).toBe(true)
  })

  it('clears the timestamp type of the log where producers set timestamps, so that those of the records count', () => {
    const records = [record('a', { timestampMs: NOW - 9 }), record('b', { timestampMs: NOW - 5 })]
    const kept = stored(batch({ timestampType: 'LogAppendTime', records }))
    expect(readBatch(kept)).toMatchObject({ timestampType: 'CreateTime', maxTimestampMs: NOW - 5 })
    expect(isCrcValidAt(kept, 0)).toBe(true)
  })

  it('sets the time of the append where the topic wants it', () => {
    for (const compression of ['none', 'gzip'] as const) {
      const bytes = batch({ compression, nowMs: 5 })
      const kept = stored(bytes, { messageTimestampType: 'LogAppendTime' })
      expect(readBatch(kept)).toMatchObject({ timestampType: 'LogAppendTime', maxTimestampMs: NOW, compression })
      expect(readRecords(readBatch(kept)).map(({ timestampMs }) => timestampMs)).toEqual([NOW, NOW])
      expect(isCrcValidAt(kept, 0)).toBe(true)
    }
  })

  it('stores the same records in the codec of the topic', () => {
    const codecs = ['uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'] as const
    const sources = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
    const records = [
      record('a', { headers: [{ key: 'h', value: Buffer.from('1') }], timestampMs: NOW - 9 }),
      record('', { key: null, value: null }),
      record('x'.repeat(1000)),
    ]
    for (const compressionType of codecs) {
      for (const compression of sources) {
        const sent = batch({ records, compression, producerId: 7, producerEpoch: 1, baseSequence: 4 })
        const kept = readBatch(stored(Buffer.from(sent), { compressionType }))
        expect(kept.compression).toBe(compressionType === 'uncompressed' ? 'none' : compressionType)
        expect(readRecords(kept)).toEqual(readRecords(readBatch(sent)))
        expect(kept).toMatchObject({
          producerId: 7,
          producerEpoch: 1,
          baseSequence: 4,
          maxTimestampMs: NOW,
          recordCount: 3,
        })
        expect(isCrcValidAt(kept.buffer, kept.start)).toBe(true)
      }
    }
  })

  it('leaves alone what needs no change, for every codec that the topic takes as it is', () => {
    for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
      const bytes = batch({ compression })
      const same: TopicCompression = compression === 'none' ? 'uncompressed' : compression
      for (const compressionType of ['producer', same] as const) {
        const kept = stored(Buffer.from(bytes), { compressionType })
        expect(kept).toEqual(bytes)
      }
    }
  })

  it('numbers records again that a client numbered wrongly', () => {
    for (const compression of ['none', 'gzip'] as const) {
      const records = [record('a'), record('b', { offsetDelta: 5 })]
      const bytes = changed(batch({ records, compression }), (x) => setInt32(x, LAST_OFFSET_DELTA, 1))
      expect(readRecords(readBatch(stored(bytes))).map(({ offset, value }) => [offset, String(value)])).toEqual([
        [0, 'a'],
        [1, 'b'],
      ])
    }
  })

  it('takes from a coordinator what a client may not send', () => {
    const kept = stored(
      batch({ isControl: true, baseOffset: 7, records: [record('a', { key: null })] }),
      {
        isCompacted: true,
        compressionType: 'gzip',
      },
      { origin: 'coordinator' },
    )
    expect(readBatch(kept)).toMatchObject({ isControl: true, compression: 'none' })
  })

  it('never throws nor reads on, whatever the bytes are', () => {
    const good = [
      batch(),
      batch({ compression: 'gzip' }),
      batch({ compression: 'lz4' }),
      batch({ compression: 'snappy' }),
    ]
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 6 })
    fc.assert(
      fc.property(fc.nat({ max: good.length - 1 }), edits, fc.nat(), fc.boolean(), (which, changes, cut, isCut) => {
        let bytes = Buffer.from(good[which]!)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        if (isCut) bytes = bytes.subarray(0, cut % bytes.length)
        const result = validate(bytes)
        expect(!result.isValid || isCrcValidAt(result.bytes, result.start)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  it('never throws for bytes with a right checksum', () => {
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 })
    const compression = fc.constantFrom('none', 'gzip', 'snappy', 'lz4', 'zstd')
    const isSound = fc.check(
      fc.property(compression, edits, fc.boolean(), (codec, changes, isCompacted) => {
        const bytes = batch({ compression: codec as 'none' })
        for (const [at, value] of changes) bytes[ATTRIBUTES + (at % (bytes.length - ATTRIBUTES))] = value
        refreshCrc(bytes, 0)
        const result = validate(bytes, { isCompacted, timestampAfterMaxMs: Infinity })
        if (!result.isValid) return true
        // What is taken can be read again.
        const kept = readBatch(result.bytes, result.start, result.end)
        return readRecords(kept).length === kept.recordCount && isCrcValidAt(result.bytes, result.start)
      }),
      { numRuns: 500 },
    )
    expect(isSound.failed ? isSound : null).toBeNull()
  })
})
