import assert from 'node:assert/strict'
import { ConfigError } from '../base/errors.ts'
import { settingsOf } from './environment.ts'
import { isLoopback, parseListeners, type Listener } from './listeners.ts'
import { canonical, complaint, splitList, type Option } from './option.ts'
import { brokerOption, nearest, optionOf, synonyms } from './options.ts'
import { parseProperties } from './properties.ts'
import { brokerNamesOfTopic } from './topic-options.ts'

export interface ConfigInputs {
  /** Defaults that differ from Kafka's for the way the broker is started, as `developmentDefaults`. */
  readonly defaults?: Readonly<Record<string, string>>
  /** The text of a server.properties file. */
  readonly file?: string
  /** An environment; its KAFKA_* variables are settings. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** `name=value` each, as `--set` takes them. */
  readonly sets?: readonly string[]
}

/** Defaults for a broker on a developer's machine or inside a test: a group does not wait for more members. */
export const developmentDefaults: Readonly<Record<string, string>> = { 'group.initial.rebalance.delay.ms': '0' }

/** Where a value comes from; the names and their order are Kafka's, the first one that has a value wins. */
export type ConfigSource = 'dynamic broker' | 'dynamic default broker' | 'static broker' | 'default'

export interface SourcedValue {
  readonly name: string
  readonly value: string
  readonly source: ConfigSource
}

const NO_SETTINGS: ReadonlyMap<string, string> = new Map()

/**
 * The settings of a broker: what it was started with, below what IncrementalAlterConfigs has set since. Values keep their
 * exact text; the typed getters serve the code. A getter is asked for a known setting with a value, anything else is a
 * mistake in the code.
 */
export class BrokerConfig {
  /** What the operator should know, one sentence each: unknown settings, settings without effect, open listeners. */
  readonly warnings: readonly string[]
  readonly listeners: readonly Listener[]
  /** Settings nobody knows, with their values. */
  readonly unknown: ReadonlyMap<string, string>
  readonly #static: ReadonlyMap<string, string>
  #dynamicBroker = NO_SETTINGS
  #dynamicDefault = NO_SETTINGS
  /** Numbers of the settings that were asked for; dropped when a setting changes. */
  readonly #numbers = new Map<string, number>()

  /** Throws ConfigError for a value that its setting does not take. */
  static from(inputs: ConfigInputs = {}): BrokerConfig {
    const settings = new Map<string, string>()
    const unknown = new Map<string, string>()
    const warnings: string[] = []
    for (const [name, value] of gather(inputs)) {
      const option = optionOf(name)
      if (option === undefined) {
        const meant = nearest(name)
        warnings.push(`unknown setting ${name} is ignored` + (meant ? `; did you mean ${meant}?` : ''))
        unknown.set(name, value)
        continue
      }
      const wrong = complaint(option, value)
      if (wrong !== null) throw new ConfigError(name, value, wrong)
      if (option.missing && !option.isHarmless && canonical(option, value) !== (option.default ?? '')) {
        warnings.push(`${name} has no effect yet: it waits for ${option.missing}`)
      }
      settings.set(name, value)
    }
    return new BrokerConfig(settings, unknown, warnings)
  }

  private constructor(settings: Map<string, string>, unknown: ReadonlyMap<string, string>, warnings: string[]) {
    // broker.id is the older name of node.id; both are told when either is set.
    const nodeId = settings.get('node.id') ?? settings.get('broker.id')
    if (nodeId !== undefined) {
      settings.set('node.id', nodeId)
      settings.set('broker.id', nodeId)
    }
    this.#static = settings
    this.unknown = unknown
    this.listeners = parseListeners({
      listeners: this.text('listeners'),
      advertised: this.get('advertised.listeners'),
      protocols: this.text('listener.security.protocol.map'),
      controllerListeners: this.text('controller.listener.names'),
    })
    this.#checkTogether(warnings)
    for (const listener of this.listeners) {
      if (isLoopback(listener)) continue
      const where = listener.host === '' || listener.host === '0.0.0.0' ? 'every interface' : listener.host
      warnings.push(
        `listener ${listener.name} takes connections from the network (${where}), unencrypted and from anybody`,
      )
    }
    this.warnings = warnings
  }

  get nodeId(): number {
    return this.int('node.id')
  }

  get logDirs(): readonly string[] {
    return splitList(this.get('log.dirs') ?? this.text('log.dir'))
  }

  /** The value as text; null when the setting has none. */
  get(name: string): string | null {
    const option = brokerOption.get(name)
    assert(option, `${name} is a row of the options`)
    return this.#dynamicBroker.get(name) ?? this.#dynamicDefault.get(name) ?? this.#static.get(name) ?? option.default
  }

  text(name: string): string {
    const value = this.get(name)
    assert(value !== null, `${name} has a value`)
    return value.trim()
  }

  /** An int, short or long; a long beyond 2^53 comes out as Number.MAX_SAFE_INTEGER. */
  int(name: string): number {
    const value = Math.trunc(this.double(name))
    return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value))
  }

  double(name: string): number {
    let value = this.#numbers.get(name)
    if (value === undefined) {
      value = Number(this.text(name))
      this.#numbers.set(name, value)
    }
    return value
  }

  boolean(name: string): boolean {
    return this.text(name).toLowerCase() === 'true'
  }

  list(name: string): readonly string[] {
    return splitList(this.text(name))
  }

  /**
   * What a topic that does not set `name` gets, or undefined when only the default of the topic setting is left. The text
   * is in the unit of the topic's setting.
   */
  topicDefault(name: string): SourcedValue | undefined {
    const chain = brokerNamesOfTopic[name] ?? []
    for (const [source, settings] of this.#layers()) {
      for (const { name: brokerName, unitMs } of chain) {
        const value = settings.get(brokerName)
        if (value === undefined) continue
        return { name: brokerName, value: unitMs === undefined ? value : inMs(value, unitMs), source }
      }
    }
    return undefined
  }

  /** Everything that has a say in the value of a setting, the winner first, as DescribeConfigs lists synonyms. */
  sources(name: string): SourcedValue[] {
    const found: SourcedValue[] = []
    const names = synonyms(name)
    for (const [source, settings] of this.#layers()) {
      for (const synonym of names) {
        const value = settings.get(synonym)
        if (value !== undefined) found.push({ name: synonym, value, source })
      }
    }
    for (const synonym of names) {
      const value = brokerOption.get(synonym)?.default
      if (value != null) found.push({ name: synonym, value, source: 'default' })
    }
    // A synonym that stands before the setting itself is not a source of its value.
    const own = found.findIndex((candidate) => candidate.name === name)
    return own < 0 ? [] : found.slice(own)
  }

  /** What was set while running for all brokers. */
  get dynamicDefaults(): ReadonlyMap<string, string> {
    return this.#dynamicDefault
  }

  /** Every setting that has a name: the options, and what somebody set that is none. */
  names(): readonly string[] {
    const isShown = (option: Option): boolean => option.isInternal !== true || this.#static.has(option.name)
    const options = [...brokerOption.values()].filter(isShown).map(({ name }) => name)
    const others = [
      ...this.unknown.keys(),
      ...this.#static.keys(),
      ...this.#dynamicBroker.keys(),
      ...this.#dynamicDefault.keys(),
    ]
    return [...new Set([...options, ...others])]
  }

  /** Replaces what was set while running: for this broker, and for all brokers. Only for the metadata that stores it. */
  applyDynamic(broker: ReadonlyMap<string, string>, allBrokers: ReadonlyMap<string, string>): void {
    this.#dynamicBroker = usable(broker)
    this.#dynamicDefault = usable(allBrokers)
    this.#numbers.clear()
  }

  #layers(): [ConfigSource, ReadonlyMap<string, string>][] {
    return [
      ['dynamic broker', this.#dynamicBroker],
      ['dynamic default broker', this.#dynamicDefault],
      ['static broker', this.#static],
    ]
  }

  #checkTogether(warnings: string[]): void {
    const retention = this.topicDefault('retention.ms')
    if (retention && Number(retention.value) === 0) {
      throw new ConfigError(retention.name, 0, 'must be -1 for ever, or 1 or more')
    }
    for (const name of ['log.roll.ms', 'log.roll.jitter.ms', 'log.flush.interval.ms']) {
      const value = this.get(name)
      const least = name === 'log.roll.ms' ? 1 : 0
      if (value !== null && Number(value) < least) throw new ConfigError(name, value, `must be at least ${least}`)
    }
    if (this.list('process.roles').length < 2) {
      throw new ConfigError(
        'process.roles',
        this.text('process.roles'),
        'a node that joins other controllers is not there yet: broker,controller',
      )
    }
    const others = this.list('controller.quorum.voters').filter((voter) => !voter.startsWith(`${this.nodeId}@`))
    if (others.length > 0) {
      throw new ConfigError(
        'controller.quorum.voters',
        this.text('controller.quorum.voters'),
        `a quorum of several controllers is not there yet: only node.id=${this.nodeId} itself`,
      )
    }
    if (this.int('default.replication.factor') > 1) {
      warnings.push(
        `default.replication.factor=${this.text('default.replication.factor')}: ` +
          'this node is alone, so topics created without a replication factor are refused',
      )
    }
  }
}

/** The settings of all inputs, the later ones over the earlier: defaults < file < environment < sets. */
function gather(inputs: ConfigInputs): Map<string, string> {
  const settings = new Map<string, string>(Object.entries(inputs.defaults ?? {}))
  for (const [name, value] of parseProperties(inputs.file ?? '')) settings.set(name, value)
  for (const [name, value] of settingsOf(inputs.environment ?? {})) settings.set(name, value)
  for (const text of inputs.sets ?? []) {
    const equals = text.indexOf('=')
    if (equals <= 0) throw new ConfigError(text, '', 'name=value expected')
    settings.set(text.slice(0, equals).trim(), text.slice(equals + 1))
  }
  return settings
}

// Stored values were checked when they were set, but perhaps by a version that took others.
function usable(settings: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map(
    [...settings].filter(([name, value]) => {
      const option: Option | undefined = brokerOption.get(name)
      return option === undefined || (option.update !== undefined && complaint(option, value) === null)
    }),
  )
}

function inMs(value: string, unitMs: number): string {
  const count = BigInt(value.trim())
  return String(count < 0n ? -1n : count * BigInt(unitMs))
}
