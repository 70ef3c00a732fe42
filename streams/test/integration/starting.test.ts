import { expect, it } from 'vitest'
import { uniqueName } from '../../../compat-tests/harness/index.ts'
import { int64, string, topic, topology, type Topology } from '../../src/index.ts'
import { run } from '../../src/runtime/run.ts'
import { describeApps } from '../kit.ts'

describeApps('an application that cannot run as it is', (kit) => {
  const strings = (name: string) => topic(name, { key: string(), value: string() })
  const start = (app: Topology) => run(app, { brokers: kit.brokers })

  it('is told which topics are missing before anything starts', async () => {
    const name = uniqueName('missing')
    const app = topology(name)
    app.stream(strings(`${name}-in`)).to(strings(`${name}-out`))
    await kit.createTopics({ name: `${name}-other`, partitions: 1 })
    await expect(start(app)).rejects.toMatchObject({
      code: 'unknown-topic',
      message: `${name}: '${name}-in', '${name}-out' do not exist; create them before the application starts`,
    })
  })

  it('is told which joined topics have different numbers of partitions', async () => {
    const name = uniqueName('uneven')
    const app = topology(name)
    const table = app.table(strings(`${name}-right`), { name: 'right' })
    app.stream(strings(`${name}-left`)).join(table, (l, r) => l + r, { name: 'both' })
    await kit.createTopics({ name: `${name}-left`, partitions: 2 }, { name: `${name}-right`, partitions: 3 })
    await expect(start(app)).rejects.toThrow(
      `${name}: topics that are joined need the same number of partitions, but ${name}-left has 2, ${name}-right has 3`,
    )
  })

  it('gives a repartition topic the partitions of what it is joined with', async () => {
    const name = uniqueName('even')
    const app = topology(name)
    const table = app.table(strings(`${name}-right`), { name: 'right' })
    app
      .stream(strings(`${name}-left`))
      .selectKey((_, value) => value)
      .join(table, (l, r) => l + r, { name: 'both' })
    await kit.createTopics({ name: `${name}-left`, partitions: 2 }, { name: `${name}-right`, partitions: 3 })
    await using running = await kit.start(app)
    const internal = await kit.cluster.describeTopics(null)
    const repartition = [...internal.values()].find(
      (one) => one.name.startsWith(name) && one.name.endsWith('-repartition'),
    )
    expect(repartition?.partitions).toHaveLength(3)
    expect(running.activeTasks).toHaveLength(5)
  })

  it('is told what has changed when its topology does not fit its state any more', async () => {
    const name = uniqueName('changed')
    const counting = (store: string): Topology => {
      const app = topology(name)
      app
        .stream(strings(`${name}-in`))
        .groupByKey()
        .count({ name: store })
      return app
    }
    await kit.createTopics({ name: `${name}-in`, partitions: 1 })
    await (await kit.start(counting('old'))).close()
    await expect(start(counting('new'))).rejects.toMatchObject({
      code: 'topology-changed',
      message: expect.stringContaining(`- ${name}-old-changelog\n+ ${name}-new-changelog`) as string,
    })
    // Whoever means it says so, and nothing else of the application is in the way of a later start.
    await (await kit.start(counting('new'), { onTopologyChange: 'ignore' })).close()
    await (await kit.start(counting('old'), { onTopologyChange: 'ignore' })).close()
  })

  it('is not confused by the topics of an application whose name begins like its own', async () => {
    const name = uniqueName('orders')
    const counting = (app: Topology): Topology => {
      app
        .stream(strings(`${name}-in`))
        .groupByKey()
        .count({ name: 'by-key' })
      return app
    }
    await kit.createTopics({ name: `${name}-in`, partitions: 1 })
    await using longer = await kit.start(counting(topology(`${name}-archive`)))
    await using shorter = await kit.start(counting(topology(name)))
    expect(longer.failure ?? shorter.failure).toBeNull()
  })

  it('is told when the partitions of its source no longer fit its changelog', async () => {
    const name = uniqueName('grown')
    const app = topology(name)
    app
      .stream(strings(`${name}-in`))
      .groupByKey()
      .count({ name: 'by-key' })
    await kit.createTopics({ name: `${name}-in`, partitions: 2 }, { name: `${name}-by-key-changelog`, partitions: 1 })
    await expect(start(app)).rejects.toThrow(`${name}-by-key-changelog has 1 partitions and needs 2`)
  })

  it('is refused by instances that run another topology', async () => {
    const name = uniqueName('two')
    const plain = topology(name)
    plain.stream(strings(`${name}-in`)).to(strings(`${name}-out`))
    const filtering = topology(name)
    filtering
      .stream(strings(`${name}-in`))
      .filter(() => true)
      .to(strings(`${name}-out`))
    await kit.createTopics({ name: `${name}-in`, partitions: 1 }, { name: `${name}-out`, partitions: 1 })
    await using first = await kit.start(plain)
    await expect(kit.start(filtering)).rejects.toThrow('the other instances of the application run another topology')
    expect(first.failure).toBeNull()
  })

  it('is told when no broker can be reached', async () => {
    const app = topology('unreachable')
    app.stream(strings('in')).to(strings('out'))
    await expect(run(app, { brokers: ['127.0.0.1:1', 'localhost:2'] })).rejects.toMatchObject({
      code: 'connection-failed',
      message: expect.stringContaining('no broker of 127.0.0.1:1, localhost:2 can be reached') as string,
    })
  })

  it('is told when its group belongs to another kind of program', async () => {
    const name = uniqueName('group')
    const app = topology(name)
    app
      .stream(strings(`${name}-in`))
      .groupByKey()
      .count({ name: 'c' })
      .toStream()
      .to(topic(`${name}-out`, { key: string(), value: int64() }))
    await kit.createTopics({ name: `${name}-in`, partitions: 1 }, { name: `${name}-out`, partitions: 1 })
    const { GroupMember } = await import('../../src/client/group-member.ts')
    const stranger = new GroupMember(
      kit.cluster,
      { groupId: name, protocolName: 'range' },
      {
        subscription: () => ({ topics: [], owned: [], userData: Buffer.alloc(0) }),
        assign: () => Promise.resolve(new Map()),
        assigned: () => Promise.resolve(joined()),
        lost: () => Promise.resolve(),
        failed: () => {},
      },
    )
    let joined!: () => boolean
    const isMember = new Promise<void>((resolve) => {
      joined = () => {
        resolve()
        return false
      }
    })
    stranger.start()
    await isMember
    await expect(kit.start(app)).rejects.toMatchObject({ code: 'INCONSISTENT_GROUP_PROTOCOL' })
    await stranger.close({ leaves: true })
  })
})
