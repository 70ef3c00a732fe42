import { StreamsError } from '../../errors.ts'
import { NotReady } from '../not-ready.ts'
import type { PrepareSerdeOptions, RemoteSerde, Serde, SerdeUse } from '../serde.ts'
import { SchemaRegistryError } from './errors.ts'
import type { RegisteredSchema, Schema, SchemaRegistry, SchemaType } from './registry.ts'
import { headerOf, schemaIdOf } from './wire-format.ts'

/** One of the three ways to encode a value under a schema; knows nothing of registries. */
export interface SchemaFormat<T> {
  readonly type: SchemaType
  /** Full name of the record or message, title of a JSON schema. */
  readonly recordName: string | null
  /** For `Serde.isPrimitive`. */
  readonly isPrimitive?: boolean
  /** Whether bytes can only be read with the schema they were written with. */
  readonly needsWriterSchema: boolean
  /** What is to be registered. `resolve` has the registry's word on what the schema refers to. */
  schema(resolve: (subject: string, schema: Schema) => Promise<number>): Promise<Schema>
  /** How values are written under a schema: that of the program, or with `latest` the registry's. */
  writer(schema: RegisteredSchema, referenced: readonly RegisteredSchema[]): SchemaWriter<T>
  reader(schema: RegisteredSchema | null, referenced: readonly RegisteredSchema[]): SchemaReader<T>
}

/** Writes header and value. */
export type SchemaWriter<T> = (value: T, header: Buffer) => Uint8Array

/** Reads the value behind the header. */
export type SchemaReader<T> = (bytes: Buffer) => T

/**
 * A value in the wire format of a schema registry. The id that it writes is fetched before the application starts;
 * an id that it reads for the first time is fetched while the record waits.
 */
export class RegistrySerde<T> implements Serde<T>, RemoteSerde {
  readonly name: string
  readonly isPrimitive: boolean
  readonly remotes: readonly RemoteSerde[] = [this]
  readonly #registry: SchemaRegistry
  readonly #format: SchemaFormat<T>
  readonly #subjects = new Set<string>()
  readonly #readers = new Map<number, SchemaReader<T>>()
  readonly #writtenTo = new Map<string, number>()
  #isInternal = false
  #write: SchemaWriter<T> | null = null
  #header: Buffer | null = null
  #readId = -1
  #read: SchemaReader<T> | null = null

  constructor(registry: SchemaRegistry, format: SchemaFormat<T>) {
    this.#registry = registry
    this.#format = format
    this.name = `${format.type.toLowerCase()} ${format.recordName ?? 'value'}`
    this.isPrimitive = format.isPrimitive === true
  }

  serialize(value: T): Uint8Array {
    if (this.#write === null) throw this.#unprepared()
    return this.#write(value, this.#header!)
  }

  deserialize(bytes: Buffer): T {
    const id = schemaIdOf(bytes, this.name)
    // Nearly always the same as for the record before.
    if (id !== this.#readId) {
      this.#read = this.#readers.get(id) ?? this.#newReader(id)
      this.#readId = id
    }
    return this.#read!(bytes)
  }

  async prepare(uses: readonly SerdeUse[], options: PrepareSerdeOptions = {}): Promise<void> {
    const subjectOf = ({ topic, part }: SerdeUse): string =>
      this.#registry.subjectName({ topic, part, recordName: this.#format.recordName })
    const written = uses.filter(({ access }) => access === 'write')
    const read = uses.filter(({ access }) => access === 'read')
    const internal = uses.filter(({ access }) => access === 'internal')
    for (const use of [...written, ...read]) this.#subjects.add(subjectOf(use))
    for (const subject of new Set(written.map(subjectOf))) await this.#writeTo(subject, options)
    if (internal.length > 0) {
      this.#isInternal = true
      if (this.#write === null) await this.#writeInternally(subjectOf(internal[0]!), options)
    }
    await this.#fetchKnown(options)
  }

  async #writeTo(subject: string, options: PrepareSerdeOptions): Promise<void> {
    if (this.#writtenTo.has(subject)) return
    const schema = await this.#schemaFor(subject, options)
    const [other] = this.#writtenTo
    if (other !== undefined && other[1] !== schema.id) {
      throw new StreamsError(
        'schema-registry',
        `${this.name} has id ${other[1]} in subject ${other[0]} and ${schema.id} in ${subject}: make a serde for each`,
      )
    }
    this.#writtenTo.set(subject, schema.id)
    await this.#useWriter(schema, options)
  }

  /** State is written under the schema of the topic that it came from, where that is this one; no subject of its own then. */
  async #writeInternally(fallback: string, options: PrepareSerdeOptions): Promise<void> {
    const own = await this.#format.schema((subject, schema) => this.#idOf(subject, schema, options))
    for (const subject of this.#subjects) {
      const found = await this.#registry.lookup(subject, own, options)
      if (found === null) continue
      await this.#useWriter({ id: found.id, ...own }, options)
      return
    }
    if (this.#registry.registration !== 'auto' && this.#subjects.size > 0) {
      const names = [...this.#subjects].join(', ')
      throw this.#notRegistered(names)
    }
    this.#subjects.add(fallback)
    await this.#writeTo(fallback, options)
  }

  async #useWriter(schema: RegisteredSchema, options: PrepareSerdeOptions): Promise<void> {
    const referenced = await this.#registry.referenced(schema, options)
    this.#write = this.#format.writer(schema, referenced)
    this.#header = headerOf(schema.id)
  }

  async #schemaFor(subject: string, options: PrepareSerdeOptions): Promise<RegisteredSchema> {
    if (this.#registry.registration === 'latest') {
      const latest = await this.#registry.latest(subject, options)
      if (latest === null) throw this.#notRegistered(subject)
      if (latest.type === this.#format.type) return latest
      throw new StreamsError('schema-registry', `subject ${subject} is ${latest.type}, the serde ${this.#format.type}`)
    }
    const own = await this.#format.schema((name, schema) => this.#idOf(name, schema, options))
    return { ...own, id: await this.#idOf(subject, own, options) }
  }

  async #idOf(subject: string, schema: Schema, options: PrepareSerdeOptions): Promise<number> {
    if (this.#registry.registration === 'auto') return this.#registry.register(subject, schema, options)
    const found = await this.#registry.lookup(subject, schema, options)
    if (found === null) throw this.#notRegistered(subject)
    return found.id
  }

  /**
   * What can be met is fetched ahead: the versions of the subjects. State has to be complete, because an operator that
   * reads it cannot wait; a source can, so that for topics only the latest one is fetched.
   */
  async #fetchKnown(options: PrepareSerdeOptions): Promise<void> {
    if (!this.#format.needsWriterSchema) return
    await Promise.all(
      [...this.#subjects].map(async (subject) => {
        if (this.#isInternal) await this.#registry.fetchAll(subject, options)
        else await this.#registry.latest(subject, options)
      }),
    )
  }

  #newReader(id: number): SchemaReader<T> {
    if (!this.#format.needsWriterSchema) {
      const reader = this.#format.reader(null, [])
      this.#readers.set(id, reader)
      return reader
    }
    const known = this.#registry.schemaNow(id)
    if (known === null) {
      throw new NotReady(`schema ${id} is being fetched; outside an application await prepareSerdes(topology) first`)
    }
    const { schema, referenced } = known
    if (schema.type !== this.#format.type) {
      throw new StreamsError(
        'deserialization',
        `schema ${id} of the record is ${schema.type}, not ${this.#format.type}`,
      )
    }
    let reader: SchemaReader<T>
    try {
      reader = this.#format.reader(schema, referenced)
    } catch (cause) {
      throw new StreamsError(
        'deserialization',
        `what was written with schema ${id} cannot be read as ${this.name}: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      )
    }
    this.#readers.set(id, reader)
    return reader
  }

  #notRegistered(subject: string): SchemaRegistryError {
    return new SchemaRegistryError(
      `subject ${subject} does not have the schema of ${this.name}, and registration is '${this.#registry.registration}': ` +
        "register it, or use `register: 'auto'`",
      { status: 404, errorCode: 40_403, subject },
    )
  }

  #unprepared(): StreamsError {
    return new StreamsError(
      'serialization',
      `${this.name} has no schema id yet: run(topology) fetches it; elsewhere await prepareSerdes(topology) first`,
    )
  }
}
