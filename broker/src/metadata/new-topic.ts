import { ErrorCode } from '@millrace/protocol'
import type { BrokerConfig } from '../config/broker-config.ts'
import { validateTopicConfigs } from '../config/topic-settings.ts'
import type { ClusterImage } from './cluster-image.ts'
import { RECORDS_PER_OPERATION_MAX, refused, tooManyRecords, type Refusal } from './refusal.ts'
import { invalidReplicas, invalidReplicationFactor } from './replica-assignment.ts'
import { CLUSTER_METADATA, invalidTopicName } from './topic-names.ts'

export interface NewTopic {
  readonly name: string
  /** Without it, or with -1, num.partitions. */
  readonly partitionCount?: number
  /** Without it, or with -1, default.replication.factor. */
  readonly replicationFactor?: number
  /** The replicas of each partition, instead of the two counts. */
  readonly assignments?: readonly { readonly partitionIndex: number; readonly brokerIds: readonly number[] }[]
  /** Settings of its own. Null is what a client may send and gets refused. */
  readonly configs?: ReadonlyMap<string, string | null>
  readonly validateOnly?: boolean
}

/** The replicas of the partitions of a topic that can be created, or why it cannot: in Kafka's order of checks. */
export function planTopic(image: ClusterImage, config: BrokerConfig, topic: NewTopic): Refusal | number[][] {
  const { name, assignments = [], configs = new Map() } = topic
  if (name === CLUSTER_METADATA) {
    return refused(ErrorCode.invalidRequest, `Creation of internal topic ${CLUSTER_METADATA} is prohibited.`)
  }
  if (image.topics.has(name)) return refused(ErrorCode.topicAlreadyExists, `Topic '${name}' already exists.`)
  const invalidName = invalidTopicName(name)
  if (invalidName !== null) return refused(ErrorCode.invalidTopicException, invalidName)
  const colliding = image.topicCollidingWith(name)
  if (colliding) {
    const message = `Topic '${name}' collides with existing topic: ${colliding.name}`
    return refused(ErrorCode.invalidTopicException, message)
  }

  const nulls = [...configs.keys()].filter((key) => configs.get(key) === null)
  if (nulls.length > 0) {
    return refused(ErrorCode.invalidConfig, `Null value not supported for topic configs: ${nulls.join(',')}`)
  }
  const invalidConfig = validateTopicConfigs(configs as ReadonlyMap<string, string>)
  if (invalidConfig !== null) return refused(ErrorCode.invalidConfig, invalidConfig)

  const replicas = assignments.length > 0 ? assigned(image, topic, assignments) : counted(image, config, topic)
  if (Array.isArray(replicas) && replicas.length + configs.size >= RECORDS_PER_OPERATION_MAX) return tooManyRecords
  return replicas
}

function assigned(
  image: ClusterImage,
  { partitionCount = -1, replicationFactor = -1 }: NewTopic,
  assignments: NonNullable<NewTopic['assignments']>,
): Refusal | number[][] {
  const alone = (rest: string): Refusal =>
    refused(ErrorCode.invalidRequest, `A manual partition assignment was specified, but ${rest} was not set to -1.`)
  if (replicationFactor !== -1) return alone('replication factor')
  if (partitionCount !== -1) return alone('numPartitions')

  const byIndex = new Map<number, readonly number[]>()
  let firstLength: number | undefined
  for (const { partitionIndex, brokerIds } of assignments) {
    if (byIndex.has(partitionIndex)) {
      return refused(
        ErrorCode.invalidReplicaAssignment,
        `Found multiple manual partition assignments for partition ${partitionIndex}`,
      )
    }
    const invalid = invalidReplicas(image, brokerIds, firstLength)
    if (invalid !== null) return invalid
    firstLength = brokerIds.length
    byIndex.set(partitionIndex, brokerIds)
  }
  const replicas: number[][] = []
  for (let index = 0; index < byIndex.size; index++) {
    const brokerIds = byIndex.get(index)
    if (!brokerIds) {
      return refused(ErrorCode.invalidReplicaAssignment, 'partitions should be a consecutive 0-based integer sequence')
    }
    replicas.push([...brokerIds])
  }
  return replicas
}

function counted(image: ClusterImage, config: BrokerConfig, topic: NewTopic): Refusal | number[][] {
  const { partitionCount = -1, replicationFactor = -1 } = topic
  if (replicationFactor < -1 || replicationFactor === 0) {
    return refused(
      ErrorCode.invalidReplicationFactor,
      'Replication factor must be larger than 0, or -1 to use the default value.',
    )
  }
  if (partitionCount < -1 || partitionCount === 0) {
    return refused(ErrorCode.invalidPartitions, 'Number of partitions was set to an invalid non-positive value.')
  }
  const count = partitionCount === -1 ? config.int('num.partitions') : partitionCount
  const factor = replicationFactor === -1 ? config.int('default.replication.factor') : replicationFactor
  const invalid = invalidReplicationFactor(image, factor)
  if (invalid !== null) return invalid
  // Asked before the array is made: the count is a client's.
  if (count >= RECORDS_PER_OPERATION_MAX) return tooManyRecords
  const brokerIds = [...image.brokers.keys()].slice(0, factor)
  return Array.from({ length: count }, () => [...brokerIds])
}
