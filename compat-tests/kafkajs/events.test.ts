import { type Socket, connect } from 'node:net'
import kafkajs, {
  type Admin,
  type InstrumentationEvent,
  type Kafka,
  type LogEntry,
  type logCreator,
  type Producer,
} from 'kafkajs'
import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'

const { logLevel } = kafkajs

describeBroker('kafkajs reports', {}, (broker) => {
  it('producer.on: connect, request and disconnect', async () => {
    const producer = kafkaOf(broker).producer()
    const seen = listen(producer, producer.events, ['REQUEST_TIMEOUT'])
    await producer.connect()
    await producer.send({ topic: await aTopic(kafkaOf(broker)), messages: [{ value: 'x' }] })
    await producer.disconnect()

    expect([...seen.keys()]).toEqual(expect.arrayContaining(['CONNECT', 'DISCONNECT', 'REQUEST']))
    const requests = seen.get('REQUEST')!.map(({ payload }) => payload as { apiName: string; size: number })
    expect(requests.map(({ apiName }) => apiName)).toEqual(
      expect.arrayContaining(['ApiVersions', 'Metadata', 'Produce']),
    )
    expect(requests.every(({ size }) => size > 0)).toBe(true)
  })

  it('producer.on: the queue of requests grows when only one may be in flight', async () => {
    const producer = await aProducer(kafkaOf(broker), { maxInFlightRequests: 1 })
    const topic = await aTopic(kafkaOf(broker))
    await producer.send({ topic, messages: [{ value: 'first' }] })
    const sizes: number[] = []
    producer.on(producer.events.REQUEST_QUEUE_SIZE, ({ payload }) => sizes.push(payload.queueSize))
    await Promise.all([1, 2, 3].map((value) => producer.send({ topic, messages: [{ value: `${value}` }] })))
    expect(Math.max(...sizes)).toBe(2)
    expect(sizes.at(-1)).toBe(0)
  })

  it('admin.on: connect, request and disconnect', async () => {
    const admin = kafkaOf(broker).admin()
    const seen = listen(admin, admin.events, ['REQUEST_TIMEOUT'])
    await admin.connect()
    await admin.listTopics()
    await admin.disconnect()
    expect([...seen.keys()]).toEqual(expect.arrayContaining(['CONNECT', 'DISCONNECT', 'REQUEST']))
  })

  it('consumer.on: the life of a member, from connecting to the end', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const groupId = uniqueName('group')
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50, heartbeatInterval: 50 })
    const seen = listen(consumer, consumer.events, ['REQUEST_QUEUE_SIZE'])
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({ eachMessage: async () => {} })
    const producer = await aProducer(kafka)
    await producer.send({ topic, messages: [{ value: 'a' }, { value: 'b' }] })
    await until(() => seen.has('COMMIT_OFFSETS') && seen.has('HEARTBEAT'), { what: 'commit and heartbeat' })
    const second = await aConsumer(kafka, { groupId })
    await second.subscribe({ topics: [topic] })
    await second.run({ eachMessage: async () => {} })
    await until(() => seen.has('REBALANCING'), { what: 'rebalance' })
    await consumer.disconnect()

    const notHere = ['CRASH', 'RECEIVED_UNSUBSCRIBED_TOPICS', 'REQUEST_TIMEOUT', 'REQUEST_QUEUE_SIZE']
    const expected = Object.keys(consumer.events).filter((name) => !notHere.includes(name))
    expect([...seen.keys()].toSorted()).toEqual(expected.toSorted())
    expect(seen.get('GROUP_JOIN')![0]!.payload).toMatchObject({
      groupId,
      isLeader: true,
      groupProtocol: 'RoundRobinAssigner',
      memberAssignment: { [topic]: [0] },
    })
    expect(seen.get('COMMIT_OFFSETS')![0]!.payload).toMatchObject({
      groupId,
      groupGenerationId: 1,
      topics: [{ topic, partitions: [{ offset: '2' }] }],
    })
    expect(seen.get('START_BATCH_PROCESS')![0]!.payload).toMatchObject({
      topic,
      partition: 0,
      highWatermark: '2',
      firstOffset: '0',
      lastOffset: '1',
      batchSize: 2,
    })
  })

  it('consumer.on: a member that is given topics it did not subscribe to', async () => {
    const kafka = kafkaOf(broker)
    const [left, right] = [await aTopic(kafka, { partitions: 2 }), await aTopic(kafka, { partitions: 2 })]
    const groupId = uniqueName('group')
    const received: InstrumentationEvent<unknown>[] = []
    for (const topic of [left, right]) {
      const consumer = await aConsumer(kafka, { groupId })
      consumer.on(consumer.events.RECEIVED_UNSUBSCRIBED_TOPICS, (event) => received.push(event))
      await consumer.subscribe({ topics: [topic] })
      await consumer.run({ eachMessage: async () => {} })
    }
    await until(() => received.length > 0, { what: 'topics of the other member' })
    expect(received[0]!.payload).toMatchObject({ groupId, topicsNotSubscribed: [expect.any(String)] })
  })

  it('producer.on, admin.on and consumer.on: a request that is not answered times out', async () => {
    const hold = { isHeld: false }
    const kafka = kafkaOf(broker, {
      requestTimeout: 100,
      retry: { retries: 0 },
      socketFactory: ({ host, port, onConnect }) => holdable(connect(port, host, onConnect), hold),
    })
    const topic = await aTopic(kafkaOf(broker))
    const [producer, admin, consumer] = [await aProducer(kafka), await anAdmin(kafka), await aConsumer(kafka)]
    await producer.send({ topic, messages: [{ value: 'x' }] })
    await consumer.subscribe({ topics: [topic] })
    const timeouts: string[] = []
    producer.on(producer.events.REQUEST_TIMEOUT, ({ payload }) => timeouts.push(`producer ${payload.apiName}`))
    admin.on(admin.events.REQUEST_TIMEOUT, ({ payload }) => timeouts.push(`admin ${payload.apiName}`))
    consumer.on(consumer.events.REQUEST_TIMEOUT, ({ payload }) => timeouts.push(`consumer ${payload.apiName}`))

    hold.isHeld = true
    const requests = [
      producer.send({ topic, messages: [{ value: 'y' }] }),
      admin.listGroups(),
      consumer.describeGroup(),
    ]
    const outcomes = await Promise.allSettled(requests)
    hold.isHeld = false

    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(timeouts.map((timeout) => timeout.split(' ')[0]).toSorted()).toEqual(['admin', 'consumer', 'producer'])
  })

  it('consumer.on: a listener can be removed', async () => {
    const consumer = kafkaOf(broker).consumer({ groupId: uniqueName('group') })
    let connects = 0
    const remove = consumer.on(consumer.events.CONNECT, () => connects++)
    await consumer.connect()
    remove()
    await consumer.disconnect()
    await consumer.connect()
    await consumer.disconnect()
    expect(connects).toBe(1)
  })

  it('kafka.logger, producer.logger, consumer.logger and admin.logger write where the client is told to', () => {
    const { kafka, entries } = aLoggingKafka()
    kafka.logger().info('kafka')
    kafka.producer().logger().info('producer')
    kafka.consumer({ groupId: 'unused' }).logger().info('consumer')
    kafka.admin().logger().info('admin')
    expect(entries.map(({ namespace, log }) => [namespace, log.message])).toEqual([
      [undefined, 'kafka'],
      ['Producer', 'producer'],
      ['Consumer', 'consumer'],
      ['Admin', 'admin'],
    ])
  })

  it('logger.debug, logger.info, logger.warn, logger.error, logger.namespace and logger.setLogLevel', () => {
    const { kafka, entries } = aLoggingKafka()
    const logger = kafka.logger()
    logger.debug('d')
    logger.info('i', { extra: 1 })
    logger.warn('w')
    logger.error('e')
    logger.namespace('mine').info('n')
    logger.setLogLevel(logLevel.ERROR)
    logger.warn('not any more')
    logger.error('still')

    expect(entries.map(({ label, namespace, log }) => [label, namespace, log.message])).toEqual([
      ['DEBUG', undefined, 'd'],
      ['INFO', undefined, 'i'],
      ['WARN', undefined, 'w'],
      ['ERROR', undefined, 'e'],
      ['INFO', 'mine', 'n'],
      ['ERROR', undefined, 'still'],
    ])
    expect(entries[1]!.log['extra']).toBe(1)
  })

  it('kafka.producer, kafka.consumer and kafka.admin of one client work beside each other', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const clients = [
      kafka.producer(),
      kafka.producer(),
      kafka.consumer({ groupId: uniqueName('group') }),
      kafka.admin(),
    ]
    await Promise.all(clients.map((client) => client.connect()))
    const [first, second] = clients as Producer[]
    await Promise.all([first, second].map((producer) => producer!.send({ topic, messages: [{ value: 'x' }] })))
    expect((await (clients[3] as Admin).fetchTopicOffsets(topic))[0]?.high).toBe('2')
    await Promise.all(clients.map((client) => client.disconnect()))
  })

  function aLoggingKafka(): { kafka: Kafka; entries: LogEntry[] } {
    const entries: LogEntry[] = []
    const logCreator: logCreator = () => (entry) => void entries.push(entry)
    return { kafka: kafkaOf(broker, { logLevel: logLevel.DEBUG, logCreator }), entries }
  }
})

interface Emitter {
  on(eventName: never, listener: (event: InstrumentationEvent<never>) => void): () => void
}

/** Collects all events of a client under their names, but those that shall not be waited for. */
function listen(
  client: unknown,
  events: object,
  without: readonly string[],
): Map<string, InstrumentationEvent<unknown>[]> {
  const seen = new Map<string, InstrumentationEvent<unknown>[]>()
  for (const [name, event] of Object.entries(events)) {
    if (without.includes(name)) continue
    ;(client as Emitter).on(event as never, (happened) => {
      seen.set(name, [...(seen.get(name) ?? []), happened])
    })
  }
  return seen
}

/** A socket whose writes vanish while it is held. */
function holdable(socket: Socket, hold: { readonly isHeld: boolean }): Socket {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  socket.write = (...args: unknown[]) => hold.isHeld || write(...args)
  return socket
}
