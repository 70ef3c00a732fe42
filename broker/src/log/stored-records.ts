import { MIN_RECORD_BYTES } from '@millrace/native'
import {
  COMPRESSIONS,
  COMPRESSION_MASK,
  LOG_APPEND_TIME_FLAG,
  RECORDS,
  RecordFormatError,
  attributesAt,
  baseOffsetAt,
  baseTimestampAt,
  batchSizeAt,
  decompress,
  int16At,
  maxTimestampAt,
  recordCountAt,
} from '@millrace/protocol'

/** Where the key of a control record has its type. */
const CONTROL_TYPE = 2

/** What is in the log was let in by the settings of its time, so that reading has no limit but the largest buffer's. */
const BODY_BYTES_MAX = 0x7fff_ffff

/**
 * Steps through the records of a stored batch by their positions, for a compaction, which reads keys and copies the rest
 * unseen. One for many batches: no object is made per record, and only a compressed batch takes memory.
 */
export class StoredRecords {
  /** The bytes that the positions count in: those of the batch, or of its decompressed records. */
  body: Buffer = Buffer.alloc(0)
  /** Of the record: from its length to its end, and from the offset delta on, which a copy with another time has in common. */
  start = 0
  afterTimestamp = 0
  end = 0
  offset = -1
  timestampMs = -1
  keyAt = 0
  /** -1 without a key. */
  keyLength = -1
  hasValue = false
  #at = 0
  #bodyEnd = 0
  #left = 0
  #baseOffset = 0
  #baseTimestampMs = 0
  #logAppendTimeMs = -1

  /** Begins with the batch at `at`, which is in `buffer` as a whole and has the right checksum. */
  open(buffer: Buffer, at: number): void {
    const attributes = attributesAt(buffer, at)
    const end = at + batchSizeAt(buffer, at)
    if ((attributes & COMPRESSION_MASK) === 0 || recordCountAt(buffer, at) === 0) {
      this.body = buffer
      this.#at = at + RECORDS
      this.#bodyEnd = end
    } else {
      const compression = COMPRESSIONS[attributes & COMPRESSION_MASK]
      if (compression === undefined) throw new RecordFormatError(at, 'a compression that nobody knows')
      this.body = decompress(compression, buffer.subarray(at + RECORDS, end), BODY_BYTES_MAX)
      this.#at = 0
      this.#bodyEnd = this.body.length
    }
    this.#left = recordCountAt(buffer, at)
    if (this.#left < 0 || this.#left > (this.#bodyEnd - this.#at) / MIN_RECORD_BYTES) {
      throw new RecordFormatError(this.#at, `${this.#left} records do not fit ${this.#bodyEnd - this.#at} bytes`)
    }
    this.#baseOffset = baseOffsetAt(buffer, at)
    this.#baseTimestampMs = baseTimestampAt(buffer, at)
    this.#logAppendTimeMs = (attributes & LOG_APPEND_TIME_FLAG) === 0 ? -1 : maxTimestampAt(buffer, at)
  }

  next(): boolean {
    if (this.#left === 0) {
      if (this.#at !== this.#bodyEnd) throw new RecordFormatError(this.#at, 'bytes after the last record')
      return false
    }
    this.#left--
    this.start = this.#at
    const length = this.#varint(this.#bodyEnd)
    if (length < 0 || length > this.#bodyEnd - this.#at) {
      throw new RecordFormatError(this.start, `a record of ${length} bytes, ${this.#bodyEnd - this.#at} are left`)
    }
    this.end = this.#at + length
    this.#at++ // attributes, unused
    const timestampDelta = this.#varlong(this.end)
    this.afterTimestamp = this.#at
    this.offset = this.#baseOffset + this.#varint(this.end)
    this.timestampMs = this.#logAppendTimeMs >= 0 ? this.#logAppendTimeMs : this.#baseTimestampMs + timestampDelta
    this.keyLength = this.#length()
    this.keyAt = this.#at
    if (this.keyLength > 0) this.#at += this.keyLength
    this.hasValue = this.#length() >= 0
    this.#at = this.end
    return true
  }

  /** The type of a control record; -1 if its key has none. */
  get controlType(): number {
    return this.keyLength < CONTROL_TYPE + 2 ? -1 : int16At(this.body, this.keyAt + CONTROL_TYPE)
  }

  #length(): number {
    const at = this.#at
    const length = this.#varint(this.end)
    if (length < -1 || length > this.end - this.#at) {
      throw new RecordFormatError(at, `a field of ${length} bytes, ${this.end - this.#at} are left in its record`)
    }
    return length
  }

  #varint(end: number): number {
    let raw = 0
    for (let shift = 0; shift < 35 && this.#at < end; shift += 7) {
      const byte = this.body[this.#at++]!
      raw |= (byte & 0x7f) << shift
      if (byte < 0x80) return (raw >>> 1) ^ -(raw & 1)
    }
    throw new RecordFormatError(this.#at, 'a varint that does not end')
  }

  #varlong(end: number): number {
    let isNegative = false
    let magnitude = 0
    // The lowest bit is the sign; the first byte therefore carries six bits of the magnitude.
    for (let i = 0, scale = 0.5; i < 10 && this.#at < end; i++, scale *= 128) {
      const byte = this.body[this.#at++]!
      if (i === 0) {
        isNegative = (byte & 1) === 1
        magnitude = (byte & 0x7f) >>> 1
      } else {
        magnitude += (byte & 0x7f) * scale
      }
      if (byte < 0x80) {
        const value = isNegative ? -magnitude - 1 : magnitude
        if (!Number.isSafeInteger(value)) throw new RecordFormatError(this.#at, 'a timestamp delta beyond 2^53')
        return value
      }
    }
    throw new RecordFormatError(this.#at, 'a varlong that does not end')
  }
}
