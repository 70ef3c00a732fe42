import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { prepareSerdes, run, skip, string, testDriver, topic, topology, type Topology } from '../../src/index.ts'
import { avro, type AvroSchema } from '../../src/serdes/schema-registry/avro.ts'
import { schemaRegistry, type SchemaRegistryOptions } from '../../src/serdes/schema-registry/index.ts'
import { headerOf } from '../../src/serdes/schema-registry/wire-format.ts'
import { describeApps } from '../kit.ts'
import { FakeRegistry } from './fake-registry.ts'

const order = { type: 'record', name: 'Order', fields: [{ name: 'cents', type: 'long' }] } as const
const total = {
  type: 'record',
  name: 'Total',
  fields: [
    { name: 'cents', type: 'long' },
    { name: 'count', type: 'int', default: 0 },
  ],
} as const
const laterOrder = { ...order, fields: [...order.fields, { name: 'note', type: ['null', 'string'], default: null }] }

/** The Avro bytes of small non-negative numbers, one after the other. */
const zigzag = (...numbers: readonly number[]): Buffer => Buffer.from(numbers.map((number) => 2 * number))
const framed = (id: number, ...numbers: readonly number[]): Buffer => Buffer.concat([headerOf(id), zigzag(...numbers)])

describeApps('an application with a schema registry', (kit) => {
  let fake: FakeRegistry
  beforeAll(async () => void (fake = await FakeRegistry.start({ firstId: 50 })))
  afterAll(async () => fake[Symbol.asyncDispose]())

  /** Adds up what each key has ordered; the state is Avro, too. */
  function totals(
    name: string,
    options: Partial<SchemaRegistryOptions> = {},
    stateSchema: AvroSchema = total,
  ): { readonly app: Topology; readonly input: string; readonly output: string } {
    const registry = schemaRegistry({ url: fake.url, ...options })
    const orders = topic(`${name}-orders`, { key: string(), value: avro(registry, order) })
    const results = topic(`${name}-totals`, { key: string(), value: avro(registry, total) })
    const app = topology(name)
    app
      .stream(orders)
      .groupByKey()
      .aggregate({
        name: 'by-key',
        serde: avro<{ cents: number; count: number }>(registry, stateSchema),
        init: () => ({ cents: 0, count: 0 }),
        add: (_, { cents }, sum) => ({ cents: sum.cents + cents, count: sum.count + 1 }),
      })
      .toStream()
      .to(results)
    return { app, input: orders.name, output: results.name }
  }

  const create = (partitions: number, ...names: readonly string[]) =>
    kit.createTopics(...names.map((one) => ({ name: one, partitions })))
  const send = (topicName: string, key: string, value: Buffer, partition = 0) =>
    kit.send(topicName, [{ key, value, partition }])
  const valuesOf = async (topicName: string): Promise<string[]> =>
    (await kit.read(topicName)).map(({ key, value }) => `${key} ${value!.toString('hex')}`)

  it('reads and writes in the registry’s format, and finds its state again', async () => {
    const { app, input, output } = totals(uniqueName('totals'))
    await create(1, input, output)
    const id = fake.register(`${input}-value`, order)
    await send(input, 'ada', framed(id, 5))
    await (async () => {
      await using _running = await kit.start(app)
      await until(async () => (await kit.read(output)).length === 1, { what: 'the first total' })
    })()
    await send(input, 'ada', framed(id, 7))
    await using again = await kit.start(totals(app.name).app)
    await until(async () => (await kit.read(output)).length === 2, { what: 'the second total' })
    expect(again.failure).toBeNull()
    const totalId = fake.register(`${output}-value`, total)
    expect(await valuesOf(output)).toEqual([
      `ada ${framed(totalId, 5, 1).toString('hex')}`,
      `ada ${framed(totalId, 12, 2).toString('hex')}`,
    ])
    // Registered are what was written, and the state; nothing about a key, which is a string.
    expect([...fake.subjects.keys()].filter((subject) => subject.startsWith(app.name)).toSorted()).toEqual([
      `${app.name}-by-key-changelog-value`,
      `${input}-value`,
      `${output}-value`,
    ])
  })

  it('reads state that an earlier version of the program has written, in memory and on disk', async () => {
    for (const stateDir of [undefined, mkdtempSync(join(tmpdir(), 'millrace-registry-'))]) {
      const { app, input, output } = totals(uniqueName('evolving'))
      const onDisk = stateDir === undefined ? {} : { stateDir }
      await create(1, input, output)
      const id = fake.register(`${input}-value`, order)
      await send(input, 'ada', framed(id, 5))
      await (async () => {
        await using _first = await kit.start(app, onDisk)
        await until(async () => (await kit.read(output)).length === 1, { what: 'the first total' })
      })()
      const evolved = { ...total, fields: [...total.fields, { name: 'note', type: ['null', 'string'], default: null }] }
      const later = totals(app.name, {}, evolved as AvroSchema)
      await using second = await kit.start(later.app, onDisk)
      await send(input, 'ada', framed(id, 7))
      await until(async () => (await kit.read(output)).length === 2, { what: 'the second total' })
      const totalId = fake.register(`${output}-value`, total)
      expect(await valuesOf(output)).toContain(`ada ${framed(totalId, 12, 2).toString('hex')}`)
      expect(second.failure).toBeNull()
      // Both versions of the state are in the registry, and the later one was registered against the earlier.
      expect(fake.subjects.get(`${app.name}-by-key-changelog-value`)).toHaveLength(2)
      await second.close()
      if (stateDir !== undefined) rmSync(stateDir, { recursive: true, force: true })
    }
  })

  it('knows what another instance has written into the state of a task before it takes the task over', async () => {
    const directories = ['one', 'two'].map((name) => mkdtempSync(join(tmpdir(), `millrace-registry-${name}-`)))
    const { app, input, output } = totals(uniqueName('taking-over'))
    await create(2, input, output)
    const id = fake.register(`${input}-value`, order)
    await using first = await kit.start(app, { stateDir: directories[0]! })
    const evolved = { ...total, fields: [...total.fields, { name: 'note', type: ['null', 'string'], default: null }] }
    const second = await kit.start(totals(app.name, {}, evolved as AvroSchema).app, { stateDir: directories[1]! })
    await until(() => first.activeTasks.length === 1 && second.activeTasks.length === 1, { what: 'one task each' })
    const partition = Number(second.activeTasks[0]!.split('_')[1])
    await send(input, 'ada', framed(id, 5), partition)
    await until(async () => (await kit.read(output)).length === 1, { what: 'a total of the second' })
    await second.close()
    await until(() => first.activeTasks.length === 2, { what: 'both tasks at the first' })
    fake.requests.length = 0
    await send(input, 'ada', framed(id, 7), partition)
    await until(async () => (await kit.read(output)).length === 2, { what: 'a total of the first' })
    const totalId = fake.register(`${output}-value`, total)
    expect(await valuesOf(output)).toContain(`ada ${framed(totalId, 12, 2).toString('hex')}`)
    // An operator cannot wait for a schema, so it was there before.
    expect(fake.requests).toEqual([])
    for (const directory of directories) rmSync(directory, { recursive: true, force: true })
  })

  it('holds a record whose schema it does not know until it is fetched; other partitions go on', async () => {
    const { app, input, output } = totals(uniqueName('holding'))
    await create(2, input, output)
    const id = fake.register(`${input}-value`, order)
    await using running = await kit.start(app)
    const laterId = fake.register(`${input}-value`, laterOrder)
    fake.hold(`/schemas/ids/${laterId}`)
    await send(input, 'held', framed(id, 1), 0)
    await send(input, 'held', framed(laterId, 2, 0), 0)
    await send(input, 'free', framed(id, 3), 1)
    await send(input, 'free', framed(id, 4), 1)
    await until(() => fake.heldCount === 1, { what: 'the registry is asked' })
    const keys = async () => (await kit.read(output)).map(({ key }) => key)
    await until(async () => (await keys()).filter((key) => key === 'free').length === 2, {
      what: 'the other partition',
    })
    // Tried again meanwhile, and asked for only once.
    await until(() => running.metrics().recordsProcessed >= 3, { what: 'all that can be processed' })
    expect((await keys()).filter((key) => key === 'held')).toHaveLength(1)
    expect(fake.heldCount).toBe(1)
    fake.release()
    await until(async () => (await keys()).length === 4, { what: 'the held record' })
    const totalId = fake.register(`${output}-value`, total)
    expect(await valuesOf(output)).toContain(`held ${framed(totalId, 3, 2).toString('hex')}`)
    expect(running.metrics().recordsDropped).toEqual({})
  })

  it('fails when the registry is away for too long, because no record is at fault that a handler could skip', async () => {
    const { app, input, output } = totals(uniqueName('away'), { retryFor: 50, requestTimeout: 50 })
    await create(1, input, output)
    await using running = await kit.start(app, { onDeserializationError: skip(), onProcessingError: skip() })
    const unseen = fake.register(`${input}-other`, laterOrder)
    fake.failure = { status: 503, body: 'maintenance' }
    await send(input, 'ada', framed(unseen + 1, 1, 0))
    await until(() => running.failure !== null, { what: 'failure' })
    fake.failure = null
    expect(running.failure).toMatchObject({
      code: 'connection-failed',
      message: expect.stringContaining(`no schema registry answers at ${fake.url}: `) as string,
    })
    expect(running.metrics().recordsDropped).toEqual({})
  })

  it('gives a record to its handler whose schema the registry does not have', async () => {
    const { app, input, output } = totals(uniqueName('unknown'))
    await create(1, input, output)
    const id = fake.register(`${input}-value`, order)
    await using running = await kit.start(app, { onDeserializationError: skip() })
    await send(input, 'ada', framed(9_999, 1))
    await send(input, 'ada', framed(id, 2))
    await until(async () => (await kit.read(output)).length === 1, { what: 'the record behind it' })
    expect(running.metrics().recordsDropped).toEqual({ deserialization: 1 })
  })

  it('is told before it starts that its schema does not fit, or that no registry answers', async () => {
    const { app, input, output } = totals(uniqueName('refused'))
    await create(1, input, output)
    fake.register(`${output}-value`, { ...total, fields: [{ name: 'cents', type: 'string' }] })
    await expect(run(app, { brokers: kit.brokers })).rejects.toMatchObject({
      code: 'schema-registry',
      subject: `${output}-value`,
    })
    const gone = await FakeRegistry.start()
    const { url } = gone
    await gone[Symbol.asyncDispose]()
    await expect(run(totals(app.name, { url, requestTimeout: 20 }).app, { brokers: kit.brokers })).rejects.toThrow(
      `no schema registry answers at ${url}: `,
    )
  })

  it('is tested by the driver once its serdes are prepared', async () => {
    const registry = schemaRegistry({ url: fake.url })
    const input = topic('driven-in', { key: string(), value: avro(registry, order) })
    const output = topic('driven-out', { key: string(), value: avro(registry, total) })
    const app = topology('driven')
    app
      .stream(input)
      .mapValues(({ cents }) => ({ cents, count: 1 }))
      .to(output)
    await prepareSerdes(app, { forDriver: true })
    using driver = testDriver(app)
    driver.input(input).send('ada', { cents: 5 }, { ts: 0 })
    expect(
      driver
        .output(output)
        .drain()
        .map(({ value }) => ({ ...value })),
    ).toEqual([{ cents: 5, count: 1 }])
  })
})
