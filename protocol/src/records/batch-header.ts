import { crc32c } from '@millrace/native'

/**
 * Where the fields of a record batch (magic 2) are, counted from its first byte, and how to read and set them in place.
 *
 * The checksum covers everything from ATTRIBUTES on. A broker may therefore stamp the base offset and the leader epoch
 * without touching it; who sets any other field calls `refreshCrc` afterwards.
 *
 * The readers are single reads without bounds checks: the caller knows that BATCH_HEADER_BYTES bytes are there. They
 * shift bytes by hand because Buffer.readInt32BE checks its arguments each time, which costs more than the read.
 */
export const BATCH_BASE_OFFSET = 0
export const BATCH_LENGTH = 8
export const LEADER_EPOCH = 12
export const MAGIC = 16
export const CRC = 17
export const ATTRIBUTES = 21
export const LAST_OFFSET_DELTA = 23
export const BASE_TIMESTAMP = 27
export const MAX_TIMESTAMP = 35
export const PRODUCER_ID = 43
export const PRODUCER_EPOCH = 51
export const BASE_SEQUENCE = 53
export const RECORD_COUNT = 57
export const RECORDS = 61

/** A batch without records. The smallest size a batch can have. */
export const BATCH_HEADER_BYTES = RECORDS
/** The base offset and the length itself: what the length field does not count. */
export const BATCH_OVERHEAD_BYTES = LEADER_EPOCH
export const CURRENT_MAGIC = 2

export const COMPRESSION_MASK = 0x07
export const LOG_APPEND_TIME_FLAG = 0x08
export const TRANSACTIONAL_FLAG = 0x10
export const CONTROL_FLAG = 0x20
export const DELETE_HORIZON_FLAG = 0x40

const TWO_POW_32 = 2 ** 32
/** The upper half of the first int64 that a number cannot hold exactly: 2^53 / 2^32. */
const UNSAFE_HIGH = 2 ** 21

export function int16At(buffer: Uint8Array, at: number): number {
  return ((buffer[at]! << 24) >> 16) | buffer[at + 1]!
}

export function int32At(buffer: Uint8Array, at: number): number {
  return (buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!
}

/** Throws RangeError for the values beyond 2^53 that a number does not hold exactly. */
export function int64At(buffer: Uint8Array, at: number): number {
  const high = int32At(buffer, at)
  if (high >= UNSAFE_HIGH || high < -UNSAFE_HIGH) {
    throw new RangeError(`the int64 at byte ${at} is beyond 2^53: its upper half is ${high}`)
  }
  return high * TWO_POW_32 + (int32At(buffer, at + 4) >>> 0)
}

export function setInt16(buffer: Uint8Array, at: number, value: number): void {
  buffer[at] = value >>> 8
  buffer[at + 1] = value
}

export function setInt32(buffer: Uint8Array, at: number, value: number): void {
  buffer[at] = value >>> 24
  buffer[at + 1] = value >>> 16
  buffer[at + 2] = value >>> 8
  buffer[at + 3] = value
}

export function setInt64(buffer: Uint8Array, at: number, value: number): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} does not fit an int64 field exactly`)
  setInt32(buffer, at, Math.floor(value / TWO_POW_32))
  setInt32(buffer, at + 4, value | 0)
}

/** The whole batch in bytes, as its length field says: at least BATCH_HEADER_BYTES in a batch that can be read. */
export function batchSizeAt(buffer: Uint8Array, at: number): number {
  return BATCH_OVERHEAD_BYTES + int32At(buffer, at + BATCH_LENGTH)
}

export function baseOffsetAt(buffer: Uint8Array, at: number): number {
  return int64At(buffer, at + BATCH_BASE_OFFSET)
}

export function lastOffsetAt(buffer: Uint8Array, at: number): number {
  return int64At(buffer, at + BATCH_BASE_OFFSET) + int32At(buffer, at + LAST_OFFSET_DELTA)
}

export function leaderEpochAt(buffer: Uint8Array, at: number): number {
  return int32At(buffer, at + LEADER_EPOCH)
}

export function magicAt(buffer: Uint8Array, at: number): number {
  return (buffer[at + MAGIC]! << 24) >> 24
}

/** Unsigned, as `crc32c` answers it. */
export function crcAt(buffer: Uint8Array, at: number): number {
  return int32At(buffer, at + CRC) >>> 0
}

export function attributesAt(buffer: Uint8Array, at: number): number {
  return int16At(buffer, at + ATTRIBUTES)
}

export function lastOffsetDeltaAt(buffer: Uint8Array, at: number): number {
  return int32At(buffer, at + LAST_OFFSET_DELTA)
}

export function baseTimestampAt(buffer: Uint8Array, at: number): number {
  return int64At(buffer, at + BASE_TIMESTAMP)
}

export function maxTimestampAt(buffer: Uint8Array, at: number): number {
  return int64At(buffer, at + MAX_TIMESTAMP)
}

export function producerIdAt(buffer: Uint8Array, at: number): number {
  return int64At(buffer, at + PRODUCER_ID)
}

export function producerEpochAt(buffer: Uint8Array, at: number): number {
  return int16At(buffer, at + PRODUCER_EPOCH)
}

export function baseSequenceAt(buffer: Uint8Array, at: number): number {
  return int32At(buffer, at + BASE_SEQUENCE)
}

export function recordCountAt(buffer: Uint8Array, at: number): number {
  return int32At(buffer, at + RECORD_COUNT)
}

export function setBaseOffset(buffer: Uint8Array, at: number, baseOffset: number): void {
  setInt64(buffer, at + BATCH_BASE_OFFSET, baseOffset)
}

export function setLeaderEpoch(buffer: Uint8Array, at: number, leaderEpoch: number): void {
  setInt32(buffer, at + LEADER_EPOCH, leaderEpoch)
}

/** Needs `refreshCrc` afterwards. */
export function setAttributes(buffer: Uint8Array, at: number, attributes: number): void {
  setInt16(buffer, at + ATTRIBUTES, attributes)
}

/** Needs `refreshCrc` afterwards. */
export function setMaxTimestamp(buffer: Uint8Array, at: number, timestampMs: number): void {
  setInt64(buffer, at + MAX_TIMESTAMP, timestampMs)
}

/** Whether every int64 field of the header fits a number, so that the readers above do not throw. */
export function hasExactNumbersAt(buffer: Uint8Array, at: number): boolean {
  return (
    fitsNumber(buffer, at + BATCH_BASE_OFFSET) &&
    fitsNumber(buffer, at + BASE_TIMESTAMP) &&
    fitsNumber(buffer, at + MAX_TIMESTAMP) &&
    fitsNumber(buffer, at + PRODUCER_ID)
  )
}

function fitsNumber(buffer: Uint8Array, at: number): boolean {
  const high = int32At(buffer, at)
  return high < UNSAFE_HIGH && high >= -UNSAFE_HIGH
}

/** Whether the stored checksum is the one of the bytes; the caller knows that the whole batch is in `buffer`. */
export function isCrcValidAt(buffer: Uint8Array, at: number): boolean {
  return crcAt(buffer, at) === crc32c(buffer, at + ATTRIBUTES, at + batchSizeAt(buffer, at))
}

export function refreshCrc(buffer: Uint8Array, at: number): void {
  setInt32(buffer, at + CRC, crc32c(buffer, at + ATTRIBUTES, at + batchSizeAt(buffer, at)))
}
