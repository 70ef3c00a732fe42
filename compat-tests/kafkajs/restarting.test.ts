import kafkajs, { type Consumer } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { brokerKind, type BrokerUnderTest, describeBroker, uniqueName, until } from '../harness/index.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from './clients.ts'
import { collect, readValues } from './reading.ts'

const restarts = [
  { way: 'a clean restart', options: { persistent: true }, how: {} },
  { way: 'a clean restart of its process', options: { process: true }, how: {} },
  { way: 'a kill of its process', options: { process: true }, how: { crash: true } },
]

// A real Kafka always is a process, so the first two are the same for it.
describe.each(restarts.slice(brokerKind === 'kafka' ? 1 : 0))('over $way', ({ way, options, how }) => {
  describeBroker(`kafkajs finds everything again after ${way}`, options, (broker) => {
    it('topics, settings, messages, offsets and producers', async () => {
      const kafka = kafkaOf(broker)
      const topic = await aTopic(kafka, { partitions: 2, config: { 'retention.ms': '-1' } })
      const producer = await aProducer(kafka, { idempotent: true })
      await producer.send({ topic, messages: numbered(0, 100) })
      const groupId = uniqueName('group')
      await readSome(broker, groupId, topic, 100)
      const admin = await anAdmin(kafka)
      const before = await stateOf(broker, groupId, topic)
      const { clusterId } = await admin.describeCluster()

      await broker.restart(how)

      // The same producer goes on: its id, epoch and sequence have survived on both sides.
      await producer.send({ topic, messages: numbered(100, 200) })
      const after = await until(() => stateOf(broker, groupId, topic), { what: 'state after the restart' })
      expect(after).toEqual({ ...before, end: ['100', '100'] })
      expect((await (await anAdmin(kafkaOf(broker))).describeCluster()).clusterId).toBe(clusterId)
      expect(new Set(await readSome(broker, groupId, topic, 100))).toEqual(new Set(values(100, 200)))
      expect(new Set(await readValues(kafka, topic, 200))).toEqual(new Set(values(0, 200)))
    })

    // While it shuts down cleanly, Kafka refuses to name a coordinator, and on that kafkajs gives up for good.
    if (!('crash' in how)) return
    it('a consumer that was running goes on', async () => {
      const kafka = kafkaOf(broker)
      const topic = await aTopic(kafka)
      const consumer = await aConsumer(kafka)
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      const messages = await collect(consumer)
      const producer = await aProducer(kafka)
      await producer.send({ topic, messages: [{ value: 'before' }] })
      await until(() => messages.length >= 1, { what: 'message before the restart' })

      await broker.restart(how)
      await producer.send({ topic, messages: [{ value: 'after' }] })

      await until(() => messages.at(-1)?.value === 'after', { what: 'message after the restart' })
      expect(new Set(messages.map(({ offset }) => offset))).toEqual(new Set(['0', '1']))
    })
  })
})

function values(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => `${from + index}`)
}

function numbered(from: number, to: number): { value: string; partition: number }[] {
  return values(from, to).map((value) => ({ value, partition: Number(value) % 2 }))
}

/** What a member of the group reads until it has `count` messages; it commits them and leaves. */
async function readSome(broker: BrokerUnderTest, groupId: string, topic: string, count: number): Promise<string[]> {
  const consumer: Consumer = await aConsumer(kafkaOf(broker), { groupId })
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const messages = await collect(consumer)
  await until(() => messages.length >= count, { what: `${count} messages` })
  await consumer.disconnect()
  return messages.map(({ value }) => value!)
}

/** What a restart must not change. */
async function stateOf(broker: BrokerUnderTest, groupId: string, topic: string): Promise<object> {
  const admin = await anAdmin(kafkaOf(broker))
  const type = kafkajs.ConfigResourceTypes.TOPIC
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type, name: topic, configNames: ['retention.ms'] }],
  })
  const committed = await admin.fetchOffsets({ groupId, topics: [topic] })
  const offsets = await admin.fetchTopicOffsets(topic)
  return {
    retentionMs: resources[0]?.configEntries[0]?.configValue,
    committed: committed[0]?.partitions.toSorted((a, b) => a.partition - b.partition),
    start: offsets.map(({ low }) => low),
    end: offsets.map(({ high }) => high),
  }
}
