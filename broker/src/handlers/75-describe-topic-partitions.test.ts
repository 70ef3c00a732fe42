import { ErrorCode, ZERO_UUID } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { ask, openMetadata, type NodeMetadata } from '../testing/node-metadata.ts'
import { describeTopicPartitions } from './75-describe-topic-partitions.ts'

type Cursor = readonly [topicName: string, partitionIndex: number]

/** A page as `topic: [partitions]`, and where the next one begins. */
async function page(node: NodeMetadata, names: string[], limit = 2000, cursor?: Cursor) {
  const { topics, nextCursor } = await ask(
    describeTopicPartitions,
    0,
    {
      topics: names.map((name) => ({ name })),
      responsePartitionLimit: limit,
      cursor: cursor ? { topicName: cursor[0], partitionIndex: cursor[1] } : null,
    },
    node,
  )
  return {
    topics: topics.map(({ name, partitions }) => [name, partitions.map(({ partitionIndex }) => partitionIndex)]),
    errors: topics.map(({ errorCode }) => errorCode),
    next: nextCursor && [nextCursor.topicName, nextCursor.partitionIndex],
  }
}

function nodeWithTopics(sets: string[] = []): NodeMetadata {
  const node = openMetadata({ sets })
  node.metadata.createTopic({ name: 'b', partitionCount: 2 })
  node.metadata.createTopic({ name: 'a', partitionCount: 2 })
  return node
}

describe('DescribeTopicPartitions', () => {
  it('answers the topics asked for in order of their names, once', async () => {
    const { topics, errors, next } = await page(nodeWithTopics(), ['b', 'nope', 'a', 'a a', 'b'])
    expect(topics).toEqual([
      ['a', [0, 1]],
      ['a a', []],
      ['b', [0, 1]],
      ['nope', []],
    ])
    expect(errors).toEqual([0, ErrorCode.invalidTopicException, 0, ErrorCode.unknownTopicOrPartition])
    expect(next).toBeNull()
  })

  it('describes a partition with its replicas and the rights on its topic', async () => {
    const node = nodeWithTopics()
    const { topics } = await ask(describeTopicPartitions, 0, { topics: [{ name: 'a' }, { name: 'x' }] }, node)
    expect(topics[0]).toMatchObject({
      topicId: node.metadata.image.topics.get('a')!.id,
      isInternal: false,
      topicAuthorizedOperations: 3576,
    })
    expect(topics[0]!.partitions[0]).toEqual({
      errorCode: 0,
      partitionIndex: 0,
      leaderId: 1,
      leaderEpoch: 0,
      replicaNodes: [1],
      isrNodes: [1],
      eligibleLeaderReplicas: [],
      lastKnownElr: [],
      offlineReplicas: [],
    })
    expect(topics[1]).toMatchObject({ topicId: ZERO_UUID })
  })

  it('answers all topics to an empty list', async () => {
    expect((await page(nodeWithTopics(), [])).topics).toEqual([
      ['a', [0, 1]],
      ['b', [0, 1]],
    ])
  })

  it.each<[number, [string, number[]][], Cursor | null]>([
    [1, [['a', [0]]], ['a', 1]],
    [2, [['a', [0, 1]]], ['b', 0]],
    [
      3,
      [
        ['a', [0, 1]],
        ['b', [0]],
      ],
      ['b', 1],
    ],
    [0, [['a', [0]]], ['a', 1]],
    [-5, [['a', [0]]], ['a', 1]],
  ])('ends a page after %i partitions and says where the next begins', async (limit, topics, next) => {
    expect(await page(nodeWithTopics(), ['a', 'b'], limit)).toMatchObject({ topics, next })
  })

  it('reaches every partition once, page by page', async () => {
    const node = nodeWithTopics()
    const seen: unknown[] = []
    let cursor: Cursor | undefined
    do {
      const { topics, next } = await page(node, [], 1, cursor)
      for (const [name, partitions] of topics as [string, number[]][]) for (const p of partitions) seen.push([name, p])
      cursor = (next as Cursor | null) ?? undefined
    } while (cursor)
    expect(seen).toEqual([
      ['a', 0],
      ['a', 1],
      ['b', 0],
      ['b', 1],
    ])
  })

  it('keeps to the limit of the broker', async () => {
    const node = nodeWithTopics(['max.request.partition.size.limit=1'])
    expect(await page(node, [], 2000)).toMatchObject({ topics: [['a', [0]]], next: ['a', 1] })
  })

  it('goes on where the cursor points, also when that is gone', async () => {
    const node = nodeWithTopics()
    expect((await page(node, ['a', 'b'], 2000, ['b', 1])).topics).toEqual([['b', [1]]])
    expect((await page(node, ['b'], 2000, ['b', 9])).topics).toEqual([['b', []]])
    expect((await page(node, [], 2000, ['aa', 3])).topics).toEqual([['b', [0, 1]]])
  })

  it('refuses a cursor that does not fit the request', async () => {
    const node = nodeWithTopics()
    expect(await page(node, ['a'], 2000, ['b', 0])).toMatchObject({ errors: [ErrorCode.invalidRequest] })
    expect(await page(node, ['a'], 2000, ['a', -1])).toMatchObject({ errors: [ErrorCode.invalidRequest] })
  })
})
