import assert from 'node:assert/strict'
import { ErrorCode } from '@millrace/protocol'
import type { BrokerConfig } from '../config/broker-config.ts'
import { complaint, isUpdatable, type Option } from '../config/option.ts'
import { brokerOption, groupOption, optionOf, topicOption } from '../config/options.ts'
import { validateTopicConfigs } from '../config/topic-settings.ts'
import { ResourceType, type ClusterImage } from './cluster-image.ts'
import { refused, type Refusal } from './refusal.ts'
import { invalidTopicName } from './topic-names.ts'

/** What settings belong to: a topic, a broker by its id, all brokers with '', a group. */
export interface ConfigResource {
  readonly type: number
  readonly name: string
}

export interface ConfigOperation {
  readonly name: string
  /** The numbers are those of the wire. */
  readonly operation: number
  readonly value: string | null
}

export const Operation = { set: 0, delete: 1, append: 2, subtract: 3 } as const

/** New values of settings; null takes a setting back. */
export type ConfigUpdate = ReadonlyMap<string, string | null>

/** The update that incremental operations make, or why they are refused. */
export function planIncremental(
  image: ClusterImage,
  config: BrokerConfig,
  resource: ConfigResource,
  operations: readonly ConfigOperation[],
): Refusal | ConfigUpdate {
  if (new Set(operations.map(({ name }) => name)).size < operations.length) {
    return refused(ErrorCode.invalidRequest, 'Error due to duplicate config keys')
  }
  const nulls = operations.filter(({ operation, value }) => operation !== Operation.delete && value === null)
  if (nulls.length > 0) return nullsRefused(nulls)
  const before = image.configs(resource.type, resource.name)
  const update = new Map<string, string | null>()
  for (const { name, operation, value } of operations) {
    const current = before.get(name) ?? null
    let next: string | null
    switch (operation) {
      case Operation.set:
        next = value
        break
      case Operation.delete:
        next = null
        break
      case Operation.append:
      case Operation.subtract: {
        const option = optionFor(resource.type, name)
        if (option?.type !== 'list') {
          const verb = operation === Operation.append ? 'APPEND' : 'SUBTRACT'
          return refused(ErrorCode.invalidConfig, `Can't ${verb} to key ${name} because its type is not LIST.`)
        }
        next = edited(operation, current ?? option.default ?? '', value!)
        break
      }
      default:
        return refused(ErrorCode.invalidRequest, `Unknown operations type ${operation}`)
    }
    if (next !== current || resource.type === ResourceType.broker) update.set(name, next)
  }
  return checked(image, config, resource, update)
}

/** The update after which the resource has exactly these settings, or why they are refused. */
export function planReplacement(
  image: ClusterImage,
  config: BrokerConfig,
  resource: ConfigResource,
  settings: readonly { readonly name: string; readonly value: string | null }[],
): Refusal | ConfigUpdate {
  if (new Set(settings.map(({ name }) => name)).size < settings.length) {
    return refused(ErrorCode.invalidRequest, 'Error due to duplicate config keys')
  }
  const nulls = settings.filter(({ value }) => value === null)
  if (nulls.length > 0) return nullsRefused(nulls)
  const before = image.configs(resource.type, resource.name)
  const update = new Map<string, string | null>()
  for (const { name, value } of settings) {
    if (before.get(name) !== value || resource.type === ResourceType.broker) update.set(name, value)
  }
  const kept = new Set(settings.map(({ name }) => name))
  for (const name of before.keys()) if (!kept.has(name)) update.set(name, null)
  return checked(image, config, resource, update)
}

function checked(
  image: ClusterImage,
  config: BrokerConfig,
  resource: ConfigResource,
  update: ConfigUpdate,
): Refusal | ConfigUpdate {
  const after = new Map(image.configs(resource.type, resource.name))
  for (const [name, value] of update) {
    if (value === null) after.delete(name)
    else after.set(name, value)
  }
  const refusal =
    resource.type === ResourceType.topic
      ? refusesTopic(image, resource.name, after)
      : resource.type === ResourceType.broker
        ? refusesBroker(config, resource.name, after)
        : resource.type === ResourceType.group
          ? refusesGroup(config, resource.name, after)
          : refused(ErrorCode.invalidRequest, `Unknown resource type ${resource.type}`)
  return refusal ?? update
}

function refusesTopic(image: ClusterImage, name: string, settings: ReadonlyMap<string, string>): Refusal | null {
  if (name === '') return refused(ErrorCode.invalidRequest, 'Default topic resources are not allowed.')
  const invalidName = invalidTopicName(name)
  if (invalidName !== null) return refused(ErrorCode.invalidTopicException, invalidName)
  const invalid = validateTopicConfigs(settings)
  if (invalid !== null) return refused(ErrorCode.invalidConfig, invalid)
  if (image.topics.has(name)) return null
  return refused(ErrorCode.unknownTopicOrPartition, `The topic '${name}' does not exist.`)
}

function refusesBroker(config: BrokerConfig, name: string, settings: ReadonlyMap<string, string>): Refusal | null {
  if (name !== '') {
    if (!/^-?\d+$/.test(name)) {
      return refused(ErrorCode.invalidRequest, `Node id must be an integer, but it is: ${name}`)
    }
    if (Number(name) !== config.nodeId) {
      return refused(ErrorCode.invalidRequest, `Unexpected broker id, expected ${config.nodeId}, but received ${name}`)
    }
  }
  const fixed = [...settings.keys()].filter((key) => !isDynamic(key))
  if (fixed.length > 0) {
    return refused(ErrorCode.invalidRequest, `Cannot update these configs dynamically: [${fixed.join(', ')}]`)
  }
  for (const [key, value] of settings) {
    const option = brokerOption.get(key)
    const wrong = (option && complaint(option, value)) ?? keptForNoTime(key, value)
    if (wrong !== null) return refused(ErrorCode.invalidRequest, wrong)
  }
  if (name === '') {
    const local = [...settings.keys()].filter((key) => brokerOption.get(key)?.update === 'per-broker')
    if (local.length > 0) {
      return refused(
        ErrorCode.invalidRequest,
        `Cannot update these configs at default cluster level, broker id must be specified: [${local.join(', ')}]`,
      )
    }
  }
  return null
}

function keptForNoTime(name: string, value: string): string | null {
  if (name !== 'log.retention.ms' || Number(value) !== 0) return null
  return 'requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1'
}

function refusesGroup(config: BrokerConfig, name: string, settings: ReadonlyMap<string, string>): Refusal | null {
  if (name === '') return refused(ErrorCode.invalidRequest, 'Default group resources are not allowed.')
  for (const [key, value] of settings) {
    const option = groupOption.get(key)
    if (!option) return refused(ErrorCode.invalidConfig, `Unknown group config name: ${key}`)
    const wrong = complaint(option, value) ?? outsideOfBroker(config, key, value)
    if (wrong !== null) return refused(ErrorCode.invalidConfig, wrong)
  }
  return null
}

/** The broker bounds what a group may be given: group.consumer.min.session.timeout.ms for consumer.session.timeout.ms. */
function outsideOfBroker(config: BrokerConfig, name: string, value: string): string | null {
  const [kind, ...rest] = name.split('.')
  for (const bound of ['min', 'max'] as const) {
    const broker = `group.${kind}.${bound}.${rest.join('.')}`
    if (!brokerOption.has(broker)) continue
    const limit = config.int(broker)
    if (bound === 'min' && Number(value) < limit) return `${name} must be greater than or equal to ${broker}`
    if (bound === 'max' && Number(value) > limit) return `${name} must be less than or equal to ${broker}`
  }
  return null
}

/**
 * Whether a broker may be given the setting while it runs. A name that nobody knows may be meant for an extension, and
 * Kafka takes it.
 */
function isDynamic(name: string): boolean {
  const option = optionOf(name)
  return option === undefined || isUpdatable(option)
}

function nullsRefused(nulls: readonly { readonly name: string }[]): Refusal {
  const names = nulls.map(({ name }) => name).join(', ')
  return refused(ErrorCode.invalidRequest, `Null value not supported for : ${names}`)
}

function optionFor(type: number, name: string): Option | undefined {
  if (type === ResourceType.topic) return topicOption.get(name)
  if (type === ResourceType.broker) return brokerOption.get(name)
  return groupOption.get(name)
}

function edited(operation: number, current: string, value: string): string {
  assert(operation === Operation.append || operation === Operation.subtract)
  const entries = current.split(',').filter((entry) => entry !== '')
  for (const entry of value.split(',')) {
    const at = entries.indexOf(entry)
    if (operation === Operation.append && at < 0) entries.push(entry)
    else if (operation === Operation.subtract && at >= 0) entries.splice(at, 1)
  }
  return entries.join(',')
}
