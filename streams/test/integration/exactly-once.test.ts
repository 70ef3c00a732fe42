import { apis } from '@millrace/protocol'
import { afterEach, expect, it, vi } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { Cluster } from '../../src/client/cluster.ts'
import { UnsupportedError } from '../../src/client/errors.ts'
import { int64, string, topic, topology, type Topology } from '../../src/index.ts'
import { run } from '../../src/runtime/run.ts'
import { describeApps } from '../kit.ts'
import { readTopic } from '../reading.ts'

const once = { guarantee: 'exactly-once' } as const

describeApps('exactly once', (kit) => {
  afterEach(() => vi.restoreAllMocks())

  interface Counting {
    readonly app: Topology
    readonly input: string
    /** Every committed count, in order for each key. */
    readonly counts: () => Promise<Map<string, number[]>>
  }

  async function aCount(partitions: number): Promise<Counting> {
    const name = uniqueName('once')
    const events = topic(`${name}-in`, { key: string(), value: string() })
    const output = topic(`${name}-out`, { key: string(), value: int64() })
    const app = topology(name)
    app
      .stream(events)
      .groupBy((_, value) => value)
      .count({ name: 'counts' })
      .toStream()
      .to(output)
    await kit.createTopics({ name: events.name, partitions }, { name: output.name, partitions: 1 })
    return {
      app,
      input: events.name,
      counts: async () => {
        const counts = new Map<string, number[]>()
        for (const { key, value } of await readTopic(kit.cluster, output.name, 'read-committed')) {
          counts.set(key!, [...(counts.get(key!) ?? []), int64().deserialize(value!)])
        }
        return counts
      },
    }
  }

  const last = (counts: Map<string, number[]>, key: string): number => counts.get(key)?.at(-1) ?? 0
  const some = (count: number) => Array.from({ length: count }, (_, i) => ({ key: `e${i}`, value: `k${i % 10}` }))
  it('is refused at the start by a broker without transactions', async () => {
    const { app } = await aCount(1)
    // No broker of today is one; what it would say is that it has no version of EndTxn.
    const versionOf = Cluster.prototype.versionOf
    vi.spyOn(Cluster.prototype, 'versionOf').mockImplementation(function (this: Cluster, to, api, maxVersion) {
      if (api === apis.endTxn) throw new UnsupportedError('no EndTxn here')
      return versionOf.call(this, to, api, maxVersion)
    })
    await expect(run(app, { brokers: kit.brokers, ...once })).rejects.toMatchObject({ code: 'unsupported-by-broker' })
  })

  it('shows only committed results, and goes on from them after a restart', async () => {
    const { app, input, counts } = await aCount(2)
    {
      await using first = await kit.start(app, once)
      await kit.send(input, some(100))
      await until(async () => last(await counts(), 'k9') === 10, { what: 'a hundred counted' })
      expect(first.failure).toBeNull()
    }
    await using second = await kit.start(app, once)
    await kit.send(input, some(100))
    await until(async () => last(await counts(), 'k9') === 20, { what: 'two hundred counted' })
    expect(second.failure).toBeNull()
  })

  it('counts every record once when instances are killed in the middle of their work', async () => {
    const { app, input, counts } = await aCount(4)
    await using first = await kit.start(app, once)
    let second = await kit.start(app, once)
    const rounds = 30
    for (let round = 0; round < rounds; round++) {
      await kit.send(input, some(100))
      if (round % 10 !== 5) continue
      await second.kill()
      second = await kit.start(app, once)
    }
    await until(async () => last(await counts(), 'k0') >= rounds * 10, {
      what: 'every record counted',
      timeoutMs: 40_000,
    })
    for (let k = 0; k < 10; k++) {
      await until(async () => last(await counts(), `k${k}`) >= rounds * 10, {
        what: `every k${k}`,
        timeoutMs: 40_000,
      })
    }
    const final = await counts()
    for (let k = 0; k < 10; k++) {
      expect(last(final, `k${k}`)).toBe(rounds * 10)
      // Not only the end: no committed count appears twice or goes back.
      const own = final.get(`k${k}`)!
      expect(own).toEqual([...new Set(own)].toSorted((a, b) => a - b))
    }
    expect(first.failure ?? second.failure).toBeNull()
    await second.close()
  })

  it('goes back to its last commit when its transaction is fenced, and goes on', async () => {
    const { app, input, counts } = await aCount(1)
    await using running = await kit.start(app, once)
    await kit.send(input, some(100))
    await until(async () => last(await counts(), 'k9') === 10, { what: 'a hundred counted' })
    const { Transaction } = await import('../../src/client/transaction.ts')
    const transactionalId = `${app.name}-${running.processId}-0`
    // Whoever takes over the transactional id, as a process with a copied state directory would.
    await new Transaction(kit.cluster, { transactionalId }).identity()
    await kit.send(input, some(100))
    await until(async () => last(await counts(), 'k9') === 20, { what: 'two hundred counted' })
    expect(running.failure).toBeNull()
    for (let k = 0; k < 10; k++) expect(last(await counts(), `k${k}`)).toBe(20)
  })
})
