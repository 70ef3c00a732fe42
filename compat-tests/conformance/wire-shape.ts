// The shape of a message on the wire at one version, as lines that can be compared: one for every field in the order in
// which it is written, tagged ones last, absent ones with the default that a reader then sees. There is one function that
// makes them from Kafka's definition and one that makes them from a table, and they share only the format of a line.
import type { Field, Fields, Message } from '@millrace/protocol'
import type { DefinedField, Definition } from './definitions.ts'

interface Line {
  readonly path: string
  readonly type: string
  readonly place: 'body' | 'absent' | number
  readonly isCompact: boolean
  readonly isNullable: boolean
  readonly byDefault: string
}

function format({ path, type, place, isCompact, isNullable, byDefault }: Line): string {
  const where = typeof place === 'number' ? `tag ${place}` : place
  if (place === 'absent') return `${path}: absent, default ${byDefault}`
  return `${path}: ${isCompact ? 'compact ' : ''}${type}${isNullable ? ' or null' : ''}, ${where}, default ${byDefault}`
}

function inOrder(lines: readonly { readonly line: Line; readonly inner: readonly string[] }[]): string[] {
  const rank = ({ place }: Line): number => (place === 'body' ? -1 : place === 'absent' ? Infinity : place)
  const sorted = lines.toSorted((left, right) => {
    const [a, b] = [rank(left.line), rank(right.line)]
    // Absent fields have no order on the wire.
    return a === b ? (a === Infinity ? left.line.path.localeCompare(right.line.path) : 0) : a - b
  })
  return sorted.flatMap(({ line, inner }) => [format(line), ...inner])
}

function within(range: string | undefined, version: number): boolean {
  if (range === undefined || range === 'none') return false
  const [low, high] = range.endsWith('+') ? [range.slice(0, -1), Infinity] : range.split('-')
  return version >= Number(low) && version <= Number(high ?? low)
}

const HAS_LENGTH = /^(?:string|bytes|records|array)$/

// From Kafka's definition.

/** `last` is the last version that matters: a field that only later ones have is left out, even as an absent one. */
export function shapeOfDefinition(definition: Definition, version: number, last: number): string[] {
  const common = new Map((definition.commonStructs ?? []).map(({ name, fields }) => [name, fields]))
  const isFlexible = within(definition.flexibleVersions, version)
  const shape = (fields: readonly DefinedField[], path: string): string[] =>
    inOrder(
      fields
        .filter((field) => isKnownBy(field, last))
        .map((field) => {
          const here = `${path}${field.name[0]!.toLowerCase()}${field.name.slice(1)}`
          return value(field, field.type, here)
        }),
    )
  const value = (field: DefinedField, type: string, here: string): { line: Line; inner: string[] } => {
    const versions = field.versions ?? field.taggedVersions
    const place = !within(versions, version) ? 'absent' : within(field.taggedVersions, version) ? field.tag! : 'body'
    const kind = type.startsWith('[]') ? 'array' : /^[A-Z]/.test(type) ? 'struct' : type
    const line: Line = {
      path: here,
      type: kind,
      place,
      isCompact: isFlexible && field.flexibleVersions !== 'none' && HAS_LENGTH.test(kind),
      isNullable: within(field.nullableVersions, version),
      byDefault: definedDefault(field, kind),
    }
    if (place === 'absent') return { line, inner: [] }
    if (kind === 'array') {
      const element = value(
        { name: '', type: type.slice(2), versions: '0+', ...only(field.fields) },
        type.slice(2),
        `${here}[]`,
      )
      return { line, inner: [format(element.line), ...element.inner] }
    }
    const inner = kind === 'struct' ? shape(field.fields ?? common.get(type)!, `${here}.`) : []
    return { line, inner }
  }
  return shape(definition.fields, '')
}

function isKnownBy({ versions, taggedVersions }: DefinedField, last: number): boolean {
  return Number.parseInt(versions ?? taggedVersions ?? 'none', 10) <= last
}

function only(fields: readonly DefinedField[] | undefined): { fields?: readonly DefinedField[] } {
  return fields === undefined ? {} : { fields }
}

function definedDefault(field: DefinedField, kind: string): string {
  const given = field.default
  if (given === undefined) return defaultOfKind(kind)
  if (given === null || given === 'null') return 'null'
  if (kind === 'string') return JSON.stringify(given)
  if (kind === 'bool') return String(given)
  return String(Number(given))
}

function defaultOfKind(kind: string): string {
  if (kind === 'string') return '""'
  if (kind === 'bool') return 'false'
  if (kind === 'records') return 'null'
  return /^(?:array|struct|bytes|uuid)$/.test(kind) ? `empty ${kind}` : '0'
}

// From a table.

export function shapeOfTable(table: Message, version: number): string[] {
  const isFlexible = version >= table.flexibleFrom
  const shape = (fields: Fields, path: string): string[] =>
    inOrder(Object.entries(fields).map(([name, field]) => value(field, `${path}${name}`)))
  const value = (field: Field, here: string): { line: Line; inner: string[] } => {
    const { versions, nullable, tag, tagged, flexible } = field.options
    const isPresent = versions === undefined || within(versions, version)
    const isTagged = tag !== undefined && (tagged === undefined || within(tagged, version))
    const place = !isPresent ? 'absent' : isTagged ? tag : 'body'
    const line: Line = {
      path: here,
      type: field.type,
      place,
      isCompact: isFlexible && flexible !== false && HAS_LENGTH.test(field.type),
      isNullable: nullable === true || within(nullable, version),
      byDefault: tableDefault(field),
    }
    if (place === 'absent') return { line, inner: [] }
    if (field.type === 'array') {
      const element = value(field.element!, `${here}[]`)
      return { line, inner: [format(element.line), ...element.inner] }
    }
    return { line, inner: field.type === 'struct' ? shape(field.fields!, `${here}.`) : [] }
  }
  return shape(table.fields, '')
}

function tableDefault({ type, options }: Field): string {
  return options.default === undefined ? defaultOfKind(type) : JSON.stringify(options.default)
}
