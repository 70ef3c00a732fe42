/**
 * The walk over the records of an uncompressed batch body that tells whether their framing holds.
 *
 * Every record of every produce request passes through here, so: no allocation, no closure, no exception. The answer is
 * a status number, and what was seen on the way is left in a Float64Array of the caller's.
 *
 *   record: varint length, int8 attributes, varlong timestampDelta, varint offsetDelta,
 *           varint keyLength (-1 null), key, varint valueLength (-1 null), value,
 *           varint headerCount, { varint keyLength, key, varint valueLength (-1 null), value } per header
 *
 * All variable-length numbers are zigzag. The record attributes are unused by Kafka and not looked at.
 */

/** What is wrong with the records; `ok` is 0. The numbers are shared with any other implementation of the walk. */
export const RecordStatus = {
  ok: 0,
  /** A record's length is negative, too short to be one, or reaches past the end of the body. */
  badRecordLength: 1,
  /** A number is longer than its type allows, or cut off by the end of the record. */
  badVarint: 2,
  /** The timestamp delta does not fit a double exactly. */
  badTimestampDelta: 3,
  /** A key's length is below -1 or reaches past the end of its record. */
  badKeyLength: 4,
  /** A value's length is below -1 or reaches past the end of its record. */
  badValueLength: 5,
  /** The header count is negative, more than the record can hold, or a header reaches past the end of its record. */
  badHeaders: 6,
  /** The fields of a record end before its declared length does. */
  recordTooLong: 7,
  /** The body ends before `recordCount` records. */
  tooFewRecords: 8,
  /** Bytes follow the last record. */
  tooManyBytes: 9,
  /** Answered by those who decompress a body before they have it checked: it is malformed, or of an unknown codec. */
  badCompression: 10,
  /** Likewise: the body would become larger than is allowed. */
  bodyTooLarge: 11,
  /** The record count is negative. */
  badRecordCount: 12,
} as const

export type RecordStatus = (typeof RecordStatus)[keyof typeof RecordStatus]

const descriptions: Record<keyof typeof RecordStatus, string> = {
  ok: 'the records are well-framed',
  badRecordLength: "a record's length is negative, too short or reaches past the end of the batch",
  badVarint: 'a variable-length number is too long or cut off',
  badTimestampDelta: 'a timestamp delta is beyond 2^53',
  badKeyLength: "a key's length is invalid or reaches past the end of its record",
  badValueLength: "a value's length is invalid or reaches past the end of its record",
  badHeaders: 'the headers of a record are invalid or reach past its end',
  recordTooLong: "a record's fields end before its length says",
  tooFewRecords: 'the batch holds fewer records than its header says',
  tooManyBytes: 'bytes follow the last record of the batch',
  badCompression: 'the records cannot be decompressed',
  bodyTooLarge: 'the decompressed records are larger than allowed',
  badRecordCount: 'the record count of the batch is negative',
}

const descriptionByStatus = Object.fromEntries(
  Object.entries(RecordStatus).map(([name, status]) => [status, descriptions[name as keyof typeof RecordStatus]]),
)

/** The status in words, for an error message. */
export function describeRecordStatus(status: number): string {
  return descriptionByStatus[status] ?? `unknown record status ${status}`
}

/** Indexes into the facts array. The facts hold for the records before `badRecordIndex` when the status is not ok. */
export const RecordFact = {
  maxTimestampDelta: 0,
  minTimestampDelta: 1,
  /** 1 when the offset deltas are 0, 1, 2, ..., else 0. */
  hasContiguousOffsets: 2,
  /** The first record without a key, or -1. */
  firstNullKeyIndex: 3,
  /** The first record whose framing is wrong, or -1; `recordCount` for bytes after the last record. */
  badRecordIndex: 4,
  /** The offset delta of the last record, or -1 without records. */
  lastOffsetDelta: 5,
  /** The first record that has `maxTimestampDelta`, or -1 without records. */
  maxTimestampIndex: 6,
  /** Where the walk stopped: `end`, or the start of the bad record. */
  position: 7,
} as const

export const RECORD_FACT_COUNT = 8

/** The smallest record: seven one-byte fields. */
export const MIN_RECORD_BYTES = 7
const MIN_HEADER_BYTES = 2

/** Where the number read last ends, or -1 if it was malformed. A second return value without an object. */
let next = 0

/** Walks `bytes[start, end)`, which must hold exactly `recordCount` records, and fills `facts`. Never throws. */
export function checkRecords(
  bytes: Uint8Array,
  start: number,
  end: number,
  recordCount: number,
  facts: Float64Array,
): RecordStatus {
  let maxTimestampDelta = 0
  let minTimestampDelta = 0
  let maxTimestampIndex = -1
  let hasContiguousOffsets = 1
  let firstNullKeyIndex = -1
  let lastOffsetDelta = -1
  let status: RecordStatus = recordCount >= 0 ? RecordStatus.ok : RecordStatus.badRecordCount
  let recordAt = start
  let index = 0

  for (; index < recordCount; index++) {
    if (recordAt >= end) {
      status = RecordStatus.tooFewRecords
      break
    }
    const length = varint(bytes, recordAt, end)
    if (next < 0 || length < MIN_RECORD_BYTES - 1 || length > end - next) {
      status = RecordStatus.badRecordLength
      break
    }
    const recordEnd = next + length
    const timestampDelta = varlong(bytes, next + 1, recordEnd)
    if (next < 0) {
      status = next === NOT_EXACT ? RecordStatus.badTimestampDelta : RecordStatus.badVarint
      break
    }
    const offsetDelta = varint(bytes, next, recordEnd)
    if (next < 0) {
      status = RecordStatus.badVarint
      break
    }
    const keyLength = varint(bytes, next, recordEnd)
    if (next < 0) {
      status = RecordStatus.badVarint
      break
    }
    if (keyLength < 0) {
      if (keyLength !== -1) {
        status = RecordStatus.badKeyLength
        break
      }
    } else {
      if (keyLength > recordEnd - next) {
        status = RecordStatus.badKeyLength
        break
      }
      next += keyLength
    }
    const valueLength = varint(bytes, next, recordEnd)
    if (next < 0) {
      status = RecordStatus.badVarint
      break
    }
    if (valueLength < 0) {
      if (valueLength !== -1) {
        status = RecordStatus.badValueLength
        break
      }
    } else {
      if (valueLength > recordEnd - next) {
        status = RecordStatus.badValueLength
        break
      }
      next += valueLength
    }
    const headerCount = varint(bytes, next, recordEnd)
    if (next < 0) {
      status = RecordStatus.badVarint
      break
    }
    if (headerCount !== 0 && !skipHeaders(bytes, next, recordEnd, headerCount)) {
      status = RecordStatus.badHeaders
      break
    }
    if (next !== recordEnd) {
      status = RecordStatus.recordTooLong
      break
    }

    if (index === 0 || timestampDelta > maxTimestampDelta) {
      maxTimestampDelta = timestampDelta
      maxTimestampIndex = index
    }
    if (index === 0 || timestampDelta < minTimestampDelta) minTimestampDelta = timestampDelta
    if (offsetDelta !== index) hasContiguousOffsets = 0
    if (keyLength < 0 && firstNullKeyIndex < 0) firstNullKeyIndex = index
    lastOffsetDelta = offsetDelta
    recordAt = recordEnd
  }
  if (status === RecordStatus.ok && recordAt !== end) status = RecordStatus.tooManyBytes

  facts[RecordFact.maxTimestampDelta] = maxTimestampDelta
  facts[RecordFact.minTimestampDelta] = minTimestampDelta
  facts[RecordFact.hasContiguousOffsets] = hasContiguousOffsets
  facts[RecordFact.firstNullKeyIndex] = firstNullKeyIndex
  facts[RecordFact.badRecordIndex] = status === RecordStatus.ok ? -1 : index
  facts[RecordFact.lastOffsetDelta] = lastOffsetDelta
  facts[RecordFact.maxTimestampIndex] = maxTimestampIndex
  facts[RecordFact.position] = recordAt
  return status
}

/** Leaves `next` behind the headers, or answers false. */
function skipHeaders(bytes: Uint8Array, start: number, end: number, count: number): boolean {
  if (count < 0 || count > (end - start) / MIN_HEADER_BYTES) return false
  next = start
  for (let i = 0; i < count; i++) {
    const keyLength = varint(bytes, next, end)
    if (next < 0 || keyLength < 0 || keyLength > end - next) return false
    const valueLength = varint(bytes, next + keyLength, end)
    if (next < 0 || valueLength < -1 || valueLength > end - next) return false
    if (valueLength > 0) next += valueLength
  }
  return true
}

const MALFORMED = -1
const NOT_EXACT = -2

/** A zigzag int32 of at most five bytes; as in Kafka, bits of the fifth byte beyond the 32nd are dropped. */
function varint(bytes: Uint8Array, at: number, end: number): number {
  let raw = 0
  for (let shift = 0; shift < 35; shift += 7) {
    if (at >= end) break
    const byte = bytes[at++]!
    raw |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      next = at
      return (raw >>> 1) ^ -(raw & 1)
    }
  }
  next = MALFORMED
  return 0
}

/**
 * A zigzag int64 of at most ten bytes as a double. The sign is the lowest bit and the rest is summed without it, so
 * every safe integer is exact; what is none is answered with NOT_EXACT.
 */
function varlong(bytes: Uint8Array, at: number, end: number): number {
  let low = 0
  for (let shift = 0; shift < 28; shift += 7) {
    if (at >= end) {
      next = MALFORMED
      return 0
    }
    const byte = bytes[at++]!
    low |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      next = at
      return (low >>> 1) ^ -(low & 1)
    }
  }
  let magnitude = low >>> 1
  let scale = 2 ** 27
  for (let i = 4; i < 10; i++) {
    if (at >= end) break
    const byte = bytes[at++]!
    magnitude += (byte & 0x7f) * scale
    scale *= 128
    if (byte < 0x80) {
      const value = low & 1 ? -magnitude - 1 : magnitude
      next = Number.isSafeInteger(value) ? at : NOT_EXACT
      return value
    }
  }
  next = MALFORMED
  return 0
}
