import kafkajs, { type DescribeConfigResponse } from 'kafkajs'
import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { anAdmin, aTopic, kafkaOf } from './clients.ts'

const { ConfigResourceTypes, ConfigSource } = kafkajs

describeBroker('kafkajs administers settings', { settings: { 'log.retention.ms': '123456789' } }, (broker) => {
  it('admin.describeConfigs of a topic: all its settings with value and source', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { config: { 'cleanup.policy': 'compact', 'segment.bytes': '2000000' } })
    const admin = await anAdmin(kafka)

    const [resource] = await resourcesOf(
      admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] }),
    )

    expect(resource).toMatchObject({ errorCode: 0, resourceName: topic, resourceType: ConfigResourceTypes.TOPIC })
    const entries = byName(resource!)
    expect(entries['cleanup.policy']).toMatchObject({ configValue: 'compact', configSource: ConfigSource.TOPIC_CONFIG })
    expect(entries['segment.bytes']).toMatchObject({ configValue: '2000000', configSource: ConfigSource.TOPIC_CONFIG })
    expect(entries['retention.ms']).toMatchObject({
      configValue: '123456789',
      configSource: ConfigSource.STATIC_BROKER_CONFIG,
    })
    expect(entries['max.message.bytes']).toMatchObject({
      configValue: '1048588',
      configSource: ConfigSource.DEFAULT_CONFIG,
      isSensitive: false,
      readOnly: false,
    })
    expect(Object.keys(entries).toSorted()).toEqual(topicSettings)
  })

  it('admin.describeConfigs with names and synonyms: where a value would come from', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { config: { 'retention.ms': '42' } })
    const admin = await anAdmin(kafka)

    const [resource] = await resourcesOf(
      admin.describeConfigs({
        includeSynonyms: true,
        resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms'] }],
      }),
    )

    expect(resource!.configEntries).toMatchObject([
      {
        configName: 'retention.ms',
        configValue: '42',
        configSynonyms: [
          { configName: 'retention.ms', configValue: '42', configSource: ConfigSource.TOPIC_CONFIG },
          {
            configName: 'log.retention.ms',
            configValue: '123456789',
            configSource: ConfigSource.STATIC_BROKER_CONFIG,
          },
          { configName: 'log.retention.hours', configValue: '168', configSource: ConfigSource.DEFAULT_CONFIG },
        ],
      },
    ])
  })

  it('admin.describeConfigs of a broker: its own settings, those that need a restart are read-only', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const [resource] = await resourcesOf(
      admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.BROKER, name: '1' }] }),
    )
    const entries = byName(resource!)
    expect(entries['log.retention.ms']).toMatchObject({
      configValue: '123456789',
      configSource: ConfigSource.STATIC_BROKER_CONFIG,
      readOnly: false,
    })
    expect(entries['node.id']).toMatchObject({ configValue: '1', readOnly: true })
    expect(entries['num.partitions']).toMatchObject({ configValue: '1', configSource: ConfigSource.DEFAULT_CONFIG })
  })

  it('admin.describeConfigs of a topic that does not exist is refused', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const described = admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: uniqueName('missing') }],
    })
    await expect(described).rejects.toMatchObject({ type: 'UNKNOWN_TOPIC_OR_PARTITION', code: 3 })
  })

  it('admin.alterConfigs replaces what was set for the topic', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { config: { 'retention.ms': '42' } })
    const admin = await anAdmin(kafka)

    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: ConfigResourceTypes.TOPIC,
          name: topic,
          configEntries: [{ name: 'segment.bytes', value: '3000000' }],
        },
      ],
    })

    const entries = await until(
      async () => {
        const current = byName((await resourcesOf(describeTopic(topic)))[0]!)
        return current['segment.bytes']?.configValue === '3000000' && current
      },
      { what: 'topic with its new setting' },
    )
    expect(entries['segment.bytes']).toMatchObject({ configSource: ConfigSource.TOPIC_CONFIG })
    expect(entries['retention.ms']).toMatchObject({ configValue: '123456789' })
  })

  it('admin.alterConfigs with validateOnly changes nothing', async () => {
    const topic = await aTopic(kafkaOf(broker), { config: { 'retention.ms': '42' } })
    const admin = await anAdmin(kafkaOf(broker))
    await admin.alterConfigs({
      validateOnly: true,
      resources: [
        { type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'retention.ms', value: '43' }] },
      ],
    })
    expect(byName((await resourcesOf(describeTopic(topic)))[0]!)['retention.ms']).toMatchObject({ configValue: '42' })
  })

  it.each([
    ['an unknown setting', 'no.such.setting', '1', 'INVALID_CONFIG', 40],
    ['a value that is no number', 'retention.ms', 'long', 'INVALID_CONFIG', 40],
    ['a value that is not in the list', 'cleanup.policy', 'burn', 'INVALID_CONFIG', 40],
    ['a value below the minimum', 'segment.bytes', '1', 'INVALID_CONFIG', 40],
  ])('admin.alterConfigs with %s is refused', async (_, name, value, type, code) => {
    const topic = await aTopic(kafkaOf(broker))
    const admin = await anAdmin(kafkaOf(broker))
    const altered = admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name, value }] }],
    })
    await expect(altered).rejects.toMatchObject({ type, code })
  })

  it('admin.alterConfigs of a topic that does not exist is refused', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const configEntries = [{ name: 'retention.ms', value: '1' }]
    const altered = admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: uniqueName('missing'), configEntries }],
    })
    await expect(altered).rejects.toMatchObject({ type: 'UNKNOWN_TOPIC_OR_PARTITION', code: 3 })
  })

  it('admin.alterConfigs of a broker: a dynamic setting holds for topics without one of their own', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const admin = await anAdmin(kafka)
    const alterBroker = (configEntries: { name: string; value: string }[]): Promise<unknown> =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [{ type: ConfigResourceTypes.BROKER, name: '1', configEntries }],
      })

    await alterBroker([{ name: 'message.max.bytes', value: '54321' }])
    try {
      const entry = await until(
        async () => {
          const current = byName((await resourcesOf(describeTopic(topic)))[0]!)['max.message.bytes']
          return current?.configValue === '54321' && current
        },
        { what: 'topic with the setting of its broker' },
      )
      expect(entry).toMatchObject({ configSource: ConfigSource.DYNAMIC_BROKER_CONFIG })
    } finally {
      await alterBroker([])
    }
  })

  it('admin.alterConfigs of a broker: a setting that needs a restart is refused', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const configEntries = [{ name: 'num.partitions', value: '3' }]
    const altered = admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.BROKER, name: '1', configEntries }],
    })
    await expect(altered).rejects.toMatchObject({ type: 'INVALID_REQUEST', code: 42 })
  })

  async function describeTopic(name: string): Promise<DescribeConfigResponse> {
    const admin = await anAdmin(kafkaOf(broker))
    return admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name }] })
  }
})

async function resourcesOf(response: Promise<DescribeConfigResponse>): Promise<DescribeConfigResponse['resources']> {
  return (await response).resources
}

type Resource = DescribeConfigResponse['resources'][number]

function byName(resource: Resource): Record<string, Resource['configEntries'][number]> {
  return Object.fromEntries(resource.configEntries.map((entry) => [entry.configName, entry]))
}

// What Kafka 4.3.1 lists for a topic.
const topicSettings = [
  'cleanup.policy',
  'compression.gzip.level',
  'compression.lz4.level',
  'compression.type',
  'compression.zstd.level',
  'delete.retention.ms',
  'file.delete.delay.ms',
  'flush.messages',
  'flush.ms',
  'follower.replication.throttled.replicas',
  'index.interval.bytes',
  'leader.replication.throttled.replicas',
  'local.retention.bytes',
  'local.retention.ms',
  'max.compaction.lag.ms',
  'max.message.bytes',
  'message.timestamp.after.max.ms',
  'message.timestamp.before.max.ms',
  'message.timestamp.type',
  'min.cleanable.dirty.ratio',
  'min.compaction.lag.ms',
  'min.insync.replicas',
  'preallocate',
  'remote.log.copy.disable',
  'remote.log.delete.on.disable',
  'remote.storage.enable',
  'retention.bytes',
  'retention.ms',
  'segment.bytes',
  'segment.index.bytes',
  'segment.jitter.ms',
  'segment.ms',
  'unclean.leader.election.enable',
]
