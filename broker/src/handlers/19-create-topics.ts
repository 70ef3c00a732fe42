import { ErrorCode, ZERO_UUID, apis, type CreateTopicsRequest, type CreateTopicsResponse } from '@millrace/protocol'
import { topicOptions } from '../config/options.ts'
import { topicValue } from '../config/topic-settings.ts'
import { ConfigSourceId } from './config-source.ts'
import { handler, type RequestContext } from './handler.ts'

type NewTopic = CreateTopicsRequest['topics'][number]
type TopicAnswer = CreateTopicsResponse['topics'][number]

/** Kafka's bound on a request, whatever number of topics it is spread over. */
const PARTITIONS_PER_REQUEST_MAX = 10_000

/** CreateTopics (19). From version 5 on the answer holds the settings the topic has, from version 7 on its id. */
export const createTopics = handler({
  api: apis.createTopics,
  handle(request, context) {
    const { topics } = request
    const partitionCount = topics.reduce((sum, topic) => sum + partitionsOf(topic, context), 0)
    if (partitionCount > PARTITIONS_PER_REQUEST_MAX) {
      const message = 'Excessively large number of partitions per request.'
      return answer(topics.map(({ name }) => failed(name, ErrorCode.policyViolation, message)))
    }
    const isTwice = twice(topics.map(({ name }) => name))
    const answers: TopicAnswer[] = []
    for (const topic of topics) {
      if (isTwice.has(topic.name)) continue
      answers.push(create(topic, request.validateOnly, context))
    }
    for (const name of isTwice) answers.push(failed(name, ErrorCode.invalidRequest, 'Duplicate topic name.'))
    return answer(answers)
  },
})

function create(request: NewTopic, validateOnly: boolean, { services }: RequestContext): TopicAnswer {
  const { name, numPartitions, replicationFactor, assignments } = request
  const configs = new Map(request.configs.map((setting) => [setting.name, setting.value]))
  const { metadata, config } = services
  const { errorCode, errorMessage, topic } = metadata.createTopic({
    name,
    partitionCount: numPartitions,
    replicationFactor,
    assignments,
    configs,
    validateOnly,
  })
  if (topic === null) return failed(name, errorCode, errorMessage)
  return {
    ...failed(name, ErrorCode.none, null),
    topicId: topic.id,
    numPartitions: topic.partitions.length,
    replicationFactor: topic.partitions[0]!.replicas.length,
    configs: topicOptions
      .filter((option) => option.isInternal !== true)
      .map((option) => {
        const { value, source } = topicValue(config, configs as ReadonlyMap<string, string>, option.name)
        return { name: option.name, value, readOnly: false, configSource: ConfigSourceId[source], isSensitive: false }
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  }
}

function partitionsOf({ numPartitions, assignments }: NewTopic, { services }: RequestContext): number {
  if (assignments.length > 0) return assignments.length
  return numPartitions === -1 ? services.config.int('num.partitions') : Math.max(0, numPartitions)
}

function twice(names: readonly string[]): Set<string> {
  const seen = new Set<string>()
  const repeated = new Set<string>()
  for (const name of names) (seen.has(name) ? repeated : seen).add(name)
  return repeated
}

function answer(topics: TopicAnswer[]): CreateTopicsResponse {
  return { throttleTimeMs: 0, topics }
}

function failed(name: string, errorCode: number, errorMessage: string | null): TopicAnswer {
  return {
    name,
    topicId: ZERO_UUID,
    errorCode,
    errorMessage,
    topicConfigErrorCode: ErrorCode.none,
    numPartitions: -1,
    replicationFactor: -1,
    configs: [],
  }
}
