// The inner loop of every sink and changelog: bytes are appended to a growing buffer, and no object is kept per record.
import {
  ATTRIBUTES,
  BASE_SEQUENCE,
  BASE_TIMESTAMP,
  BATCH_BASE_OFFSET,
  BATCH_LENGTH,
  BATCH_OVERHEAD_BYTES,
  compress,
  COMPRESSIONS,
  CURRENT_MAGIC,
  LAST_OFFSET_DELTA,
  LEADER_EPOCH,
  MAGIC,
  MAX_TIMESTAMP,
  PRODUCER_EPOCH,
  PRODUCER_ID,
  RECORD_COUNT,
  RECORDS,
  refreshCrc,
  setInt16,
  setInt32,
  setInt64,
  TRANSACTIONAL_FLAG,
  type Compression,
} from '@millrace/protocol'

export interface RecordHeaderInput {
  readonly key: string
  readonly value: Uint8Array | null
}

export interface Stamp {
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly isTransactional: boolean
}

const FIRST_BYTES = 4 * 1024
/** Attributes, two deltas, lengths of key and value, header count and the record's own length, all at their widest. */
const RECORD_OVERHEAD_BYTES = 5 + 1 + 10 + 5 + 5 + 5 + 5
const HEADER_OVERHEAD_BYTES = 5 + 5

/**
 * A record batch that is being filled. `append` writes a record at the end; `finish` gives the batch as bytes, to which
 * `stamp` adds what belongs to the producer. Memory is used again: after `reset` the next batch is written over it, so
 * bytes of an uncompressed batch must have been sent, or be out of use, by then.
 */
export class OpenBatch {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES)
  #at = RECORDS
  #baseTimestampMs = -1
  #maxTimestampMs = -1
  recordCount = 0

  /** Uncompressed, with the header of the batch. */
  get sizeBytes(): number {
    return this.#at
  }

  /** The most that a record can add to a batch. */
  static boundOf(
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: readonly RecordHeaderInput[] = NO_HEADERS,
  ): number {
    let bytes = RECORD_OVERHEAD_BYTES + (key === null ? 0 : key.length) + (value === null ? 0 : value.length)
    for (const header of headers) {
      bytes += HEADER_OVERHEAD_BYTES + 3 * header.key.length + (header.value === null ? 0 : header.value.length)
    }
    return bytes
  }

  append(
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestampMs: number,
    headers: readonly RecordHeaderInput[] = NO_HEADERS,
  ): void {
    const needed = OpenBatch.boundOf(key, value, headers)
    if (this.#at + needed > this.#buffer.length) this.#grow(this.#at + needed)
    if (this.recordCount === 0) {
      this.#baseTimestampMs = timestampMs
      this.#maxTimestampMs = timestampMs
    } else if (timestampMs > this.#maxTimestampMs) {
      this.#maxTimestampMs = timestampMs
    }
    const timestampDelta = timestampMs - this.#baseTimestampMs
    const offsetDelta = this.recordCount++
    let sizeBytes = 1 + varlongBytes(timestampDelta) + varintBytes(offsetDelta) + fieldBytes(key) + fieldBytes(value)
    sizeBytes += varintBytes(headers.length)
    for (const header of headers) {
      const keyBytes = Buffer.byteLength(header.key)
      sizeBytes += varintBytes(keyBytes) + keyBytes + fieldBytes(header.value)
    }
    const buffer = this.#buffer
    let at = writeVarint(buffer, this.#at, sizeBytes)
    buffer[at++] = 0
    at = writeVarlong(buffer, at, timestampDelta)
    at = writeVarint(buffer, at, offsetDelta)
    at = writeField(buffer, at, key)
    at = writeField(buffer, at, value)
    at = writeVarint(buffer, at, headers.length)
    for (const header of headers) {
      at = writeVarint(buffer, at, Buffer.byteLength(header.key))
      at += buffer.write(header.key, at)
      at = writeField(buffer, at, header.value)
    }
    this.#at = at
  }

  /** The batch as it stands, without a producer's stamp. */
  finish(compression: Compression): Buffer {
    let batch = this.#buffer.subarray(0, this.#at)
    if (compression !== 'none') {
      const body = compress(compression, batch.subarray(RECORDS))
      batch = Buffer.allocUnsafe(RECORDS + body.length)
      batch.set(body, RECORDS)
    }
    setInt64(batch, BATCH_BASE_OFFSET, 0)
    setInt32(batch, BATCH_LENGTH, batch.length - BATCH_OVERHEAD_BYTES)
    setInt32(batch, LEADER_EPOCH, -1)
    batch[MAGIC] = CURRENT_MAGIC
    setInt16(batch, ATTRIBUTES, COMPRESSIONS.indexOf(compression))
    setInt32(batch, LAST_OFFSET_DELTA, this.recordCount - 1)
    setInt64(batch, BASE_TIMESTAMP, this.#baseTimestampMs)
    setInt64(batch, MAX_TIMESTAMP, this.#maxTimestampMs)
    setInt32(batch, RECORD_COUNT, this.recordCount)
    return batch
  }

  reset(): void {
    this.#at = RECORDS
    this.recordCount = 0
  }

  #grow(neededBytes: number): void {
    let size = this.#buffer.length
    while (size < neededBytes) size *= 2
    const grown = Buffer.allocUnsafe(size)
    grown.set(this.#buffer.subarray(0, this.#at))
    this.#buffer = grown
  }
}

/** Writes whose batch it is and where in the producer's sequence it stands; also over an earlier stamp. */
export function stampBatch(batch: Buffer, { producerId, producerEpoch, baseSequence, isTransactional }: Stamp): void {
  const compression = batch[ATTRIBUTES + 1]! & ~TRANSACTIONAL_FLAG
  batch[ATTRIBUTES + 1] = isTransactional ? compression | TRANSACTIONAL_FLAG : compression
  setInt64(batch, PRODUCER_ID, producerId)
  setInt16(batch, PRODUCER_EPOCH, producerEpoch)
  setInt32(batch, BASE_SEQUENCE, baseSequence)
  refreshCrc(batch, 0)
}

const NO_HEADERS: readonly RecordHeaderInput[] = []

function fieldBytes(field: Uint8Array | null): number {
  return field === null ? 1 : varintBytes(field.length) + field.length
}

function writeField(into: Buffer, start: number, field: Uint8Array | null): number {
  if (field === null) return writeVarint(into, start, -1)
  const length = field.length
  const at = writeVarint(into, start, length)
  if (length > SHORT_BYTES) into.set(field, at)
  else for (let i = 0; i < length; i++) into[at + i] = field[i]!
  return at + length
}

// Below this length the loop is quicker than the call.
const SHORT_BYTES = 24

function varintBytes(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  if (zigzag < 2 ** 7) return 1
  if (zigzag < 2 ** 14) return 2
  if (zigzag < 2 ** 21) return 3
  return zigzag < 2 ** 28 ? 4 : 5
}

function writeVarint(into: Buffer, start: number, value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0
  let at = start
  while (rest >= 0x80) {
    into[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  into[at++] = rest
  return at
}

const INT31_MAX = 0x3fffffff

function varlongBytes(value: number): number {
  if (value >= -INT31_MAX && value <= INT31_MAX) return varintBytes(value)
  let rest = Math.floor(magnitude(value) / 64)
  let bytes = 1
  while (rest > 0) {
    rest = Math.floor(rest / 128)
    bytes++
  }
  return bytes
}

/** The same bytes as `writeVarint` for what fits 32 bits, which the time between two records of a batch does. */
function writeVarlong(into: Buffer, start: number, value: number): number {
  if (value >= -INT31_MAX && value <= INT31_MAX) return writeVarint(into, start, value)
  const size = magnitude(value)
  let rest = Math.floor(size / 64)
  let byte = (size % 64) * 2 + (value < 0 ? 1 : 0)
  let at = start
  while (rest > 0) {
    into[at++] = byte | 0x80
    byte = rest % 128
    rest = Math.floor(rest / 128)
  }
  into[at++] = byte
  return at
}

/** The value without its sign, as zigzag counts it: -1 is 0, -2 is 1. */
function magnitude(value: number): number {
  return value < 0 ? -value - 1 : value
}
