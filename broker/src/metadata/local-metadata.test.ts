import {
  ErrorCode,
  buildBatch,
  readBatches,
  readRecords,
  decodeMetadataRecord,
  encodeMetadataRecord,
} from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BrokerError, CorruptLogError, StorageError } from '../base/errors.ts'
import type { MemoryDisk } from '../log/memory-disk.ts'
import { DIRECTORY_ID, openMetadata, type NodeMetadata } from '../testing/node-metadata.ts'
import type { MetadataChange } from './cluster-changes.ts'
import { ResourceType, type ClusterImage } from './cluster-image.ts'
import { Operation } from './config-update.ts'
import type { LocalMetadata } from './local-metadata.ts'

/** All of an image as plain values, to compare two. What each start writes anew can be left out. */
function valuesOf(image: ClusterImage, { withStart = true } = {}): object {
  const configs = Object.values(ResourceType).flatMap((type) =>
    image.configured(type).map((name) => [type, name, Object.fromEntries(image.configs(type, name))]),
  )
  return {
    topics: [...image.topics.values()],
    features: [...image.features],
    configs: configs.map((row) => JSON.stringify(row)).sort(),
    nextProducerId: image.nextProducerId,
    ...(withStart ? { brokers: [...image.brokers.values()], nextOffset: image.nextOffset } : {}),
  }
}

function kindsHeardBy(metadata: LocalMetadata): { kinds: string[]; changes: MetadataChange[] } {
  const heard = { kinds: [] as string[], changes: [] as MetadataChange[] }
  metadata.subscribe((changes) => {
    heard.changes.push(...changes)
    heard.kinds.push(...changes.map(({ kind }) => kind))
  })
  return heard
}

function recordTypes({ log }: NodeMetadata): string[][] {
  return [...log.batches()].flatMap((bytes) =>
    [...readBatches(bytes)].map((batch) =>
      batch.isControl ? ['control'] : readRecords(batch).map(({ value }) => decodeMetadataRecord(value!).type),
    ),
  )
}

describe('LocalMetadata', () => {
  it('begins a new log with Kafka’s records: an epoch, the levels of features, the broker and its unfencing', () => {
    const node = openMetadata()
    expect(recordTypes(node)).toEqual([
      ['control'],
      ['featureLevelRecord', 'featureLevelRecord'],
      ['registerBrokerRecord'],
      ['brokerRegistrationChangeRecord'],
    ])
    const { image } = node.metadata
    expect([...image.features]).toEqual([
      ['metadata.version', 30],
      ['transaction.version', 2],
    ])
    expect(image.brokers.get(1)).toMatchObject({ epoch: 3, isFenced: false, directories: [DIRECTORY_ID] })
    expect(node.log.leaderEpochs.latestEpoch).toBe(1)
  })

  it('begins an epoch with every start and keeps the leader epochs of partitions after an orderly end', () => {
    const first = openMetadata()
    first.metadata.createTopic({ name: 'orders', partitionCount: 2 })
    const incarnation = first.metadata.ownBroker.incarnationId
    first.log.close()
    const second = openMetadata({ disk: first.disk })
    expect(second.metadata.leaderEpoch).toBe(2)
    expect(second.metadata.ownBroker.incarnationId).not.toBe(incarnation)
    expect(second.metadata.image.topics.get('orders')!.partitions.map((p) => p.leaderEpoch)).toEqual([0, 0])
  })

  it('gives every partition a new leader epoch after a crash', () => {
    const first = openMetadata()
    first.metadata.createTopic({ name: 'orders', partitionCount: 2 })
    const second = openMetadata({ disk: first.disk.copy(), isCleanShutdown: false })
    const { partitions } = second.metadata.image.topics.get('orders')!
    expect(partitions.map((p) => [p.leader, p.leaderEpoch, p.partitionEpoch])).toEqual([
      [1, 1, 1],
      [1, 1, 1],
    ])
  })

  it('writes a topic with its settings and partitions as one batch', () => {
    const node = openMetadata()
    node.metadata.createTopic({ name: 'orders', partitionCount: 2, configs: new Map([['retention.ms', '5']]) })
    expect(recordTypes(node).at(-1)).toEqual(['topicRecord', 'configRecord', 'partitionRecord', 'partitionRecord'])
  })

  it('tells listeners of a change in the same turn, once the image has it', () => {
    const { metadata } = openMetadata()
    const seen: unknown[] = []
    metadata.subscribe((changes) => seen.push(changes[0]!.kind, metadata.image.topics.has('orders')))
    metadata.createTopic({ name: 'orders', configs: new Map([['retention.ms', '5']]) })
    expect(seen).toEqual(['topic-created', true])
  })

  it('names each kind of change', () => {
    const { metadata } = openMetadata()
    const heard = kindsHeardBy(metadata)
    metadata.createTopic({ name: 'orders', partitionCount: 1 })
    metadata.createPartitions({ name: 'orders', count: 3 })
    metadata.alterConfigs({ type: ResourceType.topic, name: 'orders' }, [{ name: 'retention.ms', value: '1' }])
    metadata.alterConfigs({ type: ResourceType.broker, name: '' }, [{ name: 'log.retention.ms', value: '1' }])
    metadata.alterConfigs({ type: ResourceType.group, name: 'g' }, [
      { name: 'consumer.session.timeout.ms', value: '50000' },
    ])
    metadata.deleteTopic({ name: 'orders' })
    expect(heard.kinds).toEqual([
      'topic-created',
      'partitions-added',
      'topic-config-changed',
      'broker-config-changed',
      'group-config-changed',
      'topic-deleted',
    ])
    expect(heard.changes[1]).toMatchObject({ from: 1 })
    expect(heard.changes[5]).toMatchObject({ topic: { name: 'orders', partitions: [{}, {}, {}] } })
  })

  it('says nothing to a listener that unsubscribed, nor of what only was validated or changes nothing', () => {
    const { metadata } = openMetadata()
    const heard = kindsHeardBy(metadata)
    const unsubscribe = metadata.subscribe(() => expect.unreachable())
    unsubscribe()
    const topic = { type: ResourceType.topic, name: 'orders' }
    metadata.createTopic({ name: 'orders', validateOnly: true })
    expect(metadata.image.topics.size).toBe(0)
    metadata.createTopic({ name: 'orders' })
    metadata.alterConfigs(topic, [{ name: 'retention.ms', value: '1' }], { validateOnly: true })
    metadata.alterConfigs(topic, [])
    metadata.createPartitions({ name: 'orders', count: 5, validateOnly: true })
    expect(heard.kinds).toEqual(['topic-created'])
  })

  it('forgets the settings of a deleted topic, so that its next namesake starts afresh', () => {
    const node = openMetadata()
    node.metadata.createTopic({ name: 'orders', configs: new Map([['retention.ms', '5']]) })
    const { id } = node.metadata.image.topics.get('orders')!
    node.metadata.deleteTopic({ id })
    const { topic } = node.metadata.createTopic({ name: 'orders' })
    expect(topic!.id).not.toBe(id)
    expect(node.metadata.image.topicConfigs('orders').size).toBe(0)
    expect(node.metadata.image.topicById(id)).toBeUndefined()
  })

  it('lets no two topics exist whose names differ in a dot against an underscore', () => {
    const { metadata } = openMetadata()
    metadata.createTopic({ name: 'a.b' })
    expect(metadata.createTopic({ name: 'a_b' })).toMatchObject({
      errorCode: ErrorCode.invalidTopicException,
      errorMessage: "Topic 'a_b' collides with existing topic: a.b",
    })
    metadata.deleteTopic({ name: 'a.b' })
    expect(metadata.createTopic({ name: 'a_b' }).errorCode).toBe(ErrorCode.none)
    expect(metadata.createTopic({ name: 'a.b' }).errorCode).toBe(ErrorCode.invalidTopicException)
  })

  it('puts the settings of brokers into the config, now and after a restart', () => {
    const first = openMetadata()
    const operations = [{ name: 'log.retention.ms', operation: Operation.set, value: '777' }]
    first.metadata.incrementalAlterConfigs({ type: ResourceType.broker, name: '' }, operations)
    expect(first.config.int('log.retention.ms')).toBe(777)
    first.log.close()
    expect(openMetadata({ disk: first.disk }).config.int('log.retention.ms')).toBe(777)
  })

  it('never hands out a producer id twice', () => {
    const first = openMetadata()
    expect(first.metadata.allocateProducerIds()).toEqual({ first: 0, count: 1000 })
    expect(first.metadata.allocateProducerIds()).toEqual({ first: 1000, count: 1000 })
    first.log.close()
    expect(openMetadata({ disk: first.disk }).metadata.allocateProducerIds()).toEqual({ first: 2000, count: 1000 })
  })

  it('creates the topic of the consumer offsets as Kafka does, once', () => {
    const { metadata } = openMetadata({ sets: ['offsets.topic.num.partitions=5'] })
    const { topic } = metadata.createInternalTopic('__consumer_offsets')
    expect(topic).toMatchObject({ isInternal: true, partitions: { length: 5 } })
    expect(Object.fromEntries(metadata.image.topicConfigs('__consumer_offsets'))).toEqual({
      'cleanup.policy': 'compact',
      'compression.type': 'producer',
      'segment.bytes': '104857600',
    })
    expect(metadata.createInternalTopic('__consumer_offsets').topic).toBe(topic)
  })

  it('spreads the partitions of a topic over its data directories', () => {
    const directoryIds = ['d1d1d1d1d1d1d1d1d1d1dA', 'd2d2d2d2d2d2d2d2d2d2dA']
    const { metadata } = openMetadata({ directoryIds })
    const { topic } = metadata.createTopic({ name: 'orders', partitionCount: 4 })
    const used = topic!.partitions.map(({ directories }) => directories[0]!)
    expect(used.filter((id) => id === directoryIds[0])).toHaveLength(2)
    expect(used.filter((id) => id === directoryIds[1])).toHaveLength(2)
  })

  it('bounds what one request can allocate', () => {
    const { metadata } = openMetadata()
    const count = 2_000_000_000
    expect(metadata.createTopic({ name: 'huge', partitionCount: count }).errorCode).toBe(ErrorCode.policyViolation)
    metadata.createTopic({ name: 'orders' })
    expect(metadata.createPartitions({ name: 'orders', count }).errorCode).toBe(ErrorCode.policyViolation)
  })

  it('refuses a change and makes none of it when the log cannot be written', () => {
    const { metadata, log } = openMetadata()
    const heard = kindsHeardBy(metadata)
    const before = valuesOf(metadata.image)
    log.append = () => {
      throw new StorageError('append', log.directory, { code: 'ENOSPC' })
    }
    expect(metadata.createTopic({ name: 'orders' })).toEqual({
      errorCode: ErrorCode.kafkaStorageError,
      errorMessage: 'the metadata log failed: ENOSPC',
      topic: null,
    })
    expect(() => metadata.allocateProducerIds()).toThrow(StorageError)
    expect(valuesOf(metadata.image)).toEqual(before)
    expect(heard.kinds).toEqual([])
  })

  it('refuses a log with records it does not understand instead of skipping them', () => {
    const foreign = (value: Buffer): MemoryDisk => {
      const { log, disk } = openMetadata()
      const batch = buildBatch({ records: [{ key: null, value }], nowMs: 1 })
      log.append(batch, 0, batch.length, { origin: 'coordinator', leaderEpoch: 1 })
      return disk
    }
    const fence = encodeMetadataRecord({ type: 'fenceBrokerRecord', version: 0, value: { id: 1, epoch: 2 } })
    expect(() => openMetadata({ disk: foreign(fence) })).toThrow(BrokerError)
    expect(() => openMetadata({ disk: foreign(Buffer.from([1, 99, 0])) })).toThrow(CorruptLogError)
    const newer = { name: 'metadata.version', featureLevel: 31 }
    const level = encodeMetadataRecord({ type: 'featureLevelRecord', version: 0, value: newer })
    expect(() => openMetadata({ disk: foreign(level) })).toThrow(/metadata.version is 31/)
  })

  it('has the same image after a restart as before, whatever was done', () => {
    const name = fc.constantFrom('a', 'b', 'a.b', 'a_b', '__consumer_offsets')
    const topicSetting = fc.record({
      name: fc.constantFrom('retention.ms', 'segment.ms', 'cleanup.policy'),
      operation: fc.constantFrom(0, 1, 2, 3),
      value: fc.constantFrom('1', '5000', 'compact', 'delete', 'x'),
    })
    const action = fc.oneof(
      fc.record({ do: fc.constant('create' as const), name, count: fc.integer({ min: -1, max: 3 }) }),
      fc.record({ do: fc.constant('delete' as const), name }),
      fc.record({ do: fc.constant('grow' as const), name, count: fc.integer({ min: 0, max: 6 }) }),
      fc.record({ do: fc.constant('alter' as const), name, settings: fc.array(topicSetting, { maxLength: 3 }) }),
      fc.record({ do: fc.constant('replace' as const), name, value: fc.constantFrom('1', '2', 'x') }),
      fc.record({
        do: fc.constant('broker' as const),
        name: fc.constantFrom('', '1', '2'),
        value: fc.constantFrom('9', 'x'),
      }),
      fc.record({ do: fc.constant('ids' as const) }),
      fc.record({ do: fc.constant('restart' as const), isCleanShutdown: fc.boolean() }),
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        let node = openMetadata()
        for (const step of actions) {
          const { metadata } = node
          switch (step.do) {
            case 'create':
              metadata.createTopic({
                name: step.name,
                partitionCount: step.count,
                configs: new Map([['retention.ms', '7']]),
              })
              break
            case 'delete':
              metadata.deleteTopic({ name: step.name })
              break
            case 'grow':
              metadata.createPartitions({ name: step.name, count: step.count })
              break
            case 'alter':
              metadata.incrementalAlterConfigs({ type: ResourceType.topic, name: step.name }, step.settings)
              break
            case 'replace':
              metadata.alterConfigs({ type: ResourceType.topic, name: step.name }, [
                { name: 'retention.ms', value: step.value },
              ])
              break
            case 'broker':
              metadata.alterConfigs({ type: ResourceType.broker, name: step.name }, [
                { name: 'log.retention.ms', value: step.value },
              ])
              break
            case 'ids':
              metadata.allocateProducerIds()
              break
            case 'restart': {
              const { isCleanShutdown } = step
              if (isCleanShutdown) node.log.close()
              node = openMetadata({ disk: node.disk.copy(), isCleanShutdown })
              break
            }
          }
        }
        const before = valuesOf(node.metadata.image, { withStart: false })
        const copy = openMetadata({ disk: node.disk.copy() })
        expect(valuesOf(copy.metadata.image, { withStart: false })).toEqual(before)
      }),
      { numRuns: 60 },
    )
  })
})
