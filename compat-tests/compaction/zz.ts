import { Broker } from 'millrace'
import { Kafka, logLevel } from 'kafkajs'
import { rmSync, readdirSync } from 'node:fs'
rmSync('/tmp/zz-data', { recursive: true, force: true })
const settings = {
  'log.roll.ms': '30',
  'offsets.topic.num.partitions': '1',
  'log.cleaner.backoff.ms': '50',
  'log.cleaner.min.cleanable.ratio': '0.01',
  'log.segment.delete.delay.ms': '100',
}
let broker = await Broker.start({ dataDir: '/tmp/zz-data', settings })
await broker.createTopic('t', { partitions: 2 })
const kafka = (b: Broker) => new Kafka({ brokers: [b.bootstrap], logLevel: logLevel.NOTHING })
let admin = kafka(broker).admin()
await admin.connect()
const producer = kafka(broker).producer()
await producer.connect()
for (let i = 0; i < 20; i++)
  await producer.send({
    topic: 't',
    messages: [
      { partition: 0, value: 'x' },
      { partition: 1, value: 'x' },
    ],
  })
for (let i = 1; i <= 200; i++)
  await admin.setOffsets({
    groupId: 'g' + (i % 3),
    topic: 't',
    partitions: [
      { partition: 0, offset: String(i % 20) },
      { partition: 1, offset: String(i % 7) },
    ],
  })
const logs = () => readdirSync('/tmp/zz-data/__consumer_offsets-0').filter((n) => n.includes('.log')).length
console.log(logs())
const until = performance.now() + 5000
while (performance.now() < until && logs() > 3) await new Promise((r) => setTimeout(r, 50))
console.log(readdirSync('/tmp/zz-data/__consumer_offsets-0').join(' '), readdirSync('/tmp/zz-data').join(' '))
await producer.disconnect()
await admin.disconnect()
await broker.close()
broker = await Broker.start({ dataDir: '/tmp/zz-data', settings })
admin = kafka(broker).admin()
await admin.connect()
for (const g of ['g0', 'g1', 'g2']) console.log(JSON.stringify(await admin.fetchOffsets({ groupId: g, topics: ['t'] })))
await admin.disconnect()
await broker.close()
