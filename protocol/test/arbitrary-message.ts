import fc from 'fast-check'
import { defaultOf, structLayout } from '../src/layout.ts'
import { INT64_MAX, isNullable, isOptional, type Field, type Fields } from '../src/schema.ts'

/**
 * Values that an encoder of the table takes at this version. Optional fields are sometimes left out, tagged ones are
 * sometimes at their default, and now and then a string is long enough that its length takes two bytes.
 */
export function arbitraryStruct(fields: Fields, version: number): fc.Arbitrary<Record<string, unknown>> {
  const arbitraries: Record<string, fc.Arbitrary<unknown>> = {}
  const requiredKeys: string[] = []
  for (const { name, field, place } of structLayout(fields, version).all) {
    if (place === 'absent') continue
    const value = arbitraryField(field, version)
    arbitraries[name] = isOptional(field) ? fc.oneof({ weight: 4, arbitrary: value }, defaults(field)) : value
    if (!isOptional(field)) requiredKeys.push(name)
  }
  return fc.record(arbitraries, { requiredKeys })
}

function defaults(field: Field): fc.Arbitrary<unknown> {
  return fc.constant(undefined).map(() => defaultOf(field))
}

function arbitraryField(field: Field, version: number): fc.Arbitrary<unknown> {
  const value = arbitraryPresent(field, version)
  return isNullable(field, version) ? fc.option(value, { nil: null }) : value
}

function arbitraryPresent(field: Field, version: number): fc.Arbitrary<unknown> {
  switch (field.type) {
    case 'array':
      return fc.array(arbitraryField(field.element!, version), { maxLength: 3 })
    case 'struct':
      return arbitraryStruct(field.fields!, version)
    case 'bool':
      return fc.boolean()
    case 'int8':
      return fc.integer({ min: -0x80, max: 0x7f })
    case 'int16':
      return fc.integer({ min: -0x8000, max: 0x7fff })
    case 'uint16':
      return fc.nat(0xffff)
    case 'int32':
      return fc.integer()
    case 'uint32':
      return fc.nat(0xffffffff)
    case 'int64':
      return fc.oneof({ weight: 9, arbitrary: fc.maxSafeInteger() }, fc.constantFrom(-1, 0, INT64_MAX))
    case 'float64':
      return fc.double()
    case 'uuid':
      return fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => Buffer.from(id).toString('base64url'))
    case 'string':
      return arbitraryText()
    case 'bytes':
    case 'records':
      return fc.uint8Array({ maxLength: 200 }).map((content) => Buffer.from(content))
  }
}

function arbitraryText(): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 6, arbitrary: fc.string({ unit: 'grapheme' }) },
    fc.tuple(fc.string({ unit: 'grapheme', minLength: 1 }), fc.nat(60)).map(([text, times]) => text.repeat(times)),
  )
}

/** What decoding gives for a value that was encoded: the value with every default filled in. */
export function complete(fields: Fields, version: number, value: Record<string, unknown>): Record<string, unknown> {
  const whole: Record<string, unknown> = {}
  for (const { name, field, place } of structLayout(fields, version).all) {
    const given = value[name]
    whole[name] = place === 'absent' || given === undefined ? defaultOf(field) : completeValue(field, version, given)
  }
  return whole
}

function completeValue(field: Field, version: number, value: unknown): unknown {
  if (value === null) return null
  if (field.type === 'array') {
    return (value as unknown[]).map((element) => completeValue(field.element!, version, element))
  }
  if (field.type === 'struct') return complete(field.fields!, version, value as Record<string, unknown>)
  return value
}
