import { ErrorCode, ZERO_UUID, apis, type MetadataRequest, type MetadataResponse } from '@millrace/protocol'
import type { PartitionImage, TopicImage } from '../metadata/cluster-image.ts'
import { CONSUMER_OFFSETS, TRANSACTION_STATE, invalidTopicName, isInternalTopic } from '../metadata/topic-names.ts'
import { OPERATIONS_NOT_ASKED, clusterOperations, topicOperations } from './authorized-operations.ts'
import { handler, type RequestContext } from './handler.ts'

type TopicAnswer = MetadataResponse['topics'][number]

/**
 * Metadata (3): which brokers there are and who leads what. It creates unknown topics when the client and the broker both
 * allow that; unlike Kafka, which creates them behind its answer, it answers with the topic that is there then.
 */
export const metadata = handler({
  api: apis.metadata,
  handle(request, context) {
    const { apiVersion, services } = context
    const asked = request.topics
    if (
      asked !== null &&
      apiVersion < 12 &&
      asked.some(({ name, topicId }) => name === null || topicId !== ZERO_UUID)
    ) {
      return refuse(asked)
    }
    const { image, ownBroker } = services.metadata
    const operations =
      apiVersion >= 8 && request.includeTopicAuthorizedOperations ? topicOperations : OPERATIONS_NOT_ASKED
    const { host, port } = context.endpoint
    return {
      throttleTimeMs: 0,
      brokers: [{ nodeId: services.nodeId, host, port, rack: ownBroker.rack }],
      clusterId: image.clusterId,
      controllerId: services.nodeId,
      topics: findTopics(request, context).map((topic) =>
        // Of an id that nobody has there is no topic to have rights on.
        topic.name === null ? topic : { ...topic, topicAuthorizedOperations: operations },
      ),
      clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
        ? clusterOperations
        : OPERATIONS_NOT_ASKED,
      errorCode: ErrorCode.none,
    }
  },
})

function findTopics(request: MetadataRequest, context: RequestContext): TopicAnswer[] {
  const { image } = context.services.metadata
  const asked = request.topics
  // Version 0 has no null array: there the empty one means all.
  if (asked === null || (asked.length === 0 && context.apiVersion === 0)) return [...image.topics.values()].map(found)

  const ids = new Set(asked.map(({ topicId }) => topicId).filter((id) => id !== ZERO_UUID))
  // Who asks by id for one asks by id for all.
  if (ids.size > 0) {
    return [...ids].map((id) => {
      const topic = image.topicById(id)
      return topic ? found(topic) : missing(null, ErrorCode.unknownTopicId, id)
    })
  }
  const mayCreate = request.allowAutoTopicCreation && context.services.config.boolean('auto.create.topics.enable')
  return [...new Set(asked.map(({ name }) => name))].map((name) => {
    if (name === null) return missing(null, ErrorCode.invalidRequest)
    const topic = image.topics.get(name)
    if (topic) return found(topic)
    if (invalidTopicName(name) !== null) return missing(name, ErrorCode.invalidTopicException)
    const created = mayCreate ? create(name, context) : null
    return created ? found(created) : missing(name, ErrorCode.unknownTopicOrPartition)
  })
}

function create(name: string, { services }: RequestContext): TopicImage | null {
  const { metadata, logger } = services
  const isOwn = name === CONSUMER_OFFSETS || name === TRANSACTION_STATE
  const { topic, errorMessage } = isOwn ? metadata.createInternalTopic(name) : metadata.createTopic({ name })
  // The client only hears that there is no such topic, as from Kafka; the reason is for the operator.
  if (topic === null) logger.warn('did not create the topic a client asked for', { topic: name, reason: errorMessage })
  return topic
}

function found({ name, id, isInternal, partitions }: TopicImage): TopicAnswer {
  return {
    errorCode: ErrorCode.none,
    name,
    topicId: id,
    isInternal,
    partitions: partitions.map(partitionAnswer),
    topicAuthorizedOperations: OPERATIONS_NOT_ASKED,
  }
}

function partitionAnswer({
  index,
  leader,
  leaderEpoch,
  replicas,
  isr,
}: PartitionImage): TopicAnswer['partitions'][number] {
  return {
    errorCode: leader < 0 ? ErrorCode.leaderNotAvailable : ErrorCode.none,
    partitionIndex: index,
    leaderId: leader,
    leaderEpoch,
    replicaNodes: [...replicas],
    isrNodes: [...isr],
    offlineReplicas: [],
  }
}

function missing(name: string | null, errorCode: number, topicId = ZERO_UUID): TopicAnswer {
  return {
    errorCode,
    name,
    topicId,
    isInternal: name !== null && isInternalTopic(name),
    partitions: [],
    topicAuthorizedOperations: OPERATIONS_NOT_ASKED,
  }
}

/** Versions 10 and 11 carry topic ids that could not yet be asked for. */
function refuse(asked: NonNullable<MetadataRequest['topics']>): MetadataResponse {
  return {
    throttleTimeMs: 0,
    brokers: [],
    clusterId: null,
    controllerId: -1,
    topics: asked.map(({ name, topicId }) => ({
      ...missing(name ?? '', ErrorCode.invalidRequest, topicId),
      isInternal: false,
    })),
    clusterAuthorizedOperations: OPERATIONS_NOT_ASKED,
    errorCode: ErrorCode.invalidRequest,
  }
}
