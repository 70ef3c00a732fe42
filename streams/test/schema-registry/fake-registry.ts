import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import avsc from 'avsc'

interface Body {
  readonly schema: string
  readonly schemaType?: string
  readonly references?: readonly { readonly name: string; readonly subject: string; readonly version: number }[]
}

interface Version extends Body {
  readonly id: number
  readonly version: number
  isDeleted?: boolean
}

/**
 * Confluent's REST API as far as its clients use it, in memory. Ids are of schemas: the same text has the same id in
 * every subject. Avro schemas must be readable by later ones (BACKWARD), as a registry demands unless told otherwise.
 */
export class FakeRegistry implements AsyncDisposable {
  readonly requests: string[] = []
  readonly subjects = new Map<string, Version[]>()
  readonly headers: IncomingMessage['headers'][] = []
  /** Answered instead, while set. */
  failure: { readonly status: number; readonly body: string } | null = null
  /** Requests whose path has this in it wait until it is changed. */
  #held: string | null = null
  #release: (() => void)[] = []
  readonly #ids = new Map<string, number>()
  readonly #server = createServer((request, response) => {
    void this.#answer(request).then(({ status, body }) => {
      response.writeHead(status, { 'Content-Type': 'application/vnd.schemaregistry.v1+json' }).end(body)
    })
  })
  #nextId = 1

  static async start(options: { readonly firstId?: number; readonly port?: number } = {}): Promise<FakeRegistry> {
    const registry = new FakeRegistry()
    registry.#nextId = options.firstId ?? 1
    await new Promise<void>((resolve) => registry.#server.listen(options.port ?? 0, '127.0.0.1', resolve))
    return registry
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  hold(path: string): void {
    this.#held = path
  }

  get heldCount(): number {
    return this.#release.length
  }

  release(): void {
    this.#held = null
    for (const release of this.#release.splice(0)) release()
  }

  /** As another program would, without a request. */
  register(subject: string, schema: unknown, about: Omit<Body, 'schema'> = {}): number {
    const body: Body = { schema: typeof schema === 'string' ? schema : JSON.stringify(schema), ...about }
    return this.#register(subject, body).id
  }

  deleteVersions(subject: string): void {
    for (const version of this.subjects.get(subject) ?? []) version.isDeleted = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: string }> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { pathname, searchParams } = new URL(request.url!, 'http://registry')
    this.requests.push(`${request.method} ${pathname}`)
    this.headers.push(request.headers)
    if (this.#held !== null && pathname.includes(this.#held)) {
      await new Promise<void>((resolve) => this.#release.push(resolve))
    }
    if (this.failure !== null) return this.failure
    const text = Buffer.concat(chunks).toString()
    const path = pathname.split('/').slice(1).map(decodeURIComponent)
    try {
      const withDeleted = searchParams.get('deleted') === 'true'
      const answer = this.#route(request.method!, path, text === '' ? null : (JSON.parse(text) as Body), withDeleted)
      return { status: 200, body: JSON.stringify(answer) }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const { code, message } = error
      return { status: Number(String(code).slice(0, 3)), body: JSON.stringify({ error_code: code, message }) }
    }
  }

  #route(method: string, path: readonly string[], body: Body | null, withDeleted: boolean): unknown {
    const [root, name, last, number] = path
    if (root === 'schemas' && name === 'ids') return this.#byId(Number(last))
    if (root !== 'subjects' || name === undefined) throw new Refusal(404, 'HTTP 404 Not Found')
    if (method === 'POST' && last === 'versions') return { id: this.#register(name, body!).id }
    const all = (this.subjects.get(name) ?? []).filter(({ isDeleted }) => withDeleted || isDeleted !== true)
    if (all.length === 0) throw new Refusal(40_401, `Subject '${name}' not found.`)
    if (method === 'POST') {
      const found = all.find((version) => textOf(version) === textOf(body!))
      if (found === undefined) throw new Refusal(40_403, 'Schema not found')
      return { subject: name, ...found }
    }
    if (number === undefined) return all.map(({ version }) => version)
    const found = number === 'latest' ? all.at(-1) : all.find(({ version }) => version === Number(number))
    if (found === undefined) throw new Refusal(40_402, `Version ${number} not found.`)
    return { subject: name, ...found }
  }

  #byId(id: number): unknown {
    for (const versions of this.subjects.values()) {
      const found = versions.find((version) => version.id === id)
      if (found === undefined) continue
      const { schema, schemaType, references } = found
      return { schema, ...(schemaType === undefined ? {} : { schemaType }), ...(references ? { references } : {}) }
    }
    throw new Refusal(40_403, `Schema ${id} not found`)
  }

  #register(subject: string, body: Body): Version {
    const versions = this.subjects.get(subject) ?? []
    const found = versions.find((version) => textOf(version) === textOf(body))
    if (found !== undefined) return found
    const latest = versions.at(-1)
    if (latest !== undefined && body.schemaType === undefined) checkBackward(latest.schema, body.schema)
    let id = this.#ids.get(textOf(body))
    if (id === undefined) {
      id = this.#nextId++
      this.#ids.set(textOf(body), id)
    }
    const version = { ...body, id, version: versions.length + 1 }
    this.subjects.set(subject, [...versions, version])
    return version
  }
}

class Refusal extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

function textOf({ schema, schemaType, references }: Body): string {
  return JSON.stringify([schema, schemaType ?? 'AVRO', references ?? []])
}

function checkBackward(before: string, after: string): void {
  try {
    avsc.Type.forSchema(JSON.parse(after) as never).createResolver(avsc.Type.forSchema(JSON.parse(before) as never))
  } catch (error) {
    throw new Refusal(
      409,
      `Schema being registered is incompatible with an earlier schema: ${(error as Error).message}`,
    )
  }
}
