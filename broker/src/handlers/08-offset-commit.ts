import { apis, ErrorCode, type OffsetCommitRequest } from '@millrace/protocol'
import type { OffsetToCommit } from '../groups/coordinator.ts'
import { findTopic } from './find-topic.ts'
import { handler, type RequestContext } from './handler.ts'

const USES_TOPIC_IDS = 10

/**
 * OffsetCommit (8): a group stores how far it has read. Partitions that do not exist get their errors here, the rest goes
 * to the coordinator together and is stored together.
 */
export const offsetCommit = handler({
  api: apis.offsetCommit,
  handle(request, context) {
    const offsets: OffsetToCommit[] = []
    const topics = request.topics.map((topic) => {
      const { name, topicId, errorCode: unknown, hasPartition } = findTopic(topic, context, USES_TOPIC_IDS)
      const partitions = topic.partitions.map((partition) => {
        const { partitionIndex } = partition
        if (unknown !== ErrorCode.none) return { partitionIndex, errorCode: unknown, commit: -1 }
        if (!hasPartition(partitionIndex)) {
          return { partitionIndex, errorCode: ErrorCode.unknownTopicOrPartition, commit: -1 }
        }
        const commit =
          offsets.push({
            topic: name,
            topicId,
            partition: partitionIndex,
            offset: partition.committedOffset,
            leaderEpoch: partition.committedLeaderEpoch,
            metadata: partition.committedMetadata,
          }) - 1
        return { partitionIndex, errorCode: ErrorCode.none, commit }
      })
      return { name: topic.name, topicId: topic.topicId, partitions }
    })

    const results = offsets.length === 0 ? [] : commit(request, offsets, context)
    return {
      throttleTimeMs: 0,
      topics: topics.map((topic) => ({
        name: topic.name,
        topicId: topic.topicId,
        partitions: topic.partitions.map(({ partitionIndex, errorCode, commit: index }) => ({
          partitionIndex,
          errorCode: index === -1 ? errorCode : typeof results === 'number' ? results : results[index]!,
        })),
      })),
    }
  },
})

function commit(
  request: OffsetCommitRequest,
  offsets: readonly OffsetToCommit[],
  { apiVersion, services }: RequestContext,
): number | readonly number[] {
  return services.groups.commitOffsets({
    apiVersion,
    groupId: request.groupId,
    memberId: request.memberId,
    groupInstanceId: request.groupInstanceId,
    generationId: request.generationIdOrMemberEpoch,
    retentionTimeMs: request.retentionTimeMs,
    offsets,
  })
}
