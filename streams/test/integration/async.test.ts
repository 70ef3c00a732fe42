import { expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { committedOffsets } from '../../src/client/offsets.ts'
import { partitionKey } from '../../src/client/topic-partition.ts'
import { deadLetter, retry, string, topic, topology, type AsyncOptions, type Topology } from '../../src/index.ts'
import { describeApps } from '../kit.ts'
import { readTopic } from '../reading.ts'

describeApps('calls that answer later', (kit) => {
  interface LookingUp {
    readonly app: Topology
    readonly input: string
    readonly dead: string
    readonly results: () => Promise<string[]>
    /** Where the group goes on in the partition; 0 before its first commit. */
    readonly committed: (partition: number) => Promise<number>
  }

  async function aLookup(
    partitions: number,
    lookUp: (value: string, signal: AbortSignal) => Promise<string>,
    options: (dead: string) => AsyncOptions = () => ({}),
  ): Promise<LookingUp> {
    const name = uniqueName('lookup')
    const dead = `${name}-dead`
    const input = topic(`${name}-in`, { key: string(), value: string() })
    const output = topic(`${name}-out`, { key: string(), value: string() })
    const app = topology(name)
    app
      .stream(input)
      .mapValuesAsync((value, _key, { signal }) => lookUp(value, signal), options(dead))
      .to(output)
    await kit.createTopics(
      { name: input.name, partitions },
      { name: output.name, partitions: 1 },
      { name: dead, partitions: 1 },
    )
    return {
      app,
      input: input.name,
      dead,
      results: async () =>
        (await readTopic(kit.cluster, output.name, 'read-committed')).map(({ value }) => String(value)),
      committed: async (partition) => {
        const at = { topic: input.name, partition }
        const offsets = await committedOffsets(kit.cluster, app.name, [at])
        return offsets.get(partitionKey(at.topic, partition))?.offset ?? 0
      },
    }
  }

  /** A function that does not answer for `value` before it is told to. */
  function aGate(closedFor: (value: string) => boolean) {
    let open!: () => void
    const isOpen = new Promise<void>((resolve) => (open = resolve))
    const asked: string[] = []
    return {
      asked,
      open,
      lookUp: async (value: string): Promise<string> => {
        asked.push(value)
        if (closedFor(value)) await isOpen
        return value.toUpperCase()
      },
    }
  }

  const numbered = (count: number, partition = 0) =>
    Array.from({ length: count }, (_, i) => ({ key: `k${i % 10}`, value: `p${partition}v${i}`, partition }))

  /** Takes its time, and answers out of order. */
  const slow = async (value: string): Promise<string> => {
    const ms = Number(value.slice(3)) % 7
    await new Promise<void>((resolve) => setTimeout(resolve, ms))
    return value.toUpperCase()
  }

  it('hold up the commit of their partition, and of no other', async () => {
    const gate = aGate((value) => value === 'p0v3')
    const { app, input, results, committed } = await aLookup(2, gate.lookUp, () => ({ concurrency: 4 }))
    await kit.send(input, [...numbered(20, 0), ...numbered(20, 1)])
    await using running = await kit.start(app)
    await until(async () => (await committed(1)) === 20, { what: 'commit of the other partition' })
    // Records behind the one that waits are not asked for beyond the bound, and nothing of them is committed.
    expect(gate.asked.filter((value) => value.startsWith('p0')).length).toBeLessThanOrEqual(7)
    expect(await committed(0)).toBeLessThanOrEqual(3)
    gate.open()
    await until(async () => (await committed(0)) === 20, { what: 'commit of the partition' })
    expect((await results()).filter((value) => value.startsWith('P0'))).toEqual(
      numbered(20).map(({ value }) => value.toUpperCase()),
    )
    expect(running.failure).toBeNull()
  })

  it('lose nothing when an instance is killed while they are under way', async () => {
    const { app, input, results } = await aLookup(4, slow, () => ({ concurrency: 8, order: 'key' }))
    await using first = await kit.start(app)
    let second = await kit.start(app)
    for (let round = 0; round < 4; round++) {
      await kit.send(
        input,
        [0, 1, 2, 3].flatMap((partition) => numbered(50, partition)),
      )
      await second.kill()
      second = await kit.start(app)
    }
    const expected = new Set([0, 1, 2, 3].flatMap((p) => numbered(50, p).map(({ value }) => value.toUpperCase())))
    await until(() => [first, second].every((one) => one.metrics().lag.every(({ lag }) => lag === 0)), {
      what: 'end of all partitions',
    })
    await first.commit()
    await second.commit()
    const counts = new Map<string, number>()
    for (const value of await results()) counts.set(value, (counts.get(value) ?? 0) + 1)
    expect(new Set(counts.keys())).toEqual(expected)
    for (const count of counts.values()) expect(count).toBeGreaterThanOrEqual(4)
    expect(first.failure ?? second.failure).toBeNull()
    await second.close()
  })

  it('are waited for before a partition goes to another instance, so that nothing is done twice', async () => {
    const { app, input, results } = await aLookup(4, slow, () => ({ concurrency: 8, order: 'none' }))
    await kit.send(
      input,
      [0, 1, 2, 3].flatMap((partition) => numbered(200, partition)),
    )
    await using first = await kit.start(app)
    const second = await kit.start(app)
    await until(() => first.activeTasks.length === 2 && second.activeTasks.length === 2, { what: 'two tasks each' })
    await second.close()
    await until(async () => (await results()).length >= 800, { what: 'all results' })
    expect((await results()).toSorted()).toEqual(
      [0, 1, 2, 3].flatMap((p) => numbered(200, p).map(({ value }) => value.toUpperCase())).toSorted(),
    )
    expect(first.failure).toBeNull()
  })

  it('are given up when a rebalance cannot wait for them, and made again by the next owner', async () => {
    const gate = aGate((value) => value.endsWith('v0'))
    const { app, input, results } = await aLookup(2, gate.lookUp)
    await kit.send(input, [...numbered(3, 0), ...numbered(3, 1)])
    const warnings: string[] = []
    const logger = { info() {}, warn: (text: string) => void warnings.push(text) }
    await using first = await kit.start(app, { rebalanceTimeout: '600ms', logger })
    await until(() => gate.asked.length === 6, { what: 'all calls' })
    await using second = await kit.start(app, { rebalanceTimeout: '600ms' })
    await until(() => gate.asked.length === 9, { what: 'the calls of the partition that went' })
    expect(warnings.some((text) => text.includes('calls are under way for longer than a rebalance can wait'))).toBe(
      true,
    )
    gate.open()
    await until(async () => (await results()).length >= 6, { what: 'all results' })
    expect((await results()).toSorted()).toEqual(['P0V0', 'P0V1', 'P0V2', 'P1V0', 'P1V1', 'P1V2'])
    expect(first.failure ?? second.failure).toBeNull()
  })

  it('are waited for by close, and aborted by a kill', async () => {
    const gate = aGate((value) => value === 'p0v1')
    let signal: AbortSignal | null = null
    const { app, input, results, committed } = await aLookup(1, (value, given) => {
      signal = given
      return gate.lookUp(value)
    })
    await kit.send(input, numbered(2))
    const first = await kit.start(app)
    await until(() => gate.asked.length === 2, { what: 'both calls' })
    await first.kill()
    expect(signal!.aborted).toBe(true)
    expect(await committed(0)).toBe(0)
    const second = await kit.start(app)
    await until(() => gate.asked.length === 4, { what: 'both calls again' })
    const closed = second.close()
    gate.open()
    await closed
    expect(await committed(0)).toBe(2)
    expect((await results()).at(-1)).toBe('P0V1')
  })

  it('go to the dead letters when every attempt has failed, with the others going on', async () => {
    let attempts = 0
    const { app, input, dead, results } = await aLookup(
      1,
      (value) => {
        if (value === 'p0v1') return Promise.reject(new Error(`attempt ${++attempts}`))
        return Promise.resolve(value.toUpperCase())
      },
      (letters) => ({ order: 'none', onError: retry({ attempts: 2, backoff: '20ms', then: deadLetter(letters) }) }),
    )
    await kit.send(input, numbered(3))
    await using running = await kit.start(app)
    await until(async () => (await kit.read(dead)).length === 1, { what: 'the dead letter' })
    expect(attempts).toBe(3)
    expect((await results()).toSorted()).toEqual(['P0V0', 'P0V2'])
    expect(running.metrics().recordsDropped).toEqual({ processing: 1 })
  })

  it('end the application with the place of the record when nobody deals with their failure', async () => {
    const { app, input } = await aLookup(1, (value) =>
      value === 'p0v1' ? Promise.reject(new Error('out of reach')) : Promise.resolve(value),
    )
    await using running = await kit.start(app)
    await kit.send(input, numbered(3))
    await until(() => running.failure !== null, { what: 'failure' })
    expect(running.failure).toMatchObject({ code: 'processing', topic: input, partition: 0, offset: 1 })
  })

  it('come out once each with exactly-once, whoever is killed', async () => {
    const { app, input, results } = await aLookup(4, slow, () => ({ concurrency: 8, order: 'none' }))
    const once = { guarantee: 'exactly-once' } as const
    await using first = await kit.start(app, once)
    let second = await kit.start(app, once)
    const rounds = 12
    for (let round = 0; round < rounds; round++) {
      await kit.send(
        input,
        [0, 1, 2, 3].flatMap((partition) => numbered(25, partition)),
      )
      if (round % 4 !== 2) continue
      await second.kill()
      second = await kit.start(app, once)
    }
    await until(async () => (await results()).length >= rounds * 100, { what: 'all results', timeoutMs: 40_000 })
    const counts = new Map<string, number>()
    for (const value of await results()) counts.set(value, (counts.get(value) ?? 0) + 1)
    expect(counts.size).toBe(100)
    expect(new Set(counts.values())).toEqual(new Set([rounds]))
    expect(first.failure ?? second.failure).toBeNull()
    await second.close()
  })
})
