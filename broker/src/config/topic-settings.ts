import assert from 'node:assert/strict'
import type { BrokerConfig, SourcedValue } from './broker-config.ts'
import { complaint } from './option.ts'
import { topicOption } from './options.ts'

/** What is wrong with one setting of a topic, in Kafka's words; null when it is valid. */
export function validateTopicConfig(name: string, value: string): string | null {
  const option = topicOption.get(name)
  return option ? complaint(option, value) : `Unknown topic config name: ${name}`
}

/** What is wrong with the settings of a topic, alone or together; null when they are valid. */
export function validateTopicConfigs(settings: ReadonlyMap<string, string>): string | null {
  for (const name of settings.keys()) {
    if (!topicOption.has(name)) return `Unknown topic config name: ${name}`
  }
  for (const [name, value] of settings) {
    const wrong = validateTopicConfig(name, value)
    if (wrong !== null) return wrong
  }
  const longs = (name: string): bigint => BigInt(settings.get(name) ?? topicOption.get(name)!.default!)
  const minLag = longs('min.compaction.lag.ms')
  const maxLag = longs('max.compaction.lag.ms')
  if (minLag > maxLag) {
    return `conflict topic config setting min.compaction.lag.ms (${minLag}) > max.compaction.lag.ms (${maxLag})`
  }
  if (settings.get('remote.storage.enable')?.trim().toLowerCase() === 'true') {
    return 'Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.'
  }
  return null
}

/**
 * The value a topic has for a setting, and where it comes from: its own, else the broker's, else the default. A setting
 * without any is null.
 */
export function topicValue(
  config: BrokerConfig,
  overrides: ReadonlyMap<string, string>,
  name: string,
): { readonly value: string | null; readonly source: SourcedValue['source'] | 'topic' } {
  const option = topicOption.get(name)
  assert(option, `${name} is a row of the topic's options`)
  const own = overrides.get(name)
  if (own !== undefined) return { value: own, source: 'topic' }
  return config.topicDefault(name) ?? { value: option.default, source: 'default' }
}
