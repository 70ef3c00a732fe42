import { expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { deleteRecords } from '../../src/client/admin.ts'
import {
  deadLetter,
  json,
  retry,
  skip,
  string,
  topic,
  topology,
  type Serde,
  type Topic,
  type Topology,
} from '../../src/index.ts'
import { describeApps } from '../kit.ts'
import { alterTopic, removeMembers } from '../reading.ts'

describeApps('records that cannot be processed', (kit) => {
  interface Doubling {
    readonly app: Topology
    readonly input: string
    readonly output: string
    readonly dead: string
    readonly results: () => Promise<string[]>
  }

  /** Doubles the numbers in JSON values; what `double` does with each is the test's. */
  async function aDoubling(double: (n: number) => number = (n) => 2 * n, partitions = 1): Promise<Doubling> {
    const name = uniqueName('doubling')
    const input = topic(`${name}-in`, { key: string(), value: json<{ n: number }>() })
    const output = topic(`${name}-out`, { key: string(), value: json<number>() })
    const app = topology(name)
    app
      .stream(input)
      .mapValues(({ n }) => double(n))
      .to(output)
    const dead = `${name}-dead`
    await kit.createTopics(
      { name: input.name, partitions },
      { name: output.name, partitions: 1 },
      { name: dead, partitions: 1 },
    )
    return {
      app,
      input: input.name,
      output: output.name,
      dead,
      results: async () => (await kit.read(output.name)).map(({ value }) => String(value)),
    }
  }

  const aNumber = (n: number) => ({ key: String(n), value: JSON.stringify({ n }) })
  const throwingAt = (bad: number) => (n: number) => {
    if (n === bad) throw new Error(`${n} is not liked`)
    return 2 * n
  }

  it('end the application with an error that says which one it was', async () => {
    const { app, input } = await aDoubling()
    await using running = await kit.start(app)
    await kit.send(input, [aNumber(1), { key: 'x', value: 'no json' }])
    await until(() => running.failure !== null, { what: 'failure' })
    await running.closed
    expect(running.state).toBe('failed')
    expect(running.failure).toMatchObject({ code: 'deserialization', topic: input, partition: 0, offset: 1 })
    expect(running.failure!.message).toContain(`${input}-0 offset 1`)
  })

  it('go on from the failed record after a restart, with what was done before not done again', async () => {
    const { app, input, results } = await aDoubling()
    await kit.send(input, [aNumber(1)])
    {
      await using first = await kit.start(app)
      await until(async () => (await results()).length === 1, { what: 'the first result' })
      await first.commit()
      await kit.send(input, [{ key: 'x', value: 'no json' }, aNumber(2)])
      await until(() => first.failure !== null, { what: 'failure' })
    }
    await using second = await kit.start(app, { onDeserializationError: skip() })
    await until(async () => (await results()).length === 2, { what: 'both results' })
    expect(await results()).toEqual(['2', '4'])
    expect(second.metrics().recordsDropped).toEqual({ deserialization: 1 })
  })

  it('go to the dead-letter topic as they came, with the reason in their headers', async () => {
    const { app, input, dead, results } = await aDoubling(throwingAt(3))
    await kit.send(input, [aNumber(1), { key: 'x', value: 'no json' }, aNumber(3), aNumber(4)])
    const handlers = { onDeserializationError: deadLetter(dead), onProcessingError: deadLetter(dead) }
    await using running = await kit.start(app, handlers)
    await until(async () => (await results()).length === 2, { what: 'the good results' })
    await until(async () => (await kit.read(dead)).length === 2, { what: 'the dead letters' })
    expect(await results()).toEqual(['2', '8'])
    const letters = await kit.read(dead)
    expect(letters.map(({ key, value }) => `${key} ${String(value)}`)).toEqual(['x no json', '3 {"n":3}'])
    const headers = Object.fromEntries(letters[1]!.headers.map(({ key, value }) => [key, value]))
    expect(headers).toMatchObject({
      '__streams.errors.topic': input,
      '__streams.errors.partition': '0',
      '__streams.errors.offset': '2',
    })
    expect(headers['__streams.errors.message']).toContain('3 is not liked')
    expect(running.failure).toBeNull()
  })

  it('are tried again in their place, and the records behind them wait', async () => {
    let attempts = 0
    const { app, input, results } = await aDoubling((n) => {
      if (n === 2 && ++attempts < 4) throw new Error('not yet')
      return 2 * n
    })
    await kit.send(input, [aNumber(1), aNumber(2), aNumber(3)])
    await using running = await kit.start(app, {
      onProcessingError: retry({ attempts: 5, backoff: '5ms', then: skip() }),
    })
    await until(async () => (await results()).length === 3, { what: 'all results' })
    expect(await results()).toEqual(['2', '4', '6'])
    expect(attempts).toBe(4)
    expect(running.metrics().recordsDropped).toEqual({})
  })

  it('go to the dead-letter topic when the broker refuses their results', async () => {
    const name = uniqueName('large')
    const input = topic(`${name}-in`, { key: string(), value: string() })
    const output = topic(`${name}-out`, { key: string(), value: string() })
    const app = topology(name)
    app
      .stream(input)
      .mapValues((text) => text.repeat(100))
      .to(output)
    await kit.createTopics(
      { name: input.name, partitions: 1 },
      { name: output.name, partitions: 1, configs: { 'max.message.bytes': '1000' } },
      { name: `${name}-dead`, partitions: 1 },
    )
    await kit.send(input.name, [
      { key: 'a', value: 'x' },
      { key: 'b', value: 'large enough' },
      { key: 'c', value: 'y' },
    ])
    await using running = await kit.start(app, { onProductionError: deadLetter(`${name}-dead`) })
    await until(async () => (await kit.read(output.name)).length === 2, { what: 'small results' })
    await until(async () => (await kit.read(`${name}-dead`)).length === 1, { what: 'the large one' })
    expect((await kit.read(output.name)).map(({ key }) => key)).toEqual(['a', 'c'])
    expect((await kit.read(`${name}-dead`)).map(({ key }) => key)).toEqual(['b'])
    expect(running.failure).toBeNull()
  })

  it('wait for a broker that refuses their results for a while, and the other partitions go on', async () => {
    const name = uniqueName('refused')
    const text = { key: string(), value: string() }
    const [input, large, small] = ['in', 'large', 'small'].map((one) => topic(`${name}-${one}`, text)) as [
      Topic<string, string>,
      Topic<string, string>,
      Topic<string, string>,
    ]
    const app = topology(name)
    const records = app.stream(input)
    records.mapValues((value) => value.repeat(100)).to(large)
    records.to(small)
    await kit.createTopics(
      { name: input.name, partitions: 1 },
      { name: large.name, partitions: 1, configs: { 'max.message.bytes': '1000' } },
      { name: small.name, partitions: 1 },
    )
    await using running = await kit.start(app, {
      onProductionError: retry({ attempts: 1_000, backoff: '20ms', then: skip() }),
    })
    await kit.send(input.name, [{ key: 'a', value: 'large enough' }])
    await until(async () => (await kit.read(small.name)).length === 1, { what: 'the small record' })
    // While the large one waits, records are processed and results written.
    await kit.send(input.name, [{ key: 'b', value: 'x' }])
    await until(async () => (await kit.read(small.name)).length === 2, { what: 'the next small record' })
    expect(await kit.read(large.name)).toEqual([])
    expect(running.metrics().commitCount).toBe(0)
    await alterTopic(kit.cluster, large.name, { 'max.message.bytes': '10000' })
    await until(async () => (await kit.read(large.name)).length === 2, { what: 'the large records' })
    expect((await kit.read(large.name)).map(({ key }) => key)).toEqual(['a', 'b'])
    await until(() => running.metrics().commitCount > 0, { what: 'a commit' })
    expect(running.failure).toBeNull()
  })

  it('that are tried again hold up neither the other tasks of the worker nor their commits', async () => {
    const { app, input, results } = await aDoubling((n) => {
      if (n === 13 && isBroken) throw new Error('not yet')
      return 2 * n
    }, 2)
    let isBroken = true
    await kit.send(input, [
      { ...aNumber(13), partition: 0 },
      { ...aNumber(1), partition: 1 },
    ])
    await using running = await kit.start(app, {
      onProcessingError: retry({ attempts: 1, backoff: '1h' }),
    })
    await until(async () => (await results()).length === 1, { what: 'the other result' })
    await kit.send(input, [{ ...aNumber(2), partition: 1 }])
    await until(async () => (await results()).length === 2, { what: 'the next result' })
    await until(() => running.metrics().lag.some(({ partition, lag }) => partition === 1 && lag === 0), {
      what: 'end of the other partition',
    })
    expect(await results()).toEqual(['2', '4'])
    expect(running.failure).toBeNull()
    isBroken = false
  })

  it('cannot be read are tried again, too, and given up as the handler says', async () => {
    const name = uniqueName('unreadable')
    let attempts = 0
    const reading: Serde<string> = {
      name: 'slow to learn',
      serialize: (value) => Buffer.from(value),
      deserialize: (bytes) => {
        if (String(bytes) === 'never') throw new Error('not this one')
        if (String(bytes) === 'later' && ++attempts < 3) throw new Error('not yet')
        return String(bytes)
      },
    }
    const input = topic(`${name}-in`, { key: string(), value: reading })
    const output = topic(`${name}-out`, { key: string(), value: string() })
    const app = topology(name)
    const onError = retry({ attempts: 2, backoff: '5ms', maxBackoff: '20ms', then: deadLetter(`${name}-dead`) })
    app.stream(input, { onError }).to(output)
    await kit.createTopics(...[input.name, output.name, `${name}-dead`].map((one) => ({ name: one, partitions: 1 })))
    await kit.send(
      input.name,
      ['later', 'never', 'now'].map((value) => ({ key: 'k', value })),
    )
    await using running = await kit.start(app)
    await until(async () => (await kit.read(output.name)).length === 2, { what: 'the good ones' })
    expect((await kit.read(output.name)).map(({ value }) => String(value))).toEqual(['later', 'now'])
    expect((await kit.read(`${name}-dead`)).map(({ value }) => String(value))).toEqual(['never'])
    expect(running.failure).toBeNull()
  })

  it('are left out, and that is said, when they were deleted before they were read', async () => {
    const { app, input, output, results } = await aDoubling()
    await kit.send(
      input,
      Array.from({ length: 10 }, (_, n) => aNumber(n)),
    )
    {
      await using first = await kit.start(app)
      await until(async () => (await kit.read(output)).length === 10, { what: 'ten results' })
      await first.commit()
    }
    await kit.send(input, [aNumber(10), aNumber(11)])
    await deleteRecords(kit.cluster, [{ topic: input, partition: 0, offset: 11 }])
    const warnings: string[] = []
    await using second = await kit.start(app, { logger: { info() {}, warn: (text) => void warnings.push(text) } })
    await until(async () => (await results()).at(-1) === '22', { what: 'the last result' })
    expect(await results()).not.toContain('20')
    expect(warnings).toEqual([
      `${app.name} worker 0: ${input}-0 has no records at offset 10 any more: what was there is left out, ` +
        'and reading goes on at 11',
    ])
    expect(second.failure).toBeNull()
  })

  it('keep a worker that has no room for their results in its group while they wait', async () => {
    const name = uniqueName('full')
    const input = topic(`${name}-in`, { key: string(), value: string() })
    const output = topic(`${name}-out`, { key: string(), value: string() })
    const app = topology(name)
    app.stream(input).to(output)
    await kit.createTopics(
      { name: input.name, partitions: 1 },
      { name: output.name, partitions: 1, configs: { 'max.message.bytes': '1000' } },
    )
    const onProductionError = retry({ attempts: 1_000, backoff: '1h' })
    const producer = { bufferBytes: 5_000, lingerMs: 1 }
    await using running = await kit.start(app, { onProductionError, producer, closeTimeout: 100 })
    await kit.send(input.name, [{ key: 'a', value: 'x'.repeat(6_000) }])
    await until(() => running.metrics().recordsProcessed === 1, { what: 'a result that is refused' })
    const { rebalanceCount } = running.metrics()
    await removeMembers(kit.cluster, app.name)
    await until(() => running.metrics().rebalanceCount > rebalanceCount, { what: 'the worker back in its group' })
    expect(running.failure).toBeNull()
  })
})
