import { Ajv, type AnySchema } from 'ajv'
import { StreamsError } from '../../errors.ts'
import type { Serde } from '../serde.ts'
import { RegistrySerde, type SchemaFormat, type SchemaReader, type SchemaWriter } from './registry-serde.ts'
import type { Schema, SchemaReference, SchemaRegistry } from './registry.ts'
import { HEADER_BYTES } from './wire-format.ts'

export interface JsonSchemaOptions {
  /** Schemas that this one refers to by `$ref`: `name` is the URI it uses. */
  readonly references?: readonly (SchemaReference & { readonly schema: object })[]
  /**
   * The validator, for other drafts (`new Ajv2020()`), formats (`addFormats(ajv)`) or keywords. Without it: draft 7,
   * keywords that are not known are ignored, formats are not checked.
   */
  readonly ajv?: Pick<Ajv, 'addSchema' | 'compile' | 'errorsText'>
}

/**
 * JSON in the wire format of a schema registry, checked by Ajv against the schema when it is written and when it is
 * read. The type is a promise of the caller that the schema keeps; `validated(zodSchema, jsonSchema(…))` infers it.
 */
export function jsonSchema<T>(registry: SchemaRegistry, schema: object, options: JsonSchemaOptions = {}): Serde<T> {
  return new RegistrySerde(registry, new JsonSchemaFormat<T>(schema, options))
}

class JsonSchemaFormat<T> implements SchemaFormat<T> {
  readonly type = 'JSON'
  readonly needsWriterSchema = false
  readonly recordName: string | null
  readonly #schema: object
  readonly #options: JsonSchemaOptions
  readonly #check: Check

  constructor(schema: object, options: JsonSchemaOptions) {
    this.#schema = schema
    this.#options = options
    const { title } = schema as { title?: unknown }
    this.recordName = typeof title === 'string' ? title : null
    const references = (options.references ?? []).map(({ name, schema: referenced }) => ({ name, schema: referenced }))
    try {
      this.#check = compile(schema, references, options.ajv ?? newAjv())
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new StreamsError('invalid-option', `not a JSON schema: ${reason}`, { cause })
    }
  }

  schema(): Promise<Schema> {
    const references = (this.#options.references ?? []).map(({ name, subject, version }) => ({
      name,
      subject,
      version,
    }))
    return Promise.resolve({ type: 'JSON', text: JSON.stringify(this.#schema), references })
  }

  writer(): SchemaWriter<T> {
    const check = this.#check
    return (value, header) => {
      // What is checked is what readers get: a Date is its text by then.
      const json = JSON.stringify(value) as string | undefined
      const issues = json === undefined ? 'there is no JSON for it' : check(JSON.parse(json))
      if (issues !== null) {
        throw new StreamsError('serialization', `the value does not fit its JSON schema: ${issues}`)
      }
      return Buffer.concat([header, Buffer.from(json!, 'utf8')])
    }
  }

  reader(): SchemaReader<T> {
    return (bytes) => {
      const value = JSON.parse(bytes.toString('utf8', HEADER_BYTES)) as T
      const issues = this.#check(value)
      if (issues === null) return value
      throw new StreamsError('deserialization', `the value does not fit its JSON schema: ${issues}`)
    }
  }
}

/** What is wrong with a value, null when nothing is. */
type Check = (value: unknown) => string | null

function newAjv(): Ajv {
  return new Ajv({ strict: false, validateFormats: false, allErrors: true })
}

function compile(
  schema: object,
  references: readonly { readonly name: string; readonly schema: object }[],
  ajv: NonNullable<JsonSchemaOptions['ajv']>,
): Check {
  for (const { name, schema: referenced } of references) ajv.addSchema(referenced as AnySchema, name)
  const validate = ajv.compile(schema as AnySchema)
  return (value) => (validate(value) ? null : ajv.errorsText(validate.errors, { dataVar: 'value' }))
}
