import { MessagesStreamFallbackModes, MessagesStreamModes } from '@platformatic/kafka'
import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, type TopicOptions } from './clients.ts'
import { collect } from './reading.ts'

const { COMMITTED, EARLIEST, LATEST, MANUAL } = MessagesStreamModes

describeBroker('@platformatic/kafka consumes', {}, (broker) => {
  it('consumer.consume, stream.close, stream.isActive, consumer.close and consumer.isActive: from the earliest', async () => {
    const topic = await filledTopic(['0', '1'], { partitions: 2 })
    const consumer = aConsumer(broker)
    const stream = await consumer.consume({ topics: [topic], mode: EARLIEST })
    const messages = collect(stream)
    await until(() => messages.length >= 4, { what: 'messages that were there' })
    await fill(topic, ['2'], 2)
    await until(() => messages.length >= 6, { what: 'messages that came' })
    await stream.close()
    await consumer.close()

    for (const partition of [0, 1]) {
      const own = messages.filter((message) => message.partition === partition)
      expect(own.map(({ offset, value }) => [offset, value])).toEqual([
        [0n, '0'],
        [1n, '1'],
        [2n, '2'],
      ])
    }
    expect([stream.isActive(), consumer.isActive()]).toEqual([false, false])
  })

  it('consumer.consume from the latest: only what comes', async () => {
    const topic = await filledTopic(['old'])
    const consumer = aConsumer(broker)
    const stream = await consumer.consume({ topics: [topic], mode: LATEST })
    const messages = collect(stream)
    await until(() => stream.offsetsToFetch.size > 0, { what: 'offset to start from' })
    await fill(topic, ['new'])
    await until(() => messages.length > 0, { what: 'new message' })
    expect(messages.map(({ value }) => value)).toEqual(['new'])
  })

  it('consumer.consume from given offsets: each partition from there', async () => {
    const topic = await filledTopic(['0', '1', '2'], { partitions: 2 })
    const consumer = aConsumer(broker)
    const offsets = [
      { topic, partition: 0, offset: 2n },
      { topic, partition: 1, offset: 1n },
    ]
    const stream = await consumer.consume({ topics: [topic], mode: MANUAL, offsets })
    const messages = collect(stream)
    await until(() => messages.length >= 3, { what: 'messages from the offsets on' })
    expect(new Set(messages.map(({ partition, value }) => `${partition}/${value}`))).toEqual(
      new Set(['0/2', '1/1', '1/2']),
    )
  })

  it('consumer.consume from the committed offsets: goes on where the group was', async () => {
    const groupId = uniqueName('group')
    const topic = await filledTopic(['0', '1', '2'])
    const first = aConsumer(broker, { groupId, autocommit: false })
    const firstStream = await first.consume({ topics: [topic], mode: EARLIEST })
    const messages = collect(firstStream)
    await until(() => messages.length >= 3, { what: 'all messages' })
    await messages[1]!.commit()
    await first.close(true)

    const second = aConsumer(broker, { groupId })
    const rest = collect(await second.consume({ topics: [topic], mode: COMMITTED }))
    await until(() => rest.length > 0, { what: 'message after the commit' })
    expect(rest.map(({ offset }) => offset)).toEqual([2n])
  })

  it('consumer.consume from the committed offsets of a group that has none fails when told to', async () => {
    const topic = await filledTopic(['0'])
    const consumer = aConsumer(broker)
    const fallbackMode = MessagesStreamFallbackModes.FAIL
    const stream = await consumer.consume({ topics: [topic], mode: COMMITTED, fallbackMode })
    const failed = new Promise<Error>((resolve) => stream.on('error', resolve))
    stream.resume()
    expect((await failed).message).toContain('has no committed offset')
  })

  it('consumer.consume with autocommit: the group remembers', async () => {
    const groupId = uniqueName('group')
    const topic = await filledTopic(['0', '1', '2'])
    const consumer = aConsumer(broker, { groupId, autocommit: true })
    const messages = collect(await consumer.consume({ topics: [topic], mode: EARLIEST }))
    await until(() => messages.length >= 3, { what: 'all messages' })
    await until(async () => (await committed(groupId, topic)) === 3n, { what: 'commit of all' })
    expect(await committed(groupId, topic)).toBe(3n)
  })

  it('stream.pause, stream.resume and stream.isConnected: nothing is lost meanwhile', async () => {
    const topic = await filledTopic(['0'])
    const consumer = aConsumer(broker)
    const stream = await consumer.consume({ topics: [topic], mode: EARLIEST })
    const messages = collect(stream)
    await until(() => messages.length >= 1, { what: 'first message' })
    stream.pause()
    await fill(topic, ['1', '2'])
    expect(messages).toHaveLength(1)
    stream.resume()
    await until(() => messages.length >= 3, { what: 'messages of the pause' })
    expect(messages.map(({ value }) => value)).toEqual(['0', '1', '2'])
    expect([stream.isActive(), stream.isConnected()]).toEqual([true, true])
  })

  it('consumer.consume as an async iterator', async () => {
    const topic = await filledTopic(['0', '1', '2'])
    const consumer = aConsumer(broker)
    const stream = await consumer.consume({ topics: [topic], mode: EARLIEST })
    const values: string[] = []
    for await (const message of stream) {
      values.push(message.value)
      if (values.length === 3) break
    }
    expect(values).toEqual(['0', '1', '2'])
  })

  it('consumer.consume of two topics at once, and of another one later', async () => {
    const topics = [await filledTopic(['a']), await filledTopic(['b'])]
    const later = await filledTopic(['c'])
    const consumer = aConsumer(broker)
    const messages = collect(await consumer.consume({ topics, mode: EARLIEST }))
    await until(() => messages.length >= 2, { what: 'messages of two topics' })
    const laterMessages = collect(await consumer.consume({ topics: [later], mode: EARLIEST }))
    await until(() => laterMessages.length >= 1, { what: 'message of the third topic' })
    expect(new Set(messages.map(({ value }) => value))).toEqual(new Set(['a', 'b']))
    expect(laterMessages[0]?.value).toBe('c')
    expect(consumer.streamsCount).toBe(2)
  })

  it('consumer.consume with tiny maxBytes: larger messages arrive as well', async () => {
    const values = ['a'.repeat(5000), 'b'.repeat(5000), 'c']
    const topic = await aTopic(broker)
    for (const value of values) await fill(topic, [value])
    const consumer = aConsumer(broker, { maxBytes: 100, maxBytesPerPartition: 100 })
    const messages = collect(await consumer.consume({ topics: [topic], mode: EARLIEST }))
    await until(() => messages.length >= 3, { what: 'all messages' })
    expect(messages.map(({ value }) => value)).toEqual(values)
  })

  it('consumer.fetch: the raw answer of one request', async () => {
    const topic = await filledTopic(['0', '1', '2'])
    const consumer = aConsumer(broker)
    const { id: topicId, partitions } = (await consumer.metadata({ topics: [topic] })).topics.get(topic)!
    const partition = {
      partition: 0,
      currentLeaderEpoch: partitions[0]!.leaderEpoch,
      fetchOffset: 1n,
      lastFetchedEpoch: -1,
      partitionMaxBytes: 1_000_000,
    }
    const { responses } = await consumer.fetch({ node: 1, topics: [{ topicId, partitions: [partition] }] })

    expect(responses[0]!.topicId).toBe(topicId)
    const fetched = responses[0]!.partitions[0]!
    expect(fetched).toMatchObject({ errorCode: 0, highWatermark: 3n, lastStableOffset: 3n, logStartOffset: 0n })
    const records = [fetched.records].flat().flatMap((batch) => batch!.records)
    // The batch is given as it was written, with the record before the wanted offset.
    expect(records.map(({ value }) => String(value))).toEqual(['0', '1', '2'])
  })

  it('consumer.listOffsets and consumer.listOffsetsWithTimestamps: ends, beginnings and times', async () => {
    const topic = await aTopic(broker, { partitions: 2 })
    const producer = aProducer(broker)
    for (const timestamp of [1000n, 3000n, 2000n]) {
      await producer.send({ messages: [{ topic, partition: 0, value: 'x', timestamp }] })
    }
    const consumer = aConsumer(broker)
    const offsetsAt = async (timestamp?: bigint): Promise<bigint[] | undefined> =>
      (await consumer.listOffsets({ topics: [topic], ...(timestamp === undefined ? {} : { timestamp }) })).get(topic)

    expect(await offsetsAt()).toEqual([3n, 0n])
    expect(await offsetsAt(-2n)).toEqual([0n, 0n])
    expect(await offsetsAt(1001n)).toEqual([1n, -1n])
    const largest = await consumer.listOffsetsWithTimestamps({ topics: [topic], timestamp: -3n })
    expect(largest.get(topic)!.get(0)).toEqual({ offset: 1n, timestamp: 3000n })
    expect(largest.get(topic)!.get(1)).toEqual({ offset: -1n, timestamp: -1n })
  })

  it('consumer.commit and consumer.listCommittedOffsets', async () => {
    const topic = await filledTopic(['0', '1', '2'], { partitions: 2 })
    const consumer = aConsumer(broker)
    await consumer.consume({ topics: [topic], autocommit: false })
    expect((await consumer.listCommittedOffsets({ topics: [{ topic, partitions: [0, 1] }] })).get(topic)).toEqual([
      -1n,
      -1n,
    ])
    await consumer.commit({ offsets: [{ topic, partition: 1, offset: 2n, leaderEpoch: 0 }] })
    expect((await consumer.listCommittedOffsets({ topics: [{ topic, partitions: [0, 1] }] })).get(topic)).toEqual([
      -1n,
      2n,
    ])
  })

  it('consumer.getLag, consumer.startLagMonitoring and consumer.stopLagMonitoring: how far it is behind', async () => {
    const topic = await filledTopic(['0', '1', '2'])
    const consumer = aConsumer(broker)
    const stream = await consumer.consume({ topics: [topic], mode: EARLIEST })
    const messages = collect(stream)
    await until(() => messages.length >= 3, { what: 'all messages' })
    await until(async () => (await consumer.getLag({ topics: [topic] })).get(topic)?.[0] === 0n, { what: 'lag of 0' })
    stream.pause()
    await fill(topic, ['3', '4'])
    const lags: (bigint | undefined)[] = []
    consumer.on('consumer:lag', (lag) => lags.push(lag.get(topic)?.[0]))
    consumer.startLagMonitoring({ topics: [topic] }, 1000)
    await until(() => lags.length > 0, { what: 'lag that was monitored' })
    consumer.stopLagMonitoring()
    expect(lags[0]).toBeGreaterThanOrEqual(0n)
  })

  it('consumer.consume of a topic that does not exist is refused', async () => {
    const topic = uniqueName('missing')
    const consumer = aConsumer(broker, { autocreateTopics: false, retries: 1 })
    await expect(consumer.consume({ topics: [topic] })).rejects.toThrow(`Unknown topic ${topic}`)
  })

  /** Writes all values, in this order, into each of the first `partitions` partitions. */
  async function fill(topic: string, values: readonly string[], partitions = 1): Promise<void> {
    const producer = aProducer(broker)
    const messages = Array.from({ length: partitions }, (_, partition) =>
      values.map((value) => ({ topic, partition, key: value, value })),
    )
    await producer.send({ messages: messages.flat() })
  }

  async function filledTopic(values: readonly string[], options: TopicOptions = {}): Promise<string> {
    const topic = await aTopic(broker, options)
    await fill(topic, values, options.partitions)
    return topic
  }

  async function committed(groupId: string, topic: string): Promise<bigint | undefined> {
    const [group] = await anAdmin(broker).listConsumerGroupOffsets({ groups: [groupId] })
    return group?.topics.find(({ name }) => name === topic)?.partitions[0]?.committedOffset
  }
})
