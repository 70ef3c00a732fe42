import { apis, ErrorCode, ZERO_UUID } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { HeldDisk } from './testing/held-disk.ts'
import { aBatch, startTestBroker, topicIdOf } from './testing/test-broker.ts'
import type { WireClient } from './testing/wire-client.ts'

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

function produce(client: WireClient, topicId: string, acks = -1) {
  return client.request(apis.produce, 13, {
    acks,
    timeoutMs: 0,
    topicData: [{ topicId, partitionData: [{ index: 0, records: aBatch(1) }] }],
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
    'answers a produce with acks=%i when the disk has the record, and shows it to readers then',
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

  it('has one sync in flight, and the next one covers all that came meanwhile', async () => {
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

  it('acknowledges nothing after a sync that failed, and tries no second one', async () => {
    const { broker, client, connect, disk, topicId } = await start()
    const written = produce(client, topicId)
    const outcome = written.then(
      () => 'acknowledged',
      () => 'closed',
    )
    await settled()
    disk.failHeld()
    expect(await outcome).toBe('closed')
    const other = connect()
    const refused = await produce(other, topicId)
    expect(refused.responses[0]!.partitionResponses[0]!.errorCode).toBe(ErrorCode.kafkaStorageError)
    expect(disk.heldPaths).toEqual([])
    const topicError = await other.request(apis.metadata, 12, { topics: [{ topicId: ZERO_UUID, name: 't' }] })
    expect(topicError.topics[0]!.errorCode).toBe(ErrorCode.none)
    disk.release(true)
    // The end is not an orderly one, and says so.
    await expect(broker.close()).rejects.toMatchObject({ code: 'STORAGE_ERROR' })
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
