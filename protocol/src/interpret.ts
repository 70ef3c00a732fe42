import type { Codec } from './codec.ts'
import { defaultOf, isCompact, isDefault, minimumBytes, structLayout } from './layout.ts'
import { ProtocolError } from './protocol-error.ts'
import type { Reader } from './reader.ts'
import { isNullable, isOptional, type Decoded, type Field, type Fields, type Input, type Message } from './schema.ts'
import type { Writer } from './writer.ts'

interface Part {
  readonly read: (reader: Reader) => unknown
  readonly write: (writer: Writer, value: unknown) => void
}

/**
 * The codec of a message at one version as nested closures. It is what runs where code generation from strings is
 * forbidden, and what the tests hold the compiled codec against.
 */
export function interpret<F extends Fields>(message: Message<F>, version: number): Codec<Decoded<F>, Input<F>> {
  const { read, write } = structPart(message.fields, version, version >= message.flexibleFrom)
  return { decode: (reader) => read(reader) as Decoded<F>, encode: write }
}

function structPart(fields: Fields, version: number, isFlexible: boolean): Part {
  const layout = structLayout(fields, version)
  const parts = new Map(layout.all.map(({ name, field }) => [name, fieldPart(field, version, isFlexible)]))
  const tagNames = new Map(layout.tags.map(({ name, tag }) => [tag, name]))
  return {
    read(reader) {
      const struct: Record<string, unknown> = {}
      for (const { name, field, place } of layout.all) {
        struct[name] = place === 'body' ? parts.get(name)!.read(reader) : defaultOf(field)
      }
      if (!isFlexible) return struct
      for (let count = reader.uvarint(); count > 0; count--) {
        const name = tagNames.get(reader.uvarint())
        const end = reader.tagEnd()
        if (name !== undefined) struct[name] = parts.get(name)!.read(reader)
        reader.leaveTag(end)
      }
      return struct
    },
    write(writer, value) {
      const struct = value as Record<string, unknown>
      for (const { name, field } of layout.body) {
        const given = struct[name]
        parts.get(name)!.write(writer, given === undefined && isOptional(field) ? defaultOf(field) : given)
      }
      if (!isFlexible) return
      const present = layout.tags.filter(({ name, field }) => !isDefault(field, struct[name], version))
      writer.uvarint(present.length)
      for (const { name, tag } of present) {
        const start = writer.beginTag(tag)
        parts.get(name)!.write(writer, struct[name])
        writer.endTag(start)
      }
    },
  }
}

function fieldPart(field: Field, version: number, isFlexible: boolean): Part {
  const nullable = isNullable(field, version)
  if (field.type === 'struct') {
    const struct = structPart(field.fields!, version, isFlexible)
    return nullable && field.options.tag === undefined ? nullableStruct(struct) : struct
  }
  if (field.type === 'array') return arrayPart(field, version, isFlexible)
  const read = readerMethod(field, nullable, isFlexible)
  return {
    read: (reader) => reader[read](),
    // The method of that name takes what the other one gives; the table says which type that is.
    write: (writer, value) => (writer[read] as (value: unknown) => void).call(writer, value),
  }
}

function nullableStruct(struct: Part): Part {
  return {
    read: (reader) => (reader.int8() < 0 ? null : struct.read(reader)),
    write(writer, value) {
      writer.int8(value === null ? -1 : 1)
      if (value !== null) struct.write(writer, value)
    },
  }
}

function arrayPart(field: Field, version: number, isFlexible: boolean): Part {
  const nullable = isNullable(field, version)
  const element = fieldPart(field.element!, version, isFlexible)
  const minimum = minimumBytes(field.element!, version, isFlexible)
  const isCompactCount = isCompact(field, isFlexible)
  const count = isCompactCount ? 'compactCount' : 'count'
  const readCount = nullable ? (isCompactCount ? 'compactNullableCount' : 'nullableCount') : count
  return {
    read(reader) {
      const length = reader[readCount](minimum)
      if (length < 0) return null
      return Array.from({ length }, () => element.read(reader))
    },
    write(writer, value) {
      const elements = value as readonly unknown[] | null
      if (elements === null) {
        if (!nullable) throw new ProtocolError('null where an array must be')
        writer[count](-1)
        return
      }
      writer[count](elements.length)
      for (const each of elements) element.write(writer, each)
    },
  }
}

const METHODS = {
  string: ['string', 'nullableString', 'compactString', 'compactNullableString'],
  bytes: ['bytes', 'nullableBytes', 'compactBytes', 'compactNullableBytes'],
  records: ['bytes', 'nullableBytes', 'compactBytes', 'compactNullableBytes'],
} as const

type FixedType = Exclude<Field['type'], 'array' | 'struct' | keyof typeof METHODS>
type Method = FixedType | (typeof METHODS)[keyof typeof METHODS][number]

/** The method that reads a scalar; the writer's method of the same name writes it. */
export function readerMethod(field: Field, nullable: boolean, isFlexible: boolean): Method {
  const { type } = field
  if (type === 'string' || type === 'bytes' || type === 'records') {
    return METHODS[type][(isCompact(field, isFlexible) ? 2 : 0) + (nullable ? 1 : 0)]!
  }
  return type as FixedType
}
