import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { describeBroker, uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { createTopics, deleteRecords, deleteTopics } from './admin.ts'
import { Cluster } from './cluster.ts'
import { Fetcher, type FetcherOptions } from './fetcher.ts'
import { EARLIEST, LATEST, listOffsets } from './offsets.ts'
import { PartitionBuffer } from './partition-buffer.ts'
import { Producer } from './producer.ts'
import { partitionKey } from './topic-partition.ts'

vi.setConfig({ testTimeout: 30_000, hookTimeout: 120_000 })

describeBroker('a fetcher', {}, (broker) => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await Cluster.connect({ brokers: [broker.bootstrap] })
  })
  afterAll(() => cluster.close())

  async function aTopic(partitions = 1): Promise<string> {
    const name = uniqueName('fetched')
    await createTopics(cluster, [{ name, partitions }])
    await cluster.watch([name])
    return name
  }

  async function send(topic: string, partition: number, count: number, sizeBytes = 10): Promise<void> {
    const producer = new Producer(cluster, { batchBytes: 8_000 })
    for (let i = 0; i < count; i++) producer.send(topic, partition, null, Buffer.alloc(sizeBytes), i)
    await producer.flush()
    producer.close()
  }

  const open = (options: Partial<FetcherOptions> = {}): Fetcher =>
    new Fetcher(cluster, {
      onError: (error) => {
        throw error
      },
      onOutOfRange: () => {},
      ...options,
    })

  function takeAll(buffer: PartitionBuffer, limit = Infinity): number {
    let count = 0
    for (; count < limit && buffer.peek(); count++) buffer.take()
    return count
  }

  it('stops above its limit and goes on below half of it, so that memory stays flat whatever the lag', async () => {
    const topic = await aTopic()
    await send(topic, 0, 3_000, 1_000)
    const bufferBytes = 100_000
    const partitionBytes = 50_000
    const fetcher = open({ bufferBytes, partitionBytes })
    const buffer = new PartitionBuffer(topic, 0, { position: 0 })
    fetcher.add(buffer)
    let highest = 0
    let taken = 0
    while (taken < 3_000) {
      await until(() => buffer.peek(), { what: 'the next records' })
      highest = Math.max(highest, buffer.bufferedBytes)
      taken += takeAll(buffer, 7)
    }
    expect(highest).toBeGreaterThan(bufferBytes / 2)
    expect(highest).toBeLessThanOrEqual(bufferBytes + partitionBytes + 10_000)
    expect(buffer.lag('read-uncommitted')).toBe(0)
    fetcher.close()
  })

  it('does not fetch a paused partition, and goes on where it was when it is resumed', async () => {
    const topic = await aTopic()
    await send(topic, 0, 10)
    const fetcher = open({ maxWaitMs: 10 })
    const buffer = new PartitionBuffer(topic, 0, { position: 0 })
    fetcher.add(buffer)
    await until(() => takeAll(buffer) === 10, { what: 'ten records' })
    fetcher.pause(topic, 0)
    const before = fetcher.fetchCount
    // The fetch that was under way may still be answered, and none follows it.
    await until(() => fetcher.fetchCount > before, { what: 'answer to the last fetch' })
    await send(topic, 0, 10)
    expect(takeAll(buffer)).toBe(0)
    fetcher.resume(topic, 0)
    await until(() => takeAll(buffer) === 10, { what: 'ten more' })
    fetcher.close()
  })

  it('fetches a partition that is added while a fetch for others is waiting at the broker', async () => {
    const topic = await aTopic(2)
    await send(topic, 1, 5)
    const fetcher = open({ maxWaitMs: 20_000 })
    const empty = new PartitionBuffer(topic, 0, { position: 0 })
    fetcher.add(empty)
    // Once the wait has begun, the broker answers for partition 0 only when something comes.
    await until(() => cluster.leaderOf(topic, 0) >= 0, { what: 'leader' })
    await new Promise((resolve) => setImmediate(resolve))
    const full = new PartitionBuffer(topic, 1, { position: 0 })
    fetcher.add(full)
    await until(() => full.peek(), { what: 'records', timeoutMs: 5_000 })
    expect(takeAll(full)).toBe(5)
    fetcher.close()
  })

  it('says that a position is not in the log, and reads on where it is sent', async () => {
    const topic = await aTopic()
    await send(topic, 0, 10)
    await deleteRecords(cluster, [{ topic, partition: 0, offset: 4 }])
    const lost: string[] = []
    const fetcher = open({
      onOutOfRange: ({ topic: name, partition, position }) => {
        lost.push(`${name}-${partition}@${position}`)
        void listOffsets(cluster, [{ topic: name, partition, timestampMs: EARLIEST }]).then((offsets) =>
          fetcher.seek(name, partition, offsets.get(partitionKey(name, partition))!),
        )
      },
    })
    const buffer = new PartitionBuffer(topic, 0, { position: 2 })
    fetcher.add(buffer)
    await until(() => buffer.peek(), { what: 'records' })
    expect(buffer.offset).toBe(4)
    expect(takeAll(buffer)).toBe(6)
    expect(lost).toEqual([`${topic}-0@2`])
    fetcher.close()
  })

  it('drops what comes for a partition that was given back', async () => {
    const topic = await aTopic()
    await send(topic, 0, 10)
    const fetcher = open()
    const first = new PartitionBuffer(topic, 0, { position: 0 })
    fetcher.add(first)
    fetcher.remove(topic, 0)
    const second = new PartitionBuffer(topic, 0, { position: 6 })
    fetcher.add(second)
    await until(() => second.peek(), { what: 'records' })
    expect(second.offset).toBe(6)
    expect(first.peek()).toBe(false)
    fetcher.close()
  })

  it('says so when the topic is deleted while it reads it', async () => {
    const topic = await aTopic()
    await send(topic, 0, 1)
    const errors: Error[] = []
    const fetcher = open({ onError: (error) => void errors.push(error), unknownTopicTimeoutMs: 50, maxWaitMs: 10 })
    const buffer = new PartitionBuffer(topic, 0, { position: 0 })
    fetcher.add(buffer)
    await until(() => takeAll(buffer) === 1, { what: 'the record' })
    await deleteTopics(cluster, [topic])
    await until(() => errors.length > 0, { what: 'error' })
    expect(errors[0]).toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' })
    expect(errors[0]!.message).toContain(`${topic}-0`)
    fetcher.close()
  })

  it('finds offsets by time, and the ends', async () => {
    const topic = await aTopic()
    await send(topic, 0, 10)
    const at = async (timestampMs: number): Promise<number> =>
      (await listOffsets(cluster, [{ topic, partition: 0, timestampMs }])).get(partitionKey(topic, 0))!
    expect(await at(EARLIEST)).toBe(0)
    expect(await at(LATEST)).toBe(10)
    expect(await at(7)).toBe(7)
    expect(await at(99)).toBe(10)
  })
})
