import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'

const settings = { 'auto.create.topics.enable': 'false' }

describeBroker('kafkajs is refused', { settings }, (broker) => {
  it('producer.send to a topic that does not exist while auto-create is off', async () => {
    const topic = uniqueName('missing')
    const producer = await aProducer(kafkaOf(broker), { retry: { retries: 1 } })
    await expect(producer.send({ topic, messages: [{ value: 'x' }] })).rejects.toMatchObject({
      name: 'KafkaJSNumberOfRetriesExceeded',
      cause: { name: 'KafkaJSProtocolError', type: 'UNKNOWN_TOPIC_OR_PARTITION', code: 3, retriable: true },
    })
    const admin = await anAdmin(kafkaOf(broker))
    expect(await admin.listTopics()).not.toContain(topic)
  })

  it('consumer.subscribe to a topic that does not exist while auto-create is off', async () => {
    const consumer = await aConsumer(kafkaOf(broker))
    await expect(consumer.subscribe({ topics: [uniqueName('missing')] })).rejects.toMatchObject({
      type: 'UNKNOWN_TOPIC_OR_PARTITION',
      code: 3,
    })
  })

  it.each([
    ['with a space', 'white space'],
    ['with a slash', 'sl/ash'],
    ['of a dot', '.'],
    ['of 250 characters', 'n'.repeat(250)],
  ])('producer.send to a topic name %s', async (_, topic) => {
    const producer = await aProducer(kafkaOf(broker))
    await expect(producer.send({ topic, messages: [{ value: 'x' }] })).rejects.toMatchObject({
      name: 'KafkaJSNonRetriableError',
      cause: { type: 'INVALID_TOPIC_EXCEPTION', code: 17 },
    })
  })

  it('producer.send to a topic of the broker itself', async () => {
    const consumer = await aConsumer(kafkaOf(broker))
    // Asking for a coordinator creates the topic.
    await until(() => consumer.describeGroup(), { what: 'coordinator' })
    const producer = await aProducer(kafkaOf(broker))
    const sent = producer.send({ topic: '__consumer_offsets', messages: [{ key: 'k', value: 'v' }] })
    await expect(sent).rejects.toMatchObject({ type: 'INVALID_TOPIC_EXCEPTION', code: 17 })
  })

  it('producer.send with an unknown number of acks', async () => {
    const topic = await aTopic(kafkaOf(broker))
    const producer = await aProducer(kafkaOf(broker), { retry: { retries: 0 } })
    await expect(producer.send({ topic, acks: 2, messages: [{ value: 'x' }] })).rejects.toMatchObject({
      type: 'INVALID_REQUIRED_ACKS',
      code: 21,
    })
  })

  it('producer.send with acks all, but not for want of in-sync replicas that the topic does not have', async () => {
    const topic = await aTopic(kafkaOf(broker), { config: { 'min.insync.replicas': '2' } })
    const producer = await aProducer(kafkaOf(broker))
    // Kafka asks for at most as many as there are replicas.
    const [answer] = await producer.send({ topic, acks: -1, messages: [{ value: 'x' }] })
    expect(answer).toMatchObject({ errorCode: 0, baseOffset: '0' })
  })

  it('producer.send without a key to a compacted topic', async () => {
    const topic = await aTopic(kafkaOf(broker), { config: { 'cleanup.policy': 'compact' } })
    const producer = await aProducer(kafkaOf(broker))
    await expect(producer.send({ topic, messages: [{ key: 'k', value: 'x' }, { value: 'x' }] })).rejects.toMatchObject({
      code: 87,
    })
    expect(await producer.send({ topic, messages: [{ key: 'k', value: null }] })).toMatchObject([{ baseOffset: '0' }])
  })

  it.each([
    ['far in the future', 2 * 3_600_000],
    ['older than allowed', -2 * 3_600_000],
  ])('producer.send with a timestamp %s', async (_, distanceMs) => {
    const topic = await aTopic(kafkaOf(broker), {
      config: { 'message.timestamp.after.max.ms': '3600000', 'message.timestamp.before.max.ms': '3600000' },
    })
    const producer = await aProducer(kafkaOf(broker))
    const timestamp = String(Date.now() + distanceMs)
    await expect(producer.send({ topic, messages: [{ value: 'x', timestamp }] })).rejects.toMatchObject({
      type: 'INVALID_TIMESTAMP',
      code: 32,
    })
  })

  it('producer.sendBatch of a good and a bad topic: the error is told, the good messages are written', async () => {
    const [good, bad] = [
      await aTopic(kafkaOf(broker)),
      await aTopic(kafkaOf(broker), { config: { 'max.message.bytes': '100' } }),
    ]
    const producer = await aProducer(kafkaOf(broker))
    const value = 'x'.repeat(1000)
    const sent = producer.sendBatch({
      topicMessages: [good, bad].map((topic) => ({ topic, messages: [{ value }] })),
    })
    await expect(sent).rejects.toMatchObject({ type: 'MESSAGE_TOO_LARGE', code: 10 })

    const admin = await anAdmin(kafkaOf(broker))
    expect((await admin.fetchTopicOffsets(good))[0]?.high).toBe('1')
    expect((await admin.fetchTopicOffsets(bad))[0]?.high).toBe('0')
  })

  it('admin.fetchTopicOffsets of a topic that does not exist', async () => {
    const admin = await anAdmin(kafkaOf(broker), { retry: { retries: 0 } })
    await expect(admin.fetchTopicOffsets(uniqueName('missing'))).rejects.toMatchObject({
      cause: { type: 'UNKNOWN_TOPIC_OR_PARTITION', code: 3 },
    })
  })
})
