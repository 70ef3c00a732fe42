import assert from 'node:assert/strict'
import {
  BASE_TIMESTAMP,
  BATCH_LENGTH,
  BATCH_OVERHEAD_BYTES,
  COMPRESSIONS,
  COMPRESSION_MASK,
  CONTROL_FLAG,
  DELETE_HORIZON_FLAG,
  RECORDS,
  RECORD_COUNT,
  TRANSACTIONAL_FLAG,
  attributesAt,
  baseTimestampAt,
  compress,
  lastOffsetAt,
  producerEpochAt,
  producerIdAt,
  recordCountAt,
  refreshCrc,
  setAttributes,
  setInt32,
  setInt64,
  setMaxTimestamp,
} from '@millrace/protocol'
import type { CleanedTransactions } from './cleaned-transactions.ts'
import type { OffsetMap } from './offset-map.ts'
import { StoredRecords } from './stored-records.ts'

/** The last thing that a producer wrote, by which the partition knows it. */
export interface LastOfProducer {
  /** Of its last data batch; -1 if only its markers are left. */
  readonly lastOffset: number
  readonly epoch: number
}

export interface BatchCleanerOptions {
  readonly offsets: OffsetMap
  /** `offsets` tells of the records up to this offset; those behind it stay. */
  readonly mappedTo: number
  readonly transactions: CleanedTransactions
  /** By producer id. */
  readonly producers: ReadonlyMap<number, LastOfProducer>
  /** The end of what this compaction goes through: the batch before it stays, empty if need be, and marks the offset. */
  readonly endOffset: number
  readonly nowMs: number
  readonly deleteRetentionMs: number
}

const NO_HORIZON = -1
const NO_TIMESTAMP = -1

/**
 * What compaction leaves of one batch. Bytes that stay are those of the producer; a batch that loses records, or gets a
 * delete horizon, is built again around them, with its base and last offset, sequence and epoch.
 *
 * A record goes when a later one has its key, or when it is a tombstone whose time is over. That time is in the batch
 * (KIP-534): the first compaction that meets a tombstone, or a marker that is no longer needed, notes the time until which
 * it stays in place of the base timestamp. All of this is what Kafka's cleaner does with the same batch.
 */
export class BatchCleaner {
  readonly #options: BatchCleanerOptions
  readonly #records = new StoredRecords()
  /** Of the records that stay, as `StoredRecords` has them. */
  readonly #afterTimestamps: number[] = []
  readonly #ends: number[] = []
  readonly #timestampsMs: number[] = []
  #count = 0

  constructor(options: BatchCleanerOptions) {
    this.#options = options
  }

  /** 'keep' for the batch at `at` as it is, 'drop' for none of it, or what is to be written in its place. */
  clean(buffer: Buffer, at: number): 'keep' | 'drop' | Buffer {
    const { transactions, nowMs, endOffset, deleteRetentionMs } = this.#options
    const attributes = attributesAt(buffer, at)
    const isControl = (attributes & CONTROL_FLAG) !== 0
    const lastOffset = lastOffsetAt(buffer, at)
    const horizonMs = attributes & DELETE_HORIZON_FLAG ? baseTimestampAt(buffer, at) : NO_HORIZON
    const canGo = isControl
      ? transactions.onControlBatch(producerIdAt(buffer, at), this.#controlType(buffer, at), lastOffset)
      : transactions.onBatch(producerIdAt(buffer, at), (attributes & TRANSACTIONAL_FLAG) !== 0, lastOffset)
    const isForgotten = isControl ? canGo && horizonMs !== NO_HORIZON && horizonMs <= nowMs : canGo
    const isMark = lastOffset + 1 === endOffset || this.#isLastOfProducer(buffer, at, lastOffset, isControl)
    if (isForgotten && !isMark) return 'drop'

    const hasTombstone = !isForgotten && this.#collect(buffer, at, isControl, horizonMs)
    if (isForgotten || this.#count === 0) {
      if (!isMark) return 'drop'
      return recordCountAt(buffer, at) === 0 ? 'keep' : withoutRecords(buffer, at)
    }
    const getsHorizon = horizonMs === NO_HORIZON && (hasTombstone || (isControl && canGo))
    if (!getsHorizon && this.#count === recordCountAt(buffer, at)) return 'keep'
    return this.#rebuilt(
      buffer,
      at,
      getsHorizon ? Math.min(nowMs + deleteRetentionMs, Number.MAX_SAFE_INTEGER) : horizonMs,
    )
  }

  /** The type of the first record of a control batch; null without one. */
  #controlType(buffer: Buffer, at: number): number | null {
    this.#records.open(buffer, at)
    return this.#records.next() ? this.#records.controlType : null
  }

  #isLastOfProducer(buffer: Buffer, at: number, lastOffset: number, isControl: boolean): boolean {
    const last = this.#options.producers.get(producerIdAt(buffer, at))
    if (last === undefined) return false
    if (last.lastOffset >= 0) return last.lastOffset === lastOffset
    return isControl && last.epoch === producerEpochAt(buffer, at)
  }

  /** Notes the records that stay; whether there is a tombstone among them. */
  #collect(buffer: Buffer, at: number, isControl: boolean, horizonMs: number): boolean {
    const records = this.#records
    const { nowMs } = this.#options
    const tombstonesStay = horizonMs === NO_HORIZON || nowMs < horizonMs
    let hasTombstone = false
    this.#count = 0
    records.open(buffer, at)
    while (records.next()) {
      if (!isControl && !this.#stays(records, tombstonesStay)) continue
      if (!records.hasValue) hasTombstone = true
      this.#afterTimestamps[this.#count] = records.afterTimestamp
      this.#ends[this.#count] = records.end
      this.#timestampsMs[this.#count] = records.timestampMs
      this.#count++
    }
    return hasTombstone
  }

  #stays(records: StoredRecords, tombstonesStay: boolean): boolean {
    const { offsets, mappedTo } = this.#options
    if (records.offset > mappedTo) return true
    // Written before the topic was compacted; nothing says when it would be superseded.
    if (records.keyLength < 0) return false
    if (!records.hasValue && !tombstonesStay) return false
    return records.offset >= offsets.get(records.body, records.keyAt, records.keyAt + records.keyLength)
  }

  /** The batch with the records that stay. */
  #rebuilt(buffer: Buffer, at: number, horizonMs: number): Buffer {
    const baseTimestampMs = horizonMs === NO_HORIZON ? this.#timestampsMs[0]! : horizonMs
    let bodyBytes = 0
    let maxTimestampMs = NO_TIMESTAMP
    for (let i = 0; i < this.#count; i++) {
      const sizeBytes = this.#recordBytes(i, baseTimestampMs)
      bodyBytes += varlongBytes(sizeBytes) + sizeBytes
      maxTimestampMs = Math.max(maxTimestampMs, this.#timestampsMs[i]!)
    }
    const plain = Buffer.allocUnsafe(RECORDS + bodyBytes)
    let to = RECORDS
    for (let i = 0; i < this.#count; i++) {
      to = writeVarlong(plain, to, this.#recordBytes(i, baseTimestampMs))
      plain[to++] = 0 // attributes, unused
      to = writeVarlong(plain, to, this.#timestampsMs[i]! - baseTimestampMs)
      to += this.#records.body.copy(plain, to, this.#afterTimestamps[i]!, this.#ends[i]!)
    }
    assert(to === plain.length, 'the records are as long as they were counted')

    const attributes = attributesAt(buffer, at)
    const compression = COMPRESSIONS[attributes & COMPRESSION_MASK]!
    const body = compression === 'none' ? null : compress(compression, plain.subarray(RECORDS))
    const batch = body === null ? plain : Buffer.allocUnsafe(RECORDS + body.length)
    if (body !== null) batch.set(body, RECORDS)
    buffer.copy(batch, 0, at, at + RECORDS)
    setInt32(batch, BATCH_LENGTH, batch.length - BATCH_OVERHEAD_BYTES)
    setAttributes(batch, 0, horizonMs === NO_HORIZON ? attributes : attributes | DELETE_HORIZON_FLAG)
    setInt64(batch, BASE_TIMESTAMP, baseTimestampMs)
    setMaxTimestamp(batch, 0, maxTimestampMs)
    setInt32(batch, RECORD_COUNT, this.#count)
    refreshCrc(batch, 0)
    return batch
  }

  /** Of a record that stays, without its length. */
  #recordBytes(i: number, baseTimestampMs: number): number {
    return 1 + varlongBytes(this.#timestampsMs[i]! - baseTimestampMs) + this.#ends[i]! - this.#afterTimestamps[i]!
  }
}

/** The header alone: it keeps the offsets, and for its producer the sequence and the epoch. */
function withoutRecords(buffer: Buffer, at: number): Buffer {
  const batch = Buffer.from(buffer.subarray(at, at + RECORDS))
  setInt32(batch, BATCH_LENGTH, RECORDS - BATCH_OVERHEAD_BYTES)
  setAttributes(batch, 0, attributesAt(buffer, at) & ~(COMPRESSION_MASK | DELETE_HORIZON_FLAG))
  setInt64(batch, BASE_TIMESTAMP, NO_TIMESTAMP)
  setInt32(batch, RECORD_COUNT, 0)
  refreshCrc(batch, 0)
  return batch
}

/** The value without its sign, as zigzag counts it: -1 is 0, -2 is 1. */
function magnitude(value: number): number {
  return value < 0 ? -value - 1 : value
}

/** As many as a varint takes, where the value fits one. */
function varlongBytes(value: number): number {
  let bytes = 1
  for (let rest = Math.floor(magnitude(value) / 64); rest > 0; rest = Math.floor(rest / 128)) bytes++
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
