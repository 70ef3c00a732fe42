import { apis, ErrorCode, ZERO_UUID, type Input } from '@millrace/protocol'
import type { Cluster, TopicMetadata } from './cluster.ts'
import { KafkaError } from './errors.ts'
import type { PartitionOffset } from './offsets.ts'
import type { RetryOptions } from './retry.ts'
import { byTopic, partitionName } from './topic-partition.ts'

export interface NewTopic {
  readonly name: string
  /** -1: the broker's default. */
  readonly partitions: number
  /** -1, the default: the broker's default. */
  readonly replicationFactor?: number
  readonly configs?: Readonly<Record<string, string>>
}

const TIMEOUT_MS = 30_000
const DELETE_RECORDS_TIMEOUT_MS = 10_000

/**
 * Creates topics and waits until they are in the metadata with a leader for each partition. Those that exist already
 * are left as they are: compare them with what you need afterwards.
 */
export async function createTopics(
  cluster: Cluster,
  topics: readonly NewTopic[],
  options: RetryOptions = {},
): Promise<Map<string, TopicMetadata>> {
  if (topics.length === 0) return new Map()
  const { signal } = options
  let missing = topics
  const create = async (): Promise<void> => {
    const body = {
      topics: missing.map(({ name, partitions, replicationFactor = -1, configs = {} }) => ({
        name,
        numPartitions: partitions,
        replicationFactor,
        assignments: [],
        configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
      })),
      timeoutMs: TIMEOUT_MS,
    }
    const response = await cluster.request(null, apis.createTopics, body, { signal })
    for (const { name, errorCode, errorMessage } of response.topics) {
      if (errorCode !== ErrorCode.none && errorCode !== ErrorCode.topicAlreadyExists) {
        throw new KafkaError('CreateTopics', errorCode, `topic ${name}`, errorMessage)
      }
      missing = missing.filter((topic) => topic.name !== name)
    }
  }
  await cluster.retry(create, options)

  const names = topics.map(({ name }) => name)
  const find = async (): Promise<Map<string, TopicMetadata>> => {
    const found = await cluster.describeTopics(names, signal)
    for (const name of names) {
      const partitions = found.get(name)?.partitions
      // The broker that answers may not have heard of a topic that the controller has just made.
      if (partitions === undefined) throw new KafkaError('Metadata', ErrorCode.unknownTopicOrPartition, `topic ${name}`)
      const headless = partitions.find(({ leader }) => leader < 0)
      if (headless !== undefined) {
        throw new KafkaError('Metadata', ErrorCode.leaderNotAvailable, `${name}-${headless.partition}`)
      }
    }
    return found
  }
  return cluster.retry(find, options)
}

/** Deletes topics; those that are not there are no error. */
export async function deleteTopics(
  cluster: Cluster,
  names: readonly string[],
  options: RetryOptions = {},
): Promise<void> {
  if (names.length === 0) return
  const remove = async (): Promise<void> => {
    const body = {
      topicNames: names,
      topics: names.map((name) => ({ name, topicId: ZERO_UUID })),
      timeoutMs: TIMEOUT_MS,
    }
    const response = await cluster.request(null, apis.deleteTopics, body, { signal: options.signal })
    for (const { name, errorCode } of response.responses) {
      if (errorCode === ErrorCode.none || errorCode === ErrorCode.unknownTopicOrPartition) continue
      throw new KafkaError('DeleteTopics', errorCode, `topic ${name}`)
    }
  }
  await cluster.retry(remove, options)
}

/** Drops the records before these offsets. Brokers that do not allow it leave them where they are. */
export async function deleteRecords(
  cluster: Cluster,
  before: readonly PartitionOffset[],
  options: RetryOptions = {},
): Promise<void> {
  const byLeader = new Map<number, PartitionOffset[]>()
  for (const one of before) {
    const leader = cluster.leaderOf(one.topic, one.partition)
    const same = byLeader.get(leader)
    if (same === undefined) byLeader.set(leader, [one])
    else same.push(one)
  }
  const ask = async (leader: number, partitions: readonly PartitionOffset[]): Promise<void> => {
    if (leader < 0) throw new KafkaError('DeleteRecords', ErrorCode.leaderNotAvailable, partitionName(partitions[0]!))
    const body: Input<typeof apis.deleteRecords.request.fields> = {
      topics: [...byTopic(partitions)].map(([name, same]) => ({
        name,
        partitions: same.map(({ partition, offset }) => ({ partitionIndex: partition, offset })),
      })),
      timeoutMs: DELETE_RECORDS_TIMEOUT_MS,
    }
    const response = await cluster.request(leader, apis.deleteRecords, body, { signal: options.signal })
    for (const { name, partitions: answers } of response.topics) {
      for (const { partitionIndex, errorCode } of answers) {
        // Something else has deleted more meanwhile.
        if (errorCode === ErrorCode.none || errorCode === ErrorCode.offsetOutOfRange) continue
        throw new KafkaError('DeleteRecords', errorCode, `${name}-${partitionIndex}`)
      }
    }
  }
  await Promise.all([...byLeader].map(([leader, partitions]) => cluster.retry(() => ask(leader, partitions), options)))
}

export interface GroupState {
  /** Kafka's word: Empty, Stable, PreparingRebalance, CompletingRebalance or Dead. */
  readonly state: string
  readonly memberIds: readonly string[]
}

export async function describeGroup(
  cluster: Cluster,
  groupId: string,
  options: RetryOptions = {},
): Promise<GroupState> {
  const response = await cluster.coordinated(
    'group',
    groupId,
    apis.describeGroups,
    { groups: [groupId] },
    { signal: options.signal, codeOf: ({ groups }) => groups[0]?.errorCode ?? ErrorCode.none },
  )
  const group = response.groups[0]!
  if (group.errorCode === ErrorCode.groupIdNotFound) return { state: 'Dead', memberIds: [] }
  if (group.errorCode !== ErrorCode.none) throw new KafkaError('DescribeGroups', group.errorCode, `group ${groupId}`)
  return { state: group.groupState, memberIds: group.members.map(({ memberId }) => memberId) }
}
