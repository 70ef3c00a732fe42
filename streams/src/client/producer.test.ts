import { apis, ErrorCode, ZERO_UUID } from '@millrace/protocol'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { describeBroker, uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { alterTopic, readTopic } from '../../test/reading.ts'
import { createTopics } from './admin.ts'
import { Cluster } from './cluster.ts'
import { partitionOfKey } from './murmur2.ts'
import { Producer, failedRecords } from './producer.ts'

const text = (value: string): Buffer => Buffer.from(value)

vi.setConfig({ testTimeout: 30_000, hookTimeout: 120_000 })

describeBroker('a producer', {}, (broker) => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await Cluster.connect({ brokers: [broker.bootstrap] })
  })
  afterAll(() => cluster.close())

  async function aTopic(partitions = 1, configs: Record<string, string> = {}): Promise<string> {
    const name = uniqueName('produced')
    await createTopics(cluster, [{ name, partitions, configs }])
    return name
  }

  it('writes records in the order of the calls, each to the partition of its key', async () => {
    const topic = await aTopic(3)
    const producer = new Producer(cluster)
    for (let i = 0; i < 1_000; i++) producer.send(topic, null, text(`k${i % 10}`), text(`v${i}`), 1_000 + i)
    await producer.flush()
    producer.close()

    const records = await readTopic(cluster, topic)
    expect(records).toHaveLength(1_000)
    for (const { partition, key } of records) expect(partition).toBe(partitionOfKey(text(key!), 3))
    for (let k = 0; k < 10; k++) {
      const values = records.filter(({ key }) => key === `k${k}`).map(({ value }) => Number(String(value).slice(1)))
      expect(values).toEqual(Array.from({ length: 100 }, (_, i) => i * 10 + k))
    }
    expect(records.find(({ value }) => String(value) === 'v7')?.timestampMs).toBe(1_007)
  })

  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'sends batches in compression %s',
    async (compression) => {
      const topic = await aTopic()
      const producer = new Producer(cluster, { compression })
      const headers = [
        { key: 'trace', value: text('1') },
        { key: 'none', value: null },
      ]
      producer.send(topic, 0, null, text('x'.repeat(1_000)), 1, headers)
      producer.send(topic, 0, text('k'), null, 2)
      await producer.flush()
      producer.close()
      expect(await readTopic(cluster, topic)).toMatchObject([
        {
          partition: 0,
          offset: 0,
          timestampMs: 1,
          key: null,
          value: text('x'.repeat(1_000)),
          headers: [
            { key: 'trace', value: '1' },
            { key: 'none', value: null },
          ],
        },
        { partition: 0, offset: 1, timestampMs: 2, key: 'k', value: null, headers: [] },
      ])
    },
  )

  it('knows where the records of a partition ended up', async () => {
    const topic = await aTopic(2)
    const producer = new Producer(cluster)
    expect(producer.endOffset(topic, 1)).toBeNull()
    producer.send(topic, 1, null, text('a'), 1)
    producer.send(topic, 1, null, text('b'), 1)
    await producer.flush()
    expect(producer.endOffset(topic, 1)).toBe(2)
    producer.send(topic, 1, null, text('c'), 1)
    await producer.flush()
    expect(producer.endOffset(topic, 1)).toBe(3)
    expect(producer.endOffset(topic, 0)).toBeNull()
    producer.close()
  })

  it('sends by itself when the linger time is over, and at once when a batch is full', async () => {
    const topic = await aTopic()
    const producer = new Producer(cluster, { lingerMs: 1, batchBytes: 2_000 })
    for (let i = 0; i < 50; i++) producer.send(topic, 0, null, text('x'.repeat(100)), 1)
    await until(() => producer.bufferedBytes === 0, { what: 'acknowledgement of everything' })
    expect(producer.endOffset(topic, 0)).toBe(50)
    producer.close()
  })

  it('splits a batch that the broker finds too large', async () => {
    const topic = await aTopic(1, { 'max.message.bytes': '3000' })
    const producer = new Producer(cluster)
    for (let i = 0; i < 20; i++) producer.send(topic, 0, null, text(`${i} ${'x'.repeat(900)}`), i)
    await producer.flush()
    producer.send(topic, 0, null, text('after'), 99)
    await producer.flush()
    producer.close()
    const records = await readTopic(cluster, topic)
    expect(records.map(({ value }) => String(value).split(' ')[0])).toEqual(
      [...Array(20).keys()].map(String).concat('after'),
    )
  })

  it('asks its handler what to do with a record that is too large, and goes on in order', async () => {
    const topic = await aTopic(1, { 'max.message.bytes': '1000' })
    const refused: string[] = []
    const producer = new Producer(cluster, {
      onFailure: ({ error, batch }) => {
        refused.push(
          `${(error as { code?: string }).code}: ${failedRecords(batch)
            .map(({ key }) => String(key))
            .join()}`,
        )
        return 'continue'
      },
    })
    producer.send(topic, 0, text('first'), text('ok'), 1)
    await producer.flush()
    producer.send(topic, 0, text('large'), Buffer.alloc(2_000), 1)
    await producer.flush()
    producer.send(topic, 0, text('last'), text('ok'), 1)
    await producer.flush()
    producer.close()
    expect(refused).toEqual(['MESSAGE_TOO_LARGE: large'])
    expect((await readTopic(cluster, topic)).map(({ key }) => key)).toEqual(['first', 'last'])
  })

  it('tries a refused batch again when its handler says so, in its order, with other partitions going on', async () => {
    const topic = await aTopic(1, { 'max.message.bytes': '1000' })
    const other = await aTopic()
    const failures: number[] = []
    let asked!: () => void
    const isAsked = new Promise<void>((resolve) => (asked = resolve))
    const producer = new Producer(cluster, {
      lingerMs: 1,
      onFailure: (failure) => {
        failures.push(failure.failures)
        if (failures.length === 3) asked()
        return { retryAfterMs: 20 }
      },
    })
    producer.send(topic, 0, text('large'), Buffer.alloc(2_000), 1)
    producer.send(topic, 0, text('next'), text('ok'), 1)
    producer.send(other, 0, null, text('ok'), 1)
    await isAsked
    await until(() => producer.endOffset(other, 0) === 1, { what: 'the other partition' })
    await until(() => producer.isHeldUp, { what: 'the pause before the next attempt' })
    expect(producer.endOffset(topic, 0)).toBeNull()
    await alterTopic(cluster, topic, { 'max.message.bytes': '10000' })
    await producer.flush()
    expect(producer.isHeldUp).toBe(false)
    producer.close()
    expect(failures.slice(0, 3)).toEqual([1, 2, 3])
    expect((await readTopic(cluster, topic)).map(({ key }) => key)).toEqual(['large', 'next'])
  })

  it('fails for good without a handler, and says which partition it was', async () => {
    const topic = await aTopic(1, { 'max.message.bytes': '1000' })
    const producer = new Producer(cluster)
    producer.send(topic, 0, null, Buffer.alloc(2_000), 1)
    await expect(producer.flush()).rejects.toThrow(`Produce of 1 records for ${topic}-0: MESSAGE_TOO_LARGE`)
    expect(producer.failure).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
  })

  it('keeps records for a topic that it meets for the first time until it knows the partitions', async () => {
    const topic = uniqueName('later')
    const producer = new Producer(cluster)
    producer.send(topic, null, text('k'), text('v'), 1)
    await createTopics(await Cluster.connect({ brokers: [broker.bootstrap] }), [{ name: topic, partitions: 2 }])
    await producer.flush()
    producer.close()
    expect(await readTopic(cluster, topic)).toHaveLength(1)
  })

  it('asks the caller to wait while too much is unsent', async () => {
    const topic = await aTopic()
    const producer = new Producer(cluster, { bufferBytes: 10_000, batchBytes: 4_000, lingerMs: 1 })
    while (!producer.isFull) producer.send(topic, 0, null, Buffer.alloc(1_000), 1)
    await producer.drained()
    expect(producer.bufferedBytes).toBeLessThan(5_000)
    producer.close()
  })
})

/** One topic `t` with one partition; each Produce request gets the next of these codes, and 0 after them. */
function aFakeCluster(codes: number[]) {
  const requests: number[] = []
  const partition = { partition: 0, leader: 1 }
  const cluster = {
    topic: () => ({ name: 't', id: ZERO_UUID, partitions: [partition] }),
    leaderOf: () => 1,
    refresh: () => Promise.resolve(),
    retry: (attempt: () => unknown) => attempt(),
    request: (_node: number | null, api: object) => {
      if (api === apis.initProducerId) return Promise.resolve({ errorCode: 0, producerId: 1, producerEpoch: 0 })
      const errorCode = codes.shift() ?? ErrorCode.none
      requests.push(errorCode)
      const partitionResponses = [{ index: 0, errorCode, baseOffset: 0, errorMessage: null }]
      return Promise.resolve({ responses: [{ name: 't', topicId: ZERO_UUID, partitionResponses }] })
    },
  } as unknown as Cluster
  return { cluster, requests }
}

describe('a producer that holds a batch up', () => {
  it('gives it all of its time to be delivered when the hold ends, and what waited behind it as well', async () => {
    const { policyViolation, notEnoughReplicas, none } = ErrorCode
    const { cluster, requests } = aFakeCluster([policyViolation, notEnoughReplicas, none, notEnoughReplicas])
    const producer = new Producer(cluster, {
      lingerMs: 0,
      batchBytes: 200,
      deliveryTimeoutMs: 300,
      onFailure: ({ failures }) => (failures === 1 ? { retryAfterMs: 400 } : 'fail'),
    })
    producer.send('t', 0, null, text('x'.repeat(150)), 1)
    producer.send('t', 0, null, text('y'.repeat(150)), 1)
    await producer.flush()
    expect(requests).toEqual([policyViolation, notEnoughReplicas, none, notEnoughReplicas, none])
    producer.close()
  })
})

describe('a producer whose transaction is given up', () => {
  it('waits until it is known which partitions are part of it', async () => {
    let answer!: () => void
    let asked!: () => void
    const isAsked = new Promise<void>((resolve) => (asked = resolve))
    const { cluster, requests } = aFakeCluster([])
    const producer = new Producer(cluster, {
      lingerMs: 0,
      transaction: {
        transactionalId: 'tx',
        identity: () => Promise.resolve({ producerId: 1, producerEpoch: 0 }),
        has: () => false,
        addPartitions: () => {
          asked()
          return new Promise((resolve) => (answer = resolve))
        },
      },
    })
    producer.send('t', 0, null, text('x'), 1)
    await isAsked
    let isDiscarded = false
    const discarded = producer.discard().then(() => (isDiscarded = true))
    await new Promise((resolve) => setImmediate(resolve))
    expect(isDiscarded).toBe(false)
    answer()
    await discarded
    expect(requests).toEqual([])
    producer.close()
  })
})

describe('a producer without a cluster', () => {
  it('is told at the start that no broker can be reached', async () => {
    await expect(Cluster.connect({ brokers: ['127.0.0.1:1'] })).rejects.toThrow(
      'no broker of 127.0.0.1:1 can be reached: cannot connect to 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1',
    )
  })
})
