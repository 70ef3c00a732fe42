import { ErrorCode } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { ask, openMetadata } from '../testing/node-metadata.ts'
import { alterPartitionReassignments } from './45-alter-partition-reassignments.ts'
import { listPartitionReassignments } from './46-list-partition-reassignments.ts'

describe('AlterPartitionReassignments', () => {
  // Codes and words of Kafka 4.3.1 on one node.
  it.each<[string, number, number[] | null, number, string | null]>([
    ['t', 0, [1], ErrorCode.none, null],
    ['t', 0, null, ErrorCode.noReassignmentInProgress, null],
    ['t', 7, [1], ErrorCode.unknownTopicOrPartition, 'Unable to find partition t:7.'],
    ['nope', 0, [1], ErrorCode.unknownTopicOrPartition, 'Unable to find a topic named nope.'],
    [
      't',
      0,
      [2],
      ErrorCode.invalidReplicaAssignment,
      'The manual partition assignment includes broker 2, but no such broker is registered.',
    ],
    ['t', 0, [], ErrorCode.invalidReplicaAssignment, 'The manual partition assignment includes an empty replica list.'],
    [
      't',
      0,
      [1, 1],
      ErrorCode.invalidReplicaAssignment,
      'The manual partition assignment includes the broker 1 more than once.',
    ],
  ])('answers a move of %s-%i to %j', async (name, partitionIndex, replicas, errorCode, errorMessage) => {
    const node = openMetadata()
    node.metadata.createTopic({ name: 't' })
    for (const version of [0, 1]) {
      const request = { topics: [{ name, partitions: [{ partitionIndex, replicas }] }] }
      const answer = await ask(alterPartitionReassignments, version, request, node)
      expect(answer).toMatchObject({ errorCode: 0, responses: [{ name }] })
      expect(answer.responses[0]!.partitions).toEqual([{ partitionIndex, errorCode, errorMessage }])
    }
  })
})

describe('ListPartitionReassignments', () => {
  it('knows of none', async () => {
    const asked = [{ name: 'nope', partitionIndexes: [0] }]
    for (const topics of [null, asked]) {
      const answer = await ask(listPartitionReassignments, 0, { topics }, openMetadata())
      expect(answer).toMatchObject({ errorCode: 0, topics: [] })
    }
  })
})
