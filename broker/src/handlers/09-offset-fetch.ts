import { apis, ErrorCode, ZERO_UUID } from '@millrace/protocol'
import type { FetchedOffset } from '../groups/coordinator.ts'
import { handler, type RequestContext } from './handler.ts'

interface TopicAsked {
  readonly name: string
  readonly topicId: string
  readonly partitionIndexes: readonly number[]
}

interface TopicFetched {
  readonly name: string
  readonly topicId: string
  readonly partitions: readonly FetchedOffset[]
}

interface GroupFetched {
  readonly groupId: string
  readonly topics: readonly TopicFetched[]
  readonly errorCode: number
}

/** OffsetFetch (9): what a group has committed; since version 8 of several groups, since version 10 by topic ids. */
export const offsetFetch = handler({
  api: apis.offsetFetch,
  handle(request, context) {
    const { apiVersion } = context
    const { requireStable } = request
    if (apiVersion >= 8) {
      const groups = request.groups.map(({ groupId, topics }) => fetchGroup(groupId, topics, requireStable, context))
      return { throttleTimeMs: 0, groups }
    }
    const asked = request.topics?.map((topic) => ({ ...topic, topicId: ZERO_UUID })) ?? null
    const { topics, errorCode } = fetchGroup(request.groupId, asked, requireStable, context)
    if (errorCode === ErrorCode.none) return { throttleTimeMs: 0, errorCode, topics }
    // Version 1 has no place for an error but the partitions.
    const failed = asked?.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map(failure(errorCode)),
    }))
    return { throttleTimeMs: 0, errorCode, topics: apiVersion === 1 ? (failed ?? []) : [] }
  },
})

function fetchGroup(
  groupId: string,
  asked: readonly TopicAsked[] | null,
  requireStable: boolean,
  { apiVersion, services }: RequestContext,
): GroupFetched {
  const { image } = services.metadata
  const useIds = apiVersion >= 10
  if (asked === null) {
    const found = services.groups.fetchOffsets(groupId, null, requireStable)
    if (typeof found === 'number') return { groupId, topics: [], errorCode: found }
    const topics = found.map((topic) => ({ ...topic, topicId: image.topics.get(topic.name)?.id ?? ZERO_UUID }))
    // A topic that is gone has no id to be told by.
    const told = useIds ? topics.filter(({ topicId }) => topicId !== ZERO_UUID) : topics
    return { groupId, topics: told, errorCode: ErrorCode.none }
  }

  const topics = asked.map(({ name, topicId, partitionIndexes }) => {
    const topic = useIds ? image.topicById(topicId) : image.topics.get(name)
    return { name: topic?.name ?? name, topicId: topic?.id ?? topicId, partitions: partitionIndexes, topic }
  })
  const isKnown = ({ topic }: (typeof topics)[number]): boolean => !useIds || topic !== undefined
  const found = services.groups.fetchOffsets(groupId, topics.filter(isKnown), requireStable)
  if (typeof found === 'number') return { groupId, topics: [], errorCode: found }
  let next = 0
  const fetched = topics.map((topic) => ({
    name: topic.name,
    topicId: topic.topicId,
    partitions: isKnown(topic) ? found[next++]!.partitions : topic.partitions.map(failure(ErrorCode.unknownTopicId)),
  }))
  return { groupId, topics: fetched, errorCode: ErrorCode.none }
}

function failure(errorCode: number): (partitionIndex: number) => FetchedOffset {
  return (partitionIndex) => ({
    partitionIndex,
    committedOffset: -1,
    committedLeaderEpoch: -1,
    metadata: '',
    errorCode,
  })
}
