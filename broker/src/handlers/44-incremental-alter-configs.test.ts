import { ErrorCode } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { ResourceType } from '../metadata/cluster-image.ts'
import { ask, openMetadata, type NodeMetadata } from '../testing/node-metadata.ts'
import { alterConfigs } from './33-alter-configs.ts'
import { incrementalAlterConfigs } from './44-incremental-alter-configs.ts'

const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3]
type Edit = readonly [name: string, operation: number, value: string | null]
interface Target {
  readonly type?: number
  readonly name?: string
}

const resource = ({
  type = ResourceType.topic,
  name = 't',
}: Target): { resourceType: number; resourceName: string } => ({
  resourceType: type,
  resourceName: name,
})

async function alter(
  node: NodeMetadata,
  edits: readonly Edit[],
  target: Target = {},
  version = 1,
  validateOnly = false,
) {
  const configs = edits.map(([name, configOperation, value]) => ({ name, configOperation, value }))
  const request = { resources: [{ ...resource(target), configs }], validateOnly }
  const { responses } = await ask(incrementalAlterConfigs, version, request, node)
  return [responses[0]!.errorCode, responses[0]!.errorMessage]
}

async function replace(
  node: NodeMetadata,
  settings: readonly [string, string | null][],
  target: Target = {},
  version = 2,
) {
  const configs = settings.map(([name, value]) => ({ name, value }))
  const request = { resources: [{ ...resource(target), configs }], validateOnly: false }
  const { responses } = await ask(alterConfigs, version, request, node)
  return [responses[0]!.errorCode, responses[0]!.errorMessage]
}

function nodeWithTopic(configs: Record<string, string> = {}): NodeMetadata {
  const node = openMetadata()
  node.metadata.createTopic({ name: 't', configs: new Map(Object.entries(configs)) })
  return node
}

const settingsOf = ({ metadata }: NodeMetadata): object => Object.fromEntries(metadata.image.topicConfigs('t'))

describe('IncrementalAlterConfigs', () => {
  it('sets, deletes, appends to and subtracts from settings, in every version', async () => {
    for (const version of [0, 1]) {
      const node = nodeWithTopic({ 'segment.ms': '5' })
      expect(
        await alter(
          node,
          [
            ['retention.ms', SET, '9'],
            ['segment.ms', DELETE, null],
          ],
          {},
          version,
        ),
      ).toEqual([0, null])
      expect(settingsOf(node)).toEqual({ 'retention.ms': '9' })
      // An append starts from the default.
      await alter(node, [['cleanup.policy', APPEND, 'compact']], {}, version)
      expect(settingsOf(node)).toMatchObject({ 'cleanup.policy': 'delete,compact' })
      await alter(node, [['cleanup.policy', APPEND, 'compact']], {}, version)
      expect(settingsOf(node)).toMatchObject({ 'cleanup.policy': 'delete,compact' })
      await alter(node, [['cleanup.policy', SUBTRACT, 'delete,other']], {}, version)
      expect(settingsOf(node)).toMatchObject({ 'cleanup.policy': 'compact' })
    }
  })

  it('changes nothing of a resource when one of its settings is wrong', async () => {
    const node = nodeWithTopic()
    const [errorCode] = await alter(node, [
      ['retention.ms', SET, '9'],
      ['segment.ms', SET, 'x'],
    ])
    expect(errorCode).toBe(ErrorCode.invalidConfig)
    expect(settingsOf(node)).toEqual({})
  })

  it('only validates when asked to', async () => {
    const node = nodeWithTopic()
    expect(await alter(node, [['retention.ms', SET, '9']], {}, 1, true)).toEqual([0, null])
    expect((await alter(node, [['retention.ms', SET, 'x']], {}, 1, true))[0]).toBe(ErrorCode.invalidConfig)
    expect(settingsOf(node)).toEqual({})
  })

  it('answers each resource for itself, and refuses one that comes twice', async () => {
    const node = nodeWithTopic()
    const configs = [{ name: 'retention.ms', configOperation: SET!, value: '9' }]
    const named = (resourceName: string) => ({ resourceType: ResourceType.topic, resourceName, configs })
    const request = { resources: [named('nope'), named('t'), named('nope'), named('other')], validateOnly: false }
    const { responses } = await ask(incrementalAlterConfigs, 1, request, node)
    expect(responses.map(({ resourceName, errorCode }) => [resourceName, errorCode])).toEqual([
      ['nope', ErrorCode.invalidRequest],
      ['t', ErrorCode.none],
      ['nope', ErrorCode.invalidRequest],
      ['other', ErrorCode.unknownTopicOrPartition],
    ])
  })

  const broker = { type: ResourceType.broker, name: '1' }
  const allBrokers = { type: ResourceType.broker, name: '' }
  const group = { type: ResourceType.group, name: 'g' }
  // Codes and words of Kafka 4.3.1 for the same requests.
  it.each<[Target, readonly Edit[], number, string]>([
    [{}, [['nope', SET!, '1']], ErrorCode.invalidConfig, 'Unknown topic config name: nope'],
    [{}, [['retention.ms', SET!, null]], ErrorCode.invalidRequest, 'Null value not supported for : retention.ms'],
    [
      {},
      [['retention.ms', APPEND!, '1']],
      ErrorCode.invalidConfig,
      "Can't APPEND to key retention.ms because its type is not LIST.",
    ],
    [
      {},
      [['nope', SUBTRACT!, '1']],
      ErrorCode.invalidConfig,
      "Can't SUBTRACT to key nope because its type is not LIST.",
    ],
    [
      {},
      [['cleanup.policy', APPEND!, 'foo']],
      ErrorCode.invalidConfig,
      'Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete',
    ],
    [
      {},
      [
        ['retention.ms', SET!, '1'],
        ['retention.ms', DELETE!, null],
      ],
      ErrorCode.invalidRequest,
      'Error due to duplicate config keys',
    ],
    [{}, [['retention.ms', 9, '1']], ErrorCode.invalidRequest, 'Unknown operations type 9'],
    [
      { name: 'nope' },
      [['retention.ms', SET!, '1']],
      ErrorCode.unknownTopicOrPartition,
      "The topic 'nope' does not exist.",
    ],
    [{ name: '' }, [['retention.ms', SET!, '1']], ErrorCode.invalidRequest, 'Default topic resources are not allowed.'],
    [{ name: '..' }, [], ErrorCode.invalidTopicException, "Topic name is invalid: '..' is not allowed"],
    [{ type: 3 }, [['x', SET!, '1']], ErrorCode.invalidRequest, 'Unknown resource type 3'],
    [
      broker,
      [['num.partitions', SET!, '3']],
      ErrorCode.invalidRequest,
      'Cannot update these configs dynamically: [num.partitions]',
    ],
    [
      broker,
      [['ssl.keystore.location', SET!, 'x']],
      ErrorCode.invalidRequest,
      'Cannot update these configs dynamically: [ssl.keystore.location]',
    ],
    [
      broker,
      [['log.retention.ms', SET!, 'x']],
      ErrorCode.invalidRequest,
      'Invalid value x for configuration log.retention.ms: Not a number of type LONG',
    ],
    [
      broker,
      [['log.retention.ms', SET!, '0']],
      ErrorCode.invalidRequest,
      'requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1',
    ],
    [
      allBrokers,
      [['cordoned.log.dirs', SET!, '']],
      ErrorCode.invalidRequest,
      'Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]',
    ],
    [
      { type: ResourceType.broker, name: '2' },
      [],
      ErrorCode.invalidRequest,
      'Unexpected broker id, expected 1, but received 2',
    ],
    [
      { type: ResourceType.broker, name: 'x' },
      [],
      ErrorCode.invalidRequest,
      'Node id must be an integer, but it is: x',
    ],
    [group, [['interval.ms', SET!, '1']], ErrorCode.invalidConfig, 'Unknown group config name: interval.ms'],
    [
      group,
      [['consumer.session.timeout.ms', SET!, '1']],
      ErrorCode.invalidConfig,
      'consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms',
    ],
    [
      group,
      [['consumer.session.timeout.ms', SET!, '500000']],
      ErrorCode.invalidConfig,
      'consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms',
    ],
    [{ type: ResourceType.group, name: '' }, [], ErrorCode.invalidRequest, 'Default group resources are not allowed.'],
  ])('refuses for %j the operations %j', async (target, edits, errorCode, errorMessage) => {
    expect(await alter(nodeWithTopic(), edits, target)).toEqual([errorCode, errorMessage])
  })

  it('takes deleting a setting that was never set, and one for an extension nobody knows', async () => {
    const node = nodeWithTopic()
    expect(await alter(node, [['nope', DELETE!, null]])).toEqual([0, null])
    expect(await alter(node, [['foo.bar', SET!, '1']], broker)).toEqual([0, null])
    expect(node.metadata.image.brokerConfigs(1).get('foo.bar')).toBe('1')
  })
})

describe('AlterConfigs', () => {
  it('gives the resource exactly the settings of the request, in every version', async () => {
    for (const version of [0, 1, 2]) {
      const node = nodeWithTopic({ 'retention.ms': '1', 'segment.ms': '2' })
      expect(
        await replace(
          node,
          [
            ['retention.ms', '3'],
            ['flush.ms', '4'],
          ],
          {},
          version,
        ),
      ).toEqual([0, null])
      expect(settingsOf(node)).toEqual({ 'retention.ms': '3', 'flush.ms': '4' })
      expect(await replace(node, [], {}, version)).toEqual([0, null])
      expect(settingsOf(node)).toEqual({})
    }
  })

  it('refuses nulls, wrong values, unknown topics and other resources', async () => {
    const node = nodeWithTopic({ 'segment.ms': '2' })
    expect(await replace(node, [['retention.ms', null]])).toEqual([
      ErrorCode.invalidRequest,
      'Null value not supported for : retention.ms',
    ])
    expect((await replace(node, [['retention.ms', 'x']]))[0]).toBe(ErrorCode.invalidConfig)
    expect(
      (
        await replace(node, [
          ['a', '1'],
          ['a', '2'],
        ])
      )[0],
    ).toBe(ErrorCode.invalidRequest)
    expect((await replace(node, [['retention.ms', '1']], { name: 'nope' }))[0]).toBe(ErrorCode.unknownTopicOrPartition)
    expect((await replace(node, [], { type: ResourceType.brokerLogger, name: '1' }))[0]).toBe(ErrorCode.invalidRequest)
    expect(settingsOf(node)).toEqual({ 'segment.ms': '2' })
  })
})
