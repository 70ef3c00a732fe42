import { RECORD_FACT_COUNT, RecordFact, RecordStatus, describeRecordStatus } from '@millrace/native'
import {
  BATCH_HEADER_BYTES,
  BATCH_OVERHEAD_BYTES,
  COMPRESSIONS,
  COMPRESSION_MASK,
  CONTROL_FLAG,
  CURRENT_MAGIC,
  ErrorCode,
  LOG_APPEND_TIME_FLAG,
  MAGIC,
  RecordReader,
  attributesAt,
  baseSequenceAt,
  baseTimestampAt,
  batchSizeAt,
  buildBatch,
  checkCompressedRecords,
  hasExactNumbersAt,
  int32At,
  isCrcValidAt,
  lastOffsetDeltaAt,
  magicAt,
  maxTimestampAt,
  producerIdAt,
  readBatch,
  readRecords,
  recordCountAt,
  refreshCrc,
  setAttributes,
  setMaxTimestamp,
  type Compression,
} from '@millrace/protocol'
import type { LogConfig } from './log-config.ts'

export interface RecordError {
  readonly batchIndex: number
  readonly message: string
}

/** Why a batch is refused, as Produce answers it. */
export interface BatchRefusal {
  readonly isValid: false
  readonly errorCode: number
  readonly errorMessage: string
  readonly recordErrors: readonly RecordError[]
}

/** The batch as it is to be stored: the bytes that came, or a new buffer if they had to be written again. */
export interface ValidBatch {
  readonly isValid: true
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
}

export interface ValidationOptions {
  /** A client's batch is checked for everything; a coordinator of this broker builds correct ones and may write control records. */
  readonly origin: 'client' | 'coordinator'
  /** The version of the Produce request, which says whether the client may use zstd; undefined for the newest. */
  readonly produceVersion: number | undefined
  readonly nowMs: number
}

const ZSTD = COMPRESSIONS.indexOf('zstd')
/** Produce from this version on may carry zstd (KIP-110). */
const FIRST_ZSTD_PRODUCE_VERSION = 7
/** A batch's records may take this much memory decompressed, or more where a topic takes batches as large as that. */
const MAX_BODY_BYTES = 64 * 1024 * 1024
/** Kafka answers with every bad record; a batch of a million of them would make a response of many megabytes. */
const MAX_RECORD_ERRORS = 1000
const NO_TIMESTAMP = -1
/** The smallest message of magic 0, behind its offset and length. */
const SMALLEST_MESSAGE_BYTES = 14
const NONE = -1
const CORRUPT = -2
const NO_ERRORS: readonly RecordError[] = []

/** What the last walk over records saw; filled and read within one call. */
const facts = new Float64Array(RECORD_FACT_COUNT)

/**
 * Decides whether the log takes what a producer sent in `bytes[start, end)`, and makes of it what is stored, all but base
 * offset and leader epoch: the order of the checks, the codes and the rewriting are Kafka's.
 *
 * Nothing is written again unless it must be. Where only the header differs (timestamps set by the log, a wrong largest
 * timestamp) it is changed in place. No object per record; only refused records are looked at one by one.
 */
export function validateBatch(
  bytes: Buffer,
  start: number,
  end: number,
  config: LogConfig,
  options: ValidationOptions,
): ValidBatch | BatchRefusal {
  const { origin, nowMs } = options
  const isClient = origin === 'client'
  const framing = framingProblem(bytes, start, end)
  if (framing !== null) return framing
  const sizeBytes = batchSizeAt(bytes, start)
  const attributes = attributesAt(bytes, start)
  const codec = attributes & COMPRESSION_MASK
  const compression = COMPRESSIONS[codec]
  if (compression === undefined) return refuse(ErrorCode.unsupportedCompressionType, `unknown compression ${codec}`)
  if (codec === ZSTD && (options.produceVersion ?? FIRST_ZSTD_PRODUCE_VERSION) < FIRST_ZSTD_PRODUCE_VERSION) {
    return refuse(ErrorCode.unsupportedCompressionType, 'zstd takes Produce version 7 or newer')
  }

  if (isClient && (int32At(bytes, start) !== 0 || int32At(bytes, start + 4) !== 0)) {
    return refuse(ErrorCode.invalidRecord, "a producer's base offset is 0")
  }
  // Kafka's int64 holds more; as milliseconds this is the year 287396.
  if (!hasExactNumbersAt(bytes, start)) return refuse(ErrorCode.invalidTimestamp, 'a time or id is beyond 2^53')
  // A transaction that could write to the topic can also be ended there.
  const isMarker = !isClient && (attributes & CONTROL_FLAG) !== 0
  if (sizeBytes > config.maxMessageBytes && !isMarker) return tooLarge(sizeBytes, config)
  if (!isCrcValidAt(bytes, start)) return refuse(ErrorCode.corruptMessage, 'the checksum of the batch is wrong')

  const recordCount = recordCountAt(bytes, start)
  if (isClient) {
    const lastOffsetDelta = lastOffsetDeltaAt(bytes, start)
    if (lastOffsetDelta < 0 || recordCount <= 0 || lastOffsetDelta + 1 !== recordCount) {
      return refuse(ErrorCode.invalidRecord, `${recordCount} records with offsets up to ${lastOffsetDelta}`)
    }
    if (attributes & CONTROL_FLAG) return refuse(ErrorCode.invalidRecord, 'control records are written by the broker')
    if (producerIdAt(bytes, start) >= 0 && baseSequenceAt(bytes, start) < 0) {
      return refuse(ErrorCode.invalidRecord, `sequence ${baseSequenceAt(bytes, start)} of an idempotent producer`)
    }
  }

  const status = checkCompressedRecords(bytes, start, bodyBytesMax(config), facts)
  if (status !== RecordStatus.ok) return unreadable(status)
  const isContiguous = facts[RecordFact.hasContiguousOffsets] === 1
  const newestMs =
    recordCount === 0 ? maxTimestampAt(bytes, start) : timestampOf(bytes, start, RecordFact.maxTimestampDelta)
  if (isClient) {
    const refusal = checkRecordRules(bytes, start, attributes, newestMs, config, nowMs)
    if (refusal !== null) return refusal
  }

  const target = targetCompression(config, compression, attributes)
  if (target === compression && (isContiguous || !isClient)) {
    setTimestamps(bytes, start, config, newestMs, nowMs)
    return { isValid: true, bytes, start, end: start + sizeBytes }
  }
  return rewritten(bytes.subarray(start, start + sizeBytes), target, config, newestMs, nowMs)
}

/**
 * Whether there is one whole batch at `start` and no second one. As in Kafka, a beginning of something behind the batch
 * is dropped, and bytes that are too few for a batch are no batch rather than a damaged one.
 */
function framingProblem(bytes: Buffer, start: number, end: number): BatchRefusal | null {
  const sizeBytes = wholeBatchBytes(bytes, start, end)
  if (sizeBytes === CORRUPT) return refuse(ErrorCode.corruptMessage, 'no length or magic of a batch')
  if (sizeBytes === NONE) return refuse(ErrorCode.invalidRecord, 'a request holds one whole batch per partition')
  const magic = magicAt(bytes, start)
  if (magic !== CURRENT_MAGIC) return refuse(ErrorCode.invalidRecord, `a batch of magic ${magic}, only 2 is taken`)
  if (sizeBytes < BATCH_HEADER_BYTES) {
    return refuse(ErrorCode.corruptMessage, `a batch of ${sizeBytes} bytes is smaller than its header`)
  }
  const second = wholeBatchBytes(bytes, start + sizeBytes, end)
  if (second === CORRUPT) return refuse(ErrorCode.corruptMessage, 'bytes behind the batch are none')
  if (second !== NONE) return refuse(ErrorCode.invalidRecord, 'a request holds exactly one batch per partition')
  return null
}

/** The size of the batch of any magic that is whole between `start` and `end`, or NONE, or CORRUPT if it cannot be one. */
function wholeBatchBytes(bytes: Buffer, start: number, end: number): number {
  const available = end - start
  if (available < BATCH_OVERHEAD_BYTES) return NONE
  const sizeBytes = batchSizeAt(bytes, start)
  if (sizeBytes < BATCH_OVERHEAD_BYTES + SMALLEST_MESSAGE_BYTES) return CORRUPT
  if (available <= MAGIC) return NONE
  const magic = magicAt(bytes, start)
  if (magic < 0 || magic > CURRENT_MAGIC) return CORRUPT
  return sizeBytes <= available ? sizeBytes : NONE
}

/** Keys and timestamps: what may be wrong with records that are well-formed. */
function checkRecordRules(
  bytes: Buffer,
  start: number,
  attributes: number,
  newestMs: number,
  config: LogConfig,
  nowMs: number,
): BatchRefusal | null {
  const isLogAppendTime = (attributes & LOG_APPEND_TIME_FLAG) !== 0
  const lacksKey = config.isCompacted && facts[RecordFact.firstNullKeyIndex]! >= 0
  const oldestMs = timestampOf(bytes, start, RecordFact.minTimestampDelta)
  const mayBeOutOfRange =
    config.messageTimestampType === 'CreateTime' &&
    (newestMs - nowMs > config.timestampAfterMaxMs || nowMs - oldestMs > config.timestampBeforeMaxMs)
  if (!lacksKey && !mayBeOutOfRange && !isLogAppendTime) return null

  const recordErrors: RecordError[] = []
  let errorCount = 0
  let hasBadTimestamp = false
  const reader = new RecordReader(readBatch(bytes, start), { maxBytes: bodyBytesMax(config) })
  for (let batchIndex = 0; reader.next(); batchIndex++) {
    let message: string
    if (config.isCompacted && reader.key === null) {
      message = 'a record of a compacted topic needs a key'
    } else if (isLogAppendTime && (config.messageTimestampType === 'LogAppendTime' || reader.timestampMs === -1)) {
      message = 'a producer does not set the timestamp type LogAppendTime'
      hasBadTimestamp = true
    } else if (isOutOfRange(reader.timestampMs, config, nowMs)) {
      const earliest = nowMs - config.timestampBeforeMaxMs
      message = `timestamp ${reader.timestampMs} is not within [${earliest}, ${nowMs + config.timestampAfterMaxMs}]`
      hasBadTimestamp = true
    } else {
      continue
    }
    errorCount++
    if (recordErrors.length < MAX_RECORD_ERRORS) recordErrors.push({ batchIndex, message })
  }
  if (errorCount === 0) return null
  const errorCode = hasBadTimestamp ? ErrorCode.invalidTimestamp : ErrorCode.invalidRecord
  const errorMessage = `${errorCount} records are refused, the first of them: ${recordErrors[0]!.message}`
  return { isValid: false, errorCode, errorMessage, recordErrors }
}

function isOutOfRange(timestampMs: number, config: LogConfig, nowMs: number): boolean {
  if (config.messageTimestampType !== 'CreateTime' || timestampMs === NO_TIMESTAMP) return false
  return timestampMs - nowMs > config.timestampAfterMaxMs || nowMs - timestampMs > config.timestampBeforeMaxMs
}

function bodyBytesMax(config: LogConfig): number {
  return Math.max(MAX_BODY_BYTES, 4 * config.maxMessageBytes)
}

/** The timestamp that a delta among the facts stands for; what lies before 1970 counts as none, as in Kafka. */
function timestampOf(bytes: Buffer, start: number, delta: number): number {
  return Math.max(NO_TIMESTAMP, baseTimestampAt(bytes, start) + facts[delta]!)
}

/** Sets timestamp type and largest timestamp as the topic wants them, and the checksum if that changed anything. */
function setTimestamps(bytes: Buffer, start: number, config: LogConfig, newestMs: number, nowMs: number): void {
  const isLogAppendTime = config.messageTimestampType === 'LogAppendTime'
  const attributes = attributesAt(bytes, start)
  const wanted = isLogAppendTime ? attributes | LOG_APPEND_TIME_FLAG : attributes & ~LOG_APPEND_TIME_FLAG
  const timestampMs = isLogAppendTime ? nowMs : newestMs
  if (wanted === attributes && maxTimestampAt(bytes, start) === timestampMs) return
  setAttributes(bytes, start, wanted)
  setMaxTimestamp(bytes, start, timestampMs)
  refreshCrc(bytes, start)
}

/** Control batches of the broker stay as they are, so that they can be read without a codec. */
function targetCompression(config: LogConfig, source: Compression, attributes: number): Compression {
  if (config.compressionType === 'producer' || attributes & CONTROL_FLAG) return source
  return config.compressionType === 'uncompressed' ? 'none' : config.compressionType
}

/** The same records with another codec and offsets without gaps. Kafka does so for clients that number them wrongly. */
function rewritten(
  source: Buffer,
  compression: Compression,
  config: LogConfig,
  newestMs: number,
  nowMs: number,
): ValidBatch | BatchRefusal {
  const batch = readBatch(source)
  const { producerId, producerEpoch, baseSequence, isTransactional, isControl, lastOffset, baseOffset } = batch
  const bytes = buildBatch({
    records: readRecords(batch, { maxBytes: bodyBytesMax(config) }),
    compression,
    producerId,
    producerEpoch,
    baseSequence,
    isTransactional,
    isControl,
    lastOffsetDelta: lastOffset - baseOffset,
  })
  if (bytes.length > config.maxMessageBytes) return tooLarge(bytes.length, config)
  setTimestamps(bytes, 0, config, newestMs, nowMs)
  return { isValid: true, bytes, start: 0, end: bytes.length }
}

function unreadable(status: number): BatchRefusal {
  const reason = describeRecordStatus(status)
  if (status === RecordStatus.bodyTooLarge) return refuse(ErrorCode.messageTooLarge, reason)
  return refuse(ErrorCode.invalidRecord, reason)
}

function tooLarge(sizeBytes: number, config: LogConfig): BatchRefusal {
  return refuse(
    ErrorCode.messageTooLarge,
    `a batch of ${sizeBytes} bytes, the topic takes up to ${config.maxMessageBytes}`,
  )
}

function refuse(errorCode: number, errorMessage: string): BatchRefusal {
  return { isValid: false, errorCode, errorMessage, recordErrors: NO_ERRORS }
}
