import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka, logLevel, Partitioners } from 'kafkajs'
import { beforeAll, describe, expect, it } from 'vitest'
import { type BrokerUnderTest, describeBroker, uniqueName, until } from '../harness/index.ts'
import { build, kafkaStreamsMissing, startProgram } from './program.ts'

const RUNS = Number(process.env['KAFKA_STREAMS_RUNS'] ?? 1)
const KILLS = 3
const PARTITIONS = 2
const KEYS = 10
const RECORDS = 4000

const reason = kafkaStreamsMissing()

describe.skipIf(reason !== null)(`Kafka Streams${reason === null ? '' : `: ${reason}`}`, () => {
  beforeAll(build)

  const settings = {
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
    'transaction.state.log.num.partitions': '4',
  }
  describeBroker('with exactly_once_v2', { process: true, settings }, (broker) => {
    for (let run = 1; run <= RUNS; run++) {
      it(
        `counts each record once through kills of it and of the broker, run ${run}`,
        { timeout: 300_000 },
        async () => {
          const input = uniqueName('words')
          const output = uniqueName('counts')
          const stateDir = mkdtempSync(join(tmpdir(), 'millrace-kafka-streams-'))
          const topics = await Topics.open(broker, input, output)
          const application = uniqueName('count-job')
          const startJob = () => startProgram('CountJob', [broker.bootstrap, input, output, application, stateDir])
          let job = startJob()
          try {
            for (let kill = 0; kill < KILLS; kill++) {
              await topics.fill(kill * 1000, 1000)
              const wanted = kill * 1000 + Math.ceil(Math.random() * 900)
              await until(() => job.hasEnded || topics.counted >= wanted, {
                what: `${wanted} counts`,
                timeoutMs: 90_000,
              })
              if (kill % 2 === 1) {
                await broker.restart({ crash: true })
              } else {
                await job.stop('SIGKILL')
                job = startJob()
              }
            }
            await topics.fill(KILLS * 1000, RECORDS - KILLS * 1000)
            await until(() => job.hasEnded || topics.counted >= RECORDS, { what: 'last count', timeoutMs: 120_000 })
            if (job.hasEnded) throw new Error(`the job ended:\n${job.stdout}${job.stderr}`)
            // Each key was counted up from 1, without a gap and without a step back.
            const expected = Array.from({ length: RECORDS / KEYS }, (_, index) => String(index + 1))
            for (let key = 0; key < KEYS; key++) expect([key, topics.countsOf(`k${key}`)]).toEqual([key, expected])
          } finally {
            await job.stop('SIGKILL')
            await topics.close()
            rmSync(stateDir, { recursive: true, force: true })
          }
        },
      )
    }
  })
})

/** The input of the job and what a reader of committed records sees of its output. */
class Topics {
  readonly #kafka: Kafka
  readonly #input: string
  readonly #close: () => Promise<void>
  /** By partition and offset, as a reader may get a record twice. */
  readonly #seen: ReadonlyMap<string, { readonly key: string; readonly value: string }>

  private constructor(
    kafka: Kafka,
    input: string,
    seen: ReadonlyMap<string, { readonly key: string; readonly value: string }>,
    close: () => Promise<void>,
  ) {
    this.#kafka = kafka
    this.#input = input
    this.#seen = seen
    this.#close = close
  }

  static async open(broker: BrokerUnderTest, input: string, output: string): Promise<Topics> {
    const kafka = new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 30 } })
    const admin = kafka.admin()
    await admin.connect()
    const topics = [input, output].map((topic) => ({ topic, numPartitions: PARTITIONS }))
    await admin.createTopics({ topics, waitForLeaders: true })
    await admin.disconnect()
    const seen = new Map<string, { readonly key: string; readonly value: string }>()
    const consumer = kafka.consumer({ groupId: uniqueName('reader'), readUncommitted: false, maxWaitTimeInMs: 100 })
    await consumer.connect()
    await consumer.subscribe({ topic: output, fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        seen.set(`${partition}/${message.offset}`, { key: String(message.key), value: String(message.value) })
      },
    })
    return new Topics(kafka, input, seen, () => consumer.disconnect())
  }

  get counted(): number {
    return this.#seen.size
  }

  countsOf(key: string): string[] {
    return [...this.#seen.values()].filter((record) => record.key === key).map(({ value }) => value)
  }

  async fill(from: number, count: number): Promise<void> {
    const producer = this.#kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true })
    await producer.connect()
    const messages = Array.from({ length: count }, (_, index) => ({
      key: `k${(from + index) % KEYS}`,
      value: String(from + index),
    }))
    await producer.send({ topic: this.#input, messages })
    await producer.disconnect()
  }

  close(): Promise<void> {
    return this.#close()
  }
}
