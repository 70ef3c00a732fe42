import { ErrorCode, ZERO_UUID } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { ask, openMetadata, type NodeMetadata } from '../testing/node-metadata.ts'
import { createTopics } from './19-create-topics.ts'

interface Wanted {
  readonly name: string
  readonly numPartitions?: number
  readonly replicationFactor?: number
  readonly assignments?: { partitionIndex: number; brokerIds: number[] }[]
  readonly configs?: { name: string; value: string | null }[]
}

async function create(
  node: NodeMetadata,
  topics: readonly Wanted[],
  options: { validateOnly?: boolean; version?: number } = {},
) {
  const defaults = { numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] }
  const { version = 7, validateOnly = false } = options
  const request = { topics: topics.map((topic) => ({ ...defaults, ...topic })), timeoutMs: 1000, validateOnly }
  return (await ask(createTopics, version, request, node)).topics
}

async function refusal(topic: Wanted, node = openMetadata()): Promise<[number, string | null]> {
  const [answer] = await create(node, [topic])
  expect(node.metadata.image.topics.has(topic.name)).toBe(false)
  return [answer!.errorCode, answer!.errorMessage]
}

describe('CreateTopics', () => {
  it('creates a topic in every version', async () => {
    const node = openMetadata()
    for (let version = createTopics.api.minVersion; version <= createTopics.api.maxVersion; version++) {
      const [answer] = await create(node, [{ name: `t${version}`, numPartitions: 3, replicationFactor: 1 }], {
        version,
      })
      expect(answer).toMatchObject({ name: `t${version}`, errorCode: 0, errorMessage: null })
      const topic = node.metadata.image.topics.get(`t${version}`)!
      expect(topic.partitions).toHaveLength(3)
      if (version >= 5) expect(answer).toMatchObject({ numPartitions: 3, replicationFactor: 1 })
      if (version >= 7) expect(answer!.topicId).toBe(topic.id)
    }
  })

  it('answers the settings of the topic, sorted, with where they come from', async () => {
    const node = openMetadata({ sets: ['log.retention.hours=100'] })
    const [answer] = await create(node, [{ name: 'orders', configs: [{ name: 'segment.ms', value: ' 77 ' }] }])
    const configs = answer!.configs!
    expect(configs).toHaveLength(33)
    expect(configs.map(({ name }) => name)).toEqual(configs.map(({ name }) => name).toSorted())
    const shown = (name: string): object => configs.find((config) => config.name === name)!
    expect(shown('segment.ms')).toMatchObject({ value: ' 77 ', configSource: 1 })
    expect(shown('retention.ms')).toMatchObject({ value: '360000000', configSource: 4 })
    expect(shown('cleanup.policy')).toMatchObject({ value: 'delete', configSource: 5 })
  })

  it('creates nothing when only asked to validate, and answers what would be', async () => {
    const node = openMetadata()
    const [answer] = await create(node, [{ name: 'orders', numPartitions: 2 }], { validateOnly: true })
    expect(answer).toMatchObject({ errorCode: 0, numPartitions: 2 })
    expect(node.metadata.image.topics.size).toBe(0)
    const [refused] = await create(node, [{ name: 'orders', numPartitions: 0 }], { validateOnly: true })
    expect(refused!.errorCode).toBe(ErrorCode.invalidPartitions)
  })

  it('takes the replicas a client chose', async () => {
    const node = openMetadata()
    const assignments = [
      { partitionIndex: 1, brokerIds: [1] },
      { partitionIndex: 0, brokerIds: [1] },
    ]
    const [answer] = await create(node, [{ name: 'orders', assignments }])
    expect(answer).toMatchObject({ errorCode: 0, numPartitions: 2 })
  })

  it('refuses a topic that is in the request twice, and creates the others', async () => {
    const node = openMetadata()
    const answers = await create(node, [{ name: 'a' }, { name: 'a' }, { name: 'b' }])
    expect(answers.map(({ name, errorCode, errorMessage }) => [name, errorCode, errorMessage])).toEqual([
      ['b', ErrorCode.none, null],
      ['a', ErrorCode.invalidRequest, 'Duplicate topic name.'],
    ])
  })

  it('refuses a topic that exists or collides with one', async () => {
    const node = openMetadata()
    await create(node, [{ name: 'a.b' }])
    const answers = await create(node, [{ name: 'a.b' }, { name: 'a_b' }])
    expect(answers.map(({ errorCode, errorMessage }) => [errorCode, errorMessage])).toEqual([
      [ErrorCode.topicAlreadyExists, "Topic 'a.b' already exists."],
      [ErrorCode.invalidTopicException, "Topic 'a_b' collides with existing topic: a.b"],
    ])
  })

  const replicas = (...brokerIds: number[]) => [{ partitionIndex: 0, brokerIds }]
  // Codes and words of Kafka 4.3.1 for the same requests.
  it.each<[Wanted, number, string]>([
    [{ name: '..' }, ErrorCode.invalidTopicException, "Topic name is invalid: '..' is not allowed"],
    [
      { name: '__cluster_metadata' },
      ErrorCode.invalidRequest,
      'Creation of internal topic __cluster_metadata is prohibited.',
    ],
    [
      { name: 't', replicationFactor: 3 },
      ErrorCode.invalidReplicationFactor,
      'Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 broker(s) are registered.',
    ],
    [
      { name: 't', replicationFactor: 0 },
      ErrorCode.invalidReplicationFactor,
      'Replication factor must be larger than 0, or -1 to use the default value.',
    ],
    [
      { name: 't', numPartitions: 0 },
      ErrorCode.invalidPartitions,
      'Number of partitions was set to an invalid non-positive value.',
    ],
    [
      { name: 't', numPartitions: 10_000 },
      ErrorCode.policyViolation,
      'Unable to perform excessively large batch operation.',
    ],
    [
      { name: 't', numPartitions: 10_001 },
      ErrorCode.policyViolation,
      'Excessively large number of partitions per request.',
    ],
    [
      { name: 't', configs: [{ name: 'nope', value: '1' }] },
      ErrorCode.invalidConfig,
      'Unknown topic config name: nope',
    ],
    [
      { name: 't', configs: [{ name: 'retention.ms', value: 'x' }] },
      ErrorCode.invalidConfig,
      'Invalid value x for configuration retention.ms: Not a number of type LONG',
    ],
    [
      { name: 't', configs: [{ name: 'retention.ms', value: null }] },
      ErrorCode.invalidConfig,
      'Null value not supported for topic configs: retention.ms',
    ],
    [
      { name: 't', assignments: [{ partitionIndex: 1, brokerIds: [1] }] },
      ErrorCode.invalidReplicaAssignment,
      'partitions should be a consecutive 0-based integer sequence',
    ],
    [
      { name: 't', assignments: [...replicas(1), ...replicas(1)] },
      ErrorCode.invalidReplicaAssignment,
      'Found multiple manual partition assignments for partition 0',
    ],
    [
      { name: 't', assignments: replicas(2) },
      ErrorCode.invalidReplicaAssignment,
      'The manual partition assignment includes broker 2, but no such broker is registered.',
    ],
    [
      { name: 't', assignments: replicas() },
      ErrorCode.invalidReplicaAssignment,
      'The manual partition assignment includes an empty replica list.',
    ],
    [
      { name: 't', assignments: replicas(1, 1) },
      ErrorCode.invalidReplicaAssignment,
      'The manual partition assignment includes the broker 1 more than once.',
    ],
    [
      { name: 't', assignments: replicas(1), numPartitions: 1 },
      ErrorCode.invalidRequest,
      'A manual partition assignment was specified, but numPartitions was not set to -1.',
    ],
    [
      { name: 't', assignments: replicas(1), replicationFactor: 1 },
      ErrorCode.invalidRequest,
      'A manual partition assignment was specified, but replication factor was not set to -1.',
    ],
  ])('refuses %j', async (topic, errorCode, errorMessage) => {
    expect(await refusal(topic)).toEqual([errorCode, errorMessage])
  })

  it('answers a refused topic without id, counts and settings', async () => {
    const [answer] = await create(openMetadata(), [{ name: '' }])
    expect(answer).toMatchObject({ topicId: ZERO_UUID, numPartitions: -1, replicationFactor: -1, configs: [] })
  })

  it('bounds the partitions of a request over all its topics', async () => {
    const node = openMetadata()
    const answers = await create(node, [
      { name: 'a', numPartitions: 6000 },
      { name: 'b', numPartitions: 6000 },
    ])
    expect(answers.map(({ errorCode }) => errorCode)).toEqual([ErrorCode.policyViolation, ErrorCode.policyViolation])
    expect(node.metadata.image.topics.size).toBe(0)
  })
})
