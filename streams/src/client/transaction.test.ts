import { apis } from '@millrace/protocol'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { describeBroker, uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { readTopic } from '../../test/reading.ts'
import { createTopics } from './admin.ts'
import { Cluster } from './cluster.ts'
import { administrator, committedOffsets } from './offsets.ts'
import { Producer } from './producer.ts'
import { partitionKey } from './topic-partition.ts'
import { Transaction } from './transaction.ts'

const text = (value: string): Buffer => Buffer.from(value)

vi.setConfig({ testTimeout: 30_000, hookTimeout: 120_000 })

describeBroker('a transaction', {}, (broker) => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await Cluster.connect({ brokers: [broker.bootstrap] })
  })
  afterAll(() => cluster.close())

  async function aTopic(): Promise<string> {
    const name = uniqueName('transactional')
    await createTopics(cluster, [{ name, partitions: 2 }])
    await cluster.watch([name])
    return name
  }
  const values = async (topic: string): Promise<string[]> =>
    (await readTopic(cluster, topic, 'read-committed')).map(({ value }) => String(value))
  const transactional = (transactionalId = uniqueName('tx')) => {
    const transaction = new Transaction(cluster, { transactionalId })
    return { transaction, producer: new Producer(cluster, { transaction }) }
  }

  it('shows its records and offsets when it is committed, and none of them before', async () => {
    const topic = await aTopic()
    const groupId = uniqueName('group')
    const { transaction, producer } = transactional()
    producer.send(topic, 0, null, text('a'), 1)
    producer.send(topic, 1, null, text('b'), 1)
    await producer.flush()
    await transaction.sendOffsets(administrator(groupId), [{ topic, partition: 0, offset: 7 }])
    expect(await values(topic)).toEqual([])
    expect(transaction.isOpen).toBe(true)
    await transaction.commit()
    expect(transaction.isOpen).toBe(false)
    // The coordinator answers before the markers are in the partitions.
    await until(async () => (await values(topic)).length === 2, { what: 'committed records' })
    expect(await values(topic)).toEqual(['a', 'b'])
    const offsets = await committedOffsets(cluster, groupId, null, { requireStable: true })
    expect(offsets.get(partitionKey(topic, 0))).toMatchObject({ offset: 7 })
    producer.close()
  })

  it('leaves nothing to readers of committed records when it is aborted, and the next one works', async () => {
    const topic = await aTopic()
    const { transaction, producer } = transactional()
    producer.send(topic, 0, null, text('wrong'), 1)
    await producer.flush()
    producer.send(topic, 0, null, text('unsent'), 1)
    await producer.discard()
    await transaction.abort()
    producer.resetIdentity()
    producer.send(topic, 0, null, text('right'), 1)
    await producer.flush()
    await transaction.commit()
    await until(async () => (await values(topic)).length > 0, { what: 'committed records' })
    expect(await values(topic)).toEqual(['right'])
    // Those who read everything see both.
    expect((await readTopic(cluster, topic)).map(({ value }) => String(value))).toEqual(['wrong', 'right'])
    producer.close()
  })

  it('is fenced by the next one of the same transactional id', async () => {
    const topic = await aTopic()
    const id = uniqueName('tx')
    const old = transactional(id)
    old.producer.send(topic, 0, null, text('old'), 1)
    await old.producer.flush()
    const next = transactional(id)
    next.producer.send(topic, 0, null, text('next'), 1)
    await next.producer.flush()
    await next.transaction.commit()
    await expect(old.transaction.commit()).rejects.toMatchObject({
      code: expect.stringMatching(/PRODUCER_FENCED|INVALID_PRODUCER_EPOCH/) as string,
    })
    await until(async () => (await values(topic)).length > 0, { what: 'committed records' })
    expect(await values(topic)).toEqual(['next'])
    old.producer.close()
    next.producer.close()
  })
})

describe('a transaction that is aborted', () => {
  it('takes no partition that was on its way to the coordinator for one of the next', async () => {
    let answer!: () => void
    let asked!: () => void
    const isAsked = new Promise<void>((resolve) => (asked = resolve))
    let epoch = 0
    const fake = {
      retry: (attempt: () => unknown) => attempt(),
      coordinated: (_kind: string, _id: string, api: object) => {
        if (api === apis.initProducerId) return Promise.resolve({ errorCode: 0, producerId: 1, producerEpoch: epoch++ })
        asked()
        return new Promise((resolve) => (answer = () => resolve({ resultsByTopicV3AndBelow: [] })))
      },
    } as unknown as Cluster
    const transaction = new Transaction(fake, { transactionalId: 'tx' })
    const adding = transaction.addPartitions([{ topic: 't', partition: 0 }])
    await isAsked
    await transaction.abort()
    answer()
    await adding
    expect(transaction.isOpen).toBe(false)
    expect(transaction.has('t', 0)).toBe(false)
    expect(await transaction.identity()).toEqual({ producerId: 1, producerEpoch: 1 })
  })
})
