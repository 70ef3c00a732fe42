import { ErrorCode, ZERO_UUID } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { CLUSTER_ID, ask, openMetadata } from '../testing/node-metadata.ts'
import { metadata } from './03-metadata.ts'

const NOT_ASKED = -2147483648
const byName = (name: string | null) => ({ topicId: ZERO_UUID, name })

describe('Metadata', () => {
  it('answers all topics to a null array, and to the empty one of version 0', async () => {
    const node = openMetadata()
    node.metadata.createTopic({ name: 'orders', partitionCount: 2 })
    for (let version = metadata.api.minVersion; version <= metadata.api.maxVersion; version++) {
      const { topics } = await ask(metadata, version, { topics: version === 0 ? [] : null }, node)
      expect(topics.map(({ name, errorCode, partitions }) => [name, errorCode, partitions.length])).toEqual([
        ['orders', 0, 2],
      ])
    }
    expect((await ask(metadata, 1, { topics: [] }, node)).topics).toEqual([])
  })

  it('describes the broker, the cluster and the partitions', async () => {
    const node = openMetadata({ sets: ['broker.rack=r1'] })
    const { topic } = node.metadata.createTopic({ name: '__consumer_offsets' })
    const answer = await ask(metadata, 13, { topics: null }, node)
    expect(answer).toMatchObject({
      brokers: [{ nodeId: 1, host: '10.0.0.7', port: 19092, rack: 'r1' }],
      clusterId: CLUSTER_ID,
      controllerId: 1,
      errorCode: 0,
      topics: [
        {
          topicId: topic!.id,
          isInternal: true,
          partitions: [{ partitionIndex: 0, leaderId: 1, leaderEpoch: 0, replicaNodes: [1], isrNodes: [1] }],
        },
      ],
    })
  })

  it('creates an unknown topic when both sides allow it, and answers with it', async () => {
    const node = openMetadata({ sets: ['num.partitions=3'] })
    const { topics } = await ask(metadata, 9, { topics: [byName('new'), byName('new')] }, node)
    expect(topics).toHaveLength(1)
    expect(topics[0]).toMatchObject({ errorCode: 0, partitions: { length: 3 } })
    const again = await ask(metadata, 9, { topics: [byName('new')] }, node)
    expect(again.topics[0]!.partitions).toHaveLength(3)
  })

  it('creates the topic of the offsets with its own settings', async () => {
    const node = openMetadata({ sets: ['offsets.topic.num.partitions=4'] })
    const { topics } = await ask(metadata, 9, { topics: [byName('__consumer_offsets')] }, node)
    expect(topics[0]).toMatchObject({ isInternal: true, partitions: { length: 4 } })
    expect(node.metadata.image.topicConfigs('__consumer_offsets').get('cleanup.policy')).toBe('compact')
  })

  it('does not create a topic when the client or the broker forbids it', async () => {
    const node = openMetadata()
    const request = { topics: [byName('new')], allowAutoTopicCreation: false }
    expect((await ask(metadata, 4, request, node)).topics[0]!.errorCode).toBe(ErrorCode.unknownTopicOrPartition)
    const strict = openMetadata({ sets: ['auto.create.topics.enable=false'] })
    const { topics } = await ask(metadata, 4, { topics: [byName('new')] }, strict)
    expect(topics[0]!.errorCode).toBe(ErrorCode.unknownTopicOrPartition)
  })

  it('tells invalid names from unknown ones, and creates neither those nor colliding ones', async () => {
    const node = openMetadata()
    node.metadata.createTopic({ name: 'a.b' })
    const { topics } = await ask(metadata, 9, { topics: [byName('a b'), byName('a_b')] }, node)
    expect(topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
      ['a b', ErrorCode.invalidTopicException],
      ['a_b', ErrorCode.unknownTopicOrPartition],
    ])
    expect(node.metadata.image.topics.size).toBe(1)
  })

  it('finds topics by id from version 12 on, and ignores names beside ids', async () => {
    const node = openMetadata()
    const { topic } = node.metadata.createTopic({ name: 'orders' })
    const unknown = 'AAAAAAAAAAAAAAAAAAAABA'
    const asked = [{ topicId: topic!.id, name: null }, { topicId: unknown, name: null }, byName('other')]
    const { topics } = await ask(metadata, 12, { topics: asked, includeTopicAuthorizedOperations: true }, node)
    expect(topics.map(({ name, topicId, errorCode }) => [name, topicId, errorCode])).toEqual([
      ['orders', topic!.id, ErrorCode.none],
      [null, unknown, ErrorCode.unknownTopicId],
    ])
    expect(topics[1]!.topicAuthorizedOperations).toBe(NOT_ASKED)
    expect(node.metadata.image.topics.size).toBe(1)
  })

  it('refuses ids and null names in versions 10 and 11, which only carry them', async () => {
    const node = openMetadata()
    for (const topic of [{ topicId: 'AAAAAAAAAAAAAAAAAAAABA', name: 'orders' }, byName(null)]) {
      const { topics, brokers } = await ask(metadata, 10, { topics: [topic] }, node)
      expect(topics.map(({ errorCode }) => errorCode)).toEqual([ErrorCode.invalidRequest])
      expect(brokers).toEqual([])
    }
  })

  it('tells the rights of everybody only when asked', async () => {
    const node = openMetadata()
    node.metadata.createTopic({ name: 'orders' })
    const asked = { includeClusterAuthorizedOperations: true, includeTopicAuthorizedOperations: true }
    const full = await ask(metadata, 8, { topics: null, ...asked }, node)
    expect([full.clusterAuthorizedOperations, full.topics[0]!.topicAuthorizedOperations]).toEqual([8096, 3576])
    const plain = await ask(metadata, 8, { topics: null }, node)
    expect([plain.clusterAuthorizedOperations, plain.topics[0]!.topicAuthorizedOperations]).toEqual([
      NOT_ASKED,
      NOT_ASKED,
    ])
  })
})
