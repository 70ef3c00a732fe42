// The rules of the runtime: what happens between an application and its cluster.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { Cluster } from '../../src/client/cluster.ts'
import { Transaction } from '../../src/client/transaction.ts'
import { int64, string, topic, topology, type Topology } from '../../src/index.ts'
import { run } from '../../src/runtime/run.ts'
import { settingsOf } from '../../src/runtime/settings.ts'
import { TaskStores } from '../../src/runtime/task-stores.ts'
import { describeApps } from '../kit.ts'
import { readTopic } from '../reading.ts'

const once = { guarantee: 'exactly-once' } as const
const strings = (name: string) => topic(name, { key: string(), value: string() })

/** Counts by key. */
function counting(name: string, store = 'by-key'): Topology {
  const app = topology(name)
  app
    .stream(strings(`${name}-in`))
    .groupByKey()
    .count({ name: store })
    .toStream()
    .to(topic(`${name}-out`, { key: string(), value: int64() }))
  return app
}

describe('P2: without a word of the options', () => {
  it('progress is stored every 30 s, and every 100 ms with exactly-once', () => {
    const brokers = ['localhost:9092']
    expect(settingsOf({ brokers }).commitIntervalMs).toBe(30_000)
    expect(settingsOf({ brokers, ...once }).commitIntervalMs).toBe(100)
    expect(settingsOf({ brokers, ...once, commitInterval: '5s' }).commitIntervalMs).toBe(5_000)
  })
})

describeApps('an application on a cluster', (kit) => {
  afterEach(() => vi.restoreAllMocks())

  const create = (partitions: number, ...names: readonly string[]) =>
    kit.createTopics(...names.map((name) => ({ name, partitions })))

  /** What applications ask of brokers, when it is answered, and when their stores are made durable. */
  function recorded(): string[] {
    const events: string[] = []
    const request = Cluster.prototype.request
    vi.spyOn(Cluster.prototype, 'request').mockImplementation(async function (this: Cluster, to, api, body, options) {
      const response = await request.call(this, to, api as never, body as never, options)
      if (this === kit.cluster) return response as never
      const sent = (typeof body === 'function' ? (body as (version: number) => object)(0) : body) as object
      const { topicData } = sent as { topicData?: readonly { name: string }[] }
      if (topicData !== undefined) for (const { name } of topicData) events.push(`produced to ${name}`)
      else if (RECORDED.has(api.name)) events.push(api.name)
      return response as never
    })
    const persist = TaskStores.prototype.persist
    vi.spyOn(TaskStores.prototype, 'persist').mockImplementation(function (this: TaskStores) {
      events.push('stores persisted')
      persist.call(this)
    })
    return events
  }
  const RECORDED: ReadonlySet<string> = new Set(['OffsetCommit', 'TxnOffsetCommit', 'AddOffsetsToTxn', 'EndTxn'])

  it('P1: topics that are joined need equal numbers of partitions, or nothing starts', async () => {
    const name = uniqueName('p1')
    const app = topology(name)
    app
      .stream(strings(`${name}-l`))
      .join(app.stream(strings(`${name}-r`)), (l, r) => l + r, { within: 5, name: 'both' })
      .to(strings(`${name}-out`))
    await create(2, `${name}-l`, `${name}-out`)
    await create(3, `${name}-r`)
    await expect(run(app, { brokers: kit.brokers })).rejects.toMatchObject({ code: 'not-copartitioned' })
    const topics = [...(await kit.cluster.describeTopics(null)).keys()].filter((one) => one.startsWith(name))
    expect(topics.toSorted()).toEqual([`${name}-l`, `${name}-out`, `${name}-r`])
  })

  it('P1: internal topics are named after application and operator, and are as wide as what feeds them', async () => {
    const name = uniqueName('p1')
    const app = topology(name)
    app
      .stream(strings(`${name}-in`))
      .groupBy((_, value) => value, { name: 'by-value' })
      .count({ name: 'counts' })
    await create(3, `${name}-in`)
    await using _running = await kit.start(app)
    const topics = [...(await kit.cluster.describeTopics(null)).values()].filter((one) => one.name.startsWith(name))
    expect(topics.map((one) => `${one.name} ${one.partitions.length}`).toSorted()).toEqual([
      `${name}-by-value-repartition 3`,
      `${name}-counts-changelog 3`,
      `${name}-in 3`,
    ])
  })

  it('P2: results are acknowledged, then changelogs, then offsets are committed, then stores are durable', async () => {
    const app = counting(uniqueName('p2'))
    await create(1, `${app.name}-in`, `${app.name}-out`)
    await using running = await kit.start(app, { commitInterval: '1h' })
    await kit.send(`${app.name}-in`, [{ key: 'a', value: '' }])
    await until(() => running.metrics().recordsProcessed === 1, { what: 'the record' })
    const events = recorded()
    await running.commit()
    // The result was sent when the record was processed, and may have been acknowledged since.
    expect(events.filter((event) => event !== `produced to ${app.name}-out`)).toEqual([
      `produced to ${app.name}-by-key-changelog`,
      'OffsetCommit',
      'stores persisted',
    ])
    expect(events.indexOf(`produced to ${app.name}-out`)).toBeLessThan(1)
  })

  it('P2: in a transaction everything is acknowledged, offsets are added, it is committed, then stores are durable', async () => {
    const app = counting(uniqueName('p2'))
    await create(1, `${app.name}-in`, `${app.name}-out`)
    await using running = await kit.start(app, { ...once, commitInterval: '1h' })
    await kit.send(`${app.name}-in`, [{ key: 'a', value: '' }])
    await until(() => running.metrics().recordsProcessed === 1, { what: 'the record' })
    const events = recorded()
    await running.commit()
    expect(events.filter((event) => event !== `produced to ${app.name}-out`)).toEqual([
      `produced to ${app.name}-by-key-changelog`,
      'AddOffsetsToTxn',
      'TxnOffsetCommit',
      'EndTxn',
      'stores persisted',
    ])
  })

  it('P2: the transactional id is that of application, process and worker', async () => {
    const app = counting(uniqueName('p2'))
    await create(2, `${app.name}-in`, `${app.name}-out`)
    const ids: string[] = []
    const identity = Transaction.prototype.identity
    vi.spyOn(Transaction.prototype, 'identity').mockImplementation(function (this: Transaction) {
      ids.push(this.transactionalId)
      return identity.call(this)
    })
    await using running = await kit.start(app, { ...once, workers: 2 })
    const { processId } = running
    expect([...new Set(ids)].toSorted()).toEqual([`${app.name}-${processId}-0`, `${app.name}-${processId}-1`])
  })

  it('P3: a task that loses its transaction goes back to its last commit, with its state from there, and goes on', async () => {
    const app = counting(uniqueName('p3'))
    const output = `${app.name}-out`
    await create(1, `${app.name}-in`, output)
    const counts = async (isolation: 'read-committed' | 'read-uncommitted'): Promise<number[]> =>
      (await readTopic(kit.cluster, output, isolation)).map(({ value }) => int64().deserialize(value!))
    const records = (count: number) => Array.from({ length: count }, () => ({ key: 'a', value: '' }))

    await using running = await kit.start(app, { ...once, commitInterval: '1h' })
    await kit.send(`${app.name}-in`, records(3))
    await until(() => running.metrics().recordsProcessed === 3, { what: 'three records' })
    await running.commit()
    await kit.send(`${app.name}-in`, records(2))
    await until(async () => (await counts('read-uncommitted')).length === 5, { what: 'results that are uncommitted' })
    const [before] = [running.metrics()]
    expect(before.recordsRestored).toBe(0)
    // Whoever takes the transactional id over fences the transaction: these two results will never be committed.
    await new Transaction(kit.cluster, { transactionalId: `${app.name}-${running.processId}-0` }).identity()
    await running.commit()
    await until(() => running.metrics().recordsProcessed >= 7, { what: 'both records again' })
    await running.commit()
    expect(running.failure).toBeNull()
    // Counted from the restored 3 on, not from the 5 that the task had seen.
    expect(await counts('read-committed')).toEqual([1, 2, 3, 4, 5])
    expect(running.metrics().recordsRestored).toBe(1)
  })

  it('P4: a topology that does not match the internal topics that are there fails, and prints the difference', async () => {
    const name = uniqueName('p4')
    await create(1, `${name}-in`, `${name}-out`)
    await (await kit.start(counting(name, 'before'))).close()
    await expect(run(counting(name, 'after'), { brokers: kit.brokers })).rejects.toMatchObject({
      code: 'topology-changed',
      message: expect.stringContaining(
        `the topology has changed over existing state:\n- ${name}-before-changelog\n+ ${name}-after-changelog\n`,
      ) as string,
    })
    await using again = await kit.start(counting(name, 'before'))
    expect(again.failure).toBeNull()
  })

  it('P4: a source that has more partitions than its state fails, and prints both numbers', async () => {
    const name = uniqueName('p4')
    await create(2, `${name}-in`, `${name}-out`)
    await create(1, `${name}-by-key-changelog`)
    await expect(run(counting(name), { brokers: kit.brokers })).rejects.toMatchObject({
      code: 'topology-changed',
      message: expect.stringContaining(`${name}-by-key-changelog has 1 partitions and needs 2`) as string,
    })
  })
})
