import { setTimeout } from 'node:timers/promises'
import { durationMs, type Duration } from '../../duration.ts'
import { StreamsError } from '../../errors.ts'
import {
  SCHEMA_NOT_FOUND,
  SchemaRegistryError,
  SchemaRegistryUnreachableError,
  SUBJECT_NOT_FOUND,
  VERSION_NOT_FOUND,
} from './errors.ts'
import { topicName, type SubjectName } from './subject-name.ts'

export type SchemaType = 'AVRO' | 'JSON' | 'PROTOBUF'

/** Another schema that a schema speaks of: `name` is how it does (Avro: the type, Protobuf: the import). */
export interface SchemaReference {
  readonly name: string
  readonly subject: string
  readonly version: number
}

export interface Schema {
  readonly type: SchemaType
  readonly text: string
  readonly references: readonly SchemaReference[]
}

export interface RegisteredSchema extends Schema {
  readonly id: number
}

/** A schema with all that it refers to, in the order in which they need each other. */
export interface KnownSchema {
  readonly schema: RegisteredSchema
  readonly referenced: readonly RegisteredSchema[]
}

export type Fetch = (
  url: string,
  init: {
    readonly method: string
    readonly headers: Record<string, string>
    readonly body?: string
    readonly signal: AbortSignal
  },
) => Promise<{ readonly status: number; text(): Promise<string> }>

/**
 * What a writer does about its schema before it starts. `auto` registers it where it is not yet, `lookup` fails if it is
 * not there, `latest` writes with the latest one of the subject, whatever the program's own says.
 */
export type Registration = 'auto' | 'lookup' | 'latest'

export interface SchemaRegistryOptions {
  /** Of one registry, or of several that stand for each other. */
  readonly url: string | readonly string[]
  readonly auth?: { readonly username: string; readonly password: string } | { readonly token: string }
  readonly headers?: Readonly<Record<string, string>>
  /** `auto` unless given. */
  readonly register?: Registration
  /** How subjects are named: `topicName` unless given. */
  readonly subjectName?: SubjectName
  /** Have the registry bring schemas into its normal form before it compares them. */
  readonly normalize?: boolean
  /** For one request. 10 s unless given. */
  readonly requestTimeout?: Duration
  /** How long a running application asks for a schema before it fails. 5 min unless given. */
  readonly retryFor?: Duration
  /** Instead of the global `fetch`. */
  readonly fetch?: Fetch
}

interface RequestOptions {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
}

const REQUEST_TIMEOUT_MS = 10_000
const RETRY_FOR_MS = 5 * 60_000
const BACKOFF_MS_MIN = 50
const BACKOFF_MS_MAX = 2_000
/** An id that the registry does not know is not asked for again for so long: it may be a replica that lags behind. */
const UNKNOWN_ID_MS = 10_000
const MEDIA_TYPE = 'application/vnd.schemaregistry.v1+json'

/**
 * A registry that speaks Confluent's REST API: Confluent's own, Karapace, Redpanda, Apicurio. Asked once for each
 * schema; what it answered does not change. Shared by any number of serdes and applications.
 */
export class SchemaRegistry {
  readonly registration: Registration
  readonly subjectName: SubjectName
  readonly #urls: readonly string[]
  readonly #headers: Record<string, string>
  readonly #fetch: Fetch
  readonly #query: string
  readonly #requestTimeoutMs: number
  readonly #retryForMs: number
  readonly #schemas = new Map<number, RegisteredSchema>()
  readonly #referenced = new Map<number, RegisteredSchema[]>()
  readonly #versions = new Map<string, Promise<RegisteredSchema>>()
  readonly #fetching = new Set<number>()
  readonly #unavailable = new Map<number, { readonly error: StreamsError; readonly untilMs: number }>()
  #preferred = 0

  constructor(options: SchemaRegistryOptions) {
    const urls = typeof options.url === 'string' ? options.url.split(',') : options.url
    this.#urls = urls.map((url) => checkedUrl(url.trim()))
    if (this.#urls.length === 0) throw new StreamsError('invalid-option', 'a schema registry needs a url')
    this.registration = options.register ?? 'auto'
    this.subjectName = options.subjectName ?? topicName
    this.#headers = {
      Accept: MEDIA_TYPE,
      'Content-Type': MEDIA_TYPE,
      ...authorization(options.auth),
      ...options.headers,
    }
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init))
    this.#query = options.normalize === true ? '?normalize=true' : ''
    this.#requestTimeoutMs = durationMs(options.requestTimeout ?? REQUEST_TIMEOUT_MS)
    this.#retryForMs = durationMs(options.retryFor ?? RETRY_FOR_MS)
  }

  /**
   * The schema of an id if it is here with all that it refers to. Otherwise it is asked for in the background, and null;
   * once the registry has said that there is none, or has not given it for too long, the error.
   */
  schemaNow(id: number): KnownSchema | null {
    const schema = this.#schemas.get(id)
    if (schema !== undefined) {
      const referenced = schema.references.length === 0 ? [] : this.#referenced.get(id)
      if (referenced !== undefined) return { schema, referenced }
    }
    const failed = this.#unavailable.get(id)
    if (failed !== undefined) {
      if (performance.now() < failed.untilMs) throw failed.error
      this.#unavailable.delete(id)
    }
    if (!this.#fetching.has(id)) void this.#fetchInBackground(id)
    return null
  }

  /** The schema of an id. */
  async schema(id: number, options: RequestOptions = {}): Promise<RegisteredSchema> {
    const known = this.#schemas.get(id)
    if (known !== undefined) return known
    const answer = await this.#request('GET', `/schemas/ids/${id}`, null, { about: `schema ${id}`, ...options })
    const schema = { id, ...schemaOf(answer) }
    this.#schemas.set(id, schema)
    return schema
  }

  /** Registers the schema under a subject, unless it is there; answers its id. */
  async register(subject: string, schema: Schema, options: RequestOptions = {}): Promise<number> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions${this.#query}`
    const { id } = (await this.#request('POST', path, bodyOf(schema), { subject, ...options })) as { id: number }
    return this.#keep(id, schema)
  }

  /** Id and version of a schema that is registered under the subject; null when it is not. */
  async lookup(
    subject: string,
    schema: Schema,
    options: RequestOptions = {},
  ): Promise<{ readonly id: number; readonly version: number } | null> {
    const path = `/subjects/${encodeURIComponent(subject)}${this.#query}`
    const answer = await this.#requestOrNull('POST', path, bodyOf(schema), { subject, ...options })
    if (answer === null) return null
    const { id, version } = answer as { id: number; version: number }
    return { id: this.#keep(id, schema), version }
  }

  /** The latest schema of a subject; null when there is none. */
  async latest(subject: string, options: RequestOptions = {}): Promise<RegisteredSchema | null> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions/latest`
    const answer = await this.#requestOrNull('GET', path, null, { subject, ...options })
    return answer === null ? null : this.#keepAnswer(answer)
  }

  /** One version of a subject, also of one that was deleted since. */
  version(subject: string, version: number, options: RequestOptions = {}): Promise<RegisteredSchema> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions/${version}?deleted=true`
    let fetched = this.#versions.get(path)
    if (fetched === undefined) {
      fetched = this.#request('GET', path, null, { subject, ...options }).then((answer) => this.#keepAnswer(answer))
      this.#versions.set(path, fetched)
      fetched.catch(() => this.#versions.delete(path))
    }
    return fetched
  }

  /** Fetches every version of a subject that is not here yet; nothing when there is no such subject. */
  async fetchAll(subject: string, options: RequestOptions = {}): Promise<void> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions?deleted=true`
    const versions = ((await this.#requestOrNull('GET', path, null, { subject, ...options })) ?? []) as number[]
    await Promise.all(
      versions.map(async (version) => this.referenced(await this.version(subject, version, options), options)),
    )
  }

  /** The schemas that a schema refers to, those they refer to before them. */
  async referenced(schema: RegisteredSchema, options: RequestOptions = {}): Promise<RegisteredSchema[]> {
    const known = this.#referenced.get(schema.id)
    if (known !== undefined) return known
    const found = new Map<number, RegisteredSchema>()
    const follow = async (references: readonly SchemaReference[]): Promise<void> => {
      for (const { subject, version } of references) {
        const one = await this.version(subject, version, options)
        await follow(one.references)
        found.set(one.id, one)
      }
    }
    await follow(schema.references)
    const all = [...found.values()]
    this.#referenced.set(schema.id, all)
    return all
  }

  async #fetchInBackground(id: number): Promise<void> {
    this.#fetching.add(id)
    const error = await this.#fetchOrSay(id)
    if (error !== null) this.#unavailable.set(id, { error, untilMs: performance.now() + UNKNOWN_ID_MS })
    this.#fetching.delete(id)
  }

  /**
   * Asks until the schema is here, the registry has said that there is none, or `retryFor` is over. Only that there is
   * none is the record's fault: refused credentials, a proxy that is in the way, a limit say nothing about the record.
   */
  async #fetchOrSay(id: number): Promise<StreamsError | null> {
    const giveUpAt = performance.now() + this.#retryForMs
    for (let backoffMs = BACKOFF_MS_MIN; ; backoffMs = Math.min(BACKOFF_MS_MAX, backoffMs * 2)) {
      try {
        const options = { timeoutMs: Math.max(0, giveUpAt - performance.now()) }
        await this.referenced(await this.schema(id, options), options)
        return null
      } catch (cause) {
        if (cause instanceof SchemaRegistryError && NOT_THERE.has(cause.errorCode)) {
          const message = `schema ${id} of the record cannot be had: ${cause.message}`
          return new StreamsError('deserialization', message, { cause })
        }
        if (performance.now() + backoffMs > giveUpAt) {
          if (cause instanceof SchemaRegistryUnreachableError) return cause
          return new SchemaRegistryUnreachableError(`schema ${id} cannot be had: ${reasonOf(cause)}`, { cause })
        }
      }
      await setTimeout(backoffMs, undefined, { ref: false })
    }
  }

  #keep(id: number, { type, text, references }: Schema): number {
    if (!this.#schemas.has(id)) this.#schemas.set(id, { id, type, text, references })
    return id
  }

  #keepAnswer(answer: unknown): RegisteredSchema {
    const { id } = answer as { id: number }
    this.#keep(id, schemaOf(answer))
    return this.#schemas.get(id)!
  }

  async #requestOrNull(method: string, path: string, body: string | null, about: RequestAbout): Promise<unknown> {
    try {
      return await this.#request(method, path, body, about)
    } catch (error) {
      if (error instanceof SchemaRegistryError && NOT_THERE.has(error.errorCode)) return null
      throw error
    }
  }

  /** Asks until a registry answers; what it answers with an error of its own is not asked again. */
  async #request(method: string, path: string, body: string | null, about: RequestAbout): Promise<unknown> {
    const giveUpAt = performance.now() + (about.timeoutMs ?? this.#requestTimeoutMs)
    for (let backoffMs = BACKOFF_MS_MIN; ; backoffMs = Math.min(BACKOFF_MS_MAX, backoffMs * 2)) {
      let failure: unknown
      for (let tried = 0; tried < this.#urls.length; tried++) {
        const at = (this.#preferred + tried) % this.#urls.length
        try {
          const { status, text } = await this.#once(this.#urls[at]! + path, method, body, about.signal)
          this.#preferred = at
          if (status >= 200 && status < 300) return parsed(text, this.#urls[at]!)
          if (status < 500 && status !== 429) throw refusal(status, text, about)
          failure = new Error(`status ${status}: ${text.slice(0, 200)}`)
        } catch (error) {
          about.signal?.throwIfAborted()
          if (error instanceof StreamsError) throw error
          failure = error
        }
      }
      if (performance.now() + backoffMs > giveUpAt) {
        throw new SchemaRegistryUnreachableError(
          `no schema registry answers at ${this.#urls.join(', ')}: ${reasonOf(failure)}`,
          { cause: failure },
        )
      }
      await setTimeout(backoffMs, undefined, {
        ref: false,
        ...(about.signal === undefined ? {} : { signal: about.signal }),
      })
    }
  }

  async #once(
    url: string,
    method: string,
    body: string | null,
    signal: AbortSignal | undefined,
  ): Promise<{ status: number; text: string }> {
    const timeout = AbortSignal.timeout(this.#requestTimeoutMs)
    const response = await this.#fetch(url, {
      method,
      headers: this.#headers,
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      ...(body === null ? {} : { body }),
    })
    return { status: response.status, text: await response.text() }
  }
}

interface RequestAbout extends RequestOptions {
  readonly subject?: string
  readonly about?: string
}

const NOT_THERE: ReadonlySet<number> = new Set([SUBJECT_NOT_FOUND, VERSION_NOT_FOUND, SCHEMA_NOT_FOUND])

function checkedUrl(url: string): string {
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new StreamsError('invalid-option', `'${url}' is not the url of a schema registry: it begins with http(s)://`)
  }
  return url.replace(/\/+$/, '')
}

function authorization(auth: SchemaRegistryOptions['auth']): Record<string, string> {
  if (auth === undefined) return {}
  if ('token' in auth) return { Authorization: `Bearer ${auth.token}` }
  return { Authorization: `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}` }
}

/** Avro is what a registry assumes where no type is given, and older ones know no other. */
function bodyOf({ type, text, references }: Schema): string {
  return JSON.stringify({
    schema: text,
    ...(type === 'AVRO' ? {} : { schemaType: type }),
    ...(references.length === 0 ? {} : { references }),
  })
}

function schemaOf(answer: unknown): Schema {
  const { schema, schemaType, references } = answer as {
    schema: string
    schemaType?: SchemaType
    references?: SchemaReference[]
  }
  return { type: schemaType ?? 'AVRO', text: schema, references: references ?? [] }
}

function parsed(text: string, url: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new SchemaRegistryUnreachableError(`what answers at ${url} is no schema registry: ${text.slice(0, 80)}`, {
      cause,
    })
  }
}

function refusal(status: number, text: string, { subject, about }: RequestAbout): SchemaRegistryError {
  let errorCode = status
  let message = text.slice(0, 500)
  try {
    const answer = JSON.parse(text) as { error_code?: number; message?: string }
    errorCode = answer.error_code ?? status
    message = answer.message ?? message
  } catch {
    // Something between us and the registry answered; its words are all there is.
  }
  const what = subject === undefined ? (about ?? 'the registry') : `subject ${subject}`
  const hint = HINTS.get(status) ?? ''
  return new SchemaRegistryError(`${what}: ${message} (${errorCode})${hint}`, {
    status,
    errorCode,
    subject: subject ?? null,
  })
}

const HINTS: ReadonlyMap<number, string> = new Map([
  [401, '; give the registry `auth`'],
  [403, '; the credentials do not allow it'],
  [409, '; the schema does not fit those registered before: change it, or the compatibility of the subject'],
])

function reasonOf(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure)
  // What went wrong with a fetch is in the cause; its own message only says that it did.
  const { cause } = failure
  return cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : failure.message
}

/** A client of the registry at `url`, for `avro`, `protobuf` and `jsonSchema`. */
export function schemaRegistry(options: SchemaRegistryOptions): SchemaRegistry {
  return new SchemaRegistry(options)
}
