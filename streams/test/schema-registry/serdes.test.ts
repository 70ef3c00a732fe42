import { readFileSync } from 'node:fs'
import { create, createFileRegistry, fromBinary, type DescMessage, type Message } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, FileDescriptorSetSchema, TimestampSchema } from '@bufbuild/protobuf/wkt'
import { afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, it } from 'vitest'
import type { Serde, SerdeUse } from '../../src/index.ts'
import { NotReady } from '../../src/serdes/not-ready.ts'
import { avro } from '../../src/serdes/schema-registry/avro.ts'
import {
  recordName,
  schemaRegistry,
  topicRecordName,
  type SchemaRegistry,
  type SchemaRegistryOptions,
} from '../../src/serdes/schema-registry/index.ts'
import { jsonSchema } from '../../src/serdes/schema-registry/json-schema.ts'
import { protobuf } from '../../src/serdes/schema-registry/protobuf.ts'
import { headerOf } from '../../src/serdes/schema-registry/wire-format.ts'
import { FakeRegistry } from './fake-registry.ts'

interface Golden {
  readonly avro: readonly {
    readonly topic: string
    readonly part: 'key' | 'value'
    readonly schema: unknown
    readonly values: readonly { readonly value: unknown; readonly hex: string }[]
  }[]
  readonly json: {
    readonly schema: object
    readonly values: readonly { readonly value: unknown; readonly hex: string }[]
  }
  readonly protobuf: {
    readonly file: string
    readonly values: readonly {
      readonly message: string
      readonly value: Record<string, unknown>
      readonly hex: string
    }[]
  }
}

/** Bytes that Confluent's Python client wrote; golden.py has how. */
const golden = JSON.parse(readFileSync(new URL('golden.json', import.meta.url), 'utf8')) as Golden

let fake: FakeRegistry
/** Where nothing listens any more. */
let nobody: string
beforeAll(async () => {
  const gone = await FakeRegistry.start()
  nobody = gone.url
  await gone[Symbol.asyncDispose]()
})
beforeEach(async () => void (fake = await FakeRegistry.start({ firstId: 301 })))
afterEach(async () => fake[Symbol.asyncDispose]())

const client = (options: Partial<SchemaRegistryOptions> = {}): SchemaRegistry =>
  schemaRegistry({ url: fake.url, ...options })
const use = (topic: string, access: SerdeUse['access'] = 'write', part: SerdeUse['part'] = 'value'): SerdeUse => ({
  topic,
  part,
  access,
})
const prepare = async (serde: Pick<Serde<unknown>, 'remotes'>, ...uses: readonly SerdeUse[]): Promise<void> => {
  for (const remote of serde.remotes ?? []) await remote.prepare(uses)
}
/** Once what is being fetched is there. */
async function readLater<T>(serde: Serde<T>, bytes: Uint8Array): Promise<T> {
  for (;;) {
    try {
      return serde.deserialize(Buffer.from(bytes))
    } catch (error) {
      if (!(error instanceof NotReady)) throw error
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const order = {
  type: 'record',
  name: 'Order',
  namespace: 'shop',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'cents', type: 'long' },
  ],
} as const
const withNote = {
  ...order,
  fields: [...order.fields, { name: 'note', type: ['null', 'string'], default: null }],
} as const

describe('avro', () => {
  it('has the bytes of Confluent’s serializer, and reads them', async () => {
    for (const { topic, part, schema, values } of golden.avro) {
      fake.register(`${topic}-${part}`, JSON.stringify(schema))
      const serde = avro<Record<string, unknown>>(client(), schema)
      await prepare(serde, use(topic, 'write', part))
      for (const { value, hex: expected } of values) {
        const isRecord = typeof value === 'object'
        const raw = isRecord ? { raw: Buffer.from((value as { raw: string }).raw, 'latin1') } : {}
        const given = (isRecord ? { ...value, ...raw } : value) as Record<string, unknown>
        expect(hex(serde.serialize(given))).toBe(expected)
        const read = serde.deserialize(Buffer.from(expected, 'hex'))
        expect(isRecord ? { ...read } : read).toEqual(given)
      }
    }
  })

  it('infers the type of a value from a schema in the program', () => {
    const serde = avro(client(), {
      type: 'record',
      name: 'All',
      fields: [
        { name: 'flag', type: 'boolean' },
        { name: 'note', type: ['null', 'string'] },
        { name: 'tags', type: { type: 'array', items: 'string' } },
        { name: 'counts', type: { type: 'map', values: 'long' } },
        { name: 'state', type: { type: 'enum', name: 'State', symbols: ['OPEN', 'PAID'] } },
        { name: 'inner', type: { type: 'record', name: 'Inner', fields: [{ name: 'raw', type: 'bytes' }] } },
        { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
      ],
    })
    expectTypeOf(serde).toEqualTypeOf<
      Serde<{
        flag: boolean
        note: string | null
        tags: string[]
        counts: Record<string, number>
        state: 'OPEN' | 'PAID'
        inner: { raw: Buffer }
        at: number
      }>
    >()
    expectTypeOf(avro<{ id: string }>(client(), JSON.parse('"string"'))).toEqualTypeOf<Serde<{ id: string }>>()
  })

  it('reads what earlier and later versions wrote as the version of the program', async () => {
    const [earlier, later] = [avro(client(), order), avro(client(), withNote)]
    await prepare(earlier, use('orders'))
    await prepare(later, use('orders'))
    const old = earlier.serialize({ id: 'a', cents: 1 })
    const recent = later.serialize({ id: 'b', cents: 2, note: 'n' })
    expect({ ...(await readLater(later, old)) }).toEqual({ id: 'a', cents: 1, note: null })
    expect({ ...(await readLater(earlier, recent)) }).toEqual({ id: 'b', cents: 2 })
  })

  it('fetches a schema that it meets for the first time, once, and answers from memory from then on', async () => {
    const writer = avro(client(), withNote)
    fake.register('orders-value', order)
    const reader = avro(client(), order)
    await prepare(reader, use('orders', 'read'))
    await prepare(writer, use('orders'))
    const bytes = Buffer.from(writer.serialize({ id: 'a', cents: 1, note: null }))
    fake.requests.length = 0
    expect(() => reader.deserialize(bytes)).toThrow(NotReady)
    expect(() => reader.deserialize(bytes)).toThrow(NotReady)
    expect({ ...(await readLater(reader, bytes)) }).toEqual({ id: 'a', cents: 1 })
    expect({ ...reader.deserialize(bytes) }).toEqual({ id: 'a', cents: 1 })
    expect(fake.requests).toEqual(['GET /schemas/ids/302'])
  })

  it.each([
    ['refuses the credentials', 401, '{"error_code":40101,"message":"Unauthorized"}'],
    ['has a proxy in front of it that knows no such path', 404, '<html>Not Found</html>'],
    ['has had too much', 408, ''],
    ['is answered for by a login page', 200, '<html>Log in</html>'],
  ])('says that no record is at fault while the registry %s, and asks again', async (_what, status, body) => {
    const id = fake.register('orders-value', order)
    const bytes = Buffer.concat([headerOf(id), Buffer.from('066f2d3102', 'hex')])
    const failing = avro(client({ retryFor: 20 }), order)
    const waiting = avro(client(), order)
    fake.failure = { status, body }
    await expect(readLater(failing, bytes)).rejects.toMatchObject({ code: 'connection-failed' })
    const asked = fake.requests.length
    const read = readLater(waiting, bytes)
    while (fake.requests.length < asked + 2) await new Promise((resolve) => setImmediate(resolve))
    fake.failure = null
    expect({ ...(await read) }).toEqual({ id: 'o-1', cents: 1 })
  })

  it('says that the record is at fault whose schema, or what that refers to, the registry does not have', async () => {
    const unknown = avro(client(), order)
    await expect(readLater(unknown, Buffer.concat([headerOf(999), Buffer.of(0)]))).rejects.toMatchObject({
      code: 'deserialization',
    })
    const id = fake.register('orders-value', order, { references: [{ name: 'x', subject: 'nowhere', version: 1 }] })
    await expect(readLater(avro(client(), order), Buffer.concat([headerOf(id), Buffer.of(0)]))).rejects.toMatchObject({
      code: 'deserialization',
      message: expect.stringContaining('nowhere') as string,
    })
  })

  it('has all versions at hand that its state may hold, also deleted ones', async () => {
    fake.register('orders-value', order)
    fake.deleteVersions('orders-value')
    fake.register('orders-value', withNote)
    const serde = avro(client(), withNote)
    await prepare(serde, use('orders', 'read'), use('app-orders-changelog', 'internal'))
    fake.requests.length = 0
    expect({ ...serde.deserialize(Buffer.from('000000012d066f2d3102', 'hex')) }).toEqual({
      id: 'o-1',
      cents: 1,
      note: null,
    })
    expect(fake.requests).toEqual([])
  })

  it('writes state with the schema of the topic that it came from, and adds no subject for it', async () => {
    fake.register('orders-value', order)
    const serde = avro(client(), order)
    await prepare(serde, use('app-orders-changelog', 'internal'), use('orders', 'read'))
    expect(hex(serde.serialize({ id: 'o-1', cents: 1 }))).toBe('000000012d066f2d3102')
    expect([...fake.subjects.keys()]).toEqual(['orders-value'])
  })

  it('registers the schema of state that comes from no topic under the changelog, and none of what is only read', async () => {
    const state = avro(client(), order)
    await prepare(state, use('app-orders-changelog', 'internal'))
    const read = avro(client(), withNote)
    await prepare(read, use('orders', 'read'))
    expect([...fake.subjects.keys()]).toEqual(['app-orders-changelog-value'])
    expect(() => read.serialize({ id: 'a', cents: 1, note: null })).toThrow('has no schema id yet')
  })

  it('reads schemas that refer to others, and writes them', async () => {
    const cents = { type: 'record', name: 'shop.Cents', fields: [{ name: 'n', type: 'long' }] } as const
    const priced = { type: 'record', name: 'shop.Priced', fields: [{ name: 'price', type: 'shop.Cents' }] } as const
    fake.register('cents', cents)
    const references = [{ name: 'shop.Cents', subject: 'cents', version: 1, schema: cents }]
    const writer = avro<{ price: { n: number } }>(client(), priced, { references })
    await prepare(writer, use('prices'))
    const bytes = writer.serialize({ price: { n: 3 } })
    const reader = avro<{ price: { n: number } }>(client(), priced, { references })
    expect((await readLater(reader, bytes)).price.n).toBe(3)
    expect(fake.subjects.get('prices-value')![0]!.references).toEqual([
      { name: 'shop.Cents', subject: 'cents', version: 1 },
    ])
  })

  it('keeps nothing of the bytes that it reads', async () => {
    const serde = avro(client(), 'bytes')
    await prepare(serde, use('raw'))
    const bytes = Buffer.from(serde.serialize(Buffer.from('abc')))
    const value = serde.deserialize(bytes)
    bytes.fill(0)
    expect(value.toString()).toBe('abc')
  })

  it('writes values longer than its buffer', async () => {
    const serde = avro(client(), 'string')
    await prepare(serde, use('long'))
    const value = 'ö'.repeat(5_000)
    expect(serde.deserialize(Buffer.from(serde.serialize(value)))).toBe(value)
    expect(serde.deserialize(Buffer.from(serde.serialize('short')))).toBe('short')
  })

  it('says where a value does not fit, which schema cannot be read, and what is no framed value at all', async () => {
    const serde = avro<unknown>(client(), order)
    await prepare(serde, use('orders'))
    expect(() => serde.serialize({ id: 'a', cents: 'many' })).toThrow(
      'the value does not fit its Avro schema: cents is no "long": many',
    )
    const other = { ...order, fields: [{ name: 'id', type: 'string' }] }
    const otherId = fake.register('other', other)
    const bytes = Buffer.from([0, 0, 0, otherId >> 8, otherId & 0xff, 2, 0x61])
    await expect(readLater(serde, bytes)).rejects.toMatchObject({
      code: 'deserialization',
      message: expect.stringMatching(
        new RegExp(`what was written with schema ${otherId} cannot be read as avro shop.Order: .*cents`),
      ) as string,
    })
    expect(() => serde.deserialize(Buffer.from('{"id":1}'))).toThrow(
      'not in the format of a schema registry (a zero and a schema id, then avro shop.Order): 8 bytes that begin with 7b22696422',
    )
    await expect(readLater(serde, Buffer.of(0, 0, 0, 9, 9, 1))).rejects.toMatchObject({
      code: 'deserialization',
      message: 'schema 2313 of the record cannot be had: schema 2313: Schema 2313 not found (40403)',
    })
    expect(() => avro(client(), { type: 'record', name: 'NoFields' })).toThrow('not an Avro schema: ')
  })
})

describe('jsonSchema', () => {
  it('has the bytes of Confluent’s serializer, and reads them', async () => {
    const { schema, values } = golden.json
    fake.register('before', order)
    fake.register('before', withNote)
    const serde = jsonSchema(client(), schema)
    await prepare(serde, use('orders-json'))
    for (const { value, hex: expected } of values) {
      expect(hex(serde.serialize(value))).toBe(expected)
      expect(serde.deserialize(Buffer.from(expected, 'hex'))).toEqual(value)
    }
    expect(fake.subjects.get('orders-json-value')![0]!.schemaType).toBe('JSON')
  })

  it('checks what it writes and what it reads', async () => {
    const serde = jsonSchema(client(), golden.json.schema)
    await prepare(serde, use('orders'))
    expect(() => serde.serialize({ id: 1 })).toThrow(
      "the value does not fit its JSON schema: value must have required property 'cents', value/id must be string",
    )
    expect(() => serde.deserialize(Buffer.from('\0\0\0\0\x01{"id":"a"}', 'latin1'))).toThrow(
      "the value does not fit its JSON schema: value must have required property 'cents'",
    )
    expect(() => jsonSchema(client(), { type: 'nothing' })).toThrow('not a JSON schema: ')
  })
})

describe('protobuf', () => {
  const file = fromBinary(FileDescriptorProtoSchema, Buffer.from(golden.protobuf.file, 'base64'))
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }))
  const messageNamed = (name: string): DescMessage => registry.getMessage(name)!

  it('has the bytes of Confluent’s serializer for messages anywhere in a file, and reads them', async () => {
    for (let id = 301; id < 304; id++) fake.register('before', `"${id}"`, { schemaType: 'JSON' })
    for (const { message, value, hex: expected } of golden.protobuf.values) {
      const serde = protobuf(client(), messageNamed(message))
      await prepare(serde, use(message))
      const fields: Record<string, unknown> = { ...value }
      if (typeof value['cents'] === 'number') fields['cents'] = BigInt(value['cents'])
      if (typeof value['raw'] === 'string') fields['raw'] = Buffer.from(value['raw'], 'latin1')
      expect(hex(serde.serialize(create(messageNamed(message), fields)))).toBe(expected)
      const bytes = Buffer.from(expected, 'hex')
      const read = serde.deserialize(bytes) as Message & Record<string, unknown>
      bytes.fill(0xee)
      for (const [name, field] of Object.entries(fields)) {
        expect(field instanceof Uint8Array ? hex(read[name] as Uint8Array) : read[name]).toEqual(
          field instanceof Uint8Array ? hex(field) : field,
        )
      }
      // The same text as Confluent's client registers, so both find each other's.
      expect(fake.subjects.get(`${message}-value`)![0]).toMatchObject({
        schema: golden.protobuf.file,
        schemaType: 'PROTOBUF',
      })
    }
  })

  it('has the type of the generated message', () => {
    const serde = protobuf(client(), TimestampSchema)
    expectTypeOf(serde.deserialize).returns.toMatchTypeOf<{ seconds: bigint; nanos: number }>()
  })

  it('registers the files that its file imports before it, and refers to them', async () => {
    const field = { number: 1, label: 1, type: 11 } as const
    const imported = create(FileDescriptorProtoSchema, {
      name: 'shop/money.proto',
      package: 'shop',
      syntax: 'proto3',
      messageType: [{ name: 'Money', field: [{ name: 'cents', number: 1, label: 1, type: 3 }] }],
    })
    const importing = create(FileDescriptorProtoSchema, {
      name: 'shop/bill.proto',
      package: 'shop',
      syntax: 'proto3',
      dependency: ['shop/money.proto', 'google/protobuf/timestamp.proto'],
      messageType: [{ name: 'Bill', field: [{ name: 'total', typeName: '.shop.Money', ...field }] }],
    })
    const files = createFileRegistry(
      create(FileDescriptorSetSchema, { file: [TimestampSchema.file.proto, imported, importing] }),
    )
    const serde = protobuf(client(), files.getMessage('shop.Bill')!)
    await prepare(serde, use('bills'))
    expect([...fake.subjects.keys()]).toEqual(['shop/money.proto', 'bills-value'])
    expect(fake.subjects.get('bills-value')![0]!.references).toEqual([
      { name: 'shop/money.proto', subject: 'shop/money.proto', version: 1 },
    ])
  })

  it('does not read what is cut off in its message indexes', async () => {
    const serde = protobuf(client(), messageNamed('shop.Order'))
    await prepare(serde, use('orders'))
    for (const end of ['', '02', '0480', 'ffffffffff', '01']) {
      expect(() => serde.deserialize(Buffer.from(`000000012d${end}`, 'hex'))).toThrow(/message indexes/)
    }
  })
})

describe('a schema registry', () => {
  it('refuses before anything starts: what is not compatible, not there, not allowed', async () => {
    fake.register('orders-value', order)
    const incompatible = { ...order, fields: [...order.fields, { name: 'more', type: 'string' }] } as const
    await expect(prepare(avro(client(), incompatible), use('orders'))).rejects.toMatchObject({
      code: 'schema-registry',
      status: 409,
      subject: 'orders-value',
      message: expect.stringMatching(
        /^subject orders-value: .*incompatible.*more.*; the schema does not fit those/,
      ) as string,
    })
    await expect(prepare(avro(client({ register: 'lookup' }), withNote), use('orders'))).rejects.toThrow(
      "subject orders-value does not have the schema of avro shop.Order, and registration is 'lookup': register it",
    )
    await expect(prepare(avro(client({ register: 'latest' }), order), use('new'))).rejects.toThrow('subject new-value')
    fake.failure = { status: 401, body: '{"error_code":401,"message":"Unauthorized"}' }
    await expect(prepare(avro(client(), order), use('orders'))).rejects.toThrow(
      'subject orders-value: Unauthorized (401); give the registry `auth`',
    )
  })

  it('looks up, or takes the latest schema, instead of registering', async () => {
    fake.register('orders-value', order)
    const found = avro(client({ register: 'lookup' }), order)
    await prepare(found, use('orders'))
    expect(hex(found.serialize({ id: 'o-1', cents: 1 }))).toBe('000000012d066f2d3102')
    fake.register('orders-value', withNote)
    const latest = avro<unknown>(client({ register: 'latest' }), order)
    await prepare(latest, use('orders'))
    expect(hex(latest.serialize({ id: 'o-1', cents: 1, note: 'x' }))).toBe('000000012e066f2d3102020278')
    expect(fake.requests.filter((request) => request.startsWith('POST') && request.endsWith('versions'))).toEqual([])
  })

  it('names subjects after the topic, the record, or both', async () => {
    await prepare(avro(client(), order), use('a'), use('a', 'write', 'key'))
    await prepare(avro(client({ subjectName: recordName }), order), use('b'))
    await prepare(avro(client({ subjectName: topicRecordName }), order), use('c'))
    await prepare(avro(client({ subjectName: ({ topic }) => `mine-${topic}` }), order), use('d'))
    expect([...fake.subjects.keys()]).toEqual(['a-value', 'a-key', 'shop.Order', 'c-shop.Order', 'mine-d'])
    await expect(
      prepare(jsonSchema(client({ subjectName: recordName }), { type: 'object' }), use('e')),
    ).rejects.toThrow('the schema has no name (a JSON schema: no title)')
  })

  it('sends credentials, and asks the next one when one does not answer', async () => {
    const registry = client({ url: [nobody, fake.url], auth: { username: 'u', password: 'p' } })
    await prepare(avro(registry, order), use('orders'))
    expect(fake.headers[0]!.authorization).toBe(`Basic ${Buffer.from('u:p').toString('base64')}`)
    const token = client({ auth: { token: 't' } })
    await prepare(avro(token, order), use('orders'))
    expect(fake.headers.at(-1)!.authorization).toBe('Bearer t')
  })

  it('that does not answer is named, with the reason', async () => {
    const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
    const registry = client({
      url: nobody,
      requestTimeout: 20,
      fetch: () => Promise.reject(new TypeError('fetch failed', { cause: refused })),
    })
    await expect(prepare(avro(registry, order), use('orders'))).rejects.toMatchObject({
      code: 'connection-failed',
      message: `no schema registry answers at ${nobody}: ECONNREFUSED`,
    })
    const starting = () => Promise.resolve({ status: 503, text: () => Promise.resolve('starting') })
    const another = client({ requestTimeout: 20, fetch: starting })
    await expect(prepare(avro(another, order), use('orders'))).rejects.toThrow(
      `no schema registry answers at ${fake.url}: status 503: starting`,
    )
    fake.failure = { status: 200, body: '<html>' }
    await expect(prepare(avro(client(), order), use('orders'))).rejects.toThrow('is no schema registry: <html>')
    expect(() => client({ url: 'localhost:8081' })).toThrow("'localhost:8081' is not the url of a schema registry")
  })

  it('asks again while it is away, and goes on when it is back', async () => {
    fake.failure = { status: 500, body: '' }
    const serde = avro(client(), order)
    const prepared = prepare(serde, use('orders'))
    while (fake.requests.length < 2) await new Promise((resolve) => setImmediate(resolve))
    fake.failure = null
    await prepared
    expect(hex(serde.serialize({ id: 'o-1', cents: 1 }))).toBe('000000012d066f2d3102')
  })
})
