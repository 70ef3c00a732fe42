import { ErrorCode, apis, type DescribeConfigsRequest, type DescribeConfigsResponse } from '@millrace/protocol'
import {
  brokerDefaultEntries,
  brokerEntries,
  groupEntries,
  topicEntries,
  type ConfigEntry,
} from '../config/config-entries.ts'
import { ResourceType } from '../metadata/cluster-image.ts'
import { refused, type Refusal } from '../metadata/refusal.ts'
import { invalidTopicName } from '../metadata/topic-names.ts'
import { ConfigSourceId, configTypeId } from './config-source.ts'
import { handler, type RequestContext } from './handler.ts'

type ResultAnswer = DescribeConfigsResponse['results'][number]

/** DescribeConfigs (32): settings of topics, of this broker, of all brokers (''), of groups. Secrets are never told. */
export const describeConfigs = handler({
  api: apis.describeConfigs,
  handle(request, context) {
    return { throttleTimeMs: 0, results: request.resources.map((resource) => describe(resource, request, context)) }
  },
})

function describe(
  resource: DescribeConfigsRequest['resources'][number],
  { includeSynonyms, includeDocumentation }: DescribeConfigsRequest,
  context: RequestContext,
): ResultAnswer {
  const { resourceType, resourceName, configurationKeys } = resource
  const entries = entriesOf(resourceType, resourceName, context)
  if (!Array.isArray(entries)) return { ...entries, resourceType, resourceName, configs: [] }
  // An empty list of keys asks for all, as null does.
  const keys = configurationKeys === null || configurationKeys.length === 0 ? null : new Set(configurationKeys)
  return {
    errorCode: ErrorCode.none,
    errorMessage: '',
    resourceType,
    resourceName,
    configs: entries
      .filter(({ name }) => keys === null || keys.has(name))
      .map((entry) => ({
        name: entry.name,
        value: entry.value,
        readOnly: entry.isReadOnly,
        configSource: ConfigSourceId[entry.source],
        isSensitive: entry.isSensitive,
        synonyms: includeSynonyms
          ? entry.synonyms.map(({ name, value, source }) => ({ name, value, source: ConfigSourceId[source] }))
          : [],
        configType: configTypeId(entry.type),
        documentation: includeDocumentation ? entry.doc : null,
      })),
  }
}

function entriesOf(type: number, name: string, { services }: RequestContext): Refusal | ConfigEntry[] {
  const { config, metadata, nodeId } = services
  const invalid = (message: string): Refusal => refused(ErrorCode.invalidRequest, message)
  switch (type) {
    case ResourceType.topic: {
      const invalidName = invalidTopicName(name)
      if (invalidName !== null) return refused(ErrorCode.invalidTopicException, invalidName)
      if (!metadata.image.topics.has(name)) return refused(ErrorCode.unknownTopicOrPartition, '')
      return topicEntries(config, metadata.image.topicConfigs(name))
    }
    case ResourceType.broker:
      if (name === '') return brokerDefaultEntries(config)
      if (!isNumber(name)) return invalid(`Broker id must be an integer, but it is: ${name}`)
      if (Number(name) === nodeId) return brokerEntries(config)
      return invalid(`Unexpected broker id, expected ${nodeId} or empty string, but received ${name}`)
    case ResourceType.brokerLogger:
      if (name === '') return invalid('Broker id must not be empty')
      if (!isNumber(name)) return invalid(`Broker id must be an integer, but it is: ${name}`)
      if (Number(name) !== nodeId) return invalid(`Unexpected broker id, expected ${nodeId} but received ${name}`)
      // Loggers by name are a thing of Kafka's logging library.
      return []
    case ResourceType.group:
      if (name === '') return invalid('Group name must not be empty')
      return groupEntries(config, metadata.image.configs(ResourceType.group, name))
    default:
      return invalid(`Unsupported resource type: ${type}`)
  }
}

function isNumber(text: string): boolean {
  return /^[+-]?\d+$/.test(text)
}
