import type { Consumer, ConsumerCommitOffsetsEvent, ConsumerRunConfig } from 'kafkajs'
import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'
import { collect } from './reading.ts'

describeBroker('kafkajs commits', {}, (broker) => {
  it('consumer.run commits by itself what it has processed', async () => {
    const { topic, groupId, consumer } = await aConsumerOf(10)
    const messages = await collect(consumer)
    await until(() => messages.length >= 10, { what: 'all messages' })
    await consumer.stop()
    expect(await committed(groupId, topic)).toBe('10')
  })

  it('consumer.run with autoCommitThreshold: commits after so many messages, within a batch', async () => {
    const { consumer } = await aConsumerOf(10)
    const commits = await commitsOf(consumer, { autoCommitThreshold: 4 })
    expect(commits).toEqual(['4', '8', '10'])
  })

  it('consumer.run with autoCommitInterval: commits when so much time has passed, within a batch', async () => {
    const { consumer } = await aConsumerOf(10)
    const commits = await commitsOf(consumer, { autoCommitInterval: 30, slowness: 20 })
    expect(commits.at(-1)).toBe('10')
    expect(commits.length).toBeGreaterThan(2)
    expect(commits.length).toBeLessThan(10)
  })

  it('consumer.commitOffsets with autoCommit off: only what was committed by hand counts', async () => {
    const { topic, groupId, consumer } = await aConsumerOf(10)
    let processed = 0
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        processed++
        if (message.offset !== '6') return
        await consumer.commitOffsets([{ topic, partition, offset: '7', metadata: 'seven so far' }])
      },
    })
    await until(() => processed === 10, { what: 'all messages' })
    await consumer.disconnect()

    const admin = await anAdmin(kafkaOf(broker))
    expect(await admin.fetchOffsets({ groupId, topics: [topic] })).toEqual([
      { topic, partitions: [{ partition: 0, offset: '7', metadata: 'seven so far' }] },
    ])
    const next = await aConsumer(kafkaOf(broker), { groupId })
    await next.subscribe({ topics: [topic], fromBeginning: true })
    const rest = await collect(next)
    await until(() => rest.length >= 3, { what: 'rest' })
    expect(rest.map(({ offset }) => offset)).toEqual(['7', '8', '9'])
  })

  it('consumer.commitOffsets may go back: the next member reads again', async () => {
    const { topic, groupId, consumer } = await aConsumerOf(4)
    const messages = await collect(consumer)
    await until(() => messages.length >= 4, { what: 'all messages' })
    await until(async () => (await committed(groupId, topic)) === '4', { what: 'commit of all' })
    await consumer.commitOffsets([{ topic, partition: 0, offset: '1' }])
    expect(await committed(groupId, topic)).toBe('1')
  })

  it('consumer.commitOffsets of a topic that does not exist is refused', async () => {
    const { consumer } = await aConsumerOf(1)
    const messages = await collect(consumer)
    await until(() => messages.length >= 1, { what: 'message' })
    const commit = consumer.commitOffsets([{ topic: uniqueName('missing'), partition: 0, offset: '1' }])
    await expect(commit).rejects.toMatchObject({
      name: 'KafkaJSNumberOfRetriesExceeded',
      cause: { type: 'UNKNOWN_TOPIC_OR_PARTITION', code: 3 },
    })
  })

  it('consumer.commitOffsets with metadata longer than offset.metadata.max.bytes is refused', async () => {
    const { topic, consumer } = await aConsumerOf(1)
    const messages = await collect(consumer)
    await until(() => messages.length >= 1, { what: 'message' })

    await consumer.commitOffsets([{ topic, partition: 0, offset: '1', metadata: 'm'.repeat(4096) }])
    const commit = consumer.commitOffsets([{ topic, partition: 0, offset: '1', metadata: 'm'.repeat(4097) }])
    await expect(commit).rejects.toMatchObject({ cause: { type: 'OFFSET_METADATA_TOO_LARGE', code: 12 } })
  })

  it('consumer.run of another group: each group has offsets of its own', async () => {
    const { topic, groupId, consumer } = await aConsumerOf(3)
    const messages = await collect(consumer)
    const other = await aConsumer(kafkaOf(broker))
    await other.subscribe({ topics: [topic], fromBeginning: true })
    const otherMessages = await collect(other)

    await until(() => messages.length >= 3 && otherMessages.length === 3, { what: 'messages in both groups' })
    await until(async () => (await committed(groupId, topic)) === '3', { what: 'commit' })
    expect(await committed(uniqueName('third-group'), topic)).toBe('-1')
  })

  async function aConsumerOf(count: number): Promise<{ topic: string; groupId: string; consumer: Consumer }> {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    await producer.send({ topic, messages: Array.from({ length: count }, (_, index) => ({ value: `${index}` })) })
    const groupId = uniqueName('group')
    const consumer = await aConsumer(kafka, { groupId, retry: { initialRetryTime: 10, retries: 2 } })
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    return { topic, groupId, consumer }
  }

  async function committed(groupId: string, topic: string): Promise<string | undefined> {
    const admin = await anAdmin(kafkaOf(broker))
    const offsets = await admin.fetchOffsets({ groupId, topics: [topic] })
    return offsets[0]?.partitions[0]?.offset
  }

  /** Runs until ten messages are committed and tells which offsets were, one after the other. */
  async function commitsOf(consumer: Consumer, config: ConsumerRunConfig & { slowness?: number }): Promise<string[]> {
    const { slowness = 0, ...run } = config
    const commits: string[] = []
    consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }: ConsumerCommitOffsetsEvent) => {
      commits.push(payload.topics[0]!.partitions[0]!.offset)
    })
    await consumer.run({
      ...run,
      eachMessage: () => new Promise((resolve) => setTimeout(resolve, slowness)),
    })
    await until(() => commits.at(-1) === '10', { what: 'last commit' })
    return commits
  }
})
