import { Kafka, logLevel } from 'kafkajs'
import { until } from '../harness/index.ts'

export const TOPIC = 'faults'

export function kafkaOn(port: number): Kafka {
  const retry = { initialRetryTime: 20, maxRetryTime: 100, retries: 2 }
  return new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING, retry, requestTimeout: 10_000 })
}

/** Makes the topic if it can, and says whether it is there. */
export async function createTopic(port: number): Promise<boolean> {
  const admin = kafkaOn(port).admin()
  try {
    await admin.connect()
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: 1 }], timeout: 5000 })
    return true
  } catch {
    return false
  } finally {
    await admin.disconnect()
  }
}

/** Everything in the topic, in order. */
export async function readAll(port: number) {
  const kafka = kafkaOn(port)
  const admin = kafka.admin()
  await admin.connect()
  const [ends] = await admin.fetchTopicOffsets(TOPIC)
  await admin.disconnect()
  const end = Number(ends!.high)
  const records: { readonly offset: number; readonly value: string; readonly key: null }[] = []
  const consumer = kafka.consumer({ groupId: `reader-${Math.random()}`, maxWaitTimeInMs: 50 })
  await consumer.connect()
  await consumer.subscribe({ topics: [TOPIC], fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message: { offset, value } }) => {
      records.push({ offset: Number(offset), value: value!.toString(), key: null })
    },
  })
  await until(() => (records.at(-1)?.offset ?? -1) + 1 >= end, { what: 'all records', timeoutMs: 30_000 })
  await consumer.disconnect()
  return { topic: TOPIC, partition: 0, logStart: Number(ends!.low), end, markers: [], records }
}
