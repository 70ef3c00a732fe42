import type { BrokerConfig, ConfigSource } from './broker-config.ts'
import { canonical, isUpdatable, type Option, type OptionType } from './option.ts'
import { brokerOption, groupOption, optionOf, topicOption } from './options.ts'
import { topicValue } from './topic-settings.ts'
import { brokerNamesOfTopic } from './topic-options.ts'

export interface SourcedText {
  readonly name: string
  /** Null for none, and for a secret. */
  readonly value: string | null
  readonly source: ConfigSource | 'topic' | 'group'
}

/** One setting with its value, as clients are shown it. */
export interface ConfigEntry extends SourcedText {
  readonly isReadOnly: boolean
  readonly isSensitive: boolean
  /** What has a say in the value, the winner first. */
  readonly synonyms: readonly SourcedText[]
  /** Undefined for a setting that nobody knows. */
  readonly type: OptionType | undefined
  readonly doc: string | null
}

/**
 * The settings of a topic. As in Kafka, a value that comes from a coarser setting of the broker (log.retention.hours) is
 * said to be a default and lists no synonyms.
 */
export function topicEntries(config: BrokerConfig, overrides: ReadonlyMap<string, string>): ConfigEntry[] {
  return [...topicOption.values()]
    .filter(({ name, isInternal }) => isInternal !== true || overrides.has(name))
    .map((option) => {
      const { name } = option
      const { value } = topicValue(config, overrides, name)
      const [broker] = brokerNamesOfTopic[name] ?? []
      const synonyms: SourcedText[] = broker ? config.sources(broker.name) : []
      const own = overrides.get(name)
      if (own !== undefined) synonyms.unshift({ name, value: canonical(option, own), source: 'topic' })
      return entry(option, value, synonyms, false)
    })
}

/** The settings of a group; those it does not set are the broker's, whose names begin with `group.`. */
export function groupEntries(config: BrokerConfig, overrides: ReadonlyMap<string, string>): ConfigEntry[] {
  return [...groupOption.values()].map((option) => {
    const { name } = option
    const broker = `group.${name}`
    const inherited = brokerOption.has(broker) ? config.get(broker) : option.default
    const synonyms: SourcedText[] = brokerOption.has(broker)
      ? config.sources(broker)
      : [{ name, value: option.default, source: 'default' }]
    const own = overrides.get(name)
    if (own !== undefined) synonyms.unshift({ name, value: canonical(option, own), source: 'group' })
    return entry(option, own ?? inherited, synonyms, false)
  })
}

/** The settings of this broker. */
export function brokerEntries(config: BrokerConfig): ConfigEntry[] {
  return config.names().map((name) => {
    const option = optionOf(name)
    const synonyms = config.sources(name)
    // Settings that nobody knows, and those of one listener, have no value but what was set.
    if (option === undefined || option.name !== name) return secretEntry(name, option?.type, synonyms)
    return entry(option, config.get(name), synonyms, !isUpdatable(option))
  })
}

/** What was set while running for all brokers. */
export function brokerDefaultEntries(config: BrokerConfig): ConfigEntry[] {
  const names = config.dynamicDefaults
  return brokerEntries(config)
    .filter(({ name }) => names.has(name))
    .map((shown) => {
      const value = shown.isSensitive ? null : names.get(shown.name)!
      const source = 'dynamic default broker' as const
      return { ...shown, value, source, synonyms: [{ name: shown.name, value, source }] }
    })
}

function entry(
  option: Option,
  value: string | null,
  synonyms: readonly SourcedText[],
  isReadOnly: boolean,
): ConfigEntry {
  const isSensitive = option.type === 'password'
  return {
    name: option.name,
    value: isSensitive || value === null ? null : canonical(option, value),
    source: synonyms[0]?.source ?? 'default',
    isReadOnly,
    isSensitive,
    synonyms: isSensitive ? synonyms.map((synonym) => ({ ...synonym, value: null })) : synonyms,
    type: option.type,
    doc: option.doc,
  }
}

/** A value of which it is not known whether it is a secret is kept like one. */
function secretEntry(name: string, type: OptionType | undefined, synonyms: readonly SourcedText[]): ConfigEntry {
  return {
    name,
    value: null,
    source: synonyms[0]?.source ?? 'static broker',
    isReadOnly: true,
    isSensitive: true,
    synonyms: synonyms.map((synonym) => ({ ...synonym, value: null })),
    type,
    doc: null,
  }
}
