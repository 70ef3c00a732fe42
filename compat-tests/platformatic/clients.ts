import {
  Admin,
  type BaseOptions,
  Consumer,
  type ConsumerOptions,
  type Message,
  type MessagesStream,
  Producer,
  type ProducerOptions,
  stringDeserializers,
  stringSerializers,
} from '@platformatic/kafka'
import { onTestFinished } from 'vitest'
import { type BrokerUnderTest, uniqueName, until } from '../harness/index.ts'

export type TextMessage = Message<string, string, string, string>
export type TextStream = MessagesStream<string, string, string, string>
export type TextConsumer = Consumer<string, string, string, string>
export type TextProducer = Producer<string, string, string, string>

/** What every client of the broker under test has in common. It retries soon, so that a test waits for the broker only. */
function optionsOf(broker: BrokerUnderTest): BaseOptions {
  return { clientId: 'platformatic-tests', bootstrapBrokers: [broker.bootstrap], retries: 20, retryDelay: 30 }
}

/** A producer of text that is closed when the test ends. */
export function aProducer(
  broker: BrokerUnderTest,
  options: Partial<ProducerOptions<string, string, string, string>> = {},
): TextProducer {
  const producer = new Producer({ ...optionsOf(broker), serializers: stringSerializers, ...options })
  onTestFinished(() => producer.close(true))
  return producer
}

/** A consumer of text, of a group of its own unless told otherwise, that leaves its group when the test ends. */
export function aConsumer(
  broker: BrokerUnderTest,
  options: Partial<ConsumerOptions<string, string, string, string>> = {},
): TextConsumer {
  const consumer = new Consumer({
    ...optionsOf(broker),
    groupId: uniqueName('group'),
    deserializers: stringDeserializers,
    maxWaitTime: 50,
    heartbeatInterval: 50,
    sessionTimeout: 5000,
    rebalanceTimeout: 5000,
    ...options,
  } as ConsumerOptions<string, string, string, string>)
  onTestFinished(() => consumer.close(true))
  return consumer
}

/** An admin client that is closed when the test ends. */
export function anAdmin(broker: BrokerUnderTest, options: Partial<BaseOptions> = {}): Admin {
  const admin = new Admin({ ...optionsOf(broker), ...options })
  onTestFinished(() => admin.close())
  return admin
}

export interface TopicOptions {
  readonly partitions?: number
  readonly configs?: Readonly<Record<string, string>>
  readonly name?: string
}

/** A topic of its own for a test. */
export async function aTopic(broker: BrokerUnderTest, options: TopicOptions = {}): Promise<string> {
  const { partitions = 1, configs = {}, name = uniqueName('topic') } = options
  const admin = anAdmin(broker)
  await admin.createTopics({
    topics: [name],
    partitions,
    replicas: 1,
    configs: Object.entries(configs).map(([configName, value]) => ({ name: configName, value })),
  })
  // A controller answers before its brokers have heard of the topic. Asking for offsets needs what producing needs.
  const indexes = Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, timestamp: -1n }))
  await until(() => admin.listOffsets({ topics: [{ name, partitions: indexes }] }), {
    what: `offsets of topic ${name}`,
  })
  return name
}

/** Kafka's names of all errors in a refusal: `['INVALID_CONFIG']`. Fails when the call was not refused. */
export async function refusal(call: Promise<unknown>): Promise<string[]> {
  const outcome = await call.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if (!('error' in outcome)) throw new Error(`not refused, but answered: ${JSON.stringify(outcome.value)}`)
  const names = [...new Set(namesIn(outcome.error))]
  if (names.length === 0) throw outcome.error
  return names
}

function namesIn(error: unknown): string[] {
  const { apiId, errors = [], cause } = (error ?? {}) as { apiId?: string; errors?: unknown[]; cause?: unknown }
  return [
    ...(apiId === undefined ? [] : [apiId]),
    ...errors.flatMap(namesIn),
    ...(cause === undefined ? [] : namesIn(cause)),
  ]
}
