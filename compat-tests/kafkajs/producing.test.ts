import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'
import { collect, read, readValues } from './reading.ts'

describeBroker('kafkajs produces', {}, (broker) => {
  it('producer.connect, producer.send and producer.disconnect: what was sent can be read', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = kafka.producer()
    await producer.connect()
    await producer.send({ topic, messages: [{ value: 'one' }, { value: 'two' }] })
    await producer.disconnect()

    await expect(producer.send({ topic, messages: [{ value: 'three' }] })).rejects.toThrow('disconnected')
    expect(await readValues(kafka, topic, 2)).toEqual(['one', 'two'])
  })

  it('producer.send tells partition, base offset and the start of the log', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    const messages = [{ value: 'a' }, { value: 'b' }, { value: 'c' }]

    const answers = [await producer.send({ topic, messages }), await producer.send({ topic, messages })]

    const answer = { topicName: topic, partition: 0, errorCode: 0, logAppendTime: '-1', logStartOffset: '0' }
    expect(answers).toEqual([[{ ...answer, baseOffset: '0' }], [{ ...answer, baseOffset: '3' }]])
  })

  it('producer.send keeps keys, values, tombstones, empty values and timestamps', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    await producer.send({
      topic,
      messages: [
        { key: 'text', value: 'ü€😀', timestamp: '1000000000000' },
        { key: Buffer.from('bytes'), value: Buffer.from('from bytes'), timestamp: '1000000000001' },
        { key: 'tombstone', value: null, timestamp: '1000000000002' },
        { key: '', value: '', timestamp: '1000000000003' },
        { key: null, value: 'no key', timestamp: '999999999999' },
      ],
    })

    expect((await read(kafka, topic, 5)).map(({ key, value, timestamp }) => [key, value, timestamp])).toEqual([
      ['text', 'ü€😀', '1000000000000'],
      ['bytes', 'from bytes', '1000000000001'],
      ['tombstone', null, '1000000000002'],
      ['', '', '1000000000003'],
      [null, 'no key', '999999999999'],
    ])
  })

  it('producer.send keeps headers, also repeated and empty ones', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    await producer.send({
      topic,
      messages: [
        { value: 'a', headers: { trace: 'abc', bytes: Buffer.from([1, 2]), empty: '', many: ['x', 'y'] } },
        { value: 'b' },
      ],
    })

    expect((await read(kafka, topic, 2)).map(({ headers }) => headers)).toEqual([
      { trace: 'abc', bytes: '\u0001\u0002', empty: '', many: ['x', 'y'] },
      {},
    ])
  })

  it.each([0, 1, -1])('producer.send with acks %i: the message arrives', async (acks) => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)

    const answer = await producer.send({ topic, acks, messages: [{ value: 'here' }] })

    expect(answer.map(({ errorCode }) => errorCode)).toEqual(acks === 0 ? [] : [0])
    expect(await readValues(kafka, topic, 1)).toEqual(['here'])
  })

  it('producer.sendBatch writes to several topics and partitions at once', async () => {
    const kafka = kafkaOf(broker)
    const [orders, payments] = [await aTopic(kafka, { partitions: 2 }), await aTopic(kafka)]
    const producer = await aProducer(kafka)

    const answer = await producer.sendBatch({
      acks: -1,
      topicMessages: [
        {
          topic: orders,
          messages: [
            { value: 'o0', partition: 0 },
            { value: 'o1', partition: 1 },
          ],
        },
        { topic: payments, messages: [{ value: 'p' }] },
        { topic: orders, messages: [{ value: 'o2', partition: 1 }] },
      ],
    })

    const places = answer.map(({ topicName, partition, baseOffset }) => `${topicName}/${partition} at ${baseOffset}`)
    expect(new Set(places)).toEqual(new Set([`${orders}/0 at 0`, `${orders}/1 at 0`, `${payments}/0 at 0`]))
    expect(new Set(await readValues(kafka, orders, 3))).toEqual(new Set(['o0', 'o1', 'o2']))
    expect(await readValues(kafka, payments, 1)).toEqual(['p'])
  })

  it('producer.isIdempotent: an idempotent producer with many requests in flight writes each message once', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka, { idempotent: true, maxInFlightRequests: 5 })
    expect(producer.isIdempotent()).toBe(true)
    expect(kafka.producer().isIdempotent()).toBe(false)

    const values = Array.from({ length: 50 }, (_, index) => `value ${index}`)
    await Promise.all(values.map((value) => producer.send({ topic, messages: [{ key: 'k', value }] })))

    // The client starts the requests in any order, so the order of the log is not the one of the calls.
    const stored = await readValues(kafka, topic, 50)
    expect(stored).toHaveLength(50)
    expect(new Set(stored)).toEqual(new Set(values))
  })

  it('producer.send of an idempotent producer goes on with its sequence over many batches', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: 2 })
    const producer = await aProducer(kafka, { idempotent: true })

    for (let round = 0; round < 10; round++) {
      const messages = [0, 1].map((partition) => ({ partition, value: `${partition}/${round}` }))
      await producer.send({ topic, messages })
    }

    const messages = await read(kafka, topic, 20)
    for (const partition of [0, 1]) {
      const values = messages.filter((message) => message.partition === partition).map(({ value }) => value)
      expect(values).toEqual(Array.from({ length: 10 }, (_, round) => `${partition}/${round}`))
    }
  })

  it('producer.send refuses acks other than all while idempotent', async () => {
    const producer = await aProducer(kafkaOf(broker), { idempotent: true })
    const sent = producer.send({ topic: uniqueName('topic'), acks: 1, messages: [{ value: 'x' }] })
    await expect(sent).rejects.toThrow('invalidates the idempotent producer')
  })

  it('producer.send creates a topic that does not exist', async () => {
    const kafka = kafkaOf(broker)
    const topic = uniqueName('created-by-produce')
    const producer = await aProducer(kafka, { allowAutoTopicCreation: true })
    await producer.send({ topic, messages: [{ value: 'first' }] })

    const admin = await anAdmin(kafka)
    expect(await admin.listTopics()).toContain(topic)
    expect(await readValues(kafka, topic, 1)).toEqual(['first'])
  })

  it('producer.send to a topic with LogAppendTime gets and stores the time of the broker', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { config: { 'message.timestamp.type': 'LogAppendTime' } })
    const producer = await aProducer(kafka)

    const before = Date.now()
    const [answer] = await producer.send({ topic, messages: [{ value: 'x', timestamp: '1000' }] })
    const after = Date.now()

    expect(Number(answer?.logAppendTime)).toBeGreaterThanOrEqual(before)
    expect(Number(answer?.logAppendTime)).toBeLessThanOrEqual(after)
    expect((await read(kafka, topic, 1))[0]?.timestamp).toBe(answer?.logAppendTime)
  })

  it('producer.send with many messages of all sizes: the consumer gets them complete and in order', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    const values = Array.from({ length: 400 }, (_, index) => `${index}:`.padEnd((index * index) % 20_011, '.'))

    for (let at = 0; at < values.length; at += 40) {
      await producer.send({ topic, messages: values.slice(at, at + 40).map((value) => ({ value })) })
    }

    const messages = await read(kafka, topic, values.length)
    expect(messages.map(({ offset }) => Number(offset))).toEqual(values.map((_, index) => index))
    expect(messages.map(({ value }) => value)).toEqual(values)
  })

  it('producer.send wakes a consumer that waits for messages', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    // Long enough that the message can only arrive in time if the append answers the waiting fetch.
    const consumer = await aConsumer(kafka, { maxWaitTimeInMs: 2500 })
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const fetching = new Promise((resolve) => consumer.on(consumer.events.FETCH_START, resolve))
    const messages = await collect(consumer)
    await fetching

    const producer = await aProducer(kafka)
    await producer.send({ topic, messages: [{ value: 'wake up' }] })

    await until(() => messages.length > 0, { what: 'message before the fetch times out', timeoutMs: 1500 })
    expect(messages.map(({ value }) => value)).toEqual(['wake up'])
  })

  it('producer.send accepts a batch of exactly max.message.bytes and none above', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { config: { 'max.message.bytes': '10000' } })
    const producer = await aProducer(kafka)
    // 61 bytes of batch header; of the record its length (3), attributes, timestamp, offset, key (1 each), the length
    // of the value (3) and the number of headers (1).
    const largest = 10_000 - 61 - 3 - 4 - 3 - 1

    await producer.send({ topic, messages: [{ value: 'x'.repeat(largest) }] })
    const tooLarge = producer.send({ topic, messages: [{ value: 'x'.repeat(largest + 1) }] })

    await expect(tooLarge).rejects.toMatchObject({ name: 'KafkaJSProtocolError', type: 'MESSAGE_TOO_LARGE', code: 10 })
    expect(await readValues(kafka, topic, 1)).toHaveLength(1)
  })
})
