import {
  ErrorCode,
  ZERO_UUID,
  apis,
  type DescribeTopicPartitionsRequest,
  type DescribeTopicPartitionsResponse,
} from '@millrace/protocol'
import type { PartitionImage } from '../metadata/cluster-image.ts'
import { invalidTopicName, isInternalTopic } from '../metadata/topic-names.ts'
import { OPERATIONS_NOT_ASKED, topicOperations } from './authorized-operations.ts'
import { handler } from './handler.ts'

type TopicAnswer = DescribeTopicPartitionsResponse['topics'][number]

/**
 * DescribeTopicPartitions (75): topics in order of their names, page by page. A page ends within a topic when it is full;
 * the cursor says where the next one begins.
 */
export const describeTopicPartitions = handler({
  api: apis.describeTopicPartitions,
  handle(request, { services }) {
    const { cursor } = request
    const { image } = services.metadata
    const isAll = request.topics.length === 0
    const asked = isAll ? [...image.topics.keys()] : [...new Set(request.topics.map(({ name }) => name))]
    const names = asked.filter((name) => cursor === null || name >= cursor.topicName).sort(byCodeUnits)
    if (cursor !== null) {
      if (!isAll && !names.includes(cursor.topicName)) return refuse(request)
      if (cursor.partitionIndex < 0) return refuse(request)
    }

    const pageSize = Math.min(services.config.int('max.request.partition.size.limit'), request.responsePartitionLimit)
    let left = Math.max(1, pageSize)
    const topics: TopicAnswer[] = []
    for (const name of names) {
      if (left === 0) return page(topics, { topicName: name, partitionIndex: 0 })
      const topic = image.topics.get(name)
      if (!topic) {
        const invalid = invalidTopicName(name) !== null
        const errorCode = invalid ? ErrorCode.invalidTopicException : ErrorCode.unknownTopicOrPartition
        topics.push(topicAnswer(name, ZERO_UUID, errorCode, []))
        continue
      }
      const from = name === cursor?.topicName ? cursor.partitionIndex : 0
      const partitions = topic.partitions.slice(from, from + left)
      topics.push(topicAnswer(name, topic.id, ErrorCode.none, partitions))
      left -= partitions.length
      const next = from + partitions.length
      if (next < topic.partitions.length) return page(topics, { topicName: name, partitionIndex: next })
    }
    return page(topics, null)
  },
})

function topicAnswer(
  name: string,
  topicId: string,
  errorCode: number,
  partitions: readonly PartitionImage[],
): TopicAnswer {
  return {
    errorCode,
    name,
    topicId,
    isInternal: isInternalTopic(name),
    partitions: partitions.map(({ index, leader, leaderEpoch, replicas, isr, elr, lastKnownElr }) => ({
      errorCode: leader < 0 ? ErrorCode.leaderNotAvailable : ErrorCode.none,
      partitionIndex: index,
      leaderId: leader,
      leaderEpoch,
      replicaNodes: [...replicas],
      isrNodes: [...isr],
      eligibleLeaderReplicas: [...elr],
      lastKnownElr: [...lastKnownElr],
      offlineReplicas: [],
    })),
    topicAuthorizedOperations: topicOperations,
  }
}

function page(
  topics: TopicAnswer[],
  nextCursor: DescribeTopicPartitionsResponse['nextCursor'],
): DescribeTopicPartitionsResponse {
  return { throttleTimeMs: 0, topics, nextCursor }
}

/** A cursor that does not fit the request. */
function refuse({ topics }: DescribeTopicPartitionsRequest): DescribeTopicPartitionsResponse {
  const answers = topics.map(({ name }) => ({
    ...topicAnswer(name, ZERO_UUID, ErrorCode.invalidRequest, []),
    isInternal: false,
    topicAuthorizedOperations: OPERATIONS_NOT_ASKED,
  }))
  return page(answers, null)
}

// Java's String.compareTo, in which Kafka orders the pages.
function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
