import { ErrorCode } from '@millrace/protocol'
import type { OffsetToCommit } from '../groups/coordinator.ts'
import { findTopic } from './find-topic.ts'
import type { RequestContext } from './handler.ts'

interface CommittedTopic {
  readonly name: string
  readonly topicId: string
  readonly partitions: readonly {
    readonly partitionIndex: number
    readonly committedOffset: number
    readonly committedLeaderEpoch: number
    readonly committedMetadata: string | null
  }[]
}

interface CommitAnswer {
  readonly throttleTimeMs: number
  readonly topics: {
    readonly name: string
    readonly topicId: string
    readonly partitions: { readonly partitionIndex: number; readonly errorCode: number }[]
  }[]
}

/**
 * The answer to a request that commits offsets. Partitions that do not exist get their errors here; the rest goes to
 * `commit` together, which answers for all of it or for each in its order.
 */
export function commitAnswer(
  asked: readonly CommittedTopic[],
  context: RequestContext,
  idsSince: number,
  commit: (offsets: readonly OffsetToCommit[]) => number | readonly number[],
): CommitAnswer {
  const offsets: OffsetToCommit[] = []
  const topics = asked.map(({ name, topicId, partitions }) => {
    const topic = findTopic({ name, topicId }, context, idsSince)
    const places = partitions.map((partition) => {
      const { partitionIndex } = partition
      if (topic.errorCode !== ErrorCode.none || !topic.hasPartition(partitionIndex)) {
        return { partitionIndex, errorCode: topic.errorCode || ErrorCode.unknownTopicOrPartition, at: -1 }
      }
      const count = offsets.push({
        topic: topic.name,
        topicId: topic.topicId,
        partition: partitionIndex,
        offset: partition.committedOffset,
        leaderEpoch: partition.committedLeaderEpoch,
        metadata: partition.committedMetadata,
      })
      return { partitionIndex, errorCode: ErrorCode.none, at: count - 1 }
    })
    return { name, topicId, places }
  })

  const results = offsets.length === 0 ? [] : commit(offsets)
  return {
    throttleTimeMs: 0,
    topics: topics.map(({ name, topicId, places }) => ({
      name,
      topicId,
      partitions: places.map(({ partitionIndex, errorCode, at }) => ({
        partitionIndex,
        errorCode: at === -1 ? errorCode : typeof results === 'number' ? results : results[at]!,
      })),
    })),
  }
}
