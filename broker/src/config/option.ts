export type OptionType = 'boolean' | 'int' | 'long' | 'short' | 'double' | 'string' | 'list' | 'class' | 'password'

/**
 * One setting of a broker, a topic or a group, with Kafka's name and meaning. A value is kept as its exact text
 * everywhere, because a long such as 9223372036854775807 is not a number of JavaScript.
 */
export interface Option {
  readonly name: string
  readonly type: OptionType
  /** The default as text; null when there is none. */
  readonly default: string | null
  readonly doc: string
  readonly min?: number
  readonly max?: number
  /** One value outside [min, max] that is allowed too. */
  readonly or?: number
  readonly oneOf?: readonly string[]
  readonly ignoresCase?: boolean
  readonly shape?: 'throttled replicas' | 'offset reset'
  /** Whether IncrementalAlterConfigs may change it while the broker runs, for this broker alone or for all. */
  readonly update?: 'per-broker' | 'cluster-wide'
  /** The feature it belongs to, when that is not built: the setting is taken, shown and has no effect. */
  readonly missing?: string
  /** To set it is no reason for a warning: nothing is unsafe or lost because it has no effect yet. */
  readonly isHarmless?: boolean
  /** Not listed by DescribeConfigs unless it is set. */
  readonly isInternal?: boolean
}

/** Settings that belong together, as docs/CONFIGURATION.md shows them. */
export interface Section {
  readonly title: string
  /** The feature that all of them belong to, when it is not built. */
  readonly missing?: string
  readonly isHarmless?: boolean
  readonly options: readonly Option[]
}

type More = Omit<Option, 'name' | 'type' | 'default' | 'doc'>
type Text = string | number | boolean | null

export const boolean = builder('boolean')
export const int = builder('int')
export const long = builder('long')
export const short = builder('short')
export const double = builder('double')
export const string = builder('string')
export const list = builder('list')
export const javaClass = builder('class')
export const password = builder('password')

function builder(type: OptionType): (name: string, value: Text, doc: string, more?: More) => Option {
  return (name, value, doc, more) => ({ name, type, default: value === null ? null : String(value), doc, ...more })
}

const WHOLE_NUMBERS = {
  short: { min: -(2n ** 15n), max: 2n ** 15n - 1n },
  int: { min: -(2n ** 31n), max: 2n ** 31n - 1n },
  long: { min: -(2n ** 63n), max: 2n ** 63n - 1n },
}

/** What is wrong with the text as a value of the option, in the words of Kafka's ConfigDef; null when it is valid. */
export function complaint(option: Option, text: string): string | null {
  const invalid = (value: string, why: string): string =>
    `Invalid value ${value} for configuration ${option.name}: ${why}`
  const trimmed = text.trim()
  switch (option.type) {
    case 'boolean':
      return /^(true|false)$/i.test(trimmed) ? null : invalid(text, 'Expected value to be either true or false')
    case 'short':
    case 'int':
    case 'long': {
      const { min, max } = WHOLE_NUMBERS[option.type]
      const value = /^[+-]?\d{1,19}$/.test(trimmed) ? BigInt(trimmed.replace('+', '')) : null
      if (value === null || value < min || value > max)
        return invalid(text, `Not a number of type ${option.type.toUpperCase()}`)
      // Bounds are small, so the rounding of a long beyond 2^53 cannot move it over one.
      const range = outOfRange(option, Number(value))
      return range === null ? null : invalid(String(value), range)
    }
    case 'double': {
      const value = trimmed === '' ? Number.NaN : Number(trimmed)
      if (Number.isNaN(value)) return invalid(text, 'Not a number of type DOUBLE')
      const range = outOfRange(option, value)
      return range === null ? null : invalid(trimmed, range)
    }
    case 'list': {
      const entries = splitList(text)
      if (entries.includes('')) return `Configuration '${option.name}' values must not be empty.`
      if (option.shape === 'throttled replicas') return throttledReplicas(option.name, entries)
      for (const entry of entries) {
        if (option.oneOf && !option.oneOf.includes(entry)) return invalid(entry, among(option.oneOf))
      }
      return null
    }
    case 'string':
      if (option.shape === 'offset reset') {
        return /^(latest|earliest|by_duration:P.+)$/i.test(trimmed)
          ? null
          : invalid(
              text,
              'Invalid share group auto offset reset strategy. Must be one of latest, earliest, by_duration.',
            )
      }
      if (option.oneOf === undefined) return null
      if (option.ignoresCase) {
        return option.oneOf.some((one) => one.toLowerCase() === trimmed.toLowerCase())
          ? null
          : invalid(text, `String must be one of (case insensitive): ${option.oneOf.join(', ')}`)
      }
      return option.oneOf.includes(trimmed) ? null : invalid(trimmed, among(option.oneOf))
    case 'class':
    case 'password':
      return null
  }
}

/** The text as DescribeConfigs shows the value: without spaces around it, `TRUE` as `true`, `007` as `7`. */
export function canonical(option: Option, text: string): string {
  const trimmed = text.trim()
  switch (option.type) {
    case 'boolean':
      return trimmed.toLowerCase()
    case 'short':
    case 'int':
    case 'long':
      return String(BigInt(trimmed.replace('+', '')))
    case 'list':
      return splitList(text).join(',')
    case 'double':
    case 'string':
    case 'class':
      return trimmed
    case 'password':
      return text
  }
}

/**
 * Whether a broker can be given the setting while it runs. One of a feature that is not built is refused where it would
 * seem to be in force, as a key store would.
 */
export function isUpdatable({ update, missing, isHarmless = false }: Option): boolean {
  return update !== undefined && (missing === undefined || isHarmless)
}

/** The entries of a list's text; the empty text is the empty list. */
export function splitList(text: string): string[] {
  const trimmed = text.trim()
  return trimmed === '' ? [] : trimmed.split(',').map((entry) => entry.trim())
}

function outOfRange({ min, max, or }: Option, value: number): string | null {
  if (or !== undefined) {
    if (value === or || (value >= (min ?? value) && value <= (max ?? value))) return null
    return `Value must be between ${min} and ${max} or equal to ${or}`
  }
  if (min !== undefined && value < min) return `Value must be at least ${min}`
  if (max !== undefined && value > max) return `Value must be no more than ${max}`
  return null
}

function among(values: readonly string[]): string {
  return `String must be one of: ${values.join(', ')}`
}

function throttledReplicas(name: string, entries: readonly string[]): string | null {
  if (entries.length === 1 && entries[0] === '*') return null
  if (entries.every((entry) => /^\d+:\d+$/.test(entry))) return null
  return (
    `Invalid value [${entries.join(', ')}] for configuration ${name}: ${name} must be the literal '*' or a list of ` +
    'replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...'
  )
}
