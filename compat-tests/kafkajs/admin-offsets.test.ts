import { describe, expect, it } from 'vitest'
import { type BrokerUnderTest, describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'
import { collect, readValues } from './reading.ts'

describeBroker('kafkajs administers offsets', {}, (broker) => {
  it('admin.fetchTopicOffsets: first and next offset of each partition', async () => {
    const topic = await aTopicWith(broker, [3, 0])
    const admin = await anAdmin(kafkaOf(broker))
    expect(byPartition(await admin.fetchTopicOffsets(topic))).toEqual([
      { partition: 0, offset: '3', high: '3', low: '0' },
      { partition: 1, offset: '0', high: '0', low: '0' },
    ])
  })

  it('admin.fetchTopicOffsetsByTimestamp: the first message that is not older', async () => {
    // Messages at 1000, 2000 and 3000 ms in partition 0, and none in partition 1.
    const topic = await aTopicWith(broker, [3, 0])
    const admin = await anAdmin(kafkaOf(broker))
    const offsetsAt = async (timestamp?: number): Promise<string[]> =>
      byPartition(await admin.fetchTopicOffsetsByTimestamp(topic, timestamp)).map(({ offset }) => offset)

    expect(await offsetsAt(0)).toEqual(['0', '0'])
    expect(await offsetsAt(1000)).toEqual(['0', '0'])
    expect(await offsetsAt(1001)).toEqual(['1', '0'])
    expect(await offsetsAt(3000)).toEqual(['2', '0'])
    expect(await offsetsAt(3001)).toEqual(['3', '0'])
    expect(await offsetsAt()).toEqual(['3', '0'])
  })

  it('admin.fetchTopicOffsetsByTimestamp with times out of order: the first offset that is late enough', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    for (const timestamp of [500, 100, 900, 300]) {
      await producer.send({ topic, messages: [{ value: 'x', timestamp: String(timestamp) }] })
    }
    const admin = await anAdmin(kafka)
    const offsetAt = async (timestamp: number): Promise<string | undefined> =>
      (await admin.fetchTopicOffsetsByTimestamp(topic, timestamp))[0]?.offset

    expect(await offsetAt(50)).toBe('0')
    expect(await offsetAt(501)).toBe('2')
    expect(await offsetAt(901)).toBe('4')
  })

  it('admin.deleteTopicRecords: the log starts later and the rest can be read', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopicWith(broker, [5, 5])
    const admin = await anAdmin(kafka)
    await admin.fetchTopicOffsets(topic)

    await admin.deleteTopicRecords({
      topic,
      partitions: [
        { partition: 0, offset: '2' },
        { partition: 1, offset: '-1' },
      ],
    })

    const offsets = byPartition(await admin.fetchTopicOffsets(topic))
    expect(offsets.map(({ low, high }) => [low, high])).toEqual([
      ['2', '5'],
      ['5', '5'],
    ])
    expect(await readValues(kafka, topic, 3)).toEqual(['0/2', '0/3', '0/4'])
  })

  it('admin.deleteTopicRecords before the start of the log changes nothing', async () => {
    const topic = await aTopicWith(broker, [5])
    const admin = await anAdmin(kafkaOf(broker))
    await admin.fetchTopicOffsets(topic)
    for (const offset of ['3', '1']) await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset }] })
    expect((await admin.fetchTopicOffsets(topic))[0]).toMatchObject({ low: '3', high: '5' })
  })

  it('admin.deleteTopicRecords beyond the end of the log is refused', async () => {
    const topic = await aTopicWith(broker, [5])
    const admin = await anAdmin(kafkaOf(broker), { retry: { retries: 0 } })
    await admin.fetchTopicOffsets(topic)
    const deleted = admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
    await expect(deleted).rejects.toMatchObject({
      cause: { partitions: [{ partition: 0, error: { type: 'OFFSET_OUT_OF_RANGE', code: 1 } }] },
    })
  })

  it('admin.fetchOffsets of a group that committed nothing: -1 for the topics asked for, nothing else', async () => {
    const topic = await aTopicWith(broker, [1])
    const admin = await anAdmin(kafkaOf(broker))
    const groupId = uniqueName('group')
    expect(await admin.fetchOffsets({ groupId, topics: [topic] })).toEqual([
      { topic, partitions: [{ partition: 0, offset: '-1', metadata: null }] },
    ])
    expect(await admin.fetchOffsets({ groupId })).toEqual([])
  })

  // kafkajs sets offsets with a paused consumer, which takes it five seconds: these wait at the same time.
  describe.concurrent('with a group that has no members', () => {
    it('admin.setOffsets: a member starts there', async () => {
      const kafka = kafkaOf(broker)
      const topic = await aTopicWith(broker, [5])
      const groupId = uniqueName('group')
      await withAdmin(broker, (admin) =>
        admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '3' }] }),
      )
      expect(await valuesOfGroup(kafka, groupId, topic, 2)).toEqual(['0/3', '0/4'])
    })

    it('admin.resetOffsets to the earliest: a member starts at the beginning', async () => {
      const kafka = kafkaOf(broker)
      const topic = await aTopicWith(broker, [2])
      const groupId = uniqueName('group')
      expect(await valuesOfGroup(kafka, groupId, topic, 2)).toEqual(['0/0', '0/1'])
      await withAdmin(broker, (admin) => admin.resetOffsets({ groupId, topic, earliest: true }))
      expect(await valuesOfGroup(kafka, groupId, topic, 2)).toEqual(['0/0', '0/1'])
    })

    it('admin.resetOffsets to the latest: the group has no offset any more', async () => {
      const kafka = kafkaOf(broker)
      const topic = await aTopicWith(broker, [4, 1])
      const groupId = uniqueName('group')
      expect(await valuesOfGroup(kafka, groupId, topic, 5)).toHaveLength(5)
      await withAdmin(broker, async (admin) => {
        await admin.resetOffsets({ groupId, topic, earliest: false })
        const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] })
        expect(committed!.partitions.map(({ offset }) => offset)).toEqual(['-1', '-1'])
      })
    })

    it('admin.fetchOffsets with resolveOffsets: the end as a number, which is committed', async () => {
      const topic = await aTopicWith(broker, [4, 1])
      const groupId = uniqueName('group')
      await seekToTheEnd(broker, groupId, topic, [0, 1])
      await withAdmin(broker, async (admin) => {
        const resolved = await admin.fetchOffsets({ groupId, topics: [topic], resolveOffsets: true })
        expect(byPartition(resolved[0]!.partitions).map(({ offset }) => offset)).toEqual(['4', '1'])
        expect(await admin.fetchOffsets({ groupId, topics: [topic] })).toEqual(resolved)
      })
    })

    it('admin.setOffsets to the offsets of a time: the group replays from there', async () => {
      const kafka = kafkaOf(broker)
      const topic = await aTopicWith(broker, [4])
      const groupId = uniqueName('group')
      await withAdmin(broker, async (admin) => {
        const partitions = await admin.fetchTopicOffsetsByTimestamp(topic, 2500)
        await admin.setOffsets({ groupId, topic, partitions })
      })
      expect(await valuesOfGroup(kafka, groupId, topic, 2)).toEqual(['0/2', '0/3'])
    })
  })

  it('admin.setOffsets of a group with a member is refused', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopicWith(broker, [1])
    const groupId = uniqueName('group')
    const consumer = await aConsumer(kafka, { groupId })
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const messages = await collect(consumer)
    await until(() => messages.length >= 1, { what: 'message' })

    const admin = await anAdmin(kafka)
    await expect(admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '0' }] })).rejects.toThrow(
      'The consumer group must have no running instances, current state: Stable',
    )
  })
})

type AdminClient = ReturnType<ReturnType<typeof kafkaOf>['admin']>

/** `anAdmin` for concurrent tests, which may not register their own clean-up. */
async function withAdmin<T>(broker: BrokerUnderTest, use: (admin: AdminClient) => Promise<T>): Promise<T> {
  const admin = kafkaOf(broker).admin()
  await admin.connect()
  try {
    return await use(admin)
  } finally {
    await admin.disconnect()
  }
}

/** What a member of the group gets until it has `count` messages. */
async function valuesOfGroup(
  kafka: ReturnType<typeof kafkaOf>,
  groupId: string,
  topic: string,
  count: number,
): Promise<string[]> {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50 })
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const messages = await collect(consumer)
    await until(() => messages.length >= count, { what: `${count} messages` })
    return messages.map(({ value }) => value!)
  } finally {
    await consumer.disconnect()
  }
}

/** Commits -1 for each partition, which stands for the end, by a member that comes and goes. */
async function seekToTheEnd(
  broker: BrokerUnderTest,
  groupId: string,
  topic: string,
  partitions: number[],
): Promise<void> {
  const consumer = kafkaOf(broker).consumer({ groupId, maxWaitTimeInMs: 50 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic] })
  const fetched = new Promise((resolve) => consumer.on(consumer.events.FETCH, resolve))
  const running = consumer.run({ eachMessage: async () => {} })
  for (const partition of partitions) consumer.seek({ topic, partition, offset: '-1' })
  await running
  await fetched
  await consumer.disconnect()
}

/** A topic with so many messages `partition/index` in each partition, one each second from 1000 ms on. */
async function aTopicWith(broker: BrokerUnderTest, counts: readonly number[]): Promise<string> {
  const kafka = kafkaOf(broker)
  const topic = await aTopic(kafka, { partitions: counts.length })
  const producer = kafka.producer()
  await producer.connect()
  const messages = counts.flatMap((count, partition) =>
    Array.from({ length: count }, (_, index) => ({
      partition,
      value: `${partition}/${index}`,
      timestamp: String(1000 * (index + 1)),
    })),
  )
  await producer.send({ topic, messages })
  await producer.disconnect()
  return topic
}

function byPartition<T extends { partition: number }>(entries: readonly T[]): T[] {
  return entries.toSorted((a, b) => a.partition - b.partition)
}
