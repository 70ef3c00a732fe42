import { apis, ErrorCode, ZERO_UUID } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { StorageError } from './base/errors.ts'
import { Broker } from './broker.ts'
import { BrokerConfig, developmentDefaults } from './config/broker-config.ts'
import type { Disk, DiskFile } from './log/disk.ts'
import { MemoryDisk } from './log/memory-disk.ts'
import { systemRandom } from './platform/system-random.ts'
import { committedRecords } from './testing/committed-records.ts'
import { FaultyDisk } from './testing/faulty-disk.ts'
import { FullDisk } from './testing/full-disk.ts'
import { HeldDisk } from './testing/held-disk.ts'
import { linesLogger, type LoggedLine } from './testing/lines-logger.ts'
import { ManualClock } from './testing/manual-clock.ts'
import { MemoryNetwork } from './testing/memory-network.ts'
import { aBatch, topicIdOf } from './testing/test-broker.ts'
import { TransactionalProducer } from './testing/transactional-producer.ts'
import { WireClient } from './testing/wire-client.ts'

interface Node {
  readonly broker: Broker
  readonly clock: ManualClock
  readonly client: WireClient
  readonly lines: readonly LoggedLine[]
  readonly connect: () => WireClient
}

async function start(options: {
  readonly disk: Disk
  readonly dirs?: readonly string[]
  readonly settings?: Readonly<Record<string, string>>
}): Promise<Node> {
  const { disk, dirs = ['/a'], settings = {} } = options
  const clock = new ManualClock()
  const network = new MemoryNetwork()
  const { logger, lines } = linesLogger()
  const all = { listeners: 'PLAINTEXT://127.0.0.1:0', 'offsets.topic.num.partitions': '1', ...settings }
  const config = BrokerConfig.from({
    defaults: developmentDefaults,
    sets: Object.entries(all).map(([name, value]) => `${name}=${value}`),
  })
  const broker = await Broker.run({
    config,
    dataDir: dirs[0]!,
    dataDirs: dirs,
    logger,
    clock,
    random: systemRandom,
    disk,
    network,
  })
  const connect = (): WireClient => new WireClient(network, broker.port)
  return { broker, clock, client: connect(), lines, connect }
}

async function produce(client: WireClient, topicId: string, index = 0, records = aBatch(1)): Promise<number> {
  const { responses } = await client.request(apis.produce, 13, {
    acks: -1,
    timeoutMs: 0,
    topicData: [{ topicId, partitionData: [{ index, records }] }],
  })
  return responses[0]!.partitionResponses[0]!.errorCode
}

async function readable(client: WireClient, topicId: string, partition = 0) {
  const { responses } = await client.request(apis.fetch, 13, {
    maxWaitMs: 0,
    minBytes: 0,
    topics: [{ topicId, partitions: [{ partition, fetchOffset: 0, partitionMaxBytes: 1 << 20 }] }],
    forgottenTopicsData: [],
  })
  const { errorCode, highWatermark, records } = responses[0]!.partitions[0]!
  return { errorCode, highWatermark, hasRecords: (records?.length ?? 0) > 0 }
}

function commitOffset(client: WireClient) {
  return client.request(apis.offsetCommit, 8, {
    groupId: 'g',
    generationIdOrMemberEpoch: -1,
    memberId: '',
    topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: '' }] }],
  })
}

/** Which partitions of `t` are in a directory. */
function partitionsIn(disk: Disk, directory: string): number[] {
  return disk
    .list(directory)
    .filter((name) => /^t-\d+$/.test(name))
    .map((name) => Number(name.slice(2)))
}

/** A disk that fails what happens below a path. */
class PartlyFaultyDisk extends FaultyDisk {
  broken: string | null = null
  /** How a file that ends so fails when it is read. */
  unreadable: { readonly ending: string; readonly errno: string } | null = null

  override open(path: string, options?: { readonly create?: boolean }): DiskFile {
    const file = super.open(path, options)
    const read = file.read.bind(file)
    file.read = (...args) => {
      this.#checkReadable(path)
      return read(...args)
    }
    return file
  }

  override readFile(path: string): Buffer | null {
    this.#checkReadable(path)
    return super.readFile(path)
  }

  #checkReadable(path: string): void {
    if (this.unreadable === null || !path.endsWith(this.unreadable.ending)) return
    throw new StorageError('read', path, { code: this.unreadable.errno })
  }

  protected override isHit(path: string): boolean {
    return this.broken !== null && path.startsWith(this.broken)
  }
}

describe('several data directories', () => {
  it('get new partitions where there are fewest', async () => {
    const disk = new MemoryDisk()
    const { broker } = await start({ disk, dirs: ['/a', '/b', '/c'] })
    await broker.createTopic('t', { partitions: 8 })
    // The metadata log is a log too.
    expect(partitionsIn(disk, '/a').length).toBe(2)
    expect(partitionsIn(disk, '/b').length).toBe(3)
    expect(partitionsIn(disk, '/c').length).toBe(3)
    await broker.close()
  })

  it('are those of one node and one cluster, each with an identity of its own', async () => {
    const disk = new MemoryDisk()
    const first = await start({ disk, dirs: ['/a'] })
    await first.broker.close()
    const second = await start({ disk, dirs: ['/b', '/a'] })
    await second.broker.createTopic('t', { partitions: 2 })
    await second.broker.close()
    const identity = (directory: string) =>
      /cluster.id=(.*)\ndirectory.id=(.*)\n/.exec(String(disk.readFile(`${directory}/meta.properties`)))!
    expect(identity('/b')[1]).toBe(identity('/a')[1])
    expect(identity('/b')[2]).not.toBe(identity('/a')[2])
    // The metadata stayed where it was, although another directory is the first now.
    expect(disk.exists('/a/__cluster_metadata-0')).toBe(true)
    expect(disk.exists('/b/__cluster_metadata-0')).toBe(false)
    await expect(start({ disk, dirs: ['/a'], settings: { 'node.id': '2' } })).rejects.toMatchObject({
      code: 'INCONSISTENT_DIRECTORY',
    })
  })

  it('have the metadata log where metadata.log.dir says, when it is new', async () => {
    const disk = new MemoryDisk()
    const settings = { 'metadata.log.dir': '/b' }
    await (await start({ disk, dirs: ['/a', '/b'], settings })).broker.close()
    expect(disk.exists('/b/__cluster_metadata-0')).toBe(true)
    await (await start({ disk, dirs: ['/a', '/b'] })).broker.close()
    expect(disk.exists('/a/__cluster_metadata-0')).toBe(false)
    await expect(start({ disk, dirs: ['/a'], settings })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
  })

  it('end the start when a partition is in two of them', async () => {
    const disk = new MemoryDisk()
    const { broker } = await start({ disk, dirs: ['/a', '/b'] })
    await broker.createTopic('t')
    await broker.close()
    for (const directory of ['/a', '/b']) disk.makeDirectory(`${directory}/t-0`)
    await expect(start({ disk, dirs: ['/a', '/b'] })).rejects.toMatchObject({
      code: 'DUPLICATE_PARTITION',
      message: 't-0 is in two data directories, /a and /b: move one of them away',
    })
    // The locks were given back.
    disk.remove('/a/t-0')
    await (await start({ disk, dirs: ['/a', '/b'] })).broker.close()
  })

  it('S9: one that fails is offline at once, and the others go on', async () => {
    const disk = new PartlyFaultyDisk(new MemoryDisk())
    const { broker, client, connect, lines } = await start({ disk, dirs: ['/a', '/b'] })
    await broker.createTopic('t', { partitions: 4 })
    const topicId = await topicIdOf(client, 't')
    for (const index of [0, 1, 2, 3]) expect(await produce(client, topicId, index)).toBe(0)
    const [lost, alsoLost] = partitionsIn(disk, '/b')
    const [kept] = partitionsIn(disk, '/a')

    disk.broken = '/b/'
    disk.fail(['sync'])
    const failing = connect()
    await expect(produce(failing, topicId, lost)).rejects.toThrow('closed')
    disk.fail([])
    // The other partition of the directory as well, though the disk would work again.
    const changes = disk.changes.length
    expect(await produce(client, topicId, lost)).toBe(ErrorCode.kafkaStorageError)
    expect(await produce(client, topicId, alsoLost)).toBe(ErrorCode.kafkaStorageError)
    expect(disk.changes.slice(changes).filter((change) => change.includes(' /b/'))).toEqual([])
    // What was acknowledged is read, and what was not is not shown.
    expect(await readable(client, topicId, lost)).toEqual({ errorCode: 0, highWatermark: 1, hasRecords: true })
    expect(await produce(client, topicId, kept)).toBe(0)
    await broker.createTopic('u', { partitions: 3 })
    expect(disk.list('/a').filter((name) => name.startsWith('u-'))).toEqual(['u-0', 'u-1', 'u-2'])
    const { results } = await client.request(apis.describeLogDirs, 4, { topics: null })
    expect(results.map(({ logDir, errorCode }) => [logDir, errorCode])).toEqual([
      ['/a', 0],
      ['/b', ErrorCode.kafkaStorageError],
    ])
    expect(lines.filter(({ message }) => message.startsWith('a data directory is offline'))).toHaveLength(1)
    expect(broker.storage.directories.map(({ path, isOffline }) => [path, isOffline])).toEqual([
      ['/a', false],
      ['/b', true],
    ])
    await expect(broker.close()).rejects.toBeInstanceOf(StorageError)
    expect(disk.exists('/a/.kafka_cleanshutdown')).toBe(true)
    expect(disk.exists('/b/.kafka_cleanshutdown')).toBe(false)

    disk.broken = null
    const after = await start({ disk, dirs: ['/a', '/b'] })
    for (const index of [0, 1, 2, 3]) expect(await produce(after.client, topicId, index)).toBe(0)
    await after.broker.close()
  })

  it('S9: the one with the transactional ids fails in a commit, which no partition hears of then', async () => {
    const memory = new MemoryDisk()
    const disk = new PartlyFaultyDisk(memory)
    const settings = { 'transaction.state.log.num.partitions': '1' }
    const { broker, clock, client, connect } = await start({ disk, dirs: ['/a', '/b'], settings })
    await broker.createTopic('t', { partitions: 3 })
    const producer = new TransactionalProducer(connect(), 'x', 2)
    await producer.begin()
    expect(disk.exists('/b/__transaction_state-0')).toBe(true)
    const [kept] = partitionsIn(disk, '/a')
    await producer.write('t', kept!, 'v')

    disk.broken = '/b/'
    disk.fail(['sync'])
    expect(await producer.tryEnd(true).catch(() => 'closed')).toBe(ErrorCode.notCoordinator)
    disk.fail([])
    // A second and more, with what waits for the disk in between.
    for (let i = 0; i < 3; i++) {
      clock.advance(1000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await committedRecords(client, 't', kept!)).toEqual({ values: [], lastStableOffset: 0, highWatermark: 1 })
    await expect(broker.close()).rejects.toBeInstanceOf(StorageError)

    // Here the record was on the disk all the same.
    const after = await start({ disk: memory, dirs: ['/a', '/b'], settings })
    await expect.poll(async () => (await committedRecords(after.client, 't', kept!)).values).toEqual(['v'])
    await after.broker.close()
  })

  it('S9: acknowledges nothing in a directory that failed, though a sync ends well that had begun before', async () => {
    const disk = new HeldDisk()
    const { broker, client, connect } = await start({ disk, dirs: ['/a', '/b'] })
    await broker.createTopic('t', { partitions: 4 })
    const topicId = await topicIdOf(client, 't')
    const [failing, other] = partitionsIn(disk, '/b')
    disk.hold()
    const failed = produce(connect(), topicId, failing).catch(() => 'closed')
    const acknowledged = produce(connect(), topicId, other).catch(() => 'closed')
    await expect.poll(() => disk.heldPaths.length).toBe(2)
    disk.failHeld(`t-${failing}`)
    expect(await failed).toBe('closed')
    disk.release(true)
    expect(await acknowledged).toBe('closed')
    expect(await readable(client, topicId, other)).toEqual({ errorCode: 0, highWatermark: 0, hasRecords: false })
    await expect(broker.close()).rejects.toBeInstanceOf(StorageError)
  })

  it('one that cannot be opened takes its partitions offline, and nothing else', async () => {
    const disk = new MemoryDisk()
    const first = await start({ disk, dirs: ['/a', '/b'] })
    await first.broker.createTopic('t', { partitions: 4 })
    const topicId = await topicIdOf(first.client, 't')
    await first.broker.close()
    const [lost] = partitionsIn(disk, '/b')
    const [kept] = partitionsIn(disk, '/a')

    const unmounted = new PartlyFaultyDisk(disk)
    unmounted.broken = '/b'
    unmounted.fail(['remove', 'sync', 'writeFile', 'create'])
    const second = await start({ disk: unmounted, dirs: ['/a', '/b'] })
    expect(await produce(second.client, topicId, kept)).toBe(0)
    // Not UNKNOWN_TOPIC_OR_PARTITION, and no new and empty log in the other directory.
    expect(await produce(second.client, topicId, lost)).toBe(ErrorCode.kafkaStorageError)
    expect(await readable(second.client, topicId, lost)).toMatchObject({ errorCode: ErrorCode.kafkaStorageError })
    expect(partitionsIn(disk, '/a')).not.toContain(lost)
    await second.broker.close()

    // Nor is the metadata begun anew where the directory that has it is not there.
    unmounted.broken = '/a'
    await expect(start({ disk: unmounted, dirs: ['/a', '/b'] })).rejects.toBeInstanceOf(StorageError)
  })

  it('one that comes back with a topic that was made anew meanwhile keeps its log aside', async () => {
    const disk = new PartlyFaultyDisk(new MemoryDisk())
    const { broker, client, connect } = await start({ disk, dirs: ['/a', '/b'] })
    await broker.createTopic('t', { partitions: 4 })
    const earlierId = await topicIdOf(client, 't')
    const lost = partitionsIn(disk, '/b')
    expect(lost.length).toBeGreaterThan(0)
    for (const index of [0, 1, 2, 3]) expect(await produce(client, earlierId, index)).toBe(0)
    disk.broken = '/b/'
    disk.fail(['sync', 'rename'])
    await expect(produce(connect(), earlierId, lost[0])).rejects.toThrow('closed')
    await client.request(apis.deleteTopics, 6, { topics: [{ name: 't', topicId: ZERO_UUID }], timeoutMs: 0 })
    await broker.createTopic('t', { partitions: 4 })
    const topicId = await topicIdOf(client, 't')
    for (const index of [0, 1, 2, 3]) expect(await produce(client, topicId, index)).toBe(0)
    await expect(broker.close()).rejects.toBeInstanceOf(StorageError)
    expect(partitionsIn(disk, '/b')).toEqual(lost)

    disk.broken = null
    const after = await start({ disk, dirs: ['/a', '/b'] })
    for (const index of [0, 1, 2, 3]) {
      expect(await produce(after.client, topicId, index)).toBe(0)
      expect((await readable(after.client, topicId, index)).highWatermark).toBe(2)
    }
    expect(partitionsIn(disk, '/b')).toEqual([])
    const strays = disk.list('/b').filter((name) => name.endsWith('-stray'))
    expect(strays.length).toBe(lost.length)
    expect(disk.readFile(`/b/${strays[0]}/00000000000000000000.log`)!.length).toBeGreaterThan(0)
    await after.broker.close()
  })

  it('one that has no room, or fails, when all else of a start is done does not end it', async () => {
    const memory = new MemoryDisk()
    const first = await start({ disk: memory, dirs: ['/a', '/b'] })
    await first.broker.createTopic('t', { partitions: 4 })
    const topicId = await topicIdOf(first.client, 't')
    for (const index of [0, 1, 2, 3]) expect(await produce(first.client, topicId, index)).toBe(0)
    await first.broker.close()
    const [there] = partitionsIn(memory, '/b')
    const [kept] = partitionsIn(memory, '/a')
    memory.makeDirectory('/b/stray-0')
    const faults: ((disk: PartlyFaultyDisk) => void)[] = [
      (disk) => disk.fail(['writeFile'], 'ENOSPC'),
      (disk) => disk.fail(['rename'], 'EIO'),
      (disk) => (disk.unreadable = { ending: `/b/t-${there}/partition.metadata`, errno: 'EIO' }),
    ]
    for (const fail of faults) {
      const disk = new PartlyFaultyDisk(memory.copy())
      // As after a crash.
      for (const directory of ['/a', '/b']) disk.remove(`${directory}/.kafka_cleanshutdown`)
      disk.broken = '/b'
      fail(disk)
      const { broker, client, lines } = await start({ disk, dirs: ['/a', '/b'] })
      expect(await produce(client, topicId, kept)).toBe(0)
      expect(lines.filter(({ level }) => level === 'error').length).toBeGreaterThan(0)
      disk.fail([])
      disk.unreadable = null
      await broker.close().catch(() => undefined)
      const after = await start({ disk, dirs: ['/a', '/b'] })
      for (const index of [0, 1, 2, 3]) expect(await produce(after.client, topicId, index)).toBe(0)
      await after.broker.close()
    }
  })

  it('a start that ends before the logs are opened leaves what it knew of them, and no mark of an orderly end', async () => {
    const disk = new MemoryDisk()
    const { broker, client } = await start({ disk, dirs: ['/a', '/b'] })
    await broker.createTopic('t', { partitions: 4 })
    const topicId = await topicIdOf(client, 't')
    for (const index of [0, 1, 2, 3]) expect(await produce(client, topicId, index)).toBe(0)
    await broker.close()
    for (const directory of ['/a', '/b']) disk.remove(`${directory}/.kafka_cleanshutdown`)
    const before = String(disk.readFile('/b/recovery-point-offset-checkpoint'))
    const [twice] = partitionsIn(disk, '/b')
    disk.makeDirectory(`/a/t-${twice}`)
    await expect(start({ disk, dirs: ['/a', '/b'] })).rejects.toMatchObject({ code: 'DUPLICATE_PARTITION' })
    const sorted = (text: string) => text.split('\n').toSorted()
    expect(sorted(String(disk.readFile('/b/recovery-point-offset-checkpoint')))).toEqual(sorted(before))
    expect(disk.exists('/b/.kafka_cleanshutdown')).toBe(false)
  })

  it('a log is not begun anew as long as a directory is missing that may hold it', async () => {
    const disk = new PartlyFaultyDisk(new MemoryDisk())
    const first = await start({ disk, dirs: ['/a', '/b', '/c'] })
    await first.broker.createTopic('t', { partitions: 6 })
    const topicId = await topicIdOf(first.client, 't')
    await first.broker.close()
    // Somebody moved it from where the metadata says it is.
    const [moved] = partitionsIn(disk, '/c')
    disk.rename(`/c/t-${moved}`, `/b/t-${moved}`)
    disk.broken = '/b'
    disk.fail(['remove', 'sync', 'writeFile', 'create'])
    const second = await start({ disk, dirs: ['/a', '/b', '/c'] })
    expect(await produce(second.client, topicId, moved)).toBe(ErrorCode.kafkaStorageError)
    expect(partitionsIn(disk, '/c')).not.toContain(moved)
    // What is new is nowhere else.
    await second.broker.createTopic('u', { partitions: 4 })
    expect(await produce(second.client, await topicIdOf(second.client, 'u'), 3)).toBe(0)
    await second.broker.close()
    disk.broken = null
    const third = await start({ disk, dirs: ['/a', '/b', '/c'] })
    expect(await produce(third.client, topicId, moved)).toBe(0)
    await third.broker.close()
  })

  it('S10: retention and DeleteRecords go on in the others when one cannot write down its offsets', async () => {
    const disk = new PartlyFaultyDisk(new MemoryDisk())
    const { broker, clock, client } = await start({ disk, dirs: ['/a', '/b'] })
    await broker.createTopic('t', { partitions: 4, configs: { 'segment.bytes': '1048576', 'retention.bytes': '1' } })
    const topicId = await topicIdOf(client, 't')
    const records = aBatch(1, { records: [{ key: null, value: Buffer.alloc(600_000) }] })
    for (const index of [0, 1, 2, 3]) {
      for (let i = 0; i < 3; i++) expect(await produce(client, topicId, index, Buffer.from(records))).toBe(0)
    }
    const [there] = partitionsIn(disk, '/b')
    const [kept] = partitionsIn(disk, '/a')
    const segments = (path: string) => disk.list(path).filter((name) => name.endsWith('.log')).length
    expect([segments(`/a/t-${kept}`), segments(`/b/t-${there}`)]).toEqual([3, 3])
    disk.broken = '/b/'
    disk.fail(['writeFile'], 'EMFILE')
    const { topics } = await client.request(apis.deleteRecords, 2, {
      topics: [{ name: 't', partitions: [there!, kept!].map((partitionIndex) => ({ partitionIndex, offset: 1 })) }],
      timeoutMs: 0,
    })
    expect(topics[0]!.partitions.map(({ errorCode }) => errorCode)).toEqual([ErrorCode.kafkaStorageError, 0])
    clock.advance(600_000)
    await expect.poll(() => segments(`/a/t-${kept}`)).toBe(1)
    expect(segments(`/b/t-${there}`)).toBe(3)
    disk.fail([])
    await broker.close()
  })

  it('S9: no directory is left, so the broker closes itself and tells who embeds it', async () => {
    const disk = new PartlyFaultyDisk(new MemoryDisk())
    const { broker, client } = await start({ disk, dirs: ['/a', '/b'] })
    await broker.createTopic('t')
    disk.broken = '/a/'
    disk.fail(['append'])
    const created = await client.request(apis.createTopics, 7, {
      topics: [{ name: 'u', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: 0,
    })
    expect(created.topics[0]!.errorCode).toBe(ErrorCode.kafkaStorageError)
    await expect(broker.closed).rejects.toMatchObject({ code: 'STORAGE_ERROR', errno: 'EIO' })
  })
})

describe('the n-th sync that fails', () => {
  it('S9: is the last one, no acknowledgement comes after it, and every one before it holds', async () => {
    let syncs = 0
    for (let n = 0; ; n++) {
      const memory = new MemoryDisk()
      const disk = new FaultyDisk(memory)
      const node = await start({ disk })
      await node.broker.createTopic('t')
      const topicId = await topicIdOf(node.client, 't')
      disk.failSyncAfter(n)
      let acknowledged = 0
      for (let i = 0; i < 12; i++) {
        const outcome = await produce(node.connect(), topicId).catch(() => -1)
        if (outcome !== 0) break
        acknowledged++
      }
      const failedAt = disk.failedSync
      if (failedAt === null) break
      syncs++
      expect(acknowledged).toBeLessThanOrEqual(n)
      await expect(node.broker.closed).rejects.toBeInstanceOf(StorageError)
      expect(disk.changes.slice(failedAt).filter((change) => change.startsWith('sync'))).toEqual([])
      disk.failSyncAfter(Infinity)
      const after = await start({ disk: memory })
      expect((await readable(after.client, topicId)).highWatermark).toBeGreaterThanOrEqual(acknowledged)
      await after.broker.close()
    }
    expect(syncs).toBeGreaterThan(10)
  })
})

describe('a full disk', () => {
  async function nearlyFull(reserve: string) {
    const disk = new FullDisk(64 * 1024 * 1024)
    const node = await start({ disk, settings: { 'log.dir.reserve.bytes': reserve } })
    await node.broker.createTopic('t')
    const topicId = await topicIdOf(node.client, 't')
    await node.client.request(apis.findCoordinator, 5, { keyType: 0, coordinatorKeys: ['g'] })
    expect(await produce(node.client, topicId)).toBe(0)
    return { ...node, disk, topicId }
  }

  it('S10: takes nothing from clients below the reserve, and what the broker itself must write', async () => {
    const { broker, clock, client, disk, topicId, lines } = await nearlyFull('1000000')
    disk.freeBytes = 900_000
    clock.advance(1000)
    expect(await produce(client, topicId)).toBe(ErrorCode.kafkaStorageError)
    expect((await commitOffset(client)).topics[0]!.partitions[0]!.errorCode).toBe(0)
    await broker.createTopic('u')
    expect(await readable(client, topicId)).toEqual({ errorCode: 0, highWatermark: 1, hasRecords: true })
    disk.freeBytes = 2_000_000
    clock.advance(1000)
    expect(await produce(client, topicId)).toBe(0)
    expect(lines.filter(({ message }) => /disk is full|room on the disk again/.test(message))).toHaveLength(2)
    await broker.close()
  })

  it('S10: says in the answer what is the matter', async () => {
    const { broker, clock, client, disk, topicId } = await nearlyFull('1000000')
    disk.freeBytes = 0
    clock.advance(1000)
    const { responses } = await client.request(apis.produce, 13, {
      acks: 1,
      timeoutMs: 0,
      topicData: [{ topicId, partitionData: [{ index: 0, records: aBatch(1) }] }],
    })
    expect(responses[0]!.partitionResponses[0]!.errorMessage).toBe('there is no room on the disk for the log of t-0')
    disk.freeBytes = 1 << 30
    await broker.close()
  })

  it('S10: notices between two looks at the clock that producers use up the reserve', async () => {
    const { broker, client, disk, topicId } = await nearlyFull('1000000')
    disk.freeBytes = 6_000_000
    const records = aBatch(1, { records: [{ key: null, value: Buffer.alloc(500_000) }] })
    let taken = 0
    while ((await produce(client, topicId, 0, Buffer.from(records))) === 0) taken++
    expect(taken).toBeGreaterThan(3)
    // Half of the reserve is there, whatever the rate.
    expect(disk.freeBytes).toBeGreaterThan(0)
    await broker.close()
  })

  it('S10: without a reserve refuses the write that found no room, and goes on when there is some', async () => {
    const { broker, client, disk, topicId, lines } = await nearlyFull('0')
    disk.freeBytes = 10
    for (let i = 0; i < 3; i++) expect(await produce(client, topicId)).toBe(ErrorCode.kafkaStorageError)
    expect(await readable(client, topicId)).toEqual({ errorCode: 0, highWatermark: 1, hasRecords: true })
    disk.freeBytes = 1 << 30
    expect(await produce(client, topicId)).toBe(0)
    expect(await readable(client, topicId)).toMatchObject({ highWatermark: 2 })
    expect(lines.filter(({ level }) => level === 'error')).toEqual([])
    await broker.close()
    // No half batch was left behind.
    const after = await start({ disk })
    expect(await readable(after.client, topicId)).toMatchObject({ highWatermark: 2 })
    await after.broker.close()
  })
})

describe('a log that is damaged where it was durable', () => {
  /** A broker that was killed, and a byte of the partition's first segment that changed since. */
  async function damaged(partition: string) {
    const disk = new MemoryDisk()
    const { broker, client } = await start({ disk })
    await broker.createTopic('t', { partitions: 2 })
    const topicId = await topicIdOf(client, 't')
    for (const index of [0, 1]) await produce(client, topicId, index, aBatch(3))
    await client.request(apis.findCoordinator, 5, { keyType: 0, coordinatorKeys: ['g'] })
    expect((await commitOffset(client)).topics[0]!.partitions[0]!.errorCode).toBe(0)
    await broker.close()
    disk.remove('/a/.kafka_cleanshutdown')
    const path = `/a/${partition}/00000000000000000000.log`
    const bytes = disk.readFile(path)!
    bytes[bytes.length - 1]! ^= 1
    disk.writeFile(path, bytes)
    return { disk, topicId, path }
  }

  it('S3: is offline with a storage error, says what to choose, and keeps nobody from the others', async () => {
    const { disk, topicId, path } = await damaged('t-0')
    for (let starts = 0; starts < 2; starts++) {
      const { broker, client, lines } = await start({ disk })
      expect(await produce(client, topicId, 0)).toBe(ErrorCode.kafkaStorageError)
      expect(await readable(client, topicId, 0)).toMatchObject({ errorCode: ErrorCode.kafkaStorageError })
      expect(await produce(client, topicId, 1)).toBe(0)
      const line = lines.find(({ message }) => message === 'a partition is offline: its log cannot be used')!
      expect(line.fields).toMatchObject({ partition: 't-0' })
      expect(line.fields['error']).toContain(`${path}: at byte`)
      expect(line.fields['error']).toContain('recovery.on.corruption=truncate')
      expect(broker.storage.offlinePartitions).toEqual(new Map([['t-0', line.fields['error']]]))
      await broker.close()
    }
    const chosen = await start({ disk, settings: { 'recovery.on.corruption': 'truncate' } })
    expect(await readable(chosen.client, topicId, 0)).toMatchObject({ errorCode: 0, highWatermark: 0 })
    expect(await produce(chosen.client, topicId, 0)).toBe(0)
    expect(disk.exists(`${path}.corrupt`)).toBe(true)
    await chosen.broker.close()
  })

  it('S3: can be given up by deleting its topic', async () => {
    const { disk } = await damaged('t-0')
    const { broker, client, clock } = await start({ disk })
    await client.request(apis.deleteTopics, 6, { topics: [{ name: 't', topicId: ZERO_UUID }], timeoutMs: 0 })
    await broker.createTopic('t')
    const topicId = await topicIdOf(client, 't')
    expect(await produce(client, topicId, 0)).toBe(0)
    clock.advance(1000)
    expect(disk.list('/a').filter((name) => name.endsWith('-delete'))).toEqual([])
    await broker.close()
  })

  it('S3: costs the groups of a partition of __consumer_offsets their coordinator, not their offsets', async () => {
    const { disk } = await damaged('__consumer_offsets-0')
    const { broker, client } = await start({ disk })
    const { groups } = await client.request(apis.offsetFetch, 8, {
      groups: [{ groupId: 'g', topics: [{ name: 't', partitionIndexes: [0] }] }],
    })
    expect(groups[0]!.errorCode).toBe(ErrorCode.notCoordinator)
    expect((await commitOffset(client)).topics[0]!.partitions[0]!.errorCode).toBe(ErrorCode.notCoordinator)
    await broker.close()
  })

  it('S3: ends the start when it is the metadata log', async () => {
    const { disk, path } = await damaged('__cluster_metadata-0')
    await expect(start({ disk })).rejects.toMatchObject({ code: 'CORRUPT_LOG', file: path })
    // The directory can be used by the next start.
    expect(disk.exists('/a/.lock')).toBe(false)
  })
})

describe('a process that is out of descriptors', () => {
  it('S16: refuses what needs one, and goes on when it has some again', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const { broker, client } = await start({ disk })
    await broker.createTopic('t')
    const topicId = await topicIdOf(client, 't')
    disk.fail(['append', 'create'], 'EMFILE')
    expect(await produce(client, topicId)).toBe(ErrorCode.kafkaStorageError)
    disk.fail([])
    expect(await produce(client, topicId)).toBe(0)
    await broker.close()
  })
})

describe('a read that finds no descriptor', () => {
  it('S16: is refused, and the next one is not', async () => {
    const disk = new PartlyFaultyDisk(new MemoryDisk())
    const { broker, client } = await start({ disk })
    await broker.createTopic('t')
    const topicId = await topicIdOf(client, 't')
    expect(await produce(client, topicId)).toBe(0)
    disk.unreadable = { ending: 't-0/00000000000000000000.log', errno: 'EMFILE' }
    expect(await readable(client, topicId)).toMatchObject({ errorCode: ErrorCode.kafkaStorageError })
    expect(await produce(client, topicId)).toBe(0)
    disk.unreadable = null
    expect(await readable(client, topicId)).toEqual({ errorCode: 0, highWatermark: 2, hasRecords: true })
    await broker.close()
  })
})

describe('a log that failed by itself', () => {
  it('S9 S16: is not synced a second time, whatever the reason was', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const { broker, client, connect, lines } = await start({ disk })
    await broker.createTopic('t', { partitions: 2 })
    const topicId = await topicIdOf(client, 't')
    disk.fail(['sync'], 'EMFILE')
    await expect(produce(connect(), topicId)).rejects.toThrow('closed')
    disk.fail([])
    expect(await produce(client, topicId)).toBe(ErrorCode.kafkaStorageError)
    expect(await produce(client, topicId, 1)).toBe(0)
    expect(lines.filter(({ message }) => message === 'partition takes no more records until restart')).toHaveLength(1)
    expect(broker.storage.directories[0]!.isOffline).toBe(false)
    await expect(broker.close()).rejects.toMatchObject({ errno: 'EMFILE' })
  })
})

describe('a topic that was made anew', () => {
  it('S6: is not taken for the earlier one, whose checkpoint knew more records, when the process is killed', async () => {
    const disk = new MemoryDisk()
    const settings = { 'acks.after': 'write' }
    const first = await start({ disk, settings })
    await first.broker.createTopic('t')
    expect(await produce(first.client, await topicIdOf(first.client, 't'), 0, aBatch(5))).toBe(0)
    await first.broker.close()
    const { broker, client } = await start({ disk, settings })
    await client.request(apis.deleteTopics, 6, { topics: [{ name: 't', topicId: ZERO_UUID }], timeoutMs: 0 })
    await broker.createTopic('t')
    const topicId = await topicIdOf(client, 't')
    expect(await produce(client, topicId)).toBe(0)
    await expect.poll(() => String(disk.readFile('/a/recovery-point-offset-checkpoint'))).not.toContain('t 0 5')
    const left = disk.copy()
    left.remove('/a/.lock')
    await broker.close()
    const after = await start({ disk: left, settings })
    expect(await readable(after.client, topicId)).toEqual({ errorCode: 0, highWatermark: 1, hasRecords: true })
    await after.broker.close()
  })
})

describe('what is durable before it is acknowledged', () => {
  it('DeleteRecords: the new start of the log', async () => {
    const disk = new MemoryDisk()
    const { broker, client } = await start({ disk })
    await broker.createTopic('t')
    const topicId = await topicIdOf(client, 't')
    await produce(client, topicId, 0, aBatch(3))
    const { topics } = await client.request(apis.deleteRecords, 2, {
      topics: [{ name: 't', partitions: [{ partitionIndex: 0, offset: 2 }] }],
      timeoutMs: 0,
    })
    expect(topics[0]!.partitions[0]).toMatchObject({ errorCode: 0, lowWatermark: 2 })
    expect(String(disk.readFile('/a/log-start-offset-checkpoint'))).toBe('0\n1\nt 0 2\n')
    await broker.close()
  })
})

describe('the metadata', () => {
  it('S8: is synced at once, also where records need only be written', async () => {
    const disk = new HeldDisk()
    const { broker, client } = await start({ disk, settings: { 'acks.after': 'write' } })
    await broker.createTopic('t')
    const topicId = await topicIdOf(client, 't')
    await new Promise((resolve) => setImmediate(resolve))
    disk.hold()
    expect(await produce(client, topicId)).toBe(0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(disk.heldPaths).toEqual([])
    await broker.createTopic('u')
    await expect.poll(() => disk.heldPaths).toEqual(['/a/__cluster_metadata-0/00000000000000000000.log'])
    disk.release(true)
    await broker.close()
  })
})

describe('an interval between syncs', () => {
  async function written(settings: Readonly<Record<string, string>>) {
    const disk = new FaultyDisk(new MemoryDisk())
    const node = await start({ disk, settings: { 'acks.after': 'write', ...settings } })
    await node.broker.createTopic('t')
    const topicId = await topicIdOf(node.client, 't')
    const syncs = (): number => disk.changes.filter((change) => /^sync .*t-0\/.*\.log$/.test(change)).length
    return { ...node, topicId, syncs }
  }

  it('S8: is log.flush.interval.ms at most, from the first record that is not synced', async () => {
    const { broker, clock, client, topicId, syncs } = await written({ 'log.flush.interval.ms': '500' })
    for (let i = 0; i < 3; i++) expect(await produce(client, topicId)).toBe(0)
    clock.advance(499)
    expect(syncs()).toBe(0)
    clock.advance(1)
    await expect.poll(syncs).toBe(1)
    clock.advance(5000)
    expect(syncs()).toBe(1)
    await broker.close()
  })

  it('S8: is no longer when the next sync is due before the one under way has ended', async () => {
    const disk = new HeldDisk()
    const settings = { 'acks.after': 'write', 'log.flush.interval.ms': '500' }
    const { broker, clock, client } = await start({ disk, settings })
    await broker.createTopic('t')
    const topicId = await topicIdOf(client, 't')
    disk.hold()
    await produce(client, topicId)
    clock.advance(500)
    await expect.poll(() => disk.heldPaths.length).toBe(1)
    await produce(client, topicId)
    clock.advance(500)
    disk.release()
    await expect.poll(() => disk.heldPaths.length).toBe(1)
    disk.release(true)
    await broker.close()
  })

  it('S8: is log.flush.interval.messages at most', async () => {
    const { broker, client, topicId, syncs } = await written({ 'log.flush.interval.messages': '6' })
    await produce(client, topicId, 0, aBatch(5))
    expect(syncs()).toBe(0)
    await produce(client, topicId)
    await expect.poll(syncs).toBe(1)
    await broker.close()
  })

  it('S8: has no end with the defaults of Kafka', async () => {
    const { broker, client, topicId, syncs } = await written({})
    await produce(client, topicId)
    expect(syncs()).toBe(0)
    await broker.close()
    expect(syncs()).toBe(1)
  })
})
