// The hot path of the broker: no object per record, none per partition but the append's result. The request is read
// where it was received and the response written while partitions are appended to; the order of the fields is the
// table's in protocol/src/apis/00-produce.ts, and a test compares the two.
import { apis, ErrorCode, type Reader, type Writer } from '@millrace/protocol'
import type { AppendResult } from '../log/partition-log.ts'
import { isInternalTopic } from '../metadata/topic-names.ts'
import { frameHandler, type RequestContext } from './handler.ts'

const FLEXIBLE_FROM = 9
const TOPIC_IDS_FROM = 13

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
    const refused = requestError(acks, transactionalId)
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
          refused ?? append(context, topicId, name, index, reader.buffer, start, start + Math.max(sizeBytes, 0))
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
  if (partition === undefined) return failure(ErrorCode.unknownTopicOrPartition, null)
  if (start === end) return failure(ErrorCode.invalidRecord, 'a produce request has exactly one batch per partition')
  return partition.append(bytes, start, end, 'client', context.apiVersion)
}

function requestError(acks: number, transactionalId: string | null): AppendResult | null {
  if (acks < -1 || acks > 1) return failure(ErrorCode.invalidRequiredAcks, `acks=${acks}: -1, 0 and 1 are allowed`)
  if (transactionalId !== null) return failure(ErrorCode.invalidTxnState, 'no transaction is open')
  return null
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
