import avsc, { type Schema as AvscSchema, type Type, type types } from 'avsc'
import { StreamsError } from '../../errors.ts'
import type { Serde } from '../serde.ts'
import type { AvroSchema, AvroValue } from './avro-value.ts'
import { RegistrySerde, type SchemaFormat, type SchemaReader, type SchemaWriter } from './registry-serde.ts'
import type { RegisteredSchema, Schema, SchemaReference, SchemaRegistry } from './registry.ts'
import { HEADER_BYTES } from './wire-format.ts'

export type { AvroSchema, AvroValue } from './avro-value.ts'

export interface AvroOptions {
  /** Conversions of logical types, by their names, as avsc has them. */
  readonly logicalTypes?: Record<string, new (schema: never, options?: never) => types.LogicalType>
  /** Schemas that this one speaks of by name, each before those that need it, with where the registry has them. */
  readonly references?: readonly (SchemaReference & { readonly schema: AvroSchema })[]
}

/**
 * Avro by avsc, in the wire format of a schema registry. What others wrote with earlier or later versions of the schema
 * is read as this one, by Avro's rules; where those do not allow it, the record cannot be read.
 *
 *     const orders = topic('orders', { key: string(), value: avro(registry, {
 *       type: 'record', name: 'Order', fields: [{ name: 'cents', type: 'long' }],
 *     }) })                                                  // values are { cents: number }
 *
 * A schema that is only known at run time, such as one read from a file, needs the type: `avro<Order>(registry, schema)`.
 */
export function avro<const S extends AvroSchema>(
  registry: SchemaRegistry,
  schema: S,
  options?: AvroOptions,
): Serde<AvroValue<S>>
export function avro<T>(registry: SchemaRegistry, schema: unknown, options?: AvroOptions): Serde<T>
export function avro(registry: SchemaRegistry, schema: unknown, options: AvroOptions = {}): Serde<unknown> {
  return new RegistrySerde(registry, new AvroFormat(schema as AvroSchema, options))
}

const SCRATCH_BYTES = 1024
const PRIMITIVE_KEYS: ReadonlySet<string> = new Set(['string', 'int', 'long', 'float', 'double', 'boolean'])

class AvroFormat implements SchemaFormat<unknown> {
  readonly type = 'AVRO'
  readonly needsWriterSchema = true
  readonly recordName: string | null
  readonly isPrimitive: boolean
  readonly #schema: AvroSchema
  readonly #options: AvroOptions
  readonly #type: Type

  constructor(schema: AvroSchema, options: AvroOptions) {
    this.#schema = schema
    this.#options = options
    const names: Record<string, Type> = {}
    try {
      for (const reference of options.references ?? []) this.#parse(reference.schema, names)
      this.#type = this.#parse(schema, names)
    } catch (cause) {
      throw new StreamsError('invalid-option', `not an Avro schema: ${messageOf(cause)}`, { cause })
    }
    this.recordName = this.#type.name ?? null
    this.isPrimitive = PRIMITIVE_KEYS.has(this.#type.typeName)
  }

  schema(): Promise<Schema> {
    const references = (this.#options.references ?? []).map(({ name, subject, version }) => ({
      name,
      subject,
      version,
    }))
    return Promise.resolve({ type: 'AVRO', text: JSON.stringify(this.#schema), references })
  }

  writer({ text }: RegisteredSchema, referenced: readonly RegisteredSchema[]): SchemaWriter<unknown> {
    const type = text === JSON.stringify(this.#schema) ? this.#type : this.#parseAll(text, referenced)
    let scratch = Buffer.allocUnsafe(SCRATCH_BYTES)
    return (value, header) => {
      let end: number
      try {
        end = type.encode(value, scratch, HEADER_BYTES)
      } catch (cause) {
        throw refused(type, value, cause)
      }
      if (end < 0) {
        // avsc says by how many bytes it fell short.
        scratch = Buffer.allocUnsafe(2 * (scratch.length - end))
        end = type.encode(value, scratch, HEADER_BYTES)
      }
      const bytes = Buffer.from(scratch.subarray(0, end))
      header.copy(bytes)
      return bytes
    }
  }

  reader(schema: RegisteredSchema, referenced: readonly RegisteredSchema[]): SchemaReader<unknown> {
    const type = this.#type
    const writer = this.#parseAll(schema.text, referenced)
    // Equal types need no resolver, and without one avsc is about twice as fast.
    const resolver = writer.equals(type) ? undefined : type.createResolver(writer)
    return (bytes) => type.fromBuffer(bytes.subarray(HEADER_BYTES), resolver) as unknown
  }

  #parseAll(text: string, referenced: readonly RegisteredSchema[]): Type {
    const names: Record<string, Type> = {}
    for (const one of referenced) this.#parse(JSON.parse(one.text) as AvroSchema, names)
    return this.#parse(JSON.parse(text) as AvroSchema, names)
  }

  #parse(schema: AvroSchema, names: Record<string, Type>): Type {
    const { logicalTypes } = this.#options
    return avsc.Type.forSchema(schema as AvscSchema, {
      registry: names,
      ...(logicalTypes === undefined ? {} : { logicalTypes: logicalTypes as never }),
    })
  }
}

/** avsc only says that a value does not fit; where it does not is found by asking once more. */
function refused(type: Type, value: unknown, cause: unknown): StreamsError {
  const places: string[] = []
  type.isValid(value, {
    errorHook(path, part, expected) {
      places.push(`${path.length === 0 ? 'the value' : path.join('.')} is no ${expected.toString()}: ${String(part)}`)
    },
  })
  const reason = places.length === 0 ? messageOf(cause) : places.join('; ')
  return new StreamsError('serialization', `the value does not fit its Avro schema: ${reason}`, { cause })
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
