// kafkajs hands these functions out on their own, though its types declare them as methods.
/* oxlint-disable typescript/unbound-method */
import type { EachBatchPayload } from 'kafkajs'
import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'
import { collect, read } from './reading.ts'

describeBroker('kafkajs consumes', {}, (broker) => {
  it('consumer.connect, consumer.subscribe, consumer.run and consumer.disconnect: from the beginning', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['0', '1', '2'], { partitions: 2 })
    const consumer = kafka.consumer({ groupId: uniqueName('group'), maxWaitTimeInMs: 50 })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const messages = await collect(consumer)
    await until(() => messages.length >= 6, { what: 'all messages' })
    await consumer.disconnect()

    for (const partition of [0, 1]) {
      const own = messages.filter((message) => message.partition === partition)
      expect(own.map(({ offset, value }) => [offset, value])).toEqual([
        ['0', '0'],
        ['1', '1'],
        ['2', '2'],
      ])
    }
  })

  it('consumer.subscribe without fromBeginning: a new group gets only what comes after it', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['old'])
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topic })
    const fetched = new Promise((resolve) => consumer.on(consumer.events.FETCH, resolve))
    const messages = await collect(consumer)
    await fetched

    await fill(topic, ['new'])

    await until(() => messages.length > 0, { what: 'new message' })
    expect(messages.map(({ offset, value }) => [offset, value])).toEqual([['1', 'new']])
  })

  it('consumer.subscribe with a regular expression and names: all topics that match', async () => {
    const kafka = kafkaOf(broker)
    const prefix = uniqueName('match')
    const topics = [`${prefix}-a`, `${prefix}-b`, uniqueName('by-name')]
    for (const name of [...topics, uniqueName('other')]) await filledTopic([name], { name })
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [new RegExp(`^${prefix}-.$`), topics[2]!], fromBeginning: true })
    const messages = await collect(consumer)

    await until(() => messages.length >= 3, { what: 'one message of each topic' })
    expect(messages.map(({ topic }) => topic).toSorted()).toEqual(topics.toSorted())
  })

  it('consumer.run with eachBatch: batch.isEmpty, batch.firstOffset, batch.lastOffset, batch.offsetLag and batch.offsetLagLow', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['0', '1', '2', '3'])
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const seen: unknown[] = []
    await consumer.run({
      eachBatch: async ({ batch }) => {
        seen.push({
          topic: batch.topic,
          partition: batch.partition,
          isEmpty: batch.isEmpty(),
          offsets: [batch.firstOffset(), batch.lastOffset(), batch.highWatermark],
          lags: [batch.offsetLag(), batch.offsetLagLow()],
          values: batch.messages.map(({ value }) => String(value)),
        })
      },
    })

    await until(() => seen.length > 0, { what: 'batch' })
    const values = ['0', '1', '2', '3']
    expect(seen).toEqual([{ topic, partition: 0, isEmpty: false, offsets: ['0', '3', '4'], lags: ['0', '3'], values }])
  })

  it('eachBatch.resolveOffset, eachBatch.uncommittedOffsets and eachBatch.commitOffsetsIfNecessary: half a batch', async () => {
    const kafka = kafkaOf(broker)
    const groupId = uniqueName('group')
    const topic = await filledTopic(['0', '1', '2', '3'])
    const consumer = await aConsumer(kafka, { groupId })
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const uncommitted: unknown[] = []
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async ({ resolveOffset, uncommittedOffsets, commitOffsetsIfNecessary }) => {
        if (uncommitted.length > 0) return
        resolveOffset('1')
        uncommitted.push(uncommittedOffsets())
        await commitOffsetsIfNecessary(uncommittedOffsets())
        uncommitted.push(uncommittedOffsets())
      },
    })
    await until(() => uncommitted.length >= 2, { what: 'commit' })
    await consumer.disconnect()

    // kafkajs gives the number of the partition as text here.
    expect(uncommitted).toEqual([
      { topics: [{ topic, partitions: [{ partition: '0', offset: '2' }] }] },
      { topics: [] },
    ])
    const next = await aConsumer(kafka, { groupId })
    await next.subscribe({ topics: [topic], fromBeginning: true })
    const messages = await collect(next)
    await until(() => messages.length >= 2, { what: 'rest of the batch' })
    expect(messages.map(({ offset }) => offset)).toEqual(['2', '3'])
  })

  it('eachBatch.isRunning, eachBatch.isStale, eachBatch.heartbeat: a batch notices a seek and a stop', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['0', '1', '2', '3'])
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const seen: unknown[] = []
    let stopping: Promise<void> | undefined
    await consumer.run({
      eachBatch: async ({ batch, heartbeat, isRunning, isStale }) => {
        await heartbeat()
        if (seen.length === 0) {
          seen.push([batch.firstOffset(), isRunning(), isStale()])
          consumer.seek({ topic, partition: 0, offset: '2' })
          seen.push([batch.firstOffset(), isRunning(), isStale()])
        } else {
          stopping = consumer.stop()
          seen.push([batch.firstOffset(), isRunning(), isStale()])
        }
      },
    })

    await until(() => seen.length >= 3, { what: 'batch after the seek' })
    await stopping
    expect(seen).toEqual([
      ['0', true, false],
      ['0', true, true],
      ['2', false, false],
    ])
  })

  it('eachBatch.pause: the partition rests until it is resumed', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['first'])
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const values: string[] = []
    let resume: ReturnType<EachBatchPayload['pause']> | undefined
    await consumer.run({
      eachBatch: async ({ batch, pause }) => {
        values.push(...batch.messages.map(({ value }) => String(value)))
        resume = pause()
      },
    })
    await until(() => values.length >= 1, { what: 'first message' })
    expect(consumer.paused()).toEqual([{ topic, partitions: [0] }])

    await fill(topic, ['second'])
    resume!()

    await until(() => values.length >= 2, { what: 'message after the pause' })
    expect(values).toEqual(['first', 'second'])
  })

  it('eachMessage.pause and eachMessage.heartbeat: the message after the pause comes again in order', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['0', '1', '2'])
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const offsets: string[] = []
    let resume: (() => void) | undefined
    await consumer.run({
      eachMessage: async ({ message, heartbeat, pause }) => {
        await heartbeat()
        offsets.push(message.offset)
        if (message.offset === '1' && resume === undefined) resume = pause()
      },
    })
    await until(() => resume, { what: 'pause' })
    expect(offsets).toEqual(['0', '1'])

    resume!()

    await until(() => offsets.length >= 3, { what: 'last message' })
    expect(offsets).toEqual(['0', '1', '2'])
  })

  it('consumer.pause, consumer.paused and consumer.resume: one partition rests, the other goes on', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: 2 })
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve))
    const messages = await collect(consumer)
    await joined
    consumer.pause([{ topic, partitions: [0] }])
    expect(consumer.paused()).toEqual([{ topic, partitions: [0] }])

    await fill(topic, ['a', 'b'], 2)
    await until(() => messages.length >= 2, { what: 'messages of the partition that goes on' })
    expect(messages.map(({ partition }) => partition)).toEqual([1, 1])

    consumer.resume([{ topic }])
    expect(consumer.paused()).toEqual([])
    await until(() => messages.length >= 4, { what: 'messages of the partition that rested' })
    expect(messages.slice(2).map(({ partition, value }) => [partition, value])).toEqual([
      [0, 'a'],
      [0, 'b'],
    ])
  })

  it('consumer.stop and consumer.run again: goes on where it stopped', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['0', '1'])
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const before = await collect(consumer)
    await until(() => before.length >= 2, { what: 'messages before the stop' })
    await consumer.stop()
    await fill(topic, ['2', '3'])

    const after = await collect(consumer)

    await until(() => after.length >= 2, { what: 'messages after the stop' })
    expect(before.map(({ value }) => value)).toEqual(['0', '1'])
    expect(after.map(({ value }) => value)).toEqual(['2', '3'])
  })

  // An offset of -1 or -2 is committed as it is and read back as "none", so the default of the subscription decides.
  it.each([
    { to: 'an offset', offset: '2', fromBeginning: true, expected: ['2', '3'] },
    { to: 'the beginning', offset: '-2', fromBeginning: true, expected: ['0', '1', '2', '3'] },
    { to: 'the end', offset: '-1', fromBeginning: false, expected: [] },
  ])('consumer.seek to $to: reads on from there', async ({ offset, fromBeginning, expected }) => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['0', '1', '2', '3'])
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning })
    const running = collect(consumer)
    consumer.seek({ topic, partition: 0, offset })
    const fetched = new Promise((resolve) => consumer.on(consumer.events.FETCH, resolve))
    const messages = await running
    await fetched
    await fill(topic, ['last'])

    await until(() => messages.at(-1)?.value === 'last', { what: 'last message' })
    expect(messages.map(({ value }) => value)).toEqual([...expected, 'last'])
  })

  it('consumer.seek beyond the end: the offset is out of range and the consumer starts from its default', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['0', '1'])
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const running = collect(consumer)
    consumer.seek({ topic, partition: 0, offset: '1000' })
    const messages = await running

    await until(() => messages.length >= 2, { what: 'messages from the beginning' })
    expect(messages.map(({ offset }) => offset)).toEqual(['0', '1'])
  })

  it('consumer.seek before the start of the log: what is left is read', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['0', '1', '2', '3'])
    const admin = await anAdmin(kafka)
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] })

    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const running = collect(consumer)
    consumer.seek({ topic, partition: 0, offset: '1' })
    const messages = await running

    await until(() => messages.length > 0, { what: 'message that is left' })
    expect(messages.map(({ offset }) => offset)).toEqual(['3'])
  })

  it('consumer.run when eachMessage fails: the message comes again, those before it do not', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['0', '1', '2'])
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const offsets: string[] = []
    await consumer.run({
      eachMessage: async ({ message }) => {
        offsets.push(message.offset)
        if (message.offset === '1' && offsets.length === 2) throw new Error('not this time')
      },
    })

    await until(() => offsets.length >= 4, { what: 'second attempt' })
    expect(offsets).toEqual(['0', '1', '1', '2'])
  })

  it('consumer.run with partitionsConsumedConcurrently: several partitions at the same time', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['x'], { partitions: 3 })
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    let running = 0
    let most = 0
    const partitions: number[] = []
    await consumer.run({
      partitionsConsumedConcurrently: 3,
      eachMessage: async ({ partition }) => {
        running++
        await until(() => (most = Math.max(most, running)) === 3, { what: 'three at the same time' })
        partitions.push(partition)
      },
    })

    await until(() => partitions.length >= 3, { what: 'a message of each partition' })
    expect(new Set(partitions)).toEqual(new Set([0, 1, 2]))
  })

  it('consumer.run with tiny maxBytes and maxBytesPerPartition: larger messages arrive one by one', async () => {
    const kafka = kafkaOf(broker)
    const values = ['a'.repeat(5000), 'b'.repeat(5000), 'c']
    const topic = await aTopic(kafka)
    for (const value of values) await fill(topic, [value])
    const consumer = await aConsumer(kafka, { maxBytes: 100, maxBytesPerPartition: 100 })
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const batches: number[] = []
    const read: string[] = []
    await consumer.run({
      eachBatch: async ({ batch }) => {
        batches.push(batch.messages.length)
        read.push(...batch.messages.map(({ value }) => String(value)))
      },
    })

    await until(() => read.length >= 3, { what: 'all messages' })
    expect(read).toEqual(values)
    expect(batches).toEqual([1, 1, 1])
  })

  it('consumer.run with minBytes: the broker waits for enough bytes, at most maxWaitTimeInMs', async () => {
    const kafka = kafkaOf(broker)
    const topic = await filledTopic(['small'])
    const consumer = await aConsumer(kafka, { minBytes: 1_000_000, maxWaitTimeInMs: 300 })
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const waits: number[] = []
    consumer.on(consumer.events.REQUEST, ({ payload }) => {
      if (payload.apiName === 'Fetch') waits.push(payload.duration)
    })
    const messages = await collect(consumer)

    await until(() => messages.length >= 1, { what: 'message in spite of minBytes' })
    expect(waits[0]).toBeGreaterThanOrEqual(290)
  })

  it('consumer.subscribe to a topic that does not exist yet: it is created and read', async () => {
    const kafka = kafkaOf(broker)
    const topic = uniqueName('created-by-subscribe')
    const consumer = await aConsumer(kafka, { allowAutoTopicCreation: true })
    // Kafka answers the first question with UNKNOWN_TOPIC_OR_PARTITION, on which a subscription gives up.
    await until(() => consumer.subscribe({ topics: [topic], fromBeginning: true }).then(() => true), {
      what: 'topic created by the first attempt',
    })
    const messages = await collect(consumer)
    await fill(topic, ['hello'])

    await until(() => messages.length >= 1, { what: 'message' })
    expect((await read(kafka, topic, 1))[0]?.value).toBe('hello')
  })

  /** Writes all values, in this order, into each of the first `partitions` partitions. */
  async function fill(topic: string, values: readonly string[], partitions = 1): Promise<void> {
    const producer = await aProducer(kafkaOf(broker))
    const messages = Array.from({ length: partitions }, (_, partition) =>
      values.map((value) => ({ partition, key: value, value })),
    )
    await producer.send({ topic, messages: messages.flat() })
  }

  async function filledTopic(
    values: readonly string[],
    options: { partitions?: number; name?: string } = {},
  ): Promise<string> {
    const topic = await aTopic(kafkaOf(broker), options)
    await fill(topic, values, options.partitions)
    return topic
  }
})
