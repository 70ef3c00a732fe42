import { MessagesStreamModes } from '@platformatic/kafka'
import { describe, expect, it } from 'vitest'
import { describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic } from './clients.ts'
import { collect, readValues } from './reading.ts'

describe.each([
  { way: 'a clean restart', options: { persistent: true }, how: {} },
  { way: 'a kill of its process', options: { process: true }, how: { crash: true } },
])('over $way', ({ way, options, how }) => {
  describeBroker(`@platformatic/kafka finds everything again after ${way}`, options, (broker) => {
    it('messages, committed offsets, and the clients that were connected go on', async () => {
      const topic = await aTopic(broker)
      const groupId = uniqueName('group')
      const producer = aProducer(broker, { idempotent: true, retries: 100 })
      await producer.send({ messages: [{ topic, value: 'before' }] })
      const consumer = aConsumer(broker, { groupId, autocommit: true, retries: 100 })
      const messages = collect(await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST }))
      await until(async () => (await committed(groupId, topic)) === 1n, { what: 'commit before the restart' })

      await broker.restart(how)
      expect(await committed(groupId, topic)).toBe(1n)
      await producer.send({ messages: [{ topic, value: 'after' }] })

      await until(() => messages.at(-1)?.value === 'after', { what: 'message after the restart' })
      expect(new Set(messages.map(({ offset }) => offset))).toEqual(new Set([0n, 1n]))
      expect(await readValues(broker, topic, 2)).toEqual(['before', 'after'])
    })

    async function committed(groupId: string, topic: string): Promise<bigint | undefined> {
      const [group] = await anAdmin(broker, { retries: 100 }).listConsumerGroupOffsets({ groups: [groupId] })
      return group?.topics.find(({ name }) => name === topic)?.partitions[0]?.committedOffset
    }
  })
})
