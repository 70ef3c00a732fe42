import { FetchIsolationLevels, MessagesStreamFallbackModes, MessagesStreamModes } from '@platformatic/kafka'
import { expect, it } from 'vitest'
import { type BrokerUnderTest, describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, refusal, type TextMessage, type TextProducer } from './clients.ts'
import { collect, readValues } from './reading.ts'

describeBroker('@platformatic/kafka has transactions', {}, (broker) => {
  it('producer.beginTransaction, transaction.send, transaction.commit and transaction.abort', async () => {
    const topic = await aTopic(broker)
    const producer = aTransactional(broker)
    const everything = await follow(broker, topic, FetchIsolationLevels.READ_UNCOMMITTED)
    const committed = await follow(broker, topic)
    for (const ending of ['commit', 'abort', 'abort', 'commit'] as const) {
      const transaction = await producer.beginTransaction()
      await expect(producer.beginTransaction()).rejects.toThrow('already an active transaction')
      for (const value of [`${ending} 1`, `${ending} 2`]) await transaction.send({ messages: [{ topic, value }] })
      expect(transaction.completed).toBe(false)
      if (ending === 'commit') await transaction.commit()
      else await transaction.abort()
      expect(transaction.completed).toBe(true)
      await expect(transaction.send({ messages: [{ topic, value: 'too late' }] })).rejects.toThrow('completed')
    }
    await until(() => committed.length === 4, { what: 'committed messages' })
    expect(valuesOf(committed)).toEqual(['commit 1', 'commit 2', 'commit 1', 'commit 2'])
    await until(() => everything.length === 8, { what: 'all messages' })
  })

  it('transaction.send: is held back until the end, together with what others send behind it', async () => {
    const topic = await aTopic(broker)
    const producer = aTransactional(broker)
    const committed = await follow(broker, topic)
    const transaction = await producer.beginTransaction()
    await transaction.send({ messages: [{ topic, value: 'in it' }] })
    await aProducer(broker).send({ messages: [{ topic, value: 'behind it' }] })
    const everything = await follow(broker, topic, FetchIsolationLevels.READ_UNCOMMITTED)
    await until(() => everything.length === 2, { what: 'what is written' })
    expect(committed).toEqual([])
    await transaction.commit()
    await until(() => committed.length === 2, { what: 'what is committed' })
    expect(valuesOf(committed)).toEqual(['in it', 'behind it'])
  })

  it('transaction.addPartitions: tells the coordinator before anything is sent', async () => {
    const topic = await aTopic(broker, { partitions: 2 })
    const producer = aTransactional(broker)
    const transaction = await producer.beginTransaction()
    const metadata = await producer.metadata({ topics: [topic] })
    const record = { topic, partition: 1, value: Buffer.from('v') } as unknown as Parameters<
      typeof transaction.addPartitions
    >[1][0]
    await transaction.addPartitions(metadata, [record])
    await transaction.send({ messages: [{ topic, partition: 1, value: 'sent' }] })
    await transaction.commit()
    expect(await readValues(broker, topic, 1)).toEqual(['sent'])
  })

  it('transaction.addConsumer and transaction.addOffset: copies with the place that it has come to', async () => {
    const [source, target] = [await aTopic(broker), await aTopic(broker)]
    const values = Array.from({ length: 30 }, (_, i) => `v${i}`)
    await aProducer(broker).send({ messages: values.map((value) => ({ topic: source, value })) })
    const groupId = uniqueName('group')
    const admin = anAdmin(broker)
    const producer = aTransactional(broker)
    const consumer = aConsumer(broker, { groupId, autocommit: false })
    const stream = await consumer.consume({
      topics: [source],
      mode: MessagesStreamModes.EARLIEST,
      fallbackMode: MessagesStreamFallbackModes.EARLIEST,
    })
    const messages = collect(stream)
    await until(() => messages.length === 30, { what: 'messages to copy' })
    const committed = async (): Promise<bigint | undefined> => {
      const [group] = await admin.listConsumerGroupOffsets({
        groups: [{ groupId, topics: [{ name: source, partitionIndexes: [0] }] }],
      })
      return group!.topics[0]?.partitions[0]?.committedOffset
    }
    // Copies the messages up to `end`, and ends the transaction.
    const copy = async (end: number, ending: 'commit' | 'abort'): Promise<void> => {
      const transaction = await producer.beginTransaction()
      await transaction.addConsumer(consumer)
      const some = messages.slice(ending === 'commit' && end === 30 ? 10 : 0, end)
      await transaction.send({ messages: some.map(({ value }) => ({ topic: target, value })) })
      await transaction.addOffset(some.at(-1)!)
      await transaction[ending]()
    }
    await copy(10, 'commit')
    await until(async () => (await committed()) === 10n, { what: 'committed offset' })
    await copy(20, 'abort')
    await copy(30, 'commit')
    await until(async () => (await committed()) === 30n, { what: 'second committed offset' })
    expect(await readValues(broker, target, 30)).toEqual(values)
  })

  it('transaction.cancel: lets go of it, and the next one ends what it wrote', async () => {
    const topic = await aTopic(broker)
    const producer = aTransactional(broker)
    const cancelled = await producer.beginTransaction()
    await cancelled.send({ messages: [{ topic, value: 'cancelled' }] })
    await cancelled.cancel()
    expect(cancelled.completed).toBe(true)
    // For the broker it is the same transaction still.
    const next = await producer.beginTransaction()
    await next.send({ messages: [{ topic, value: 'next' }] })
    await next.commit()
    expect(await readValues(broker, topic, 2)).toEqual(['cancelled', 'next'])
  })

  it('transaction.send: is refused when another producer has taken the transactional id', async () => {
    const topic = await aTopic(broker)
    const transactionalId = uniqueName('transactional')
    const zombie = aTransactional(broker, transactionalId)
    const left = await zombie.beginTransaction()
    await left.send({ messages: [{ topic, value: 'left behind' }] })
    // Of an identity that the broker has not given out, so that it is not taken for the first one.
    const successor = aTransactional(broker, transactionalId, { producerId: -1n, producerEpoch: -1 })
    const transaction = await successor.beginTransaction()
    await transaction.send({ messages: [{ topic, value: 'of the successor' }] })
    await transaction.commit()
    const fenced = ['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED']
    expect(fenced).toEqual(expect.arrayContaining(await refusal(left.send({ messages: [{ topic, value: 'late' }] }))))
    expect(await readValues(broker, topic, 1)).toEqual(['of the successor'])
  })
})

function aTransactional(
  broker: BrokerUnderTest,
  transactionalId = uniqueName('transactional'),
  options: Parameters<typeof aProducer>[1] = {},
): TextProducer {
  // Its limit for a request is that of the transaction, too. A Kafka that has just started takes a while for the first.
  return aProducer(broker, { transactionalId, idempotent: true, timeout: 30_000, retries: 200, ...options })
}

/** What a consumer of a group of its own gets of the topic, as it comes. */
async function follow(
  broker: BrokerUnderTest,
  topic: string,
  isolationLevel: (typeof FetchIsolationLevels)[keyof typeof FetchIsolationLevels] = FetchIsolationLevels.READ_COMMITTED,
): Promise<TextMessage[]> {
  const consumer = aConsumer(broker, { isolationLevel })
  return collect(
    await consumer.consume({
      topics: [topic],
      mode: MessagesStreamModes.EARLIEST,
      fallbackMode: MessagesStreamFallbackModes.EARLIEST,
    }),
  )
}

function valuesOf(messages: readonly TextMessage[]): string[] {
  return messages.map(({ value }) => value)
}
