import type { Kafka, Producer } from 'kafkajs'
import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'
import { collect, readValues, type ReadMessage } from './reading.ts'

// A transaction that is left open is to be aborted soon after its time is up.
const settings = { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '200' }

describeBroker('kafkajs has transactions', { settings, process: true }, (broker) => {
  it('producer.transaction and transaction.commit: messages are there for everybody once they are committed', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aTransactional(kafka)
    const committed = await follow(kafka, topic)
    const all = await follow(kafka, topic, { readUncommitted: true })

    const transaction = await producer.transaction()
    const answers = await transaction.send({ topic, messages: [{ value: 'one' }, { value: 'two' }] })
    expect(answers).toMatchObject([{ partition: 0, errorCode: 0, baseOffset: '0' }])
    await until(() => all.length === 2, { what: 'messages for who reads what is not committed' })
    expect(committed).toEqual([])

    await transaction.commit()
    await until(() => committed.length === 2, { what: 'messages for who reads what is committed' })
    expect(valuesOf(committed)).toEqual(['one', 'two'])
    // The commit takes an offset of its own.
    await (await aProducer(kafka)).send({ topic, messages: [{ value: 'three' }] })
    await until(() => committed.length === 3, { what: 'message behind the transaction' })
    expect(committed.map(({ offset }) => offset)).toEqual(['0', '1', '3'])
  })

  it('transaction.abort: who reads what is committed sees nothing of it, and what comes later', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aTransactional(kafka)
    for (const [round, ending] of (['abort', 'commit', 'abort', 'abort', 'commit'] as const).entries()) {
      const transaction = await producer.transaction()
      for (let i = 0; i < 3; i++) await transaction.send({ topic, messages: [{ value: `${round}.${i} ${ending}` }] })
      await transaction[ending]()
    }
    const expected = [1, 4].flatMap((round) => [0, 1, 2].map((i) => `${round}.${i} commit`))
    expect(await readValues(kafka, topic, expected.length)).toEqual(expected)
    const all = await follow(kafka, topic, { readUncommitted: true })
    await until(() => all.length === 15, { what: 'all messages, aborted ones too' })
  })

  it('transaction.isActive: until it has ended, after which nothing is taken', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aTransactional(kafka)
    for (const ending of ['commit', 'abort'] as const) {
      const transaction = await producer.transaction()
      expect(transaction.isActive()).toBe(true)
      await transaction.send({ topic, messages: [{ value: ending }] })
      expect(transaction.isActive()).toBe(true)
      await transaction[ending]()
      expect(transaction.isActive()).toBe(false)
      await expect(transaction.send({ topic, messages: [{ value: 'too late' }] })).rejects.toThrow(/ended/)
      await expect(transaction[ending]()).rejects.toThrow(/ended/)
    }
    expect(await readValues(kafka, topic, 1)).toEqual(['commit'])
  })

  it('transaction.commit and transaction.abort: also of a transaction without a message', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aTransactional(kafka)
    await (await producer.transaction()).commit()
    await (await producer.transaction()).abort()
    await committing(producer, topic, ['after them'])
    expect(await readValues(kafka, topic, 1)).toEqual(['after them'])
  })

  it('transaction.sendBatch: over topics and partitions, all or nothing', async () => {
    const kafka = kafkaOf(broker)
    const topics = [await aTopic(kafka, { partitions: 3 }), await aTopic(kafka)]
    const producer = await aTransactional(kafka)
    for (const ending of ['abort', 'commit'] as const) {
      const transaction = await producer.transaction()
      await transaction.sendBatch({
        topicMessages: topics.map((topic) => ({
          topic,
          messages: [0, 1, 2, 3, 4, 5].map((i) => ({
            value: `${ending} ${i}`,
            ...(topic === topics[0] ? { partition: i % 3 } : {}),
          })),
        })),
      })
      await transaction[ending]()
    }
    for (const topic of topics) {
      expect(new Set(await readValues(kafka, topic, 6))).toEqual(new Set([0, 1, 2, 3, 4, 5].map((i) => `commit ${i}`)))
    }
  })

  it('transaction.sendOffsets: a group goes on from there if the transaction is committed, and only then', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: 2 })
    const admin = await anAdmin(kafka)
    const groupId = uniqueName('group')
    const producer = await aTransactional(kafka)
    const offsets = async (): Promise<string[]> => {
      const [answer] = await admin.fetchOffsets({ groupId, topics: [topic] })
      return answer!.partitions.toSorted((a, b) => a.partition - b.partition).map(({ offset }) => offset)
    }

    const first = await producer.transaction()
    await first.sendOffsets({
      consumerGroupId: groupId,
      topics: [{ topic, partitions: [{ partition: 0, offset: '7' }] }],
    })
    expect(await offsets()).toEqual(['-1', '-1'])
    await first.commit()
    await until(async () => (await offsets())[0] === '7', { what: 'the committed offset' })

    const second = await producer.transaction()
    await second.sendOffsets({
      consumerGroupId: groupId,
      topics: [
        {
          topic,
          partitions: [
            { partition: 0, offset: '9' },
            { partition: 1, offset: '3' },
          ],
        },
      ],
    })
    await second.abort()
    await committing(producer, topic, ['so that the abort is over'])
    expect(await offsets()).toEqual(['7', '-1'])
  })

  it('producer.transaction: an open one holds back what others send behind it', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const slow = await aTransactional(kafka)
    const quick = await aTransactional(kafka)
    const plain = await aProducer(kafka)
    const committed = await follow(kafka, topic)

    const open = await slow.transaction()
    await plain.send({ topic, messages: [{ value: 'before' }] })
    await open.send({ topic, messages: [{ value: 'slow' }] })
    await committing(quick, topic, ['quick'])
    await plain.send({ topic, messages: [{ value: 'after' }] })
    await until(() => committed.length >= 1, { what: 'message before the open transaction' })
    expect(valuesOf(committed)).toEqual(['before'])

    await open.abort()
    await until(() => committed.length >= 3, { what: 'messages that were held back' })
    expect(valuesOf(committed)).toEqual(['before', 'quick', 'after'])
  })

  it('producer.transaction: what one of the same id left open is aborted, and it is fenced', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const transactionalId = uniqueName('transactional')
    const zombie = await aTransactional(kafka, transactionalId)
    const left = await zombie.transaction()
    await left.send({ topic, messages: [{ value: 'left behind' }] })

    const successor = await aTransactional(kafka, transactionalId)
    await committing(successor, topic, ['of the successor'])
    await expect(left.send({ topic, messages: [{ value: 'of the zombie' }] })).rejects.toMatchObject({
      name: 'KafkaJSProtocolError',
      type: expect.stringMatching(/INVALID_PRODUCER_EPOCH|PRODUCER_FENCED/),
    })
    await expect(left.commit()).rejects.toMatchObject({
      type: expect.stringMatching(/INVALID_PRODUCER_EPOCH|PRODUCER_FENCED/),
    })
    expect(await readValues(kafka, topic, 1)).toEqual(['of the successor'])
    await committing(successor, topic, ['and again'])
    expect(await readValues(kafka, topic, 2)).toEqual(['of the successor', 'and again'])
  })

  it('producer.transaction: one that takes longer than its time is aborted by the broker', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aTransactional(kafka, uniqueName('transactional'), 300)
    const committed = await follow(kafka, topic)
    const open = await producer.transaction()
    await open.send({ topic, messages: [{ value: 'too slow' }] })
    await (await aProducer(kafka)).send({ topic, messages: [{ value: 'behind it' }] })
    await until(() => committed.length === 1, { what: 'message behind the transaction' })
    expect(valuesOf(committed)).toEqual(['behind it'])
    await expect(open.commit()).rejects.toMatchObject({
      type: expect.stringMatching(/INVALID_PRODUCER_EPOCH|PRODUCER_FENCED|INVALID_TXN_STATE/),
    })
  })

  it('producer.transaction and transaction.sendOffsets: what is copied arrives once, with aborts on the way', async () => {
    const kafka = kafkaOf(broker)
    const [input, output] = [await aTopic(kafka), await aTopic(kafka)]
    const messages = Array.from({ length: 100 }, (_, i) => ({ value: String(i) }))
    await (await aProducer(kafka)).send({ topic: input, messages })
    const groupId = uniqueName('group')
    const producer = await aTransactional(kafka)
    let attempt = 0
    const consumer = await aConsumer(kafka, { groupId })
    await consumer.subscribe({ topics: [input], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch }) => {
        // A few at a time, so that there are many transactions; what is not resolved comes again.
        const some = batch.messages.slice(0, 7)
        const transaction = await producer.transaction()
        await transaction.send({ topic: output, messages: some.map(({ value }) => ({ value })) })
        const next = String(Number(some.at(-1)!.offset) + 1)
        await transaction.sendOffsets({
          consumerGroupId: groupId,
          topics: [{ topic: input, partitions: [{ partition: 0, offset: next }] }],
        })
        if (attempt++ % 3 === 0) {
          await transaction.abort()
          consumer.seek({ topic: input, partition: 0, offset: some[0]!.offset })
        } else {
          await transaction.commit()
          consumer.seek({ topic: input, partition: 0, offset: next })
        }
      },
    })
    expect(await readValues(kafka, output, 100)).toEqual(messages.map(({ value }) => value))
    expect(attempt).toBeGreaterThan(15)
  })

  it('producer.transaction: over a kill of the broker, what was committed is there and what was open is not', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const transactionalId = uniqueName('transactional')
    const producer = await aTransactional(kafka, transactionalId)
    await committing(producer, topic, ['committed'])
    const open = await producer.transaction()
    await open.send({ topic, messages: [{ value: 'open' }] })

    await broker.restart({ crash: true })

    const successor = await until(() => aTransactional(kafka, transactionalId), { what: 'a producer of the same id' })
    await committing(successor, topic, ['after the kill'])
    expect(await readValues(kafka, topic, 2)).toEqual(['committed', 'after the kill'])
  })
})

async function aTransactional(
  kafka: Kafka,
  transactionalId = uniqueName('transactional'),
  transactionTimeout = 30_000,
): Promise<Producer> {
  return aProducer(kafka, { transactionalId, transactionTimeout, idempotent: true, maxInFlightRequests: 1 })
}

async function committing(producer: Producer, topic: string, values: readonly string[]): Promise<void> {
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages: values.map((value) => ({ value })) })
  await transaction.commit()
}

/** What a consumer of a group of its own gets of the topic, as it comes. */
async function follow(kafka: Kafka, topic: string, config: { readUncommitted?: boolean } = {}): Promise<ReadMessage[]> {
  const consumer = await aConsumer(kafka, config)
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  return collect(consumer)
}

function valuesOf(messages: readonly ReadMessage[]): (string | null)[] {
  return messages.map(({ value }) => value)
}
