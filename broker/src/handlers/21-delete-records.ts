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
    return {
      throttleTimeMs: 0,
      topics: request.topics.map((topic) => ({
        name: topic.name,
        partitions: topic.partitions.map(({ partitionIndex, offset }) => ({
          partitionIndex,
          ...deleteBefore(topic.name, partitionIndex, offset, context),
        })),
      })),
    }
  },
})

function deleteBefore(
  topic: string,
  index: number,
  offset: number,
  context: RequestContext,
): { lowWatermark: number; errorCode: number } {
  const failure = (errorCode: number) => ({ lowWatermark: -1, errorCode })
  if (isInternalTopic(topic)) return failure(ErrorCode.invalidTopicException)
  const partition = context.services.partitions.get(topic, index)
  if (partition === undefined) return failure(ErrorCode.unknownTopicOrPartition)
  if (partition.isOffline) return failure(ErrorCode.kafkaStorageError)
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
