import {
  installLibrdkafka,
  javaConsume,
  javaMissing,
  javaProduce,
  kafkajs,
  librdkafka,
  librdkafkaMissing,
} from '../clients/clients.ts'
import { type Broker, kafka, ours } from '../measure/brokers.ts'
import { createTopic, expectRecords, load, withTopic } from '../measure/load.ts'
import { metric } from './figures.ts'
import type { Figures, Metric, Scenario } from './scenario.ts'

const RECORD_BYTES = 100
const HELD_RATE = 200_000
const HELD_SECONDS = 60
const held = { atLeast: 99 } as const

interface ClientScenario {
  readonly name: string
  readonly seconds?: number
  readonly title: string
  readonly metrics: readonly Metric[]
  readonly client: string
  readonly missing?: () => string | null
  readonly prepare?: () => Promise<void>
}

/** A client that produces to a new topic in each round; the topic must hold what the client says it sent. */
function producingBy(
  scenario: ClientScenario,
  recordsFor: (seconds: number) => number,
  produce: (broker: Broker, topic: string, records: number) => Promise<Figures>,
): Scenario {
  return {
    ...base(scenario),
    round: (broker, { seconds }) =>
      withTopic(broker, 1, async (topic) => {
        const records = recordsFor(seconds)
        const figures = await produce(broker, topic, records)
        await expectRecords(broker, topic, records)
        return figures
      }),
  }
}

const readTopic = 'filled'

/** A client that consumes a topic which the light generator has filled. */
function consumingBy(
  scenario: ClientScenario,
  records: number,
  consume: (broker: Broker, topic: string, records: number) => Promise<Figures>,
): Scenario {
  return {
    ...base(scenario),
    async fill(broker) {
      await createTopic(broker, readTopic, 1)
      // Batches that divide the records evenly: the topic holds as many as the client is told.
      await load('produce', broker, { topic: readTopic, recordBytes: RECORD_BYTES, batchRecords: 500, records })
      await expectRecords(broker, readTopic, records)
    },
    round: (broker) => consume(broker, readTopic, records),
  }
}

function base({ client, ...scenario }: ClientScenario): Omit<Scenario, 'round'> {
  return {
    ...scenario,
    contestants: [ours, kafka],
    settings: { client, partitions: 1, recordBytes: RECORD_BYTES },
  }
}

const java = { client: 'kafka-clients, acks=all, linger.ms=5, batch.size=65536', missing: javaMissing }
const python = {
  client: 'librdkafka of confluent-kafka, acks=all, idempotent, linger.ms=5, batch.size=65536',
  missing: librdkafkaMissing,
  prepare: installLibrdkafka,
}
const javascript = { client: 'kafkajs' }

export const clientScenarios: readonly Scenario[] = [
  producingBy(
    {
      name: 'java-produce',
      title: 'Java ProducerPerformance, 100 B records, acks=all',
      metrics: [metric.recordRate(), metric.ackP50(), metric.ackP99(), metric.cpu()],
      ...java,
    },
    (seconds) => 400_000 * seconds,
    (broker, topic, records) => javaProduce(broker, { topic, records, recordBytes: RECORD_BYTES }),
  ),
  consumingBy(
    {
      name: 'java-consume',
      title: 'Java ConsumerPerformance, 100 B records',
      metrics: [
        metric.consumeRate(),
        { key: 'withJoinRate', label: 'the same, joining the group included', unit: '/s' },
        metric.cpu(),
      ],
      ...java,
    },
    8_000_000,
    javaConsume,
  ),
  producingBy(
    {
      name: 'java-hold-200k',
      seconds: HELD_SECONDS,
      title: 'Java ProducerPerformance offers 200 K records/s to one partition',
      metrics: [metric.heldShare(held), metric.ackP50(), metric.ackP99(), metric.cpu()],
      ...java,
    },
    (seconds) => HELD_RATE * seconds,
    async (broker, topic, records) => {
      const figures = await javaProduce(broker, { topic, records, recordBytes: RECORD_BYTES, rate: HELD_RATE })
      return { ...figures, heldShare: Math.min(100, (figures['recordRate']! / HELD_RATE) * 100) }
    },
  ),
  producingBy(
    {
      name: 'librdkafka-produce',
      title: 'librdkafka produces 100 B records',
      metrics: [metric.recordRate({ ratioAtLeast: 1.5 }), metric.cpu()],
      ...python,
    },
    (seconds) => 1_000_000 * seconds,
    (broker, topic, records) => librdkafka(broker, 'produce', topic, [records], records),
  ),
  consumingBy(
    {
      name: 'librdkafka-consume',
      title: 'librdkafka consumes 100 B records',
      metrics: [metric.consumeRate({ ratioAtLeast: 1.5 }), metric.cpu()],
      ...python,
    },
    20_000_000,
    (broker, topic, records) => librdkafka(broker, 'consume', topic, [records], records),
  ),
  producingBy(
    {
      name: 'librdkafka-hold-200k',
      seconds: HELD_SECONDS,
      title: 'librdkafka is given 200 K records/s for one partition',
      metrics: [metric.heldShare(held), metric.ackP50(), metric.ackP99(), metric.ackP999(), metric.cpu()],
      ...python,
    },
    (seconds) => HELD_RATE * seconds,
    (broker, topic, records) => librdkafka(broker, 'hold', topic, [HELD_RATE, records / HELD_RATE], records),
  ),
  producingBy(
    {
      name: 'kafkajs-produce',
      title: 'kafkajs produces batches of 1000 records, 5 sends at a time',
      metrics: [metric.recordRate(), metric.cpu()],
      ...javascript,
    },
    (seconds) => 80_000 * seconds,
    (broker, topic, records) => kafkajs(broker, 'produce', topic, records),
  ),
  producingBy(
    {
      name: 'kafkajs-single',
      title: 'kafkajs sends one record and awaits it, again and again',
      metrics: [metric.recordRate(), metric.cpu()],
      ...javascript,
    },
    (seconds) => 1000 * seconds,
    (broker, topic, records) => kafkajs(broker, 'single', topic, records),
  ),
  consumingBy(
    {
      name: 'kafkajs-consume',
      title: 'kafkajs consumes batch by batch',
      metrics: [metric.consumeRate(), metric.cpu()],
      ...javascript,
    },
    2_000_000,
    (broker, topic, records) => kafkajs(broker, 'consume', topic, records),
  ),
]
