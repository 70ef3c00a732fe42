import { expect, it } from 'vitest'
import { uniqueName } from '../../../compat-tests/harness/index.ts'
import { deadLetter, int64, retry, skip, string, topic, topology, type Topology } from '../../src/index.ts'
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

  it('is told which dead-letter topics are missing, of its operators and of its options', async () => {
    const name = uniqueName('dead')
    const app = topology(name)
    app
      .stream(strings(`${name}-in`), { onError: deadLetter(`${name}-unread`) })
      .mapValues((value) => value, { onError: retry({ attempts: 2, backoff: 1, then: deadLetter(`${name}-failed`) }) })
      .to(strings(`${name}-out`), { onError: skip() })
    await kit.createTopics({ name: `${name}-in`, partitions: 1 }, { name: `${name}-out`, partitions: 1 })
    const options = { brokers: kit.brokers, onProductionError: deadLetter(`${name}-refused`) }
    await expect(run(app, options)).rejects.toMatchObject({
      code: 'unknown-topic',
      message: `${name}: '${name}-unread', '${name}-failed', '${name}-refused' do not exist; create them before the application starts`,
    })
  })

  it('is told why state without a name would be left behind, and what to do', async () => {
    const name = uniqueName('unnamed')
    const counting = (isFiltered: boolean): Topology => {
      const app = topology(name)
      const all = app.stream(strings(`${name}-in`))
      const some = isFiltered ? all.filter((_, value) => value !== '') : all
      some.groupByKey().count()
      return app
    }
    await kit.createTopics({ name: `${name}-in`, partitions: 1 })
    const warnings: string[] = []
    const logger = { info() {}, warn: (message: string) => void warnings.push(message) }
    await (await kit.start(counting(false), { logger })).close()
    const before = 'KSTREAM-AGGREGATE-STATE-STORE-0000000001'
    const after = 'KSTREAM-AGGREGATE-STATE-STORE-0000000002'
    expect(warnings).toEqual([
      `${name}: ${before} is named by position, and a change of the topology would leave that state behind: give the operators names`,
    ])
    await expect(run(counting(true), { brokers: kit.brokers, logger })).rejects.toMatchObject({
      code: 'topology-changed',
      message:
        `${name}: the topology has changed over existing state:\n- ${name}-${before}-changelog\n+ ${name}-${after}-changelog\n` +
        `Names like ${after} are generated by position and change with the topology: give the operators names. ` +
        "Name what was renamed as it was before, reset the application to start anew, or run with onTopologyChange: 'ignore' to leave the old topics behind",
    })
  })

  it('is told which option cannot be, before a broker is asked', async () => {
    const app = topology('options')
    app.stream(strings('in')).to(strings('out'))
    const wrong: readonly (readonly [object, string])[] = [
      [{ brokers: [] }, 'brokers: at least one host:port is needed'],
      [{ brokers: ['localhost:x'] }, "brokers: 'localhost:x' is not host:port"],
      [{ guarantee: 'twice' }, "guarantee: twice is not 'at-least-once' or 'exactly-once'"],
      [{ offsetReset: 'middle' }, "offsetReset: middle is not 'earliest', 'latest' or 'fail'"],
      [{ onTopologyChange: 'hope' }, "onTopologyChange: hope is not 'fail' or 'ignore'"],
      [{ workers: 0 }, 'workers: 0 is not a number of workers'],
      [{ standbyReplicas: -1 }, 'standbyReplicas: -1 is not a number of copies'],
      [{ bufferBytes: 0.5 }, 'bufferBytes: 0.5 is not a number of bytes'],
      [{ replicationFactor: 0 }, "replicationFactor: 0 is not a number of replicas, or -1 for the broker's default"],
      [{ commitInterval: 'soon' }, 'not a duration: "soon"'],
    ]
    for (const [options, message] of wrong) {
      await expect(run(app, { brokers: ['127.0.0.1:1'], ...options })).rejects.toMatchObject({
        code: expect.stringMatching(/^invalid-(option|duration)$/) as string,
        message: expect.stringContaining(message) as string,
      })
    }
  })

  it('is told when its state directory cannot be made', async () => {
    const name = uniqueName('directory')
    const app = topology(name)
    app.stream(strings(`${name}-in`)).to(strings(`${name}-out`))
    await kit.createTopics({ name: `${name}-in`, partitions: 1 }, { name: `${name}-out`, partitions: 1 })
    // A file is no directory.
    await expect(run(app, { brokers: kit.brokers, stateDir: import.meta.filename })).rejects.toMatchObject({
      code: 'invalid-option',
      message: `stateDir: ${import.meta.filename}/${name} cannot be made (ENOTDIR): give a directory that this process may write to`,
    })
  })

  it('is told when a session or a replica is nothing that the cluster can give', async () => {
    const name = uniqueName('too-much')
    const app = topology(name)
    app
      .stream(strings(`${name}-in`))
      .groupByKey()
      .count({ name: 'c' })
    await kit.createTopics({ name: `${name}-in`, partitions: 1 })
    await expect(run(app, { brokers: kit.brokers, replicationFactor: 99 })).rejects.toMatchObject({
      code: 'INVALID_REPLICATION_FACTOR',
    })
    await using running = await run(app, { brokers: kit.brokers, sessionTimeout: '1h' })
    await expect(running.running()).rejects.toMatchObject({ code: 'INVALID_SESSION_TIMEOUT' })
  })

  it('is told when it asks for a store that is not there, or that another node has not been given', async () => {
    const name = uniqueName('no-store')
    const app = topology(name)
    app.stream(strings(`${name}-in`)).process((context) => {
      context.store('nowhere')
      return { process() {} }
    })
    await kit.createTopics({ name: `${name}-in`, partitions: 1 })
    await using running = await run(app, { brokers: kit.brokers })
    await expect(running.running()).rejects.toMatchObject({
      message: expect.stringContaining('nowhere') as string,
    })
    expect(() => running.query('nowhere')).toThrow("the topology has no store named 'nowhere' that can be queried")
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
