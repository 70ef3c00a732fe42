import { MIN_RECORD_BYTES } from '@millrace/native'
import { RECORDS, RECORD_COUNT } from './batch-header.ts'
import { decompress } from './compression.ts'
import { RecordFormatError, type RecordBatch } from './record-batch.ts'

export interface RecordHeader {
  readonly key: string
  readonly value: Buffer | null
}

/** One record. `key` and `value` are views of the batch (or of its decompressed body), not copies. */
export interface BatchRecord {
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/** What a batch may grow to when it is decompressed, unless the caller says something else. */
export const DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024

const MIN_HEADER_BYTES = 2
const NO_HEADERS: readonly RecordHeader[] = Object.freeze([])

/** All records of a batch. Throws a RangeError that names the byte for anything that is not exactly such a batch. */
export function readRecords(batch: RecordBatch, options: { maxBytes?: number } = {}): BatchRecord[] {
  const reader = new RecordReader(batch, options)
  const records: BatchRecord[] = []
  while (reader.next()) {
    records.push({
      offset: reader.offset,
      timestampMs: reader.timestampMs,
      key: reader.key,
      value: reader.value,
      headers: reader.headers,
    })
  }
  return records
}

/**
 * Steps through the records of one batch without making an object for each: `next()` moves to a record and checks its
 * framing, and the getters make views of what is asked for. They speak of the record `next()` answered true for.
 *
 * Positions in errors count from the start of the buffer, or of the decompressed body if the batch is compressed.
 */
export class RecordReader {
  readonly #body: Buffer
  readonly #end: number
  readonly #recordCount: number
  readonly #baseOffset: number
  readonly #baseTimestampMs: number
  /** The timestamp of every record when the log set it, else null. */
  readonly #logAppendTimeMs: number | null
  #at: number
  #index = -1
  #offset = -1
  #timestampMs = -1
  #keyAt = 0
  #keyLength = -1
  #valueAt = 0
  #valueLength = -1
  #headersAt = 0
  #headerCount = 0

  constructor(batch: RecordBatch, options: { maxBytes?: number } = {}) {
    const { buffer, start, sizeBytes, compression, recordCount } = batch
    const end = start + sizeBytes
    if (compression === 'none' || sizeBytes === RECORDS) {
      this.#body = buffer
      this.#at = start + RECORDS
      this.#end = end
    } else {
      const maxBytes = options.maxBytes ?? DEFAULT_MAX_BODY_BYTES
      this.#body = decompress(compression, buffer.subarray(start + RECORDS, end), maxBytes)
      this.#at = 0
      this.#end = this.#body.length
    }
    if (recordCount < 0 || recordCount > (this.#end - this.#at) / MIN_RECORD_BYTES) {
      throw new RecordFormatError(
        start + RECORD_COUNT,
        `${recordCount} records do not fit a body of ${this.#end - this.#at} bytes`,
      )
    }
    this.#recordCount = recordCount
    this.#baseOffset = batch.baseOffset
    this.#baseTimestampMs = batch.baseTimestampMs
    this.#logAppendTimeMs = batch.timestampType === 'LogAppendTime' ? batch.maxTimestampMs : null
  }

  /** Moves to the next record; false after the last one, and a RangeError if there is something else than a record. */
  next(): boolean {
    if (this.#index + 1 >= this.#recordCount) {
      if (this.#at !== this.#end) {
        throw new RecordFormatError(this.#at, `${this.#end - this.#at} bytes after the last record`)
      }
      return false
    }
    const bodyEnd = this.#end
    const recordAt = this.#at
    const length = this.#varint(bodyEnd)
    if (length < 0 || length > bodyEnd - this.#at) {
      throw new RecordFormatError(recordAt, `a record of ${length} bytes, ${bodyEnd - this.#at} are left`)
    }
    const end = this.#at + length
    this.#at++ // attributes, unused
    const timestampDelta = this.#varlong(end)
    const offsetDelta = this.#varint(end)
    this.#keyLength = this.#length(end, -1)
    this.#keyAt = this.#at
    if (this.#keyLength > 0) this.#at += this.#keyLength
    this.#valueLength = this.#length(end, -1)
    this.#valueAt = this.#at
    if (this.#valueLength > 0) this.#at += this.#valueLength
    const headerCountAt = this.#at
    this.#headerCount = this.#varint(end)
    if (this.#headerCount < 0 || this.#headerCount > (end - this.#at) / MIN_HEADER_BYTES) {
      throw new RecordFormatError(headerCountAt, `${this.#headerCount} headers in ${end - this.#at} bytes`)
    }
    this.#headersAt = this.#at
    for (let i = 0; i < this.#headerCount; i++) {
      const keyLength = this.#length(end, 0)
      this.#at += keyLength
      const valueLength = this.#length(end, -1)
      if (valueLength > 0) this.#at += valueLength
    }
    if (this.#at !== end) throw new RecordFormatError(this.#at, `the record goes on for ${end - this.#at} bytes`)

    this.#index++
    this.#offset = this.#baseOffset + offsetDelta
    this.#timestampMs = this.#logAppendTimeMs ?? this.#baseTimestampMs + timestampDelta
    return true
  }

  get offset(): number {
    return this.#offset
  }

  get timestampMs(): number {
    return this.#timestampMs
  }

  get key(): Buffer | null {
    return this.#keyLength < 0 ? null : this.#body.subarray(this.#keyAt, this.#keyAt + this.#keyLength)
  }

  get value(): Buffer | null {
    return this.#valueLength < 0 ? null : this.#body.subarray(this.#valueAt, this.#valueAt + this.#valueLength)
  }

  get headers(): readonly RecordHeader[] {
    if (this.#headerCount === 0) return NO_HEADERS
    const headers: RecordHeader[] = []
    const resumeAt = this.#at
    this.#at = this.#headersAt
    for (let i = 0; i < this.#headerCount; i++) {
      const keyLength = this.#varint(resumeAt)
      const key = this.#body.toString('utf8', this.#at, this.#at + keyLength)
      this.#at += keyLength
      const valueLength = this.#varint(resumeAt)
      const value = valueLength < 0 ? null : this.#body.subarray(this.#at, this.#at + valueLength)
      if (valueLength > 0) this.#at += valueLength
      headers.push({ key, value })
    }
    this.#at = resumeAt
    return headers
  }

  /** A length from `lowest` (-1 where null is possible) up to what is left before `end`. */
  #length(end: number, lowest: number): number {
    const at = this.#at
    const length = this.#varint(end)
    if (length < lowest || length > end - this.#at) {
      throw new RecordFormatError(at, `a field of ${length} bytes, ${end - this.#at} are left in its record`)
    }
    return length
  }

  #varint(end: number): number {
    const start = this.#at
    const body = this.#body
    let raw = 0
    for (let shift = 0; shift < 35 && this.#at < end; shift += 7) {
      const byte = body[this.#at++]!
      raw |= (byte & 0x7f) << shift
      if (byte < 0x80) return (raw >>> 1) ^ -(raw & 1)
    }
    throw new RecordFormatError(start, 'a varint that does not end')
  }

  #varlong(end: number): number {
    const start = this.#at
    const body = this.#body
    let isNegative = false
    let magnitude = 0
    // The lowest bit is the sign; the first byte therefore carries six bits of the magnitude.
    for (let i = 0, scale = 0.5; i < 10 && this.#at < end; i++, scale *= 128) {
      const byte = body[this.#at++]!
      if (i === 0) {
        isNegative = (byte & 1) === 1
        magnitude = (byte & 0x7f) >>> 1
      } else {
        magnitude += (byte & 0x7f) * scale
      }
      if (byte < 0x80) {
        const value = isNegative ? -magnitude - 1 : magnitude
        if (!Number.isSafeInteger(value)) throw new RecordFormatError(start, 'a timestamp delta beyond 2^53')
        return value
      }
    }
    throw new RecordFormatError(start, 'a varlong that does not end')
  }
}
