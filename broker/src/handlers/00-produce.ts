// The hot path of the broker: no object per record, none per partition but the append's result. The request is read
// where it was received and the response written while partitions are appended to; the order of the fields is the
// table's in protocol/src/apis/00-produce.ts, and a test compares the two.
import {
  apis,
  ATTRIBUTES,
  BATCH_HEADER_BYTES,
  baseSequenceAt,
  ErrorCode,
  errorName,
  hasExactNumbersAt,
  producerEpochAt,
  producerIdAt,
  TRANSACTIONAL_FLAG,
  type Reader,
  type Writer,
} from '@millrace/protocol'
import type { AppendResult } from '../log/partition-log.ts'
import { isInternalTopic } from '../metadata/topic-names.ts'
import type { Partition } from '../partition/partition.ts'
import { frameHandler, type RequestContext } from './handler.ts'

const FLEXIBLE_FROM = 9
const TOPIC_IDS_FROM = 13
/** The first version whose clients know TRANSACTION_ABORTABLE (KIP-890). */
const ABORTABLE_FROM = 11
/** From here on a batch adds its partition to the transaction, and a transaction has an epoch of its own (KIP-890). */
const ADDS_PARTITIONS_FROM = 12

/**
 * Produce (0). Versions 0-2 are advertised, because old librdkafka turns features off without them, and refused
 * (KAFKA-18659).
 */
export const produce = frameHandler({
  api: apis.produce,
  answer(reader, context, output) {
    const version = context.apiVersion
    checkStructure(reader, version)

    const transactionalId = nullableString(reader, version)
    const acks = reader.int16()
    reader.int32() // timeoutMs: with one replica there is nobody to wait for

    output.beginResponse(context.correlationId, version >= FLEXIBLE_FROM)
    const writer = output.writer
    const refused = requestError(acks)
    let failed = false

    const topicCount = readCount(reader, version)
    writeCount(writer, version, topicCount)
    for (let t = 0; t < topicCount; t++) {
      const topicId = version >= TOPIC_IDS_FROM ? reader.uuid() : null
      const name = topicId === null ? requiredString(reader, version) : context.services.partitions.topicName(topicId)
      if (topicId !== null) writer.uuid(topicId)
      else if (version >= FLEXIBLE_FROM) writer.compactString(name!)
      else writer.string(name!)

      const partitionCount = readCount(reader, version)
      writeCount(writer, version, partitionCount)
      for (let p = 0; p < partitionCount; p++) {
        const index = reader.int32()
        const sizeBytes = version >= FLEXIBLE_FROM ? reader.uvarint() - 1 : reader.int32()
        const start = reader.at
        if (sizeBytes > 0) reader.skip(sizeBytes)
        if (version >= FLEXIBLE_FROM) reader.skipTags()

        const result =
          refused ??
          append(context, transactionalId, topicId, name, index, reader.buffer, start, start + Math.max(sizeBytes, 0))
        if (result.errorCode !== ErrorCode.none) failed = true
        writePartition(writer, version, index, result)
      }
      if (version >= FLEXIBLE_FROM) {
        reader.skipTags()
        writer.uvarint(0)
      }
    }
    writer.int32(0) // throttleTimeMs
    if (version >= FLEXIBLE_FROM) writer.uvarint(0)

    if (acks !== 0) {
      output.endFrame()
      return
    }
    output.dropFrame()
    // The one way to tell a producer that expects no answer: it finds the connection closed and asks for metadata.
    if (failed) throw new RangeError('a produce request with acks=0 failed')
  },
})

/** Reads through the whole request, so that a malformed one is refused before anything of it was appended. */
function checkStructure(reader: Reader, version: number): void {
  const at = reader.at
  nullableString(reader, version)
  reader.int16()
  reader.int32()
  for (let topics = readCount(reader, version); topics > 0; topics--) {
    if (version >= TOPIC_IDS_FROM) reader.skip(16)
    else requiredString(reader, version)
    for (let partitions = readCount(reader, version); partitions > 0; partitions--) {
      reader.int32()
      const sizeBytes = version >= FLEXIBLE_FROM ? reader.uvarint() - 1 : reader.int32()
      if (sizeBytes > 0) reader.skip(sizeBytes)
      else if (sizeBytes < -1) reader.skip(sizeBytes)
      if (version >= FLEXIBLE_FROM) reader.skipTags()
    }
    if (version >= FLEXIBLE_FROM) reader.skipTags()
  }
  if (version >= FLEXIBLE_FROM) reader.skipTags()
  reader.at = at
}

function append(
  context: RequestContext,
  transactionalId: string | null,
  topicId: string | null,
  name: string | null,
  index: number,
  bytes: Buffer,
  start: number,
  end: number,
): AppendResult {
  if (name === null) return failure(ErrorCode.unknownTopicId, `no topic has the id ${topicId}`)
  if (isInternalTopic(name)) return failure(ErrorCode.invalidTopicException, `${name} is written by the broker alone`)
  const partition = context.services.partitions.get(name, index)
  if (partition === undefined) return failure(context.services.partitions.absence(name, index), null)
  if (start === end) return failure(ErrorCode.invalidRecord, 'a produce request has exactly one batch per partition')
  const isTransactional =
    end - start >= BATCH_HEADER_BYTES && (bytes[start + ATTRIBUTES + 1]! & TRANSACTIONAL_FLAG) !== 0
  if (!isTransactional) return partition.append(bytes, start, end, 'client', context.apiVersion)
  const refusal = notAdmitted(context, transactionalId, partition, bytes, start)
  if (refusal !== null) return refusal
  const result = partition.append(bytes, start, end, 'client', context.apiVersion, true)
  // The first attempt may have begun the transaction, of which no acknowledgement has come either.
  if (result.isDuplicate && transactionalId !== null) context.services.transactions.answersFor(transactionalId)
  return result
}

/**
 * Why a transactional batch must not be appended, or null. The first batch of a transaction on a partition is let in by
 * the coordinator, the others because that one is in the log.
 */
function notAdmitted(
  context: RequestContext,
  transactionalId: string | null,
  partition: Partition,
  bytes: Buffer,
  start: number,
): AppendResult | null {
  if (transactionalId === null) {
    return failure(ErrorCode.transactionalIdAuthorizationFailed, 'a transactional batch without a transactional id')
  }
  // What such a batch says of its producer cannot be read; the log refuses it.
  if (!hasExactNumbersAt(bytes, start)) return null
  const producerId = producerIdAt(bytes, start)
  const epoch = producerEpochAt(bytes, start)
  const adds = context.apiVersion >= ADDS_PARTITIONS_FROM
  if (producerId < 0 || !partition.needsAdmission(producerId, epoch, baseSequenceAt(bytes, start), adds)) return null
  const { config, transactions } = context.services
  if (!adds && !config.boolean('transaction.partition.verification.enable')) return null
  const { topic, partition: index } = partition.topicPartition
  const errorCode = transactions.admit(transactionalId, producerId, epoch, topic, index, adds)
  return errorCode === ErrorCode.none ? null : admissionFailure(errorCode, context.apiVersion)
}

/** What clients of a version make something of: a coordinator that is busy is no news to them in a produce response. */
function admissionFailure(errorCode: number, version: number): AppendResult {
  switch (errorCode) {
    case ErrorCode.producerFenced:
      return failure(ErrorCode.invalidProducerEpoch, 'the producer was replaced by one with a larger epoch')
    case ErrorCode.transactionAbortable:
    case ErrorCode.invalidTxnState:
      return failure(
        version >= ABORTABLE_FROM ? errorCode : ErrorCode.invalidTxnState,
        'the partition is not part of the transaction',
      )
    case ErrorCode.concurrentTransactions:
    case ErrorCode.coordinatorLoadInProgress:
    case ErrorCode.coordinatorNotAvailable:
    case ErrorCode.notCoordinator: {
      // To be tried again, also by clients that know no better, and without asking for metadata.
      const isKnown = errorCode === ErrorCode.concurrentTransactions && version >= ADDS_PARTITIONS_FROM
      const message = `whether the partition is part of the transaction is not known yet: ${errorName(errorCode)}`
      return failure(isKnown ? errorCode : ErrorCode.notEnoughReplicas, message)
    }
    default:
      return failure(errorCode, null)
  }
}

function requestError(acks: number): AppendResult | null {
  if (acks >= -1 && acks <= 1) return null
  return failure(ErrorCode.invalidRequiredAcks, `acks=${acks}: -1, 0 and 1 are allowed`)
}

function failure(errorCode: number, errorMessage: string | null): AppendResult {
  return {
    errorCode,
    errorMessage,
    recordErrors: [],
    baseOffset: -1,
    lastOffset: -1,
    logAppendTimeMs: -1,
    logStartOffset: -1,
    isDuplicate: false,
  }
}

function writePartition(writer: Writer, version: number, index: number, result: AppendResult): void {
  writer.int32(index)
  writer.int16(result.errorCode)
  writer.int64(result.errorCode === ErrorCode.none ? result.baseOffset : -1)
  writer.int64(result.logAppendTimeMs)
  if (version >= 5) writer.int64(result.logStartOffset)
  if (version >= 8) {
    writeCount(writer, version, result.recordErrors.length)
    for (const error of result.recordErrors) {
      writer.int32(error.batchIndex)
      writeNullableString(writer, version, error.message)
      if (version >= FLEXIBLE_FROM) writer.uvarint(0)
    }
    writeNullableString(writer, version, result.errorMessage)
  }
  if (version >= FLEXIBLE_FROM) writer.uvarint(0)
}

function nullableString(reader: Reader, version: number): string | null {
  return version >= FLEXIBLE_FROM ? reader.compactNullableString() : reader.nullableString()
}

function requiredString(reader: Reader, version: number): string {
  return version >= FLEXIBLE_FROM ? reader.compactString() : reader.string()
}

// The least that a topic or a partition takes: a name or an index, a length, tags.
function readCount(reader: Reader, version: number): number {
  return version >= FLEXIBLE_FROM ? reader.compactCount(3) : reader.count(6)
}

function writeCount(writer: Writer, version: number, count: number): void {
  if (version >= FLEXIBLE_FROM) writer.compactCount(count)
  else writer.count(count)
}

function writeNullableString(writer: Writer, version: number, value: string | null): void {
  if (version >= FLEXIBLE_FROM) writer.compactNullableString(value)
  else writer.nullableString(value)
}
