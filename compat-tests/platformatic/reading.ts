import { MessagesStreamFallbackModes, MessagesStreamModes } from '@platformatic/kafka'
import { type BrokerUnderTest, until } from '../harness/index.ts'
import { aConsumer, type TextMessage, type TextStream } from './clients.ts'

/** Collects what a stream gives, in the order of arrival. */
export function collect(stream: TextStream): TextMessage[] {
  const messages: TextMessage[] = []
  stream.on('data', (message) => messages.push(message))
  return messages
}

/** The first `count` messages of a topic, read from its beginning by a new group. */
export async function read(broker: BrokerUnderTest, topic: string, count: number): Promise<TextMessage[]> {
  const consumer = aConsumer(broker)
  const stream = await consumer.consume({
    topics: [topic],
    mode: MessagesStreamModes.EARLIEST,
    fallbackMode: MessagesStreamFallbackModes.EARLIEST,
  })
  const messages = collect(stream)
  await until(() => messages.length >= count, { what: `${count} messages of ${topic}` })
  await consumer.close(true)
  return messages
}

/** The values alone, for tests where nothing else matters. */
export async function readValues(broker: BrokerUnderTest, topic: string, count: number): Promise<string[]> {
  return (await read(broker, topic, count)).map(({ value }) => value)
}
