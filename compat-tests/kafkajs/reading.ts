import type { Consumer, IHeaders, Kafka } from 'kafkajs'
import { until } from '../harness/index.ts'
import { aConsumer } from './clients.ts'

/** A consumed message with its bytes as text, which is how tests compare them. */
export interface ReadMessage {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly timestamp: string
  readonly key: string | null
  readonly value: string | null
  readonly headers: Readonly<Record<string, string | string[]>>
}

/** Runs the consumer and collects what it gets, in the order of arrival. */
export async function collect(consumer: Consumer): Promise<ReadMessage[]> {
  const messages: ReadMessage[] = []
  await consumer.run({
    eachMessage: async ({ topic, partition, message }) => {
      messages.push({
        topic,
        partition,
        offset: message.offset,
        timestamp: message.timestamp,
        key: message.key === null ? null : message.key.toString(),
        value: message.value === null ? null : message.value.toString(),
        headers: headersAsText(message.headers),
      })
    },
  })
  return messages
}

/** The first `count` messages of a topic, read from its beginning by a new group. */
export async function read(kafka: Kafka, topic: string, count: number): Promise<ReadMessage[]> {
  const consumer = await aConsumer(kafka)
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const messages = await collect(consumer)
  await until(() => messages.length >= count, { what: `${count} messages of ${topic}` })
  await consumer.disconnect()
  return messages
}

/** The values alone, for tests where nothing else matters. */
export async function readValues(kafka: Kafka, topic: string, count: number): Promise<(string | null)[]> {
  return (await read(kafka, topic, count)).map((message) => message.value)
}

function headersAsText(headers: IHeaders | undefined): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map(String) : String(value),
    ]),
  )
}
