import { mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { partitionOfKey } from '../../src/client/murmur2.ts'
import { int64, StateStorageError, string, topic, topology, tumbling, type Topology } from '../../src/index.ts'
import type { StoreBacking } from '../../src/state/backing.ts'
import { openLmdb } from '../../src/state/lmdb/open-lmdb.ts'
import { describeApps } from '../kit.ts'

describeApps('instances of an application', (kit) => {
  const directories: string[] = []
  afterEach(() => {
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
  })

  function aStateDir(): string {
    const directory = mkdtempSync(join(tmpdir(), 'millrace-streams-'))
    directories.push(directory)
    return directory
  }

  interface Counting {
    readonly app: Topology
    readonly input: string
    readonly count: (key: string) => Promise<number>
  }

  async function aCount(partitions: number): Promise<Counting> {
    const name = uniqueName('counting')
    const events = topic(`${name}-in`, { key: string(), value: string() })
    const output = topic(`${name}-out`, { key: string(), value: int64() })
    const app = topology(name)
    app.stream(events).groupByKey().count({ name: 'counts' }).toStream().to(output)
    await kit.createTopics({ name: events.name, partitions }, { name: output.name, partitions: 1 })
    return {
      app,
      input: events.name,
      count: async (key) => (await kit.latest(output.name, (value) => int64().deserialize(value)))[key] ?? 0,
    }
  }

  /** A key that lands in the partition. */
  function keyFor(partition: number, partitions: number): string {
    for (let i = 0; ; i++) if (partitionOfKey(Buffer.from(`k${i}`), partitions) === partition) return `k${i}`
  }

  it('answer queries for the keys they have, and with the address of the owner for others', async () => {
    const { app, input, count } = await aCount(2)
    await using first = await kit.start(app, { endpoint: 'first:80' })
    await using second = await kit.start(app, { endpoint: 'second:80' })
    await until(() => first.activeTasks.length === 1 && second.activeTasks.length === 1, { what: 'one task each' })
    const [a, b] = [keyFor(0, 2), keyFor(1, 2)]
    await kit.send(
      input,
      [a, b, b].map((key) => ({ key, value: 'x' })),
    )
    await until(async () => (await count(b)) === 2 && (await count(a)) === 1, { what: 'both keys counted' })

    const [ownerOfA, ownerOfB] = first.activeTasks[0] === '0_0' ? [first, second] : [second, first]
    const nameOf = (owner: unknown): string => (owner === first ? 'first:80' : 'second:80')
    const counts = ownerOfA.query<string, number>('counts')
    expect(await counts.get(a)).toEqual({ isLocal: true, value: 1 })
    expect(await counts.get(b)).toEqual({ isLocal: false, owner: nameOf(ownerOfB) })
    expect(await ownerOfB.query('counts').owner(a)).toEqual({ isLocal: false, owner: nameOf(ownerOfA) })
    expect([...counts.all()]).toMatchObject([{ key: a, value: 1 }])
    expect([...ownerOfB.query<string, number>('counts').range(b, b)]).toMatchObject([{ key: b, value: 2 }])
    expect(() => first.query('nothing')).toThrow("the topology has no store named 'nothing'")
    await expect(first.query<string, number>('counts').windows(ownerOfA === first ? a : b)).rejects.toThrow(
      'use get(key)',
    )
  })

  it('answer queries for the windows of a key', async () => {
    const name = uniqueName('windows')
    const events = topic(`${name}-in`, { key: string(), value: string() })
    const app = topology(name)
    app
      .stream(events)
      .groupByKey()
      .windowedBy(tumbling(10, { grace: '1m' }))
      .count({ name: 'per-window' })
    await kit.createTopics({ name: events.name, partitions: 1 })
    await using running = await kit.start(app)
    await kit.send(
      events.name,
      [1, 2, 11, 25].map((ts) => ({ key: 'a', value: 'x', ts })),
    )
    await until(() => running.metrics().recordsProcessed === 4, { what: 'all records' })
    const query = running.query<string, number>('per-window')
    expect(await query.windows('a')).toMatchObject({
      isLocal: true,
      value: [
        { startMs: 0, endMs: 10, value: 2 },
        { startMs: 10, endMs: 20, value: 1 },
        { startMs: 20, endMs: 30, value: 1 },
      ],
    })
    expect(await query.windows('a', { from: 10, to: 19 })).toMatchObject({ value: [{ startMs: 10 }] })
    expect([...query.all()]).toHaveLength(3)
  })

  it('keep copies of each other s state, and take over without reading it again', async () => {
    const { app, input, count } = await aCount(2)
    await using first = await kit.start(app, { standbyReplicas: 1 })
    const second = await kit.start(app, { standbyReplicas: 1 })
    const isSpread = (): boolean =>
      [first, second].every((one) => one.activeTasks.length === 1 && one.metrics().tasks.standby.length === 1)
    await until(isSpread, { what: 'one active and one standby task each' })
    const keys = [keyFor(0, 2), keyFor(1, 2)]
    await kit.send(
      input,
      Array.from({ length: 200 }, (_, i) => ({ key: keys[i % 2]!, value: 'x' })),
    )
    await until(async () => (await count(keys[0]!)) === 100 && (await count(keys[1]!)) === 100, { what: 'all counted' })
    await second.commit()
    await until(() => first.metrics().restore.every(({ offset, endOffset }) => offset === endOffset), {
      what: 'a standby that is up to date',
    })
    const before = first.metrics().recordsRestored
    expect(before).toBeGreaterThan(0)

    await second.kill()
    await until(() => first.activeTasks.length === 2, { what: 'the tasks of the killed instance' })
    expect(first.metrics().recordsRestored).toBe(before)
    await kit.send(
      input,
      keys.map((key) => ({ key, value: 'x' })),
    )
    await until(async () => (await count(keys[0]!)) === 101 && (await count(keys[1]!)) === 101, {
      what: 'counts that go on',
    })
  })

  it('find their state on disk after a restart, and read from the changelog only what is newer', async () => {
    const { app, input, count } = await aCount(1)
    const stateDir = aStateDir()
    {
      await using first = await kit.start(app, { stateDir })
      await kit.send(
        input,
        Array.from({ length: 100 }, (_, i) => ({ key: `k${i % 10}`, value: 'x' })),
      )
      await until(async () => (await count('k9')) === 10, { what: 'a hundred records' })
      expect(first.metrics().stores).toMatchObject([{ taskId: '0_0', store: 'counts' }])
    }
    {
      await using second = await kit.start(app, { stateDir })
      expect(second.metrics().recordsRestored).toBe(0)
      await kit.send(input, [{ key: 'k9', value: 'x' }])
      await until(async () => (await count('k9')) === 11, { what: 'a count that goes on' })
    }
    // Another instance, with a directory of its own, reads all of it.
    await using third = await kit.start(app, { stateDir: aStateDir() })
    expect(third.metrics().recordsRestored).toBeGreaterThanOrEqual(10)
    expect(await third.query<string, number>('counts').get('k9')).toEqual({ isLocal: true, value: 11 })
  })

  it('rebuild state whose file was damaged while they were away', async () => {
    const { app, input, count } = await aCount(1)
    const stateDir = aStateDir()
    {
      await using first = await kit.start(app, { stateDir })
      await kit.send(
        input,
        Array.from({ length: 100 }, (_, i) => ({ key: `k${i % 10}`, value: 'x' })),
      )
      await until(async () => (await count('k9')) === 10, { what: 'a hundred records' })
      expect(first.failure).toBeNull()
    }
    const file = join(stateDir, app.name, '0_0', 'counts', 'data.mdb')
    truncateSync(file, Math.floor(statSync(file).size / 2))
    await using second = await kit.start(app, { stateDir })
    expect(second.metrics().recordsRestored).toBeGreaterThanOrEqual(10)
    await kit.send(input, [{ key: 'k9', value: 'x' }])
    await until(async () => (await count('k9')) === 11, { what: 'a count that goes on' })
  })

  it('rebuild state whose disk fails while they work, and go on', async () => {
    const { app, input, count } = await aCount(2)
    let failures = 0
    let isFailing = false
    const flaky = (directory: string): StoreBacking => {
      const backing = openLmdb(directory)
      return new Proxy(backing, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name)
          if (typeof value !== 'function') return value
          return (...args: unknown[]): unknown => {
            if (name === 'commit' && isFailing) {
              isFailing = false
              failures++
              throw new StateStorageError('no space left on device')
            }
            return (value as (...args: unknown[]) => unknown).apply(target, args)
          }
        },
      })
    }
    await using running = await kit.start(app, { stateDir: aStateDir(), openBacking: flaky })
    const some = Array.from({ length: 100 }, (_, i) => ({ key: `k${i % 10}`, value: 'x' }))
    await kit.send(input, some)
    await until(async () => (await count('k9')) === 10, { what: 'a hundred records' })
    await running.commit()
    isFailing = true
    await kit.send(input, some)
    await until(() => failures === 1, { what: 'failure of the disk' })
    await until(() => running.activeTasks.length === 2 && running.state === 'running', { what: 'the rebuilt task' })
    await kit.send(input, some)
    // At least once: what the failed task had counted since its last commit is counted again at most.
    await until(async () => (await count('k9')) >= 30 && (await count('k0')) >= 30, { what: 'counts that go on' })
    expect(running.metrics().recordsRestored).toBeGreaterThan(0)
    expect(running.failure).toBeNull()
  })

  it('do not share a state directory', async () => {
    const { app } = await aCount(1)
    const stateDir = aStateDir()
    await using first = await kit.start(app, { stateDir })
    await expect(kit.start(app, { stateDir })).rejects.toMatchObject({ code: 'state-locked' })
    expect(first.failure).toBeNull()
  })

  it('remember how far event time had come, so that late records stay late after a restart', async () => {
    const name = uniqueName('late')
    const events = topic(`${name}-in`, { key: string(), value: string() })
    const app = topology(name)
    app.stream(events).groupByKey().windowedBy(tumbling(10)).count({ name: 'per-window' })
    await kit.createTopics({ name: events.name, partitions: 1 })
    {
      await using first = await kit.start(app)
      await kit.send(events.name, [{ key: 'a', value: 'x', ts: 100 }])
      await until(() => first.metrics().recordsProcessed === 1, { what: 'the first record' })
    }
    await using second = await kit.start(app)
    await kit.send(events.name, [{ key: 'a', value: 'x', ts: 3 }])
    await until(() => second.metrics().recordsProcessed === 1, { what: 'the second record' })
    expect(second.metrics().recordsDropped).toEqual({ late: 1 })
  })

  it('come back to their tasks without a rebalance when they have a name', async () => {
    const { app, input, count } = await aCount(2)
    const named = (instanceId: string) => ({ instanceId, sessionTimeout: '20s' }) as const
    await using first = await kit.start(app, named('one'))
    const second = await kit.start(app, named('two'))
    await until(() => first.activeTasks.length === 1 && second.activeTasks.length === 1, { what: 'one task each' })
    const before = first.metrics().rebalanceCount
    const tasks = second.activeTasks
    await second.close()
    await using back = await kit.start(app, named('two'))
    await until(() => back.activeTasks.length === 1, { what: 'the task of before' })
    expect(back.activeTasks).toEqual(tasks)
    expect(first.metrics().rebalanceCount).toBe(before)
    await kit.send(
      input,
      [0, 1].map((partition) => ({ key: keyFor(partition, 2), value: 'x' })),
    )
    await until(async () => (await count(keyFor(0, 2))) === 1 && (await count(keyFor(1, 2))) === 1, {
      what: 'both counted',
    })
  })
})
