// kafkajs at work, in a process of its own: one partition, and one line of JSON about it.
//
//   kafkajs.ts produce|single|consume BOOTSTRAP TOPIC RECORDS

import { Kafka, logLevel } from 'kafkajs'

const RECORD_BYTES = 100
const BATCH_RECORDS = 1000
const CONCURRENT_SENDS = 5

const [mode, bootstrap, topic, count] = process.argv.slice(2) as [string, string, string, string]
const records = Number(count)
const kafka = new Kafka({ brokers: [bootstrap], clientId: 'bench', logLevel: logLevel.ERROR })
const value = Buffer.alloc(RECORD_BYTES, 'abcdefghijklmnopqrstuvwxyz')

async function produce(batchRecords: number, concurrentSends: number): Promise<number> {
  const producer = kafka.producer()
  await producer.connect()
  const messages = Array.from({ length: batchRecords }, () => ({ value, partition: 0 }))
  let left = records / batchRecords
  const startMs = performance.now()
  const sendOneByOne = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await producer.send({ topic, messages })
    }
  }
  await Promise.all(Array.from({ length: concurrentSends }, sendOneByOne))
  const seconds = (performance.now() - startMs) / 1000
  await producer.disconnect()
  return records / seconds
}

async function consume(): Promise<number> {
  const consumer = kafka.consumer({ groupId: `bench-${process.pid}` })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let seen = 0
  let startMs = 0
  const seconds = await new Promise<number>((resolve, reject) => {
    const eachBatch = async ({ batch }: { batch: { messages: readonly unknown[] } }): Promise<void> => {
      // The first batch starts the clock: joining the group is not consuming.
      if (seen === 0) startMs = performance.now()
      seen += batch.messages.length
      if (seen >= records) resolve((performance.now() - startMs) / 1000)
    }
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    consumer.run({ eachBatch }).catch(reject)
  })
  await consumer.disconnect()
  if (seen !== records) throw new Error(`${seen} of ${records} records came`)
  return records / seconds
}

const figures =
  mode === 'consume'
    ? { consumeRate: await consume() }
    : { recordRate: mode === 'single' ? await produce(1, 1) : await produce(BATCH_RECORDS, CONCURRENT_SENDS) }
console.log(JSON.stringify(figures))
