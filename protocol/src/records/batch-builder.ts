import assert from 'node:assert/strict'
import {
  ATTRIBUTES,
  BASE_SEQUENCE,
  BASE_TIMESTAMP,
  BATCH_BASE_OFFSET,
  BATCH_LENGTH,
  BATCH_OVERHEAD_BYTES,
  CONTROL_FLAG,
  CURRENT_MAGIC,
  LAST_OFFSET_DELTA,
  LEADER_EPOCH,
  LOG_APPEND_TIME_FLAG,
  MAGIC,
  MAX_TIMESTAMP,
  PRODUCER_EPOCH,
  PRODUCER_ID,
  RECORDS,
  RECORD_COUNT,
  TRANSACTIONAL_FLAG,
  refreshCrc,
  setInt16,
  setInt32,
  setInt64,
} from './batch-header.ts'
import { compress } from './compression.ts'
import { COMPRESSIONS, type Compression } from './compressions.ts'
import type { TimestampType } from './record-batch.ts'
import type { RecordHeader } from './record-reader.ts'

export interface RecordInput {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: readonly RecordHeader[]
  /** Without it, the batch's `nowMs`. */
  readonly timestampMs?: number
  /** Without it, the record's place in the batch. Compaction leaves gaps, so what it rebuilds says them. */
  readonly offsetDelta?: number
}

const NO_HEADERS: readonly RecordHeader[] = []

export interface BatchInput {
  readonly records: readonly RecordInput[]
  readonly baseOffset?: number
  readonly leaderEpoch?: number
  readonly compression?: Compression
  readonly timestampType?: TimestampType
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly isTransactional?: boolean
  readonly isControl?: boolean
  /** Without it, that of the last record. A batch without records needs it. */
  readonly lastOffsetDelta?: number
  /** The time of records that say none, and of the append for 'LogAppendTime'; -1 means no timestamp. */
  readonly nowMs?: number
}

/**
 * One record batch (magic 2) as bytes.
 *
 *     buildBatch({ records: [{ key: Buffer.from('k'), value: Buffer.from('v') }], nowMs: clock.nowMs() })
 */
export function buildBatch(input: BatchInput): Buffer {
  const { records, compression = 'none', nowMs = -1 } = input
  const baseTimestampMs = records.length === 0 ? -1 : (records[0]!.timestampMs ?? nowMs)
  let maxTimestampMs = baseTimestampMs
  let lastOffsetDelta = -1
  let bodyBytes = 0
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    const timestampMs = record.timestampMs ?? nowMs
    const offsetDelta = record.offsetDelta ?? i
    assert(offsetDelta > lastOffsetDelta, 'offsets grow within a batch')
    lastOffsetDelta = offsetDelta
    if (timestampMs > maxTimestampMs) maxTimestampMs = timestampMs
    const timestampDelta = timestampMs - baseTimestampMs
    if (!Number.isSafeInteger(timestampDelta)) throw new RangeError(`a timestamp delta of ${timestampDelta} ms`)
    const sizeBytes = recordBytes(record, timestampDelta, offsetDelta)
    bodyBytes += varintBytes(sizeBytes) + sizeBytes
  }
  if (input.lastOffsetDelta !== undefined) {
    assert(input.lastOffsetDelta >= lastOffsetDelta, 'a batch covers the offsets of its records')
    lastOffsetDelta = input.lastOffsetDelta
  }
  assert(lastOffsetDelta >= 0, 'a batch without records says which offsets it stands for')
  if (input.timestampType === 'LogAppendTime') maxTimestampMs = nowMs

  const plain = Buffer.allocUnsafe(RECORDS + bodyBytes)
  let at = RECORDS
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    at = writeRecord(plain, at, record, (record.timestampMs ?? nowMs) - baseTimestampMs, record.offsetDelta ?? i)
  }
  assert(at === plain.length, 'the records are as long as they were counted')
  const batch = compression === 'none' || records.length === 0 ? plain : compressBody(plain, compression)

  let attributes = records.length === 0 ? 0 : COMPRESSIONS.indexOf(compression)
  if (input.timestampType === 'LogAppendTime') attributes |= LOG_APPEND_TIME_FLAG
  if (input.isTransactional === true) attributes |= TRANSACTIONAL_FLAG
  if (input.isControl === true) attributes |= CONTROL_FLAG
  setInt64(batch, BATCH_BASE_OFFSET, input.baseOffset ?? 0)
  setInt32(batch, BATCH_LENGTH, batch.length - BATCH_OVERHEAD_BYTES)
  setInt32(batch, LEADER_EPOCH, input.leaderEpoch ?? -1)
  batch[MAGIC] = CURRENT_MAGIC
  setInt16(batch, ATTRIBUTES, attributes)
  setInt32(batch, LAST_OFFSET_DELTA, lastOffsetDelta)
  setInt64(batch, BASE_TIMESTAMP, baseTimestampMs)
  setInt64(batch, MAX_TIMESTAMP, maxTimestampMs)
  setInt64(batch, PRODUCER_ID, input.producerId ?? -1)
  setInt16(batch, PRODUCER_EPOCH, input.producerEpoch ?? -1)
  setInt32(batch, BASE_SEQUENCE, input.baseSequence ?? -1)
  setInt32(batch, RECORD_COUNT, records.length)
  refreshCrc(batch, 0)
  return batch
}

function compressBody(plain: Buffer, compression: Compression): Buffer {
  const body = compress(compression, plain.subarray(RECORDS))
  const batch = Buffer.allocUnsafe(RECORDS + body.length)
  batch.set(body, RECORDS)
  return batch
}

/** The record without its length field. */
function recordBytes(record: RecordInput, timestampDelta: number, offsetDelta: number): number {
  const headers = record.headers ?? NO_HEADERS
  let bytes = 1 + varlongBytes(timestampDelta) + varintBytes(offsetDelta)
  bytes += fieldBytes(record.key) + fieldBytes(record.value) + varintBytes(headers.length)
  for (const header of headers) {
    const keyBytes = Buffer.byteLength(header.key)
    bytes += varintBytes(keyBytes) + keyBytes + fieldBytes(header.value)
  }
  return bytes
}

function writeRecord(
  into: Buffer,
  start: number,
  record: RecordInput,
  timestampDelta: number,
  offsetDelta: number,
): number {
  let at = writeVarint(into, start, recordBytes(record, timestampDelta, offsetDelta))
  into[at++] = 0
  at = writeVarlong(into, at, timestampDelta)
  at = writeVarint(into, at, offsetDelta)
  at = writeField(into, at, record.key)
  at = writeField(into, at, record.value)
  const headers = record.headers ?? NO_HEADERS
  at = writeVarint(into, at, headers.length)
  for (const header of headers) {
    at = writeVarint(into, at, Buffer.byteLength(header.key))
    at += into.write(header.key, at)
    at = writeField(into, at, header.value)
  }
  return at
}

function fieldBytes(field: Buffer | null): number {
  return field === null ? 1 : varintBytes(field.length) + field.length
}

function writeField(into: Buffer, start: number, field: Buffer | null): number {
  if (field === null) return writeVarint(into, start, -1)
  const at = writeVarint(into, start, field.length)
  into.set(field, at)
  return at + field.length
}

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

/** The value without its sign, as zigzag counts it: -1 is 0, -2 is 1. Doubling it would leave the exact range. */
function magnitude(value: number): number {
  return value < 0 ? -value - 1 : value
}

function varlongBytes(value: number): number {
  let rest = Math.floor(magnitude(value) / 64)
  let bytes = 1
  while (rest > 0) {
    rest = Math.floor(rest / 128)
    bytes++
  }
  return bytes
}

function writeVarlong(into: Buffer, start: number, value: number): number {
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
