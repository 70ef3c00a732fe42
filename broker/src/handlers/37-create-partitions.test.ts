import { ErrorCode } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { ask, openMetadata, type NodeMetadata } from '../testing/node-metadata.ts'
import { createPartitions } from './37-create-partitions.ts'

type Wanted = readonly [name: string, count: number, assignments?: number[][] | null]

async function grow(node: NodeMetadata, topics: readonly Wanted[], validateOnly = false, version = 3) {
  const request = {
    topics: topics.map(([name, count, assignments = null]) => ({
      name,
      count,
      assignments: assignments && assignments.map((brokerIds) => ({ brokerIds })),
    })),
    timeoutMs: 1000,
    validateOnly,
  }
  return (await ask(createPartitions, version, request, node)).results
}

function nodeWithTopic(): NodeMetadata {
  const node = openMetadata()
  node.metadata.createTopic({ name: 't', partitionCount: 2 })
  return node
}

const countOf = ({ metadata }: NodeMetadata): number => metadata.image.topics.get('t')!.partitions.length

describe('CreatePartitions', () => {
  it('grows a topic to the count, in every version', async () => {
    for (let version = createPartitions.api.minVersion; version <= createPartitions.api.maxVersion; version++) {
      const node = nodeWithTopic()
      expect(await grow(node, [['t', 5]], false, version)).toMatchObject([{ name: 't', errorCode: 0 }])
      expect(node.metadata.image.topics.get('t')!.partitions.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4])
    }
  })

  it('takes the replicas a client chose', async () => {
    const node = nodeWithTopic()
    expect(await grow(node, [['t', 4, [[1], [1]]]])).toMatchObject([{ errorCode: 0 }])
    expect(countOf(node)).toBe(4)
  })

  it('changes nothing when only asked to validate', async () => {
    const node = nodeWithTopic()
    expect(await grow(node, [['t', 3]], true)).toMatchObject([{ errorCode: 0 }])
    expect(await grow(node, [['t', 1]], true)).toMatchObject([{ errorCode: ErrorCode.invalidPartitions }])
    expect(countOf(node)).toBe(2)
  })

  // Codes and words of Kafka 4.3.1 for the same requests, but for the last: Kafka 4.3 makes them.
  it.each<[Wanted, number, string | null]>([
    [['nope', 3], ErrorCode.unknownTopicOrPartition, null],
    [['t', 2], ErrorCode.invalidPartitions, 'Topic already has 2 partition(s).'],
    [['t', 1], ErrorCode.invalidPartitions, 'The topic t currently has 2 partition(s); 1 would not be an increase.'],
    [['t', -1], ErrorCode.invalidPartitions, 'The topic t currently has 2 partition(s); -1 would not be an increase.'],
    [
      ['t', 4, [[1]]],
      ErrorCode.invalidReplicaAssignment,
      'Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.',
    ],
    [
      ['t', 3, [[2]]],
      ErrorCode.invalidReplicaAssignment,
      'The manual partition assignment includes broker 2, but no such broker is registered.',
    ],
    [
      ['t', 3, [[]]],
      ErrorCode.invalidReplicaAssignment,
      'The manual partition assignment includes an empty replica list.',
    ],
    [
      ['t', 3, [[1, 1]]],
      ErrorCode.invalidReplicaAssignment,
      'The manual partition assignment includes the broker 1 more than once.',
    ],
    [['t', 2147483647], ErrorCode.policyViolation, 'Unable to perform excessively large batch operation.'],
  ])('refuses %j', async (wanted, errorCode, errorMessage) => {
    const node = nodeWithTopic()
    expect(await grow(node, [wanted])).toEqual([{ name: wanted[0], errorCode, errorMessage }])
    expect(countOf(node)).toBe(2)
  })

  it.each(['__consumer_offsets', '__transaction_state'])(
    'does not move what %s holds to other partitions',
    async (name) => {
      const node = openMetadata()
      node.metadata.createTopic({ name, partitionCount: 2 })
      expect(await grow(node, [[name, 3]])).toMatchObject([{ name, errorCode: ErrorCode.invalidPartitions }])
      expect(node.metadata.image.topics.get(name)!.partitions).toHaveLength(2)
    },
  )

  it('refuses a topic that is in the request twice', async () => {
    const node = nodeWithTopic()
    expect(
      await grow(node, [
        ['t', 3],
        ['t', 4],
      ]),
    ).toEqual([{ name: 't', errorCode: ErrorCode.invalidRequest, errorMessage: 'Duplicate topic name.' }])
    expect(countOf(node)).toBe(2)
  })
})
