// What follows from a message table at one version: the order on the wire, encodings of lengths, defaults and smallest
// sizes. Both codecs are made from this, so that they can differ only in how they do it.
import { isNullable, isPresent, isTagged, ZERO_UUID, type Field, type Fields } from './schema.ts'

export const EMPTY_BYTES: Buffer = Buffer.alloc(0)

export interface NamedField {
  readonly name: string
  readonly field: Field
}

export interface StructLayout {
  /** Every field of the table in its order, with where it travels. */
  readonly all: readonly (NamedField & { readonly place: 'body' | 'tags' | 'absent' })[]
  readonly body: readonly NamedField[]
  /** Ascending by tag, as they are written. */
  readonly tags: readonly (NamedField & { readonly tag: number })[]
}

export function structLayout(fields: Fields, version: number): StructLayout {
  const all = Object.entries(fields).map(([name, field]) => {
    const place = !isPresent(field, version) ? 'absent' : isTagged(field, version) ? 'tags' : 'body'
    return { name, field, place } as const
  })
  return {
    all,
    body: all.filter(({ place }) => place === 'body'),
    tags: all
      .filter(({ place }) => place === 'tags')
      .map(({ name, field }) => ({ name, field, tag: field.options.tag! }))
      .toSorted((left, right) => left.tag - right.tag),
  }
}

/** Whether the lengths inside this field are compact ones. */
export function isCompact(field: Field, isFlexible: boolean): boolean {
  return isFlexible && field.options.flexible !== false
}

/** A fresh default value: what a decoder gives for a field that the version does not carry. */
export function defaultOf(field: Field): unknown {
  const explicit = field.options.default
  if (explicit !== undefined) return explicit
  switch (field.type) {
    case 'bool':
      return false
    case 'string':
      return ''
    case 'uuid':
      return ZERO_UUID
    case 'bytes':
      return EMPTY_BYTES
    case 'records':
      // Kafka has no empty record batch to put here, its default is "no records".
      return field.options.nullable === undefined ? EMPTY_BYTES : null
    case 'array':
      return []
    case 'struct':
      return Object.fromEntries(Object.entries(field.fields!).map(([name, inner]) => [name, defaultOf(inner)]))
    case 'int8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'float64':
      return 0
  }
}

/**
 * Whether an encoder leaves the tagged field out. Undefined counts as the default. For a struct all fields that the
 * version has are compared, as Kafka does.
 */
export function isDefault(field: Field, value: unknown, version: number): boolean {
  if (value === undefined) return true
  const { type, options } = field
  if (options.default !== undefined) return value === options.default
  if (value === null) return defaultOf(field) === null
  if (type === 'array') return (value as readonly unknown[]).length === 0
  if (type === 'bytes' || type === 'records') return (value as Uint8Array).length === 0 && defaultOf(field) !== null
  if (type !== 'struct') return value === defaultOf(field)
  return Object.entries(field.fields!).every(
    ([name, inner]) =>
      !isPresent(inner, version) || isDefault(inner, (value as Record<string, unknown>)[name], version),
  )
}

const SIZES = { bool: 1, int8: 1, int16: 2, uint16: 2, int32: 4, uint32: 4, int64: 8, float64: 8, uuid: 16 } as const

/** The fewest bytes the field can take on the wire; bounds the element counts that a frame may claim. */
export function minimumBytes(field: Field, version: number, isFlexible: boolean): number {
  switch (field.type) {
    case 'string':
      return isCompact(field, isFlexible) ? 1 : 2
    case 'bytes':
    case 'records':
    case 'array':
      return isCompact(field, isFlexible) ? 1 : 4
    case 'struct': {
      if (isNullable(field, version)) return 1
      let size = isFlexible ? 1 : 0
      for (const inner of structLayout(field.fields!, version).body)
        size += minimumBytes(inner.field, version, isFlexible)
      // An element of no bytes would let a count of any size pass.
      return Math.max(size, 1)
    }
    case 'bool':
    case 'int8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'float64':
    case 'uuid':
      return SIZES[field.type]
  }
}
