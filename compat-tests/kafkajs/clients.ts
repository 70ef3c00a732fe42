import {
  type Admin,
  type Consumer,
  type ConsumerConfig,
  Kafka,
  type KafkaConfig,
  logLevel,
  type Producer,
} from 'kafkajs'
import { onTestFinished } from 'vitest'
import { type BrokerUnderTest, uniqueName, until } from '../harness/index.ts'

/**
 * A kafkajs client of the broker under test. It says nothing and retries soon, so that a test waits for the broker and
 * not for the client.
 */
export function kafkaOf(broker: BrokerUnderTest, config: Partial<KafkaConfig> = {}): Kafka {
  return new Kafka({
    clientId: 'kafkajs-tests',
    brokers: [broker.bootstrap],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, retries: 8 },
    ...config,
  })
}

/** A connected producer that is disconnected when the test ends. */
export async function aProducer(kafka: Kafka, config: Parameters<Kafka['producer']>[0] = {}): Promise<Producer> {
  const producer = kafka.producer(config)
  onTestFinished(() => producer.disconnect())
  await producer.connect()
  return producer
}

/** A connected admin client that is disconnected when the test ends. */
export async function anAdmin(kafka: Kafka, config: Parameters<Kafka['admin']>[0] = {}): Promise<Admin> {
  const admin = kafka.admin(config)
  onTestFinished(() => admin.disconnect())
  await admin.connect()
  return admin
}

/** A connected consumer, of a group of its own unless told otherwise, that leaves its group when the test ends. */
export async function aConsumer(kafka: Kafka, config: Partial<ConsumerConfig> = {}): Promise<Consumer> {
  const consumer = kafka.consumer({
    groupId: uniqueName('group'),
    // A stop waits for the fetch under way, a rebalance for the next heartbeat.
    maxWaitTimeInMs: 50,
    heartbeatInterval: 50,
    sessionTimeout: 5000,
    rebalanceTimeout: 5000,
    ...config,
  })
  onTestFinished(() => consumer.disconnect())
  await consumer.connect()
  return consumer
}

/** A topic of its own for a test, with its leaders elected. */
export async function aTopic(
  kafka: Kafka,
  options: {
    readonly partitions?: number
    readonly config?: Readonly<Record<string, string>>
    readonly name?: string
  } = {},
): Promise<string> {
  const { partitions = 1, config = {}, name = uniqueName('topic') } = options
  const admin = kafka.admin()
  await admin.connect()
  try {
    const configEntries = Object.entries(config).map(([configName, value]) => ({ name: configName, value }))
    // When kafkajs waits for the leaders itself, it gives up on a broker that has not heard of the topic yet.
    const topics = [{ topic: name, numPartitions: partitions, configEntries }]
    await admin.createTopics({ waitForLeaders: false, topics })
    await servesTopic(admin, name)
  } finally {
    await admin.disconnect()
  }
  return name
}

/**
 * Waits until the broker leads all partitions of the topic: a controller answers before its brokers have heard of it.
 * Asking for offsets needs what producing and fetching need.
 */
export async function servesTopic(admin: Admin, topic: string): Promise<void> {
  await until(async () => (await admin.fetchTopicOffsets(topic)).length > 0, { what: `offsets of topic ${topic}` })
}
