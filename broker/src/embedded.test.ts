import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { apis } from '@millrace/protocol'
import { Kafka, logLevel } from 'kafkajs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Broker } from './broker.ts'
import { aBatch, startTestBroker } from './testing/test-broker.ts'
import { TransactionalProducer } from './testing/transactional-producer.ts'

function kafkaAt(broker: Broker): Kafka {
  return new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 2 } })
}

async function send(broker: Broker, topic: string, values: string[]): Promise<void> {
  const producer = kafkaAt(broker).producer({ allowAutoTopicCreation: false })
  await producer.connect()
  await producer.send({ topic, messages: values.map((value) => ({ value })) })
  await producer.disconnect()
}

/** The sockets and servers of this process that are open. */
function sockets(): string[] {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP'))
}

/** Reads a topic to its end as a member of a group that commits each record. */
async function consumeAll(broker: Broker, groupId: string, topic: string): Promise<string[]> {
  const seen: string[] = []
  const consumer = kafkaAt(broker).consumer({ groupId })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommitThreshold: 1,
    eachMessage: ({ message }) => Promise.resolve(void seen.push(message.value!.toString())),
  })
  await broker.waitForLag(groupId, 0)
  await consumer.disconnect()
  return seen
}

describe('a broker inside the process', () => {
  it('takes what a client sends, and many run beside each other without knowing of each other', async () => {
    const brokers = await Promise.all(Array.from({ length: 5 }, () => Broker.start({ port: 0 })))
    expect(new Set(brokers.map((broker) => broker.bootstrap)).size).toBe(5)
    for (const [index, broker] of brokers.entries()) {
      await broker.createTopic('t', { partitions: 1 })
      await send(
        broker,
        't',
        Array.from({ length: index + 1 }, () => 'x'),
      )
    }
    for (const [index, broker] of brokers.entries()) {
      const admin = kafkaAt(broker).admin()
      await admin.connect()
      expect(await admin.fetchTopicOffsets('t')).toMatchObject([{ high: String(index + 1) }])
      await admin.disconnect()
    }
    await Promise.all(brokers.map((broker) => broker.close()))
  })

  it('leaves no socket, server or listener of the process behind', async () => {
    await expect.poll(sockets).toEqual([])
    const listeners = process.eventNames().map((name) => [name, process.listenerCount(name)])
    {
      await using broker = await Broker.start()
      await broker.createTopic('t')
      await send(broker, 't', ['x'])
      expect(sockets().length).toBeGreaterThan(0)
    }
    await expect.poll(sockets).toEqual([])
    expect(process.eventNames().map((name) => [name, process.listenerCount(name)])).toEqual(listeners)
  })

  it('keeps no process alive once it is closed', () => {
    const program = `import { Broker } from 'millrace'
      const broker = await Broker.start({ dataDir: process.argv[1] })
      await broker.createTopic('t')
      await broker.close()
      console.log('closed')`
    const dataDir = mkdtempSync(join(tmpdir(), 'millrace-'))
    const args = ['-C', 'source', '--input-type=module', '-e', program, dataDir]
    const child = spawnSync(process.execPath, args, { cwd: import.meta.dirname, timeout: 20_000, encoding: 'utf8' })
    rmSync(dataDir, { recursive: true, force: true })
    expect({ status: child.status, signal: child.signal, stdout: child.stdout, stderr: child.stderr }).toEqual({
      status: 0,
      signal: null,
      stdout: 'closed\n',
      stderr: '',
    })
  })

  it('can be closed twice, and by using', async () => {
    await using broker = await Broker.start()
    await Promise.all([broker.close(), broker.close()])
  })

  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))
  it.runIf(hasIpv6)('is reached by IPv6 when it listens there', async () => {
    await using broker = await Broker.start({ host: '::1' })
    expect(broker.bootstrap).toBe(`[::1]:${broker.port}`)
    await using everywhere = await Broker.start({ settings: { listeners: 'PLAINTEXT://:0' } })
    expect(everywhere.bootstrap).toBe(`127.0.0.1:${everywhere.port}`)
    await everywhere.createTopic('t')
    await send(everywhere, 't', ['x'])
  })

  it('says why a topic was not created', async () => {
    await using broker = await Broker.start()
    await broker.createTopic('t')
    await expect(broker.createTopic('t')).rejects.toMatchObject({ code: 'TOPIC_ALREADY_EXISTS' })
    await expect(broker.createTopic('a/b')).rejects.toMatchObject({ code: 'INVALID_TOPIC_EXCEPTION' })
    await expect(broker.createTopic('u', { configs: { 'retention.ms': 'soon' } })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
    })
  })

  it('refuses a setting that it cannot use', async () => {
    await expect(Broker.start({ settings: { 'num.partitions': 'many' } })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
    })
  })

  it('says that its port is in use, and leaves nothing behind', async () => {
    {
      await using broker = await Broker.start()
      await expect(Broker.start({ port: broker.port })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' })
    }
    await expect.poll(sockets).toEqual([])
  })
})

describe('waitForLag', () => {
  it('resolves when the group has committed everything', async () => {
    await using broker = await Broker.start()
    await broker.createTopic('t', { partitions: 2 })
    await send(broker, 't', ['a', 'b', 'c', 'd'])
    expect((await consumeAll(broker, 'g', 't')).sort()).toEqual(['a', 'b', 'c', 'd'])
  })

  it('resolves at the commit that makes the lag small enough, and says what the lag is when the time is up', async () => {
    const { broker, clock, connect } = await startTestBroker()
    await broker.createTopic('t')
    const client = connect()
    await client.request(apis.findCoordinator, 5, { keyType: 0, coordinatorKeys: ['g'] })
    await client.request(apis.produce, 9, {
      acks: 1,
      timeoutMs: 0,
      topicData: [{ name: 't', partitionData: [{ index: 0, records: aBatch(3) }] }],
    })
    const commit = (committedOffset: number) =>
      client.request(apis.offsetCommit, 8, {
        groupId: 'g',
        generationIdOrMemberEpoch: -1,
        memberId: '',
        topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset, committedMetadata: '' }] }],
      })
    await commit(1)
    await broker.waitForLag('g', 2)
    const reached = broker.waitForLag('g', 0, { timeoutMs: 1000 })
    await commit(3)
    await reached
    await commit(1)
    const late = broker.waitForLag('g', 1, { timeoutMs: 20 })
    clock.advance(20)
    await expect(late).rejects.toThrow('group g still has a lag of 2 after 20 ms')
    const unknown = broker.waitForLag('nobody', 0, { timeoutMs: 20 })
    clock.advance(20)
    await expect(unknown).rejects.toMatchObject({ code: 'TIMEOUT' })
    client.close()
    await broker.close()
    expect(clock.timerCount).toBe(0)
  })
})

describe('waitForLag of a topic with transactions', () => {
  it('counts what committed transactions have written, and nothing else', async () => {
    const { broker, clock, connect } = await startTestBroker()
    await broker.createTopic('t')
    const client = connect()
    const producer = new TransactionalProducer(connect(), 'x', 2)
    await producer.begin()
    for (const isCommit of [true, false, true]) {
      for (const value of ['a', 'b']) await producer.write('t', 0, value)
      await producer.end(isCommit)
    }
    await producer.write('t', 0, 'of a transaction that is open')
    const lagFrom = async (offset: number): Promise<string> => {
      // Which is what a consumer commits that never hears of markers.
      await client.request(apis.offsetCommit, 8, {
        groupId: 'g',
        generationIdOrMemberEpoch: -1,
        memberId: '',
        topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset: offset, committedMetadata: '' }] }],
      })
      const late = broker.waitForLag('g', -1, { timeoutMs: 20 })
      clock.advance(20)
      return late.then(
        () => 'no lag',
        (error: Error) => /lag of \d+/.exec(error.message)![0],
      )
    }
    // 0 a, 1 b, 2 its commit, 3 a, 4 b, 5 its abort, 6 a, 7 b, 8 its commit.
    const lags = [0, 1, 2, 3, 4, 6, 7, 8, 9]
    const seen: string[] = []
    for (const offset of lags) seen.push(await lagFrom(offset))
    expect(seen).toEqual([4, 3, 2, 2, 2, 2, 1, 0, 0].map((lag) => `lag of ${lag}`))
    await broker.waitForLag('g', 0)
    await broker.close()
  })
})

describe('a broker that is closed', () => {
  it('ends the waits for a lag', async () => {
    const { broker, clock } = await startTestBroker()
    const outcome = broker.waitForLag('g', 0).catch((error: unknown) => error)
    await broker.close()
    expect(await outcome).toMatchObject({ code: 'CLOSED' })
    expect(clock.timerCount).toBe(0)
  })
})

describe('a broker with a data directory', () => {
  let dataDir: string
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'millrace-'))
  })
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

  it('has its topics, records and offsets again after a restart', async () => {
    {
      await using broker = await Broker.start({ dataDir })
      await broker.createTopic('t', { partitions: 1, configs: { 'retention.ms': '-1' } })
      await send(broker, 't', ['a', 'b', 'c'])
      await consumeAll(broker, 'g', 't')
    }
    await using broker = await Broker.start({ dataDir })
    const admin = kafkaAt(broker).admin()
    await admin.connect()
    expect(await admin.fetchTopicOffsets('t')).toMatchObject([{ low: '0', high: '3' }])
    expect(await admin.fetchOffsets({ groupId: 'g', topics: ['t'] })).toMatchObject([{ partitions: [{ offset: '3' }] }])
    await admin.disconnect()
  })

  it('may have several of them', async () => {
    const directories = [join(dataDir, 'a'), join(dataDir, 'b')]
    await using broker = await Broker.start({ settings: { 'log.dirs': directories.join(',') } })
    await broker.createTopic('t', { partitions: 4 })
    const admin = kafkaAt(broker).admin()
    await admin.connect()
    expect(directories.map((path) => readdirSync(path).filter((name) => name.startsWith('t-')).length)).toEqual([2, 2])
    await admin.disconnect()
    expect(broker.dataDir).toBe(directories[0])
  })

  it('is refused to a second broker while the first has it', async () => {
    await using first = await Broker.start({ dataDir })
    await expect(Broker.start({ dataDir })).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' })
    await first.close()
    await using second = await Broker.start({ dataDir })
    expect(second.dataDir).toBe(dataDir)
  })
})
