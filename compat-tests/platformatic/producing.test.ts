import {
  compatibilityPartitioner,
  CompressionAlgorithms,
  ProduceAcks,
  ProducerStreamReportModes,
} from '@platformatic/kafka'
import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { anAdmin, aProducer, aTopic, refusal } from './clients.ts'
import { read, readValues } from './reading.ts'

describeBroker('@platformatic/kafka produces', {}, (broker) => {
  it('producer.send and producer.close: tells the offsets, and what was sent can be read', async () => {
    const topic = await aTopic(broker)
    const producer = aProducer(broker)
    const messages = ['a', 'b', 'c'].map((value) => ({ topic, value }))

    const answers = [await producer.send({ messages }), await producer.send({ messages })]
    await producer.close()

    expect(answers.map(({ offsets }) => offsets)).toEqual([
      [{ topic, partition: 0, offset: 0n }],
      [{ topic, partition: 0, offset: 3n }],
    ])
    await expect(producer.send({ messages })).rejects.toThrow('closed')
    expect(await readValues(broker, topic, 6)).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
  })

  it('producer.send keeps keys, headers, tombstones, empty values and timestamps', async () => {
    const topic = await aTopic(broker)
    const producer = aProducer(broker)
    await producer.send({
      messages: [
        { topic, key: 'k', value: 'ü€😀', timestamp: 1_000_000_000_000n, headers: { trace: 'abc', empty: '' } },
        { topic, key: 'tombstone', timestamp: 1_000_000_000_001n },
        { topic, key: '', value: '', timestamp: 999_999_999_999n },
      ],
    })

    const messages = await read(broker, topic, 3)
    expect(
      messages.map(({ key, value, timestamp, headers }) => [key, value, timestamp, Object.fromEntries(headers)]),
    ).toEqual([
      ['k', 'ü€😀', 1_000_000_000_000n, { trace: 'abc', empty: '' }],
      ['tombstone', undefined, 1_000_000_000_001n, {}],
      ['', '', 999_999_999_999n, {}],
    ])
  })

  it.each(Object.values(CompressionAlgorithms))('producer.send with compression %s', async (compression) => {
    const topic = await aTopic(broker)
    const producer = aProducer(broker, { compression })
    const values = Array.from({ length: 200 }, (_, index) => `${index} `.repeat(index))
    await producer.send({ messages: values.map((value) => ({ topic, value })) })
    expect(await readValues(broker, topic, values.length)).toEqual(values)
  })

  it.each([
    ['none', ProduceAcks.NO_RESPONSE],
    ['the leader', ProduceAcks.LEADER],
    ['all', ProduceAcks.ALL],
  ])('producer.send with acks of %s: the message arrives', async (_, acks) => {
    const topic = await aTopic(broker)
    const producer = aProducer(broker)
    const { offsets } = await producer.send({ acks, messages: [{ topic, value: 'here' }] })
    expect(offsets ?? []).toHaveLength(acks === ProduceAcks.NO_RESPONSE ? 0 : 1)
    expect(await readValues(broker, topic, 1)).toEqual(['here'])
  })

  it('producer.send to several topics and partitions at once', async () => {
    const [orders, payments] = [await aTopic(broker, { partitions: 2 }), await aTopic(broker)]
    const producer = aProducer(broker)
    const { offsets } = await producer.send({
      messages: [
        { topic: orders, partition: 0, value: 'o0' },
        { topic: payments, value: 'p' },
        { topic: orders, partition: 1, value: 'o1' },
      ],
    })
    const places = offsets!.map(({ topic, partition, offset }) => `${topic}/${partition} at ${offset}`)
    expect(new Set(places)).toEqual(new Set([`${orders}/0 at 0`, `${orders}/1 at 0`, `${payments}/0 at 0`]))
    expect(new Set(await readValues(broker, orders, 2))).toEqual(new Set(['o0', 'o1']))
  })

  it('producer.initIdempotentProducer: an id and an epoch of its own, and each message once in order', async () => {
    const topic = await aTopic(broker, { partitions: 3 })
    const producer = aProducer(broker, { idempotent: true })
    const first = await producer.initIdempotentProducer({})
    const second = await aProducer(broker).initIdempotentProducer({ idempotent: true })
    expect(first.producerEpoch).toBe(0)
    expect(second.producerId).not.toBe(first.producerId)

    for (let round = 0; round < 10; round++) {
      await producer.send({ messages: [0, 1, 2].map((partition) => ({ topic, partition, value: `${round}` })) })
    }
    const messages = await read(broker, topic, 30)
    for (const partition of [0, 1, 2]) {
      const values = messages.filter((message) => message.partition === partition).map(({ value }) => value)
      expect(values).toEqual(Array.from({ length: 10 }, (_, round) => `${round}`))
    }
  })

  it('producer.send with many requests in flight, idempotent: each message once', async () => {
    const topic = await aTopic(broker)
    const producer = aProducer(broker, { idempotent: true, maxInflights: 5 })
    const values = Array.from({ length: 40 }, (_, index) => `${index}`)
    await Promise.all(values.map((value) => producer.send({ messages: [{ topic, value }] })))
    const stored = await readValues(broker, topic, 40)
    expect(stored).toHaveLength(40)
    expect(new Set(stored)).toEqual(new Set(values))
  })

  it('producer.asStream and producerStream.close: batches of what is written, with a report for each', async () => {
    const topic = await aTopic(broker)
    const producer = aProducer(broker)
    const stream = producer.asStream({ batchSize: 10, batchTime: 20, reportMode: ProducerStreamReportModes.BATCH })
    const reports: number[] = []
    stream.on('data', () => {})
    stream.on('delivery-report', ({ count }: { count: number }) => reports.push(count))
    const values = Array.from({ length: 25 }, (_, index) => `${index}`)
    for (const value of values) stream.write({ topic, value })
    await stream.close()

    expect(await readValues(broker, topic, 25)).toEqual(values)
    expect(reports).toEqual([10, 10, 5])
  })

  it('producer.getSendTopicPartitions, producer.getSendBrokers and producer.getSendConnections: where it would go', async () => {
    const topic = await aTopic(broker, { partitions: 3 })
    const producer = aProducer(broker)
    const messages = [0, 2].map((partition) => ({ topic, partition, value: 'x' }))
    await producer.metadata({ topics: [topic] })

    expect(producer.getSendTopicPartitions({ messages })).toEqual(new Map([[topic, new Set([0, 2])]]))
    const brokers = Object.values(await producer.getSendBrokers({ messages }))
    expect(new Set(brokers.map(({ host, port }) => `${host}:${port}`))).toEqual(new Set([broker.bootstrap]))
    expect(Object.values(await producer.getSendConnections({ messages })).length).toBeGreaterThan(0)
  })

  it('producer.send with the partitioner that is compatible with Java: a key goes where Java sends it', async () => {
    const topic = await aTopic(broker, { partitions: 5 })
    const producer = aProducer(broker, { partitioner: compatibilityPartitioner })
    // Hashes as the unit tests of Kafka's own client give them.
    const hashes = {
      '21': -973_932_308,
      foobar: -790_332_482,
      'a-little-bit-long-string': -985_981_536,
      abc: 479_470_107,
    }
    await producer.send({ messages: Object.keys(hashes).map((key) => ({ topic, key, value: 'x' })) })

    const places = (await read(broker, topic, 4)).map(({ key, partition }) => [key, partition])
    const expected = Object.entries(hashes).map(([key, hash]) => [key, (hash & 0x7f_ff_ff_ff) % 5])
    expect(Object.fromEntries(places)).toEqual(Object.fromEntries(expected))
  })

  it('producer.send creates a topic that does not exist', async () => {
    const topic = uniqueName('created-by-produce')
    const producer = aProducer(broker, { autocreateTopics: true })
    await producer.send({ messages: [{ topic, value: 'first' }] })
    expect(await anAdmin(broker).listTopics()).toContain(topic)
    expect(await readValues(broker, topic, 1)).toEqual(['first'])
  })

  it('producer.send to a topic that does not exist, without creating it, is refused', async () => {
    const topic = uniqueName('missing')
    const producer = aProducer(broker, { autocreateTopics: false, retries: 1 })
    await expect(producer.send({ messages: [{ topic, value: 'x' }] })).rejects.toThrow(`Unknown topic ${topic}`)
    expect(await anAdmin(broker).listTopics()).not.toContain(topic)
  })

  it('producer.send of more than max.message.bytes is refused', async () => {
    const topic = await aTopic(broker, { configs: { 'max.message.bytes': '1000' } })
    const producer = aProducer(broker, { retries: 0 })
    expect(await refusal(producer.send({ messages: [{ topic, value: 'x'.repeat(1000) }] }))).toEqual([
      'MESSAGE_TOO_LARGE',
    ])
  })

  it('producer.send without a key to a compacted topic is refused', async () => {
    const topic = await aTopic(broker, { configs: { 'cleanup.policy': 'compact' } })
    const producer = aProducer(broker, { retries: 0 })
    expect(await refusal(producer.send({ messages: [{ topic, value: 'x' }] }))).toContain('INVALID_RECORD')
  })

  it('producer.isActive and producer.isConnected: from the first request to the end', async () => {
    const producer = aProducer(broker)
    expect(producer.isConnected()).toBe(false)
    await producer.send({ messages: [{ topic: await aTopic(broker), value: 'x' }] })
    expect([producer.isActive(), producer.isConnected()]).toEqual([true, true])
    await producer.close()
    await until(() => !producer.isConnected(), { what: 'closed connection' })
    expect(producer.isActive()).toBe(false)
  })
})
