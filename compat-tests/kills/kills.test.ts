import { Kafka, logLevel } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { check } from '../../broker/src/testing/simulation/checker.ts'
import { History, type SeenRecord, type Send } from '../../broker/src/testing/simulation/history.ts'
import { brokerKind, startBroker, missing, uniqueName, until, type BrokerUnderTest } from '../harness/index.ts'
import { javaMissing } from '../java/tool-shell.ts'
import { javaWriter, kafkajsWriter, librdkafkaWriter, type Writer, type WriterReport } from './writers.ts'

/** How often the broker is killed, over both modes: `KILLS=2000` for a long run. */
const killCount = Number(process.env['KILLS'] ?? 50)
const partitions = 2

const reasons: Readonly<Record<string, string | null>> = {
  kafka: brokerKind === 'kafka' ? 'a Kafka keeps its promises with replicas, and is killed elsewhere' : null,
}

describe.skipIf(reasons['kafka'] !== null)('a broker that is killed', () => {
  it.each(['fsync', 'write'])(
    `loses, repeats and reorders nothing that idempotent producers wrote, with acks.after=%s`,
    { timeout: 120_000 + killCount * 10_000 },
    async (acksAfter) => {
      const broker = await startBroker({ process: true, settings: { 'acks.after': acksAfter } })
      try {
        const topic = uniqueName('kills')
        const history = new History()
        await createTopic(broker, topic)
        const reader = await follow(broker, topic, history)
        const writers = await start(broker, topic, history)
        for (let kill = 0; kill < Math.ceil(killCount / 2); kill++) await killSoon(broker, history, writers)
        for (const writer of writers) await writer.stop()
        await reader.stop()
        history.finals.push(...(await readAll(broker, topic)))

        const acknowledged = history.sends.filter(({ outcome }) => outcome === 'acknowledged')
        expect(check(history).slice(0, 10)).toEqual([])
        expect(new Set(acknowledged.map(({ producer }) => producer)).size).toBe(writers.length)
        expect(acknowledged.length).toBeGreaterThan(killCount)
        expect(history.polls.length).toBeGreaterThan(0)
      } finally {
        await broker.stop()
      }
    },
  )
})

/** Kills the broker at some moment after every writer has got on since the last time. */
async function killSoon(broker: BrokerUnderTest, history: History, writers: readonly Writer[]): Promise<void> {
  const isOf = (producer: string): number =>
    history.sends.filter((send) => send.producer === producer && send.outcome === 'acknowledged').length
  const before = writers.map(({ name }) => isOf(name))
  const wanted = 1 + Math.floor(Math.random() * 30)
  await until(() => writers.every(({ name }, i) => isOf(name) >= before[i]! + wanted), {
    what: `${wanted} acknowledgements for each writer`,
    timeoutMs: 60_000,
  })
  await broker.restart({ crash: true })
}

async function start(broker: BrokerUnderTest, topic: string, history: History): Promise<Writer[]> {
  const target = { bootstrap: broker.bootstrap, topic, partitions }
  const reportOf = (producer: string): WriterReport => {
    const sends = new Map<string, Send>()
    return {
      sent(value, partition) {
        const startMs = performance.now()
        sends.set(value, history.send({ producer, isIdempotent: true, topic, partition, value, key: null, startMs }))
      },
      acknowledged(value, offset) {
        Object.assign(sends.get(value)!, { outcome: 'acknowledged', offset, endMs: performance.now() })
      },
    }
  }
  const writers = [1, 2].map((i) => kafkajsWriter(`kafkajs-${i}`, target, reportOf(`kafkajs-${i}`)))
  if (missing('python3') === null) writers.push(await librdkafkaWriter('librdkafka', target, reportOf('librdkafka')))
  if (javaMissing() === null) writers.push(await javaWriter('java', target, reportOf('java')))
  return writers
}

function clientOf(broker: BrokerUnderTest): Kafka {
  return new Kafka({
    brokers: [broker.bootstrap],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, maxRetryTime: 200, retries: 1000 },
  })
}

async function createTopic(broker: BrokerUnderTest, topic: string): Promise<void> {
  const admin = clientOf(broker).admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions }] })
  await admin.disconnect()
}

/** Reads all the time, so that what was seen and is gone later is found. */
async function follow(broker: BrokerUnderTest, topic: string, history: History): Promise<{ stop(): Promise<void> }> {
  const consumer = clientOf(broker).consumer({ groupId: uniqueName('group'), maxWaitTimeInMs: 50 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    eachBatch: async ({ batch }) => {
      const records = batch.messages.map(({ offset, value }) => ({
        offset: Number(offset),
        value: value!.toString(),
        key: null,
      }))
      if (records.length === 0) return
      const { partition } = batch
      history.polls.push({ consumer: 'reader', group: null, topic, partition, position: records[0]!.offset, records })
    },
  })
  return { stop: () => consumer.disconnect() }
}

async function readAll(broker: BrokerUnderTest, topic: string) {
  const kafka = clientOf(broker)
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  const consumer = kafka.consumer({ groupId: uniqueName('group'), maxWaitTimeInMs: 50 })
  const records = new Map<number, SeenRecord[]>(ends.map(({ partition }) => [partition, []]))
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ partition, message: { offset, value } }) => {
      records.get(partition)!.push({ offset: Number(offset), value: value!.toString(), key: null })
    },
  })
  await until(
    () => ends.every(({ partition, high }) => (records.get(partition)!.at(-1)?.offset ?? -1) + 1 >= Number(high)),
    { what: 'everything that was written', timeoutMs: 60_000 },
  )
  await consumer.disconnect()
  return ends.map(({ partition, low, high }) => {
    const logStart = Number(low)
    return { topic, partition, logStart, end: Number(high), markers: [], records: records.get(partition)! }
  })
}
