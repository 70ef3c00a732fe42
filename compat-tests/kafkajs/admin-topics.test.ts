import { expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { anAdmin, aProducer, aTopic, kafkaOf, servesTopic } from './clients.ts'
import { readValues } from './reading.ts'

describeBroker('kafkajs administers topics', {}, (broker) => {
  it('admin.connect, admin.createTopics, admin.listTopics, admin.deleteTopics and admin.disconnect', async () => {
    const admin = kafkaOf(broker).admin()
    await admin.connect()
    const [kept, deleted] = [uniqueName('kept'), uniqueName('deleted')]

    const topics = [{ topic: kept }, { topic: deleted }]
    expect(await admin.createTopics({ waitForLeaders: false, topics })).toBe(true)
    for (const { topic } of topics) await servesTopic(admin, topic)
    expect(await admin.listTopics()).toEqual(expect.arrayContaining([kept, deleted]))
    await admin.deleteTopics({ topics: [deleted] })
    const left = await until(
      async () => {
        const listed = await admin.listTopics()
        return !listed.includes(deleted) && listed
      },
      { what: 'list without the deleted topic' },
    )
    expect(left).toContain(kept)

    await admin.disconnect()
  })

  it('admin.createTopics with partitions, configs and an assignment of replicas', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const [counted, assigned] = [uniqueName('counted'), uniqueName('assigned')]
    await admin.createTopics({
      waitForLeaders: false,
      topics: [
        {
          topic: counted,
          numPartitions: 5,
          replicationFactor: 1,
          configEntries: [{ name: 'retention.ms', value: '9' }],
        },
        { topic: assigned, replicaAssignment: [0, 1].map((partition) => ({ partition, replicas: [1] })) },
      ],
    })

    for (const topic of [counted, assigned]) await servesTopic(admin, topic)
    const { topics } = await admin.fetchTopicMetadata({ topics: [counted, assigned] })
    expect(Object.fromEntries(topics.map(({ name, partitions }) => [name, partitions.length]))).toEqual({
      [counted]: 5,
      [assigned]: 2,
    })
  })

  it('admin.createTopics that waits for the leaders: the topic can be used at once', async () => {
    const kafka = kafkaOf(broker)
    const admin = await anAdmin(kafka)
    const topic = uniqueName('waited-for')
    // A real Kafka may not have heard of the topic when kafkajs asks for its leaders; then only the next call resolves.
    await until(() => admin.createTopics({ topics: [{ topic }] }).then(() => true), { what: 'topic with its leaders' })
    const producer = await aProducer(kafka, { retry: { retries: 0 } })
    expect(await producer.send({ topic, messages: [{ value: 'x' }] })).toMatchObject([{ errorCode: 0 }])
  })

  it('admin.createTopics with validateOnly creates nothing', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const topic = uniqueName('validated')
    expect(await admin.createTopics({ validateOnly: true, waitForLeaders: false, topics: [{ topic }] })).toBe(true)
    expect(await admin.listTopics()).not.toContain(topic)
  })

  it('admin.createTopics of a topic that exists tells false', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const admin = await anAdmin(kafka)
    expect(await admin.createTopics({ topics: [{ topic }] })).toBe(false)
  })

  it.each([
    ['an invalid character', { topic: 'white space' }, 'INVALID_TOPIC_EXCEPTION', 17],
    ['two dots', { topic: '..' }, 'INVALID_TOPIC_EXCEPTION', 17],
    ['no name', { topic: '' }, 'INVALID_TOPIC_EXCEPTION', 17],
    ['a name of 250 characters', { topic: 'n'.repeat(250) }, 'INVALID_TOPIC_EXCEPTION', 17],
    ['no partitions', { topic: 'none', numPartitions: 0 }, 'INVALID_PARTITIONS', 37],
    ['no replicas', { topic: 'none', numPartitions: 1, replicationFactor: 0 }, 'INVALID_REPLICATION_FACTOR', 38],
    [
      'more replicas than brokers',
      { topic: 'none', numPartitions: 1, replicationFactor: 2 },
      'INVALID_REPLICATION_FACTOR',
      38,
    ],
    [
      'an unknown broker',
      { topic: 'none', replicaAssignment: [{ partition: 0, replicas: [7] }] },
      'INVALID_REPLICA_ASSIGNMENT',
      39,
    ],
    [
      'a gap in the partitions',
      { topic: 'none', replicaAssignment: [{ partition: 1, replicas: [1] }] },
      'INVALID_REPLICA_ASSIGNMENT',
      39,
    ],
    ['an unknown setting', { topic: 'none', configEntries: [{ name: 'no.such', value: '1' }] }, 'INVALID_CONFIG', 40],
    [
      'a setting out of range',
      { topic: 'none', configEntries: [{ name: 'retention.ms', value: '-2' }] },
      'INVALID_CONFIG',
      40,
    ],
    [
      'a count beside an assignment',
      { topic: 'none', numPartitions: 1, replicaAssignment: [{ partition: 0, replicas: [1] }] },
      'INVALID_REQUEST',
      42,
    ],
  ])('admin.createTopics with %s is refused', async (_, options, type, code) => {
    const admin = await anAdmin(kafkaOf(broker))
    const created = admin.createTopics({ topics: [options] })
    await expect(created).rejects.toMatchObject({ name: 'KafkaJSAggregateError', errors: [{ type, code }] })
    expect(await admin.listTopics()).not.toContain(options.topic)
  })

  it('admin.createTopics of a good and a bad topic creates the good one', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const topic = uniqueName('good')
    const created = admin.createTopics({ topics: [{ topic }, { topic: 'bad name' }] })
    await expect(created).rejects.toMatchObject({ errors: [{ type: 'INVALID_TOPIC_EXCEPTION', topic: 'bad name' }] })
    await until(async () => (await admin.listTopics()).includes(topic), { what: 'topic beside the refused one' })
  })

  it('admin.deleteTopics of a topic that does not exist is refused', async () => {
    const admin = await anAdmin(kafkaOf(broker), { retry: { retries: 0 } })
    await expect(admin.deleteTopics({ topics: [uniqueName('missing')] })).rejects.toMatchObject({
      name: 'KafkaJSNumberOfRetriesExceeded',
      cause: { type: 'UNKNOWN_TOPIC_OR_PARTITION', code: 3 },
    })
  })

  it('admin.deleteTopics and admin.createTopics again: the new topic is empty', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    await producer.send({ topic, messages: [{ value: 'old' }, { value: 'old too' }] })
    const admin = await anAdmin(kafka)
    await admin.deleteTopics({ topics: [topic] })
    expect(await admin.createTopics({ waitForLeaders: false, topics: [{ topic }] })).toBe(true)

    await until(async () => (await admin.fetchTopicOffsets(topic))[0]!.high === '0', { what: 'topic that is new' })
    await producer.send({ topic, messages: [{ value: 'new' }] })
    expect(await readValues(kafka, topic, 1)).toEqual(['new'])
  })

  it('admin.createPartitions: the topic grows and keeps what it has', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    await producer.send({ topic, messages: [{ value: 'before' }] })
    const admin = await anAdmin(kafka)

    await admin.createPartitions({ topicPartitions: [{ topic, count: 3, assignments: [[1], [1]] }] })

    const partitions = await until(
      async () => {
        const [metadata] = (await admin.fetchTopicMetadata({ topics: [topic] })).topics
        return metadata!.partitions.length > 1 && metadata!.partitions
      },
      { what: 'topic that has grown' },
    )
    expect(new Set(partitions.map(({ partitionId }) => partitionId))).toEqual(new Set([0, 1, 2]))
    const later = await aProducer(kafkaOf(broker))
    await later.send({ topic, messages: [{ partition: 2, value: 'after' }] })
    expect(new Set(await readValues(kafka, topic, 2))).toEqual(new Set(['before', 'after']))
  })

  it('admin.createPartitions with validateOnly changes nothing', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const admin = await anAdmin(kafka)
    await admin.createPartitions({ validateOnly: true, topicPartitions: [{ topic, count: 3 }] })
    expect((await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]?.partitions).toHaveLength(1)
  })

  it.each([
    ['the count it has', { count: 2 }, 'INVALID_PARTITIONS', 37],
    ['a smaller count', { count: 1 }, 'INVALID_PARTITIONS', 37],
    ['no count', { count: 0 }, 'INVALID_PARTITIONS', 37],
    ['too few assignments', { count: 4, assignments: [[1]] }, 'INVALID_REPLICA_ASSIGNMENT', 39],
    ['an unknown broker', { count: 3, assignments: [[7]] }, 'INVALID_REPLICA_ASSIGNMENT', 39],
  ])('admin.createPartitions with %s is refused', async (_, options, type, code) => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: 2 })
    const admin = await anAdmin(kafka)
    await expect(admin.createPartitions({ topicPartitions: [{ topic, ...options }] })).rejects.toMatchObject({
      type,
      code,
    })
  })

  it('admin.createPartitions of a topic that does not exist is refused', async () => {
    const admin = await anAdmin(kafkaOf(broker), { retry: { retries: 0 } })
    const grown = admin.createPartitions({ topicPartitions: [{ topic: uniqueName('missing'), count: 3 }] })
    await expect(grown).rejects.toMatchObject({ type: 'UNKNOWN_TOPIC_OR_PARTITION', code: 3 })
  })

  it('admin.fetchTopicMetadata: leader, replicas and in-sync replicas of each partition', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: 2 })
    const admin = await anAdmin(kafka)
    const partition = { partitionErrorCode: 0, leader: 1, replicas: [1], isr: [1], offlineReplicas: [] }

    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    expect(topics).toEqual([
      {
        name: topic,
        partitions: expect.arrayContaining([
          { ...partition, partitionId: 0 },
          { ...partition, partitionId: 1 },
        ]),
      },
    ])
    expect((await admin.fetchTopicMetadata()).topics.map(({ name }) => name)).toContain(topic)
  })

  it('admin.fetchTopicMetadata of an invalid name is refused', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    await expect(admin.fetchTopicMetadata({ topics: ['white space'] })).rejects.toMatchObject({
      type: 'INVALID_TOPIC_EXCEPTION',
      code: 17,
    })
  })

  it('admin.fetchTopicMetadata of a topic that does not exist is refused and creates nothing', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const topic = uniqueName('asked-for')
    await expect(admin.fetchTopicMetadata({ topics: [topic] })).rejects.toMatchObject({
      type: 'UNKNOWN_TOPIC_OR_PARTITION',
      code: 3,
    })
    expect(await admin.listTopics()).not.toContain(topic)
  })
})
