import {
  ConfigResourceTypes,
  ConfigSources,
  ConfigTypes,
  FindCoordinatorKeyTypes,
  IncrementalAlterConfigOperationTypes,
  ListOffsetTimestamps,
  MessagesStreamModes,
} from '@platformatic/kafka'
import { describe, expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, refusal } from './clients.ts'
import { collect, readValues } from './reading.ts'

describeBroker('@platformatic/kafka administers', { persistent: true }, (broker) => {
  describe('the cluster', () => {
    it('admin.listApis, admin.metadata, admin.connectToBrokers and admin.clearMetadata: who is there and what it can do', async () => {
      const admin = anAdmin(broker)
      const topic = await aTopic(broker, { partitions: 2 })
      const apis = await admin.listApis()
      expect(apis.find(({ apiKey }) => apiKey === 0)).toMatchObject({ name: 'Produce', minVersion: 0 })

      const metadata = await admin.metadata({ topics: [topic], forceUpdate: true })
      expect(metadata.id).toMatch(/^[\w-]{22}$/)
      expect(metadata.controllerId).toBe(1)
      expect([...metadata.brokers]).toMatchObject([[1, { host: '127.0.0.1', port: broker.port }]])
      expect(metadata.topics.get(topic)).toMatchObject({
        partitionsCount: 2,
        partitions: [
          { leader: 1, leaderEpoch: 0, replicas: [1], isr: [1], offlineReplicas: [] },
          { leader: 1, leaderEpoch: 0, replicas: [1], isr: [1], offlineReplicas: [] },
        ],
      })
      expect([...(await admin.connectToBrokers()).keys()]).toEqual([1])
      admin.clearMetadata()
      expect(admin.currentMetadata).toBeUndefined()
    })

    it('admin.describeLogDirs: the sizes of partitions on disk', async () => {
      const topic = await aTopic(broker)
      await aProducer(broker).send({ messages: [{ topic, value: 'x'.repeat(5000) }] })
      const [node] = await anAdmin(broker).describeLogDirs({ topics: [{ name: topic, partitions: [0] }] })
      expect(node?.broker).toBe(1)
      const [directory] = node!.results
      expect(directory?.topics).toMatchObject([
        { name: topic, partitions: [{ partitionIndex: 0, isFutureKey: false }] },
      ])
      expect(directory?.topics[0]?.partitions[0]?.partitionSize).toBeGreaterThan(5000n)
    })

    it('admin.isActive, admin.isConnected and admin.close', async () => {
      const admin = anAdmin(broker)
      await admin.listTopics()
      expect([admin.isActive(), admin.isConnected(), admin.closed]).toEqual([true, true, false])
      await admin.close()
      expect(admin.closed).toBe(true)
      await expect(admin.listTopics()).rejects.toThrow('closed')
    })
  })

  describe('topics', () => {
    it('admin.createTopics, admin.listTopics and admin.deleteTopics', async () => {
      const admin = anAdmin(broker)
      const [kept, deleted] = [uniqueName('kept'), uniqueName('deleted')]
      const created = await admin.createTopics({
        topics: [kept, deleted],
        partitions: 3,
        replicas: 1,
        configs: [{ name: 'retention.ms', value: '42' }],
      })
      expect(created.map(({ name, partitions, replicas }) => [name, partitions, replicas])).toEqual([
        [kept, 3, 1],
        [deleted, 3, 1],
      ])
      expect(created[0]?.configuration['retention.ms']).toBe('42')
      expect(created[0]?.id).toMatch(/^[\da-f-]{36}$/)
      expect(created[0]?.id).not.toBe(created[1]?.id)

      await until(async () => (await admin.listTopics()).includes(deleted), { what: 'topic in the list' })
      await admin.deleteTopics({ topics: [deleted] })
      const left = await until(
        async () => {
          const topics = await admin.listTopics()
          return !topics.includes(deleted) && topics
        },
        { what: 'list without the deleted topic' },
      )
      expect(left).toContain(kept)
    })

    it('admin.createTopics with defaults of the broker and with an assignment', async () => {
      const admin = anAdmin(broker)
      const assignments = [0, 1].map((partition) => ({ partition, brokers: [1] }))
      const created = await admin.createTopics({
        topics: [uniqueName('defaults'), { topic: uniqueName('assigned'), assignments }],
      })
      expect(created.map(({ partitions, replicas }) => [partitions, replicas])).toEqual([
        [1, 1],
        [2, 1],
      ])
    })

    it('admin.listTopics with those of the broker itself', async () => {
      const consumer = aConsumer(broker)
      await consumer.findGroupCoordinator()
      const admin = anAdmin(broker)
      expect(await admin.listTopics()).not.toContain('__consumer_offsets')
      expect(await admin.listTopics({ includeInternals: true })).toContain('__consumer_offsets')
    })

    it('admin.createPartitions: more, but not fewer', async () => {
      const topic = await aTopic(broker, { partitions: 2 })
      const admin = anAdmin(broker)
      await admin.createPartitions({ topics: [{ name: topic, count: 4 }], validateOnly: true })
      await admin.createPartitions({ topics: [{ name: topic, count: 3, assignments: [{ brokerIds: [1] }] }] })
      const grown = await until(
        async () => {
          const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true })
          return topics.get(topic)!.partitionsCount !== 2 && topics.get(topic)
        },
        { what: 'topic that has grown' },
      )
      expect(grown.partitionsCount).toBe(3)
      expect(await refusal(admin.createPartitions({ topics: [{ name: topic, count: 2 }] }))).toEqual([
        'INVALID_PARTITIONS',
      ])
    })

    it.each([
      ['that exists', async () => ({ topics: [await aTopic(broker)] }), 'TOPIC_ALREADY_EXISTS'],
      ['with an invalid name', () => ({ topics: ['sl/ash'] }), 'INVALID_TOPIC_EXCEPTION'],
      [
        'with more replicas than brokers',
        () => ({ topics: ['t'], partitions: 1, replicas: 3 }),
        'INVALID_REPLICATION_FACTOR',
      ],
      [
        'with an unknown setting',
        () => ({ topics: ['t'], configs: [{ name: 'no.such', value: '1' }] }),
        'INVALID_CONFIG',
      ],
    ])('admin.createTopics %s is refused', async (_, options, expected) => {
      expect(await refusal(anAdmin(broker).createTopics(await options()))).toEqual([expected])
    })

    it('admin.deleteTopics of one that does not exist is refused', async () => {
      const deleted = anAdmin(broker, { retries: 0 }).deleteTopics({ topics: [uniqueName('missing')] })
      expect(await refusal(deleted)).toEqual(['UNKNOWN_TOPIC_OR_PARTITION'])
    })

    it('admin.listOffsets and admin.deleteRecords: where a partition begins and ends', async () => {
      const topic = await aTopic(broker)
      const producer = aProducer(broker)
      for (const timestamp of [1000n, 3000n, 2000n]) {
        await producer.send({ messages: [{ topic, value: `${timestamp}`, timestamp }] })
      }
      const admin = anAdmin(broker)
      const offsetAt = async (timestamp: bigint): Promise<unknown> => {
        const [listed] = await admin.listOffsets({
          topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }],
        })
        return listed!.partitions[0]
      }
      const answer = { partitionIndex: 0, leaderEpoch: 0 }

      expect(await offsetAt(ListOffsetTimestamps.LATEST)).toEqual({ ...answer, timestamp: -1n, offset: 3n })
      expect(await offsetAt(ListOffsetTimestamps.EARLIEST)).toEqual({ ...answer, timestamp: -1n, offset: 0n })
      expect(await offsetAt(ListOffsetTimestamps.MAX)).toEqual({ ...answer, timestamp: 3000n, offset: 1n })
      expect(await offsetAt(ListOffsetTimestamps.EARLIEST_LOCAL)).toEqual({ ...answer, timestamp: -1n, offset: 0n })
      expect(await offsetAt(1500n)).toEqual({ ...answer, timestamp: 3000n, offset: 1n })
      expect(await offsetAt(3001n)).toEqual({ partitionIndex: 0, leaderEpoch: -1, timestamp: -1n, offset: -1n })

      const deleted = await admin.deleteRecords({
        topics: [{ name: topic, partitions: [{ partition: 0, offset: 2n }] }],
      })
      expect(deleted).toEqual([{ name: topic, partitions: [{ partition: 0, lowWatermark: 2n }] }])
      expect(await offsetAt(ListOffsetTimestamps.EARLIEST)).toEqual({ ...answer, timestamp: -1n, offset: 2n })
      expect(await readValues(broker, topic, 1)).toEqual(['2000'])
    })
  })

  describe('settings', () => {
    it('admin.describeConfigs: value, source, type, synonyms and documentation', async () => {
      const topic = await aTopic(broker, { configs: { 'segment.bytes': '2000000' } })
      const [resource] = await anAdmin(broker).describeConfigs({
        resources: [
          {
            resourceType: ConfigResourceTypes.TOPIC,
            resourceName: topic,
            configurationKeys: ['segment.bytes', 'cleanup.policy'],
          },
        ],
        includeSynonyms: true,
        includeDocumentation: true,
      })
      const configs = Object.fromEntries(resource!.configs.map((config) => [config.name, config]))
      const common = { readOnly: false, isSensitive: false, documentation: expect.stringMatching(/.{20}/) }
      expect(configs).toEqual({
        'segment.bytes': {
          ...common,
          name: 'segment.bytes',
          value: '2000000',
          configSource: ConfigSources.TOPIC_CONFIG,
          configType: ConfigTypes.INT,
          synonyms: [
            { name: 'segment.bytes', value: '2000000', source: ConfigSources.TOPIC_CONFIG },
            { name: 'log.segment.bytes', value: '1073741824', source: ConfigSources.DEFAULT_CONFIG },
          ],
        },
        'cleanup.policy': {
          ...common,
          name: 'cleanup.policy',
          value: 'delete',
          configSource: ConfigSources.DEFAULT_CONFIG,
          configType: ConfigTypes.LIST,
          synonyms: [{ name: 'log.cleanup.policy', value: 'delete', source: ConfigSources.DEFAULT_CONFIG }],
        },
      })
    })

    it('admin.alterConfigs replaces all, admin.incrementalAlterConfigs changes some', async () => {
      const topic = await aTopic(broker, { configs: { 'retention.ms': '42', 'segment.bytes': '2000000' } })
      const admin = anAdmin(broker)
      const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic }
      const { APPEND, DELETE, SET, SUBTRACT } = IncrementalAlterConfigOperationTypes

      await admin.alterConfigs({ resources: [{ ...resource, configs: [{ name: 'flush.ms', value: '7' }] }] })
      expect(await ownConfigsWith(topic, 'flush.ms', '7')).toEqual({ 'flush.ms': '7' })

      await admin.incrementalAlterConfigs({
        resources: [
          {
            ...resource,
            configs: [
              { name: 'retention.ms', configOperation: SET, value: '43' },
              { name: 'flush.ms', configOperation: DELETE },
              { name: 'cleanup.policy', configOperation: APPEND, value: 'compact' },
            ],
          },
        ],
      })
      const changed = { 'retention.ms': '43', 'cleanup.policy': 'delete,compact' }
      expect(await ownConfigsWith(topic, 'retention.ms', '43')).toEqual(changed)

      const subtract = [{ name: 'cleanup.policy', configOperation: SUBTRACT, value: 'delete' }]
      await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: subtract }], validateOnly: true })
      expect(await ownConfigs(topic)).toEqual(changed)
      await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: subtract }] })
      const expected = { ...changed, 'cleanup.policy': 'compact' }
      expect(await ownConfigsWith(topic, 'cleanup.policy', 'compact')).toEqual(expected)
    })

    it.each([
      ['an unknown setting', 'no.such.setting', '1'],
      ['a value out of range', 'retention.ms', '-2'],
    ])('admin.incrementalAlterConfigs with %s is refused', async (_, name, value) => {
      const topic = await aTopic(broker)
      const configs = [{ name, value, configOperation: IncrementalAlterConfigOperationTypes.SET }]
      const altered = anAdmin(broker).incrementalAlterConfigs({
        resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configs }],
      })
      expect(await refusal(altered)).toEqual(['INVALID_CONFIG'])
    })

    /** The settings of its own that a topic has as soon as one of them has this value. */
    function ownConfigsWith(topic: string, name: string, value: string): Promise<Record<string, unknown>> {
      return until(
        async () => {
          const configs = await ownConfigs(topic)
          return configs[name] === value && configs
        },
        { what: `${name} of ${value}` },
      )
    }

    async function ownConfigs(topic: string): Promise<Record<string, unknown>> {
      const [resource] = await anAdmin(broker).describeConfigs({
        resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic }],
      })
      const own = resource!.configs.filter(({ configSource }) => configSource === 1)
      return Object.fromEntries(own.map(({ name, value }) => [name, value]))
    }
  })

  describe('groups', () => {
    it('admin.listGroups and admin.describeGroups: with a member, without, and never there', async () => {
      const [running, stopped, missing] = [await aGroup(), await aGroup(), uniqueName('missing')]
      await stopped.consumer.close(true)
      const admin = anAdmin(broker)

      const listed = await admin.listGroups()
      expect(listed.get(running.groupId)).toMatchObject({ state: 'Stable', protocolType: 'consumer' })
      expect(listed.get(stopped.groupId)).toMatchObject({ state: 'Empty', protocolType: 'consumer' })
      const empty = await admin.listGroups({ states: ['Empty'] })
      expect([empty.has(running.groupId), empty.has(stopped.groupId)]).toEqual([false, true])

      const described = await admin.describeGroups({ groups: [running.groupId, stopped.groupId, missing] })
      const member = [...described.get(running.groupId)!.members.values()][0]
      expect(described.get(running.groupId)).toMatchObject({ state: 'Stable', protocol: 'roundrobin' })
      expect(member).toMatchObject({
        id: running.consumer.memberId,
        clientId: 'platformatic-tests',
        groupInstanceId: null,
      })
      expect(member?.metadata?.topics).toEqual([running.topic])
      expect(member?.assignments?.get(running.topic)).toEqual({ topic: running.topic, partitions: [0] })
      expect(described.get(stopped.groupId)).toMatchObject({ state: 'Empty', protocolType: 'consumer' })
      expect(described.get(missing)).toMatchObject({ state: 'Dead' })
    })

    it('admin.findCoordinator: the only broker for every group', async () => {
      const keys = [uniqueName('group'), uniqueName('group')]
      const found = await anAdmin(broker).findCoordinator({ keyType: FindCoordinatorKeyTypes.GROUP, keys })
      expect(found).toEqual(keys.map((key) => ({ key, nodeId: 1, host: '127.0.0.1', port: broker.port })))
    })

    it('admin.alterConsumerGroupOffsets, admin.listConsumerGroupOffsets and admin.deleteConsumerGroupOffsets', async () => {
      const topic = await aTopic(broker, { partitions: 2 })
      await aProducer(broker).send({ messages: ['a', 'b', 'c'].map((value) => ({ topic, partition: 0, value })) })
      const groupId = uniqueName('group')
      const admin = anAdmin(broker)
      const offsets = async (): Promise<unknown> => {
        const [group] = await admin.listConsumerGroupOffsets({
          groups: [{ groupId, topics: [{ name: topic, partitionIndexes: [0, 1] }] }],
        })
        return group!.topics[0]!.partitions.map(({ committedOffset }) => committedOffset)
      }

      const partitionOffsets = [0, 1].map((partition) => ({ partition, offset: 2n - BigInt(2 * partition) }))
      await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionOffsets }] })
      expect(await offsets()).toEqual([2n, 0n])

      const consumer = aConsumer(broker, { groupId, autocommit: false })
      const messages = collect(await consumer.consume({ topics: [topic], mode: MessagesStreamModes.COMMITTED }))
      await until(() => messages.length >= 1, { what: 'message after the offset' })
      expect(messages[0]?.value).toBe('c')
      await consumer.close(true)

      await admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionIndexes: [1] }] })
      expect(await offsets()).toEqual([2n, -1n])
    })

    it('admin.alterConsumerGroupOffsets and admin.deleteConsumerGroupOffsets of a running group are refused', async () => {
      const { groupId, topic } = await aGroup()
      const admin = anAdmin(broker, { retries: 0 })
      const topics = [{ name: topic, partitionOffsets: [{ partition: 0, offset: 0n }] }]
      expect(await refusal(admin.alterConsumerGroupOffsets({ groupId, topics }))).toEqual(['UNKNOWN_MEMBER_ID'])
      const deleted = admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionIndexes: [0] }] })
      expect(await refusal(deleted)).toEqual(['GROUP_SUBSCRIBED_TO_TOPIC'])
    })

    it('admin.removeMembersFromConsumerGroup: all members, and one that is not there', async () => {
      const { groupId } = await aGroup({ heartbeatInterval: 4000 })
      const admin = anAdmin(broker, { retries: 0 })
      await admin.removeMembersFromConsumerGroup({ groupId })
      expect((await admin.describeGroups({ groups: [groupId] })).get(groupId)?.members.size).toBe(0)
      const removed = admin.removeMembersFromConsumerGroup({ groupId, members: [{ memberId: 'nobody' }] })
      expect(await refusal(removed)).toEqual(['UNKNOWN_MEMBER_ID'])
    })

    it('admin.deleteGroups: an empty one, but none with members and none that is not there', async () => {
      const [running, stopped] = [await aGroup(), await aGroup()]
      await stopped.consumer.close(true)
      const admin = anAdmin(broker, { retries: 0 })
      await admin.deleteGroups({ groups: [stopped.groupId] })
      expect((await admin.listGroups()).has(stopped.groupId)).toBe(false)
      expect(await refusal(admin.deleteGroups({ groups: [running.groupId] }))).toEqual(['NON_EMPTY_GROUP'])
      expect(await refusal(admin.deleteGroups({ groups: [uniqueName('missing')] }))).toEqual(['GROUP_ID_NOT_FOUND'])
    })

    /** A group with one member that has read a message. */
    async function aGroup(
      options: Parameters<typeof aConsumer>[1] = {},
    ): Promise<{ groupId: string; topic: string; consumer: ReturnType<typeof aConsumer> }> {
      const topic = await aTopic(broker)
      await aProducer(broker).send({ messages: [{ topic, value: 'x' }] })
      const consumer = aConsumer(broker, options)
      const messages = collect(await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST }))
      await until(() => messages.length >= 1, { what: 'message' })
      return { groupId: consumer.groupId, topic, consumer }
    }
  })
})
