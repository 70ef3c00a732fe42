import { ErrorCode } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { ResourceType } from '../metadata/cluster-image.ts'
import { ask, openMetadata, type NodeMetadata } from '../testing/node-metadata.ts'
import { describeConfigs } from './32-describe-configs.ts'

interface Asked {
  readonly keys?: string[] | null
  readonly includeSynonyms?: boolean
  readonly includeDocumentation?: boolean
  readonly version?: number
}

async function describeOne(node: NodeMetadata, resourceType: number, resourceName: string, asked: Asked = {}) {
  const { keys = null, includeSynonyms = true, includeDocumentation = false, version = 4 } = asked
  const request = {
    resources: [{ resourceType, resourceName, configurationKeys: keys }],
    includeSynonyms,
    includeDocumentation,
  }
  const { results } = await ask(describeConfigs, version, request, node)
  return results[0]!
}

function nodeWithTopic(sets: string[] = []): NodeMetadata {
  const node = openMetadata({ sets })
  node.metadata.createTopic({ name: 't', configs: new Map([['cleanup.policy', 'compact, delete']]) })
  return node
}

describe('DescribeConfigs', () => {
  it('lists the 33 settings of a topic in every version', async () => {
    const node = nodeWithTopic()
    for (let version = describeConfigs.api.minVersion; version <= describeConfigs.api.maxVersion; version++) {
      const result = await describeOne(node, ResourceType.topic, 't', { version })
      expect(result).toMatchObject({ errorCode: 0, errorMessage: '', resourceName: 't' })
      expect(result.configs).toHaveLength(33)
      expect(result.configs[0]).toMatchObject({
        name: 'cleanup.policy',
        value: 'compact,delete',
        readOnly: false,
        configSource: 1,
        isSensitive: false,
        synonyms: [
          { name: 'cleanup.policy', value: 'compact,delete', source: 1 },
          { name: 'log.cleanup.policy', value: 'delete', source: 5 },
        ],
        configType: version >= 3 ? 7 : 0,
      })
    }
  })

  it('answers the keys that were asked for, and all to an empty list', async () => {
    const node = nodeWithTopic()
    const some = await describeOne(node, ResourceType.topic, 't', { keys: ['segment.bytes', 'nope'] })
    expect(some.configs.map(({ name }) => name)).toEqual(['segment.bytes'])
    expect((await describeOne(node, ResourceType.topic, 't', { keys: [] })).configs).toHaveLength(33)
  })

  it('tells synonyms and documentation only when asked', async () => {
    const node = nodeWithTopic()
    const plain = await describeOne(node, ResourceType.topic, 't', { includeSynonyms: false })
    expect(plain.configs.every(({ synonyms, documentation }) => synonyms.length === 0 && documentation === null)).toBe(
      true,
    )
    const full = await describeOne(node, ResourceType.topic, 't', { includeDocumentation: true })
    expect(full.configs.every(({ documentation }) => documentation !== null && documentation !== '')).toBe(true)
  })

  it('shows where a topic’s value comes from, as it is overridden level by level', async () => {
    const node = nodeWithTopic(['log.retention.ms=1'])
    const set = (type: number, name: string, key: string, value: string): void => {
      const operations = [{ name: key, operation: 0, value }]
      expect(node.metadata.incrementalAlterConfigs({ type, name }, operations).errorCode).toBe(0)
    }
    const shown = async (): Promise<unknown[]> => {
      const { configs } = await describeOne(node, ResourceType.topic, 't', { keys: ['retention.ms'] })
      return [configs[0]!.value, configs[0]!.configSource, configs[0]!.synonyms.length]
    }
    expect(await shown()).toEqual(['1', 4, 2])
    set(ResourceType.broker, '', 'log.retention.ms', '2')
    expect(await shown()).toEqual(['2', 3, 3])
    set(ResourceType.broker, '1', 'log.retention.ms', '3')
    expect(await shown()).toEqual(['3', 2, 4])
    set(ResourceType.topic, 't', 'retention.ms', '4')
    expect(await shown()).toEqual(['4', 1, 5])
  })

  it('says like Kafka that a value from a coarser setting of the broker is a default', async () => {
    const node = nodeWithTopic(['log.retention.hours=100'])
    const { configs } = await describeOne(node, ResourceType.topic, 't', { keys: ['retention.ms'] })
    expect(configs[0]).toMatchObject({ value: '360000000', configSource: 5, synonyms: [] })
  })

  it('describes this broker: its settings, what is read-only, and no secret', async () => {
    const node = openMetadata({ sets: ['num.partitions=2', 'ssl.keystore.password=hunter2', 'mine.secret=hunter3'] })
    const { configs } = await describeOne(node, ResourceType.broker, '1')
    const shown = (name: string): object | undefined => configs.find((config) => config.name === name)
    expect(configs.length).toBeGreaterThan(330)
    expect(JSON.stringify(configs)).not.toContain('hunter')
    expect(shown('num.partitions')).toMatchObject({ value: '2', readOnly: true, configSource: 4, configType: 3 })
    expect(shown('log.retention.ms')).toMatchObject({ value: null, readOnly: false, configSource: 5, synonyms: [] })
    expect(shown('log.retention.hours')).toMatchObject({ value: '168', readOnly: true, configSource: 5 })
    expect(shown('log.flush.interval.messages')).toMatchObject({ value: '9223372036854775807' })
    expect(shown('ssl.keystore.password')).toMatchObject({ value: null, isSensitive: true, configType: 9 })
    expect(shown('mine.secret')).toMatchObject({ value: null, isSensitive: true, configType: 0 })
    expect(shown('acks.after')).toMatchObject({ value: 'fsync' })
  })

  it('describes with an empty name what was set for all brokers', async () => {
    const node = openMetadata()
    expect((await describeOne(node, ResourceType.broker, '')).configs).toEqual([])
    const operations = [{ name: 'log.cleanup.policy', operation: 2, value: 'compact' }]
    node.metadata.incrementalAlterConfigs({ type: ResourceType.broker, name: '' }, operations)
    expect((await describeOne(node, ResourceType.broker, '')).configs).toMatchObject([
      {
        name: 'log.cleanup.policy',
        value: 'delete,compact',
        configSource: 3,
        synonyms: [{ name: 'log.cleanup.policy', value: 'delete,compact', source: 3 }],
      },
    ])
  })

  it('describes a group by the broker’s settings and its own', async () => {
    const node = openMetadata()
    const before = await describeOne(node, ResourceType.group, 'g')
    expect(before.configs).toHaveLength(17)
    expect(before.configs[0]).toMatchObject({
      name: 'consumer.session.timeout.ms',
      value: '45000',
      configSource: 5,
      synonyms: [{ name: 'group.consumer.session.timeout.ms', value: '45000', source: 5 }],
    })
    node.metadata.alterConfigs({ type: ResourceType.group, name: 'g' }, [
      { name: 'consumer.session.timeout.ms', value: '50000' },
    ])
    const { configs } = await describeOne(node, ResourceType.group, 'g')
    expect(configs[0]).toMatchObject({ value: '50000', configSource: 8 })
  })

  it.each<[number, string, number, string]>([
    [ResourceType.topic, 'nope', ErrorCode.unknownTopicOrPartition, ''],
    [ResourceType.topic, '', ErrorCode.invalidTopicException, 'Topic name is invalid: the empty string is not allowed'],
    [
      ResourceType.broker,
      '2',
      ErrorCode.invalidRequest,
      'Unexpected broker id, expected 1 or empty string, but received 2',
    ],
    [ResourceType.broker, 'x', ErrorCode.invalidRequest, 'Broker id must be an integer, but it is: x'],
    [ResourceType.brokerLogger, '', ErrorCode.invalidRequest, 'Broker id must not be empty'],
    [ResourceType.brokerLogger, '3', ErrorCode.invalidRequest, 'Unexpected broker id, expected 1 but received 3'],
    [ResourceType.group, '', ErrorCode.invalidRequest, 'Group name must not be empty'],
    [3, 'x', ErrorCode.invalidRequest, 'Unsupported resource type: 3'],
  ])('refuses resource type %i named %j', async (type, name, errorCode, errorMessage) => {
    const result = await describeOne(openMetadata(), type, name)
    expect(result).toMatchObject({ errorCode, errorMessage, resourceType: type, resourceName: name, configs: [] })
  })

  it('has no loggers to describe', async () => {
    const result = await describeOne(openMetadata(), ResourceType.brokerLogger, '1')
    expect(result).toMatchObject({ errorCode: 0, configs: [] })
  })
})
