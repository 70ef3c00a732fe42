import { apis, ErrorCode } from '@millrace/protocol'
import { StorageError } from '../base/errors.ts'
import { isInternalTopic } from '../metadata/topic-names.ts'
import { handler, type RequestContext } from './handler.ts'

/** An offset that stands for the high watermark: delete all there is. */
const HIGH_WATERMARK = -1

/** DeleteRecords (21): moves the log start up. Not for topics that are only compacted, whose records have no order of age. */
export const deleteRecords = handler({
  api: apis.deleteRecords,
  handle(request, context) {
    const topics = request.topics.map((topic) => ({
      name: topic.name,
      partitions: topic.partitions.map(({ partitionIndex, offset }) => ({
        partitionIndex,
        ...deleteBefore(topic.name, partitionIndex, offset, context),
      })),
    }))
    return context.services.config.text('acks.after') === 'fsync'
      ? whenDurable(topics, context)
      : { throttleTimeMs: 0, topics }
  },
})

interface Answer {
  readonly name: string
  readonly partitions: readonly { readonly partitionIndex: number; lowWatermark: number; errorCode: number }[]
}

/**
 * What was deleted must not be there again after a crash: the starts of the logs are in their checkpoint first. A data
 * directory that cannot write it down fails its own partitions alone.
 */
async function whenDurable(topics: Answer[], { services: { partitions } }: RequestContext) {
  const unsaved = await partitions.saveLogStarts()
  for (const topic of unsaved.size === 0 ? [] : topics) {
    for (const answer of topic.partitions) {
      const partition = partitions.get(topic.name, answer.partitionIndex)
      if (answer.errorCode !== ErrorCode.none || (partition !== undefined && !unsaved.has(partition))) continue
      answer.errorCode = ErrorCode.kafkaStorageError
      answer.lowWatermark = -1
    }
  }
  return { throttleTimeMs: 0, topics }
}

function deleteBefore(
  topic: string,
  index: number,
  offset: number,
  context: RequestContext,
): { lowWatermark: number; errorCode: number } {
  const failure = (errorCode: number) => ({ lowWatermark: -1, errorCode })
  if (isInternalTopic(topic)) return failure(ErrorCode.invalidTopicException)
  const partition = context.services.partitions.get(topic, index)
  if (partition === undefined) return failure(context.services.partitions.absence(topic, index))
  if (partition.isReadOnly) return failure(ErrorCode.kafkaStorageError)
  if (!partition.log.config.isDeleted) return failure(ErrorCode.policyViolation)
  const target = offset === HIGH_WATERMARK ? partition.offsets.highWatermark : offset
  if (target < 0 || target > partition.offsets.highWatermark) return failure(ErrorCode.offsetOutOfRange)
  try {
    partition.deleteRecordsBefore(target)
  } catch (cause) {
    if (!(cause instanceof StorageError)) throw cause
    context.services.logger.error('records not deleted', { topic, partition: index, error: cause.message })
    return failure(ErrorCode.kafkaStorageError)
  }
  return { lowWatermark: partition.offsets.logStart, errorCode: ErrorCode.none }
}
