import { apis, ErrorCode, ZERO_UUID } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { MemoryDisk } from '../log/memory-disk.ts'
import { startTestBroker, topicIdOf, type TestBroker } from '../testing/test-broker.ts'
import type { WireClient } from '../testing/wire-client.ts'

async function withTopic(
  options: { readonly disk?: MemoryDisk } = {},
): Promise<{ broker: TestBroker; client: WireClient }> {
  const broker = await startTestBroker(options)
  await broker.broker.createTopic('t', { partitions: 2 })
  const client = broker.connect()
  await client.request(apis.findCoordinator, 3, { key: 'g' })
  return { broker, client }
}

const partition = (partitionIndex: number, committedOffset: number, more: { committedLeaderEpoch?: number } = {}) => ({
  partitionIndex,
  committedOffset,
  committedMetadata: `at ${committedOffset}`,
  ...more,
})

describe('OffsetCommit and OffsetFetch', () => {
  it('store and give back offsets in every version, by names and by ids', async () => {
    for (let version = 2; version <= 10; version++) {
      const { broker, client } = await withTopic()
      const topicId = await topicIdOf(client, 't')
      const committed = await client.request(apis.offsetCommit, version, {
        groupId: 'g',
        memberId: '',
        topics: [{ name: 't', topicId, partitions: [partition(1, 5, { committedLeaderEpoch: 3 }), partition(2, 5)] }],
      })
      const topic = version >= 10 ? { topicId } : { name: 't' }
      expect(committed.topics).toMatchObject([
        {
          ...topic,
          partitions: [
            { partitionIndex: 1, errorCode: ErrorCode.none },
            { partitionIndex: 2, errorCode: ErrorCode.unknownTopicOrPartition },
          ],
        },
      ])

      const found = { committedOffset: 5, metadata: 'at 5', errorCode: ErrorCode.none }
      const none = { committedOffset: -1, metadata: '', errorCode: ErrorCode.none, committedLeaderEpoch: -1 }
      const expected = [
        { partitionIndex: 1, ...found, committedLeaderEpoch: version >= 6 ? 3 : -1 },
        { partitionIndex: 0, ...none },
      ]
      for (let fetchVersion = 1; fetchVersion <= 7; fetchVersion++) {
        const { errorCode, topics } = await client.request(apis.offsetFetch, fetchVersion, {
          groupId: 'g',
          topics: [{ name: 't', partitionIndexes: [1, 0] }],
        })
        expect(errorCode).toBe(ErrorCode.none)
        const shown = fetchVersion >= 5 ? expected : expected.map((one) => ({ ...one, committedLeaderEpoch: -1 }))
        expect(topics).toEqual([{ name: 't', partitions: shown }])
      }
      for (let fetchVersion = 8; fetchVersion <= 10; fetchVersion++) {
        const { groups } = await client.request(apis.offsetFetch, fetchVersion, {
          groups: [
            { groupId: 'g', topics: [{ name: 't', topicId, partitionIndexes: [1, 0] }] },
            { groupId: 'g', topics: null },
            { groupId: 'other', topics: [{ name: 't', topicId, partitionIndexes: [0] }] },
          ],
        })
        const ids = fetchVersion >= 10 ? { name: '', topicId } : { name: 't', topicId: ZERO_UUID }
        expect(groups).toEqual([
          { groupId: 'g', errorCode: ErrorCode.none, topics: [{ ...ids, partitions: expected }] },
          { groupId: 'g', errorCode: ErrorCode.none, topics: [{ ...ids, partitions: [expected[0]] }] },
          {
            groupId: 'other',
            errorCode: ErrorCode.none,
            topics: [{ ...ids, partitions: [{ partitionIndex: 0, ...none }] }],
          },
        ])
      }
      await broker.broker.close()
    }
  })

  it('answer for unknown topics by name and by id as Kafka does', async () => {
    const { broker, client } = await withTopic()
    const unknownId = 'bbbbbbbbbbbbbbbbbbbbbg'
    const commit = async (version: number) => {
      const topics = [{ name: 'x', topicId: unknownId, partitions: [partition(0, 1)] }]
      const answer = await client.request(apis.offsetCommit, version, {
        groupId: 'g',
        memberId: 'm',
        generationIdOrMemberEpoch: 7,
        topics,
      })
      return answer.topics
    }
    // Nothing is left to commit, so nobody asks whether the member may.
    expect(await commit(9)).toMatchObject([
      { name: 'x', partitions: [{ errorCode: ErrorCode.unknownTopicOrPartition }] },
    ])
    expect(await commit(10)).toMatchObject([
      { topicId: unknownId, partitions: [{ errorCode: ErrorCode.unknownTopicId }] },
    ])

    const fetch = async (version: number) => {
      const topics = [{ name: 'x', topicId: unknownId, partitionIndexes: [0] }]
      return (await client.request(apis.offsetFetch, version, { groups: [{ groupId: 'g', topics }] })).groups[0]!
    }
    const none = { partitionIndex: 0, committedOffset: -1 }
    expect((await fetch(9)).topics).toMatchObject([{ name: 'x', partitions: [{ ...none, errorCode: ErrorCode.none }] }])
    expect((await fetch(10)).topics).toMatchObject([
      { topicId: unknownId, partitions: [{ ...none, errorCode: ErrorCode.unknownTopicId }] },
    ])
    await broker.broker.close()
  })

  it('put an error of the group into every partition that exists', async () => {
    const { broker, client } = await withTopic()
    const commit = async (version: number) => {
      const { topics } = await client.request(apis.offsetCommit, version, {
        groupId: 'g',
        memberId: 'm',
        generationIdOrMemberEpoch: 7,
        topics: [{ name: 't', partitions: [partition(0, 1), partition(1, 1), partition(2, 1)] }],
      })
      return topics[0]!.partitions.map(({ errorCode }) => errorCode)
    }
    const unknown = ErrorCode.unknownTopicOrPartition
    expect(await commit(8)).toEqual([ErrorCode.illegalGeneration, ErrorCode.illegalGeneration, unknown])
    expect(await commit(9)).toEqual([ErrorCode.groupIdNotFound, ErrorCode.groupIdNotFound, unknown])
    await broker.broker.close()
  })

  it('say that this is no coordinator as long as nobody looked for one', async () => {
    const broker = await startTestBroker()
    await broker.broker.createTopic('t')
    const client = broker.connect()
    const topics = [{ name: 't', partitionIndexes: [0] }]
    const fetch = (version: number) => client.request(apis.offsetFetch, version, { groupId: 'g', topics })
    expect(await fetch(1)).toMatchObject({ topics: [{ partitions: [{ errorCode: ErrorCode.notCoordinator }] }] })
    expect(await fetch(2)).toMatchObject({ errorCode: ErrorCode.notCoordinator, topics: [] })
    const { groups } = await client.request(apis.offsetFetch, 8, { groups: [{ groupId: 'g', topics: null }] })
    expect(groups).toMatchObject([{ groupId: 'g', errorCode: ErrorCode.notCoordinator, topics: [] }])
    await broker.broker.close()
  })

  it('survive a restart, and go with their topic', async () => {
    const disk = new MemoryDisk()
    const before = await withTopic({ disk })
    const commit = { groupId: 'g', memberId: '', topics: [{ name: 't', partitions: [partition(0, 42)] }] }
    await before.client.request(apis.offsetCommit, 8, commit)
    await before.broker.broker.close()

    const after = await startTestBroker({ disk })
    const client = after.connect()
    await client.request(apis.findCoordinator, 3, { key: 'g' })
    const fetch = async () => (await client.request(apis.offsetFetch, 7, { groupId: 'g', topics: null })).topics
    expect(await fetch()).toMatchObject([{ name: 't', partitions: [{ committedOffset: 42 }] }])
    await client.request(apis.deleteTopics, 4, { topicNames: ['t'], timeoutMs: 1000 })
    expect(await fetch()).toEqual([])
    await after.broker.close()
  })
})

describe('OffsetDelete', () => {
  it('forgets offsets, and tells partitions that do not exist', async () => {
    const { broker, client } = await withTopic()
    const commit = {
      groupId: 'g',
      memberId: '',
      topics: [{ name: 't', partitions: [partition(0, 1), partition(1, 1)] }],
    }
    await client.request(apis.offsetCommit, 8, commit)
    const deleted = await client.request(apis.offsetDelete, 0, {
      groupId: 'g',
      topics: [
        { name: 't', partitions: [{ partitionIndex: 0 }, { partitionIndex: 7 }] },
        { name: 'x', partitions: [{ partitionIndex: 0 }] },
      ],
    })
    const result = (partitionIndex: number, errorCode: number) => ({ partitionIndex, errorCode })
    expect(deleted).toMatchObject({
      errorCode: ErrorCode.none,
      topics: [
        { name: 't', partitions: [result(0, ErrorCode.none), result(7, ErrorCode.unknownTopicOrPartition)] },
        { name: 'x', partitions: [result(0, ErrorCode.unknownTopicOrPartition)] },
      ],
    })
    const { topics } = await client.request(apis.offsetFetch, 7, { groupId: 'g', topics: null })
    expect(topics).toMatchObject([{ name: 't', partitions: [{ partitionIndex: 1 }] }])
    await broker.broker.close()
  })

  it('answers at the top for a group that is not there', async () => {
    const { broker, client } = await withTopic()
    const topics = [{ name: 't', partitions: [{ partitionIndex: 0 }] }]
    const answer = await client.request(apis.offsetDelete, 0, { groupId: 'none', topics })
    expect(answer).toMatchObject({ errorCode: ErrorCode.groupIdNotFound, topics: [] })
    await broker.broker.close()
  })
})
