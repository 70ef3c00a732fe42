import {
  ATTRIBUTES,
  BATCH_HEADER_BYTES,
  BATCH_LENGTH,
  BATCH_OVERHEAD_BYTES,
  COMPRESSION_MASK,
  CONTROL_FLAG,
  CURRENT_MAGIC,
  DELETE_HORIZON_FLAG,
  LOG_APPEND_TIME_FLAG,
  TRANSACTIONAL_FLAG,
  attributesAt,
  baseOffsetAt,
  baseSequenceAt,
  baseTimestampAt,
  batchSizeAt,
  int32At,
  lastOffsetDeltaAt,
  leaderEpochAt,
  magicAt,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
  recordCountAt,
} from './batch-header.ts'
import { COMPRESSIONS, type Compression } from './compressions.ts'

export type TimestampType = 'CreateTime' | 'LogAppendTime'

/** Bytes that are not the record batches they should be. `position` is the byte in the buffer that was read. */
export class RecordFormatError extends RangeError {
  override readonly name = 'RecordFormatError'
  readonly position: number

  constructor(position: number, reason: string) {
    super(`byte ${position}: ${reason}`)
    this.position = position
  }
}

/** The header of one batch, read once. Its records stay bytes of `buffer`, from `start` on. */
export interface RecordBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly leaderEpoch: number
  readonly compression: Compression
  readonly timestampType: TimestampType
  readonly isTransactional: boolean
  readonly isControl: boolean
  /** Set by compaction: `baseTimestampMs` is then the time from which tombstones and markers may go. */
  readonly hasDeleteHorizon: boolean
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly recordCount: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
  readonly sizeBytes: number
  readonly buffer: Buffer
  readonly start: number
}

/**
 * The batches of `buffer[start, end)`, in order. What is not a whole batch of magic 2 throws a RangeError; for a fetch
 * response of Kafka, which may end within a batch, ask `endOfWholeBatches` first. Checksums are not looked at:
 * `isCrcValidAt` is for those who have not checked them before.
 */
export function* readBatches(buffer: Buffer, start = 0, end = buffer.length): Generator<RecordBatch, void, undefined> {
  if (start < 0 || end > buffer.length || start > end) {
    throw new RangeError(`batches of [${start}, ${end}) in ${buffer.length} bytes`)
  }
  for (let at = start; at < end;) {
    const batch = readBatch(buffer, at, end)
    yield batch
    at += batch.sizeBytes
  }
}

/** The batch that starts at `at`, which must end at or before `end`. */
export function readBatch(buffer: Buffer, at = 0, end = buffer.length): RecordBatch {
  if (end - at < BATCH_HEADER_BYTES) {
    throw new RecordFormatError(at, `a batch header takes ${BATCH_HEADER_BYTES} bytes, ${end - at} are left`)
  }
  const magic = magicAt(buffer, at)
  if (magic !== CURRENT_MAGIC) throw new RecordFormatError(at, `a batch of magic ${magic}; only magic 2 is read`)
  const sizeBytes = batchSizeAt(buffer, at)
  if (sizeBytes < BATCH_HEADER_BYTES || sizeBytes > end - at) {
    throw new RecordFormatError(at + BATCH_LENGTH, `a batch of ${sizeBytes} bytes, ${end - at} are left`)
  }
  const attributes = attributesAt(buffer, at)
  const compression = COMPRESSIONS[attributes & COMPRESSION_MASK]
  if (compression === undefined) {
    throw new RecordFormatError(at + ATTRIBUTES, `unknown compression ${attributes & COMPRESSION_MASK}`)
  }
  const baseOffset = baseOffsetAt(buffer, at)
  return {
    baseOffset,
    lastOffset: baseOffset + lastOffsetDeltaAt(buffer, at),
    leaderEpoch: leaderEpochAt(buffer, at),
    compression,
    timestampType: attributes & LOG_APPEND_TIME_FLAG ? 'LogAppendTime' : 'CreateTime',
    isTransactional: (attributes & TRANSACTIONAL_FLAG) !== 0,
    isControl: (attributes & CONTROL_FLAG) !== 0,
    hasDeleteHorizon: (attributes & DELETE_HORIZON_FLAG) !== 0,
    producerId: producerIdAt(buffer, at),
    producerEpoch: producerEpochAt(buffer, at),
    baseSequence: baseSequenceAt(buffer, at),
    recordCount: recordCountAt(buffer, at),
    baseTimestampMs: baseTimestampAt(buffer, at),
    maxTimestampMs: maxTimestampAt(buffer, at),
    sizeBytes,
    buffer,
    start: at,
  }
}

/** The end of the last batch of `buffer[start, end)` that is there completely: where a cut-off one begins, or `end`. */
export function endOfWholeBatches(buffer: Buffer, start = 0, end = buffer.length): number {
  let at = start
  while (end - at >= BATCH_OVERHEAD_BYTES) {
    const length = int32At(buffer, at + BATCH_LENGTH)
    // A negative length is no cut-off batch but garbage, which readBatches reports.
    if (length < 0) return end
    if (length > end - at - BATCH_OVERHEAD_BYTES) return at
    at += BATCH_OVERHEAD_BYTES + length
  }
  return at
}
