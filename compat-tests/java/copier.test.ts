import { Kafka, logLevel, Partitioners } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { type BrokerUnderTest, describeBroker, type RunningProcess, uniqueName, until } from '../harness/index.ts'
import { javaMissing, startProgram } from './tool-shell.ts'

/** 30 for the proof by hand: `COPIER_RUNS=30`. */
const RUNS = Number(process.env['COPIER_RUNS'] ?? 2)
const KILLS_PER_RUN = Number(process.env['COPIER_KILLS'] ?? 3)
const RECORDS = 3000
const PARTITIONS = 2

const reason = javaMissing()

describe.skipIf(reason !== null)(`a copier of Java's clients${reason === null ? '' : `: ${reason}`}`, () => {
  // A transaction whose producer died is aborted when its successor comes, which may be before its time is up.
  const settings = { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000' }

  describeBroker('that is killed', { process: true, settings }, (broker) => {
    for (let run = 1; run <= RUNS; run++) {
      const who = run % 2 === 0 ? 'with its broker' : 'alone'
      it(`copies each record once, run ${run}: killed ${who}`, { timeout: 240_000 }, async () => {
        const input = uniqueName('input')
        const output = uniqueName('output')
        const expected = await fill(broker, input, output)
        const start = (): Promise<RunningProcess> =>
          startProgram('Copier', [broker.bootstrap, input, output, `${input}-group`, `${input}-copier`])

        let copier = await start()
        try {
          for (let kill = 0; kill < KILLS_PER_RUN; kill++) {
            // Some way into its work, at a moment that is another one every time.
            const transactions = Math.ceil(Math.random() * 12)
            await until(() => copier.hasEnded || count(copier) >= transactions || isDone(copier), {
              what: `${transactions} transactions`,
              timeoutMs: 60_000,
            })
            if (who === 'alone') {
              await copier.stop('SIGKILL')
              copier = await start()
            } else {
              await broker.restart({ crash: true })
            }
          }
          const copied = await read(broker, output, expected.length, copier)
          expect(copied.toSorted()).toEqual(expected.toSorted())
          // And in order, where Kafka promises one.
          for (let partition = 0; partition < PARTITIONS; partition++) {
            const of = (values: readonly string[]) => values.filter((value) => value.startsWith(`${partition}:`))
            expect(of(copied)).toEqual(of(expected))
          }
        } finally {
          await copier.stop('SIGKILL')
        }
      })
    }
  })
})

const count = (copier: RunningProcess): number => copier.stdout.split('copied').length - 1
const isDone = (copier: RunningProcess): boolean =>
  [...copier.stdout.matchAll(/copied (\d+)/g)].reduce((sum, [, records]) => sum + Number(records), 0) >= RECORDS

function clientOf(broker: BrokerUnderTest): Kafka {
  return new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 20 } })
}

async function fill(broker: BrokerUnderTest, input: string, output: string): Promise<string[]> {
  const kafka = clientOf(broker)
  const admin = kafka.admin()
  await admin.connect()
  const topics = [input, output].map((topic) => ({ topic, numPartitions: PARTITIONS }))
  await admin.createTopics({ topics, waitForLeaders: true })
  await admin.disconnect()
  const messages = Array.from({ length: RECORDS }, (_, index) => {
    const partition = index % PARTITIONS
    return { partition, key: `k${index % 7}`, value: `${partition}:${index}` }
  })
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  await producer.send({ topic: input, messages })
  await producer.disconnect()
  return messages.map(({ value }) => value)
}

/**
 * What a reader of committed records sees, once the copier has copied everything: all up to a record behind which there is
 * nothing, in each partition.
 */
async function read(broker: BrokerUnderTest, topic: string, wanted: number, copier: RunningProcess): Promise<string[]> {
  const kafka = clientOf(broker)
  const consumer = kafka.consumer({ groupId: uniqueName('reader'), readUncommitted: false, maxWaitTimeInMs: 100 })
  // A reader may get a record twice, when its own group has a rebalance; the copier may not write it twice.
  const records = new Map<string, string>()
  let ends = 0
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        if (message.value === null) ends += 1
        else records.set(`${partition}/${message.offset}`, message.value.toString())
      },
    })
    await until(() => copier.hasEnded || records.size >= wanted, { what: `${wanted} records`, timeoutMs: 120_000 })
    if (copier.hasEnded) throw new Error(`the copier ended:\n${copier.stdout}${copier.stderr}`)
    await copier.stop()
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
    await producer.connect()
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition)
    await producer.send({ topic, messages: partitions.map((partition) => ({ partition, value: null })) })
    await producer.disconnect()
    await until(() => ends >= PARTITIONS, { what: 'end of the output', timeoutMs: 30_000 })
    return [...records.values()]
  } finally {
    await consumer.disconnect()
  }
}
