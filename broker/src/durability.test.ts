import { apis, ErrorCode, ZERO_UUID } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { HeldDisk } from './testing/held-disk.ts'
import { aBatch, startTestBroker, topicIdOf } from './testing/test-broker.ts'
import { requestFrame, type WireClient } from './testing/wire-client.ts'

async function start(acksAfter: 'write' | 'fsync' = 'fsync') {
  const disk = new HeldDisk()
  const test = await startTestBroker({
    disk,
    settings: { 'acks.after': acksAfter, 'offsets.topic.num.partitions': '1' },
  })
  await test.broker.createTopic('t')
  const client = test.connect()
  const topicId = await topicIdOf(client, 't')
  await client.request(apis.findCoordinator, 5, { keyType: 0, coordinatorKeys: ['g'] })
  disk.hold()
  return { ...test, disk, client, topicId }
}

function produce(client: WireClient, topicId: string, acks = -1, records = aBatch(1)) {
  return client.request(apis.produce, 13, {
    acks,
    timeoutMs: 0,
    topicData: [{ topicId, partitionData: [{ index: 0, records }] }],
  })
}

async function highWatermark(client: WireClient, topicId: string): Promise<number> {
  const { responses } = await client.request(apis.fetch, 13, {
    maxWaitMs: 0,
    minBytes: 0,
    topics: [{ topicId, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1 << 20 }] }],
    forgottenTopicsData: [],
  })
  return responses[0]!.partitions[0]!.highWatermark
}

/** Lets everything that is ready happen; what waits for the disk stays. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

/** Whether the promise has been answered by now. */
async function isAnswered(promise: Promise<unknown>): Promise<boolean> {
  let answered = false
  promise.then(
    () => (answered = true),
    () => (answered = true),
  )
  await settled()
  return answered
}

describe('acks.after=fsync', () => {
  it.each([1, -1])(
    'S8: answers a produce with acks=%i when the disk has the record, and shows it to readers then',
    async (acks) => {
      const { broker, client, connect, disk, topicId } = await start()
      const reader = connect()
      const written = produce(client, topicId, acks)
      expect(await isAnswered(written)).toBe(false)
      expect(await highWatermark(reader, topicId)).toBe(0)
      expect(disk.heldPaths).toEqual(['/data/t-0/00000000000000000000.log'])
      disk.release()
      expect((await written).responses[0]!.partitionResponses[0]!.errorCode).toBe(ErrorCode.none)
      expect(await highWatermark(reader, topicId)).toBe(1)
      disk.release(true)
      await broker.close()
    },
  )

  it('S8: has one sync in flight, and the next one covers all that came meanwhile', async () => {
    const { broker, client, connect, disk, topicId } = await start()
    const others = Array.from({ length: 5 }, connect)
    const first = produce(client, topicId)
    await settled()
    const later = others.map((other) => produce(other, topicId))
    await settled()
    expect(disk.heldPaths.length).toBe(1)
    disk.release()
    await first
    expect(await isAnswered(Promise.race(later))).toBe(false)
    expect(disk.heldPaths.length).toBe(1)
    disk.release()
    await Promise.all(later)
    disk.release(true)
    await broker.close()
  })

  it('keeps the order of answers on a connection whatever waits', async () => {
    const { broker, client, disk, topicId } = await start()
    const order: string[] = []
    const written = produce(client, topicId).then(() => order.push('produce'))
    const asked = client.request(apis.listOffsets, 5, { replicaId: -1, topics: [] }).then(() => order.push('list'))
    expect(await isAnswered(asked)).toBe(false)
    disk.release()
    await Promise.all([written, asked])
    expect(order).toEqual(['produce', 'list'])
    disk.release(true)
    await broker.close()
  })

  it('holds back a committed offset and a new topic as well', async () => {
    const { broker, client, connect, disk } = await start()
    const committed = client.request(apis.offsetCommit, 8, {
      groupId: 'g',
      generationIdOrMemberEpoch: -1,
      memberId: '',
      topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset: 0, committedMetadata: '' }] }],
    })
    const other = connect()
    const topic = { name: 'u', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
    const created = other.request(apis.createTopics, 7, { topics: [topic], timeoutMs: 0 })
    expect(await isAnswered(committed)).toBe(false)
    expect(await isAnswered(created)).toBe(false)
    disk.release(true)
    await Promise.all([committed, created])
    await broker.close()
  })

  it('answers a batch that comes again when the first attempt is durable', async () => {
    const { broker, client, connect, disk, topicId } = await start()
    const batch = () => aBatch(1, { producerId: 7, producerEpoch: 0, baseSequence: 0 })
    const first = produce(client, topicId, -1, batch())
    const again = produce(connect(), topicId, -1, batch())
    expect(await isAnswered(again)).toBe(false)
    disk.release()
    expect((await again).responses[0]!.partitionResponses[0]).toMatchObject({ errorCode: 0, baseOffset: 0 })
    await first
    disk.release(true)
    await broker.close()
  })

  it('shows what recovery found to nobody before it is durable, nor says that it is there', async () => {
    const disk = new HeldDisk()
    const settings = { 'acks.after': 'fsync' }
    const batch = () => aBatch(1, { producerId: 7, producerEpoch: 0, baseSequence: 0 })
    const before = await startTestBroker({ disk, settings })
    await before.broker.createTopic('t')
    const topicId = await topicIdOf(before.connect(), 't')
    disk.hold()
    void produce(before.connect(), topicId, -1, batch()).catch(() => 'the broker dies')
    await settled()
    // Only the process dies: what it wrote is in the system's memory.
    const left = disk.copy()
    left.hold()
    const starting = startTestBroker({ disk: left, settings })
    await expect.poll(() => left.heldPaths.length).toBeGreaterThan(0)
    expect(await isAnswered(starting)).toBe(false)
    left.release(true)
    const after = await starting
    expect((await produce(after.connect(), topicId, -1, batch())).responses[0]!.partitionResponses[0]).toMatchObject({
      errorCode: 0,
      baseOffset: 0,
    })
    await after.broker.close()
    disk.release(true)
    await before.broker.close()
  })

  it('wakes a fetch for what became durable since it began to wait, though it was appended before', async () => {
    const { broker, client, connect, disk, topicId } = await start()
    const first = produce(client, topicId)
    await settled()
    const second = produce(connect(), topicId)
    await settled()
    disk.release()
    await first
    const waiting = connect().request(apis.fetch, 13, {
      maxWaitMs: 60_000,
      minBytes: 1,
      topics: [{ topicId, partitions: [{ partition: 0, fetchOffset: 1, partitionMaxBytes: 1 << 20 }] }],
      forgottenTopicsData: [],
    })
    expect(await isAnswered(waiting)).toBe(false)
    disk.release()
    await second
    expect((await waiting).responses[0]!.partitions[0]!.highWatermark).toBe(2)
    disk.release(true)
    await broker.close()
  })

  it('answers a write to a topic that is deleted before the disk has it', async () => {
    const { broker, client, connect, disk, topicId } = await start()
    const written = produce(client, topicId)
    await settled()
    const deleted = connect().request(apis.deleteTopics, 6, {
      topics: [{ name: 't', topicId: ZERO_UUID }],
      timeoutMs: 0,
    })
    expect(await isAnswered(written)).toBe(true)
    expect((await written).responses[0]!.partitionResponses[0]!.errorCode).toBe(ErrorCode.none)
    disk.release(true)
    await deleted
    await broker.close()
  })

  it('tells nobody of a topic, and takes no write to it, before the disk has the topic', async () => {
    const { broker, client, connect, disk } = await start()
    const topic = { name: 'u', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
    const created = client.request(apis.createTopics, 7, { topics: [topic], timeoutMs: 0 })
    const described = connect().request(apis.metadata, 12, { topics: [{ topicId: ZERO_UUID, name: 'u' }] })
    const written = connect().request(apis.produce, 12, {
      acks: 1,
      timeoutMs: 0,
      topicData: [{ name: 'u', partitionData: [{ index: 0, records: aBatch(1) }] }],
    })
    await settled()
    disk.releaseIn('u-0')
    expect(await isAnswered(Promise.race([created, described, written]))).toBe(false)
    disk.release(true)
    await Promise.all([created, described, written])
    await broker.close()
  })

  it('hands out no producer id of a block that the disk does not have', async () => {
    const { broker, client, connect, disk } = await start()
    const ask = (asking: WireClient) =>
      asking.request(apis.initProducerId, 4, { transactionalId: null, transactionTimeoutMs: 0 })
    const ids = [ask(client), ask(connect())]
    expect(await isAnswered(Promise.race(ids))).toBe(false)
    disk.release(true)
    expect((await Promise.all(ids)).map(({ errorCode }) => errorCode)).toEqual([0, 0])
    await broker.close()
  })

  it('gives no member its assignment before the disk has it', async () => {
    const { broker, clock, connect, disk } = await start()
    disk.release(true)
    const members = [connect(), connect()]
    const group = { groupId: 'g', sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 30_000, protocolType: 'consumer' }
    const protocols = [{ name: 'range', metadata: Buffer.alloc(0) }]
    const joins = members.map((member) => member.request(apis.joinGroup, 3, { ...group, memberId: '', protocols }))
    clock.advance(0)
    const joined = await Promise.all(joins)
    disk.hold()
    const { generationId, leader } = joined[0]!
    const syncs = joined.map(({ memberId }, index) =>
      members[index]!.request(apis.syncGroup, 3, {
        groupId: 'g',
        generationId,
        memberId,
        assignments: memberId === leader ? [{ memberId, assignment: Buffer.from('a') }] : [],
      }),
    )
    expect(await isAnswered(Promise.race(syncs))).toBe(false)
    disk.release(true)
    expect((await Promise.all(syncs)).map(({ errorCode }) => errorCode)).toEqual([0, 0])
    await broker.close()
  })

  it('makes no request wait for what a timer or a failed request wrote', async () => {
    const { broker, client, connect, disk, topicId } = await start()
    const failing = connect()
    // The first partition takes its batch, the second is none, so that the connection is closed.
    failing.send(
      requestFrame(apis.produce, 13, 1, {
        acks: 0,
        timeoutMs: 0,
        topicData: [{ topicId, partitionData: [0, 1].map((index) => ({ index, records: aBatch(1) })) }],
      }),
    )
    expect(failing.isClosed).toBe(true)
    expect(await isAnswered(client.request(apis.listOffsets, 5, { replicaId: -1, topics: [] }))).toBe(true)
    disk.release(true)
    await broker.close()
  })

  it('closes when the syncs that run have ended, with everything in its place', async () => {
    const { broker, client, disk, topicId } = await start()
    const written = produce(client, topicId).catch(() => 'closed')
    await settled()
    const closed = broker.close()
    expect(await isAnswered(closed)).toBe(false)
    disk.release(true)
    await closed
    expect(await written).toBe('closed')
    const after = await startTestBroker({ disk, settings: { 'acks.after': 'fsync' } })
    expect(await highWatermark(after.connect(), topicId)).toBe(1)
    await after.broker.close()
  })

  it('S9: acknowledges nothing after a sync that failed, and tries no second one', async () => {
    const { broker, client, disk, topicId } = await start()
    const written = produce(client, topicId)
    const outcome = written.then(
      () => 'acknowledged',
      () => 'closed',
    )
    await settled()
    disk.failHeld()
    expect(await outcome).toBe('closed')
    disk.release(true)
    // It was the only data directory: there is nothing to go on with.
    await expect(broker.closed).rejects.toMatchObject({ code: 'STORAGE_ERROR', errno: 'EIO' })
    expect(disk.heldPaths).toEqual([])
    // The end is not an orderly one, and says so.
    await expect(broker.close()).rejects.toMatchObject({ code: 'STORAGE_ERROR' })
    expect(disk.exists('/data/.kafka_cleanshutdown')).toBe(false)
  })
})

describe('acks.after=write', () => {
  it('answers without waiting for the disk', async () => {
    const { broker, client, disk, topicId } = await start('write')
    await produce(client, topicId)
    expect(disk.heldPaths).toEqual([])
    disk.release(true)
    await broker.close()
  })
})
