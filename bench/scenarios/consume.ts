import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Broker, kafka, ours } from '../measure/brokers.ts'
import { createTopic, load, type LoadFlags, withTopic } from '../measure/load.ts'
import { output } from '../measure/processes.ts'
import { figuresOf, metric } from './figures.ts'
import { textual } from './produce.ts'
import type { Figures, Metric, Scenario } from './scenario.ts'

/** Filled once per broker and read in every round. */
const FILLED_RECORDS = 20_000_000
const fill: LoadFlags = { recordBytes: 100, batchBytes: 65_536, connections: 1, inFlight: 5 }
const filledTopic = 'filled'

/** Records that are there already, from the first to the last. */
function reading(shape: {
  readonly name: string
  readonly title: string
  readonly metrics: readonly Metric[]
  readonly flags: LoadFlags
  readonly isCold: boolean
}): Scenario {
  const { name, title, metrics, flags, isCold } = shape
  return {
    name,
    title,
    contestants: [ours, kafka],
    metrics,
    settings: { records: FILLED_RECORDS, ...textual(fill), ...textual(flags) },
    fill: fillTopic,
    async round(broker, { seconds }): Promise<Figures> {
      if (isCold) await dropFromPageCache(broker)
      const time: LoadFlags = isCold ? { untilEnd: true } : { seconds }
      return figuresOf(await load('fetch', broker, { topic: filledTopic, ...time, ...flags }))
    },
  }
}

async function fillTopic(broker: Broker): Promise<void> {
  await createTopic(broker, filledTopic, 1)
  await load('produce', broker, { topic: filledTopic, records: FILLED_RECORDS, ...fill })
}

/** The next read of the topic's segments comes from the disk. */
async function dropFromPageCache(broker: Broker): Promise<void> {
  const directory = join(broker.dataDir, `${filledTopic}-0`)
  const segments = readdirSync(directory).filter((file) => file.endsWith('.log'))
  await output('sync', [])
  for (const file of segments) {
    await output('dd', [`if=${join(directory, file)}`, 'iflag=nocache', 'count=0', 'status=none'])
  }
}

/** A consumer that follows a producer. */
function following(shape: {
  readonly name: string
  readonly title: string
  readonly metrics: readonly Metric[]
  readonly flags: LoadFlags
}): Scenario {
  const { name, title, metrics, flags } = shape
  return {
    name,
    title,
    contestants: [ours, kafka],
    metrics,
    settings: { partitions: 1, ...textual(flags) },
    round: (broker, { seconds }) =>
      withTopic(broker, 1, async (topic) => figuresOf(await load('end-to-end', broker, { topic, seconds, ...flags }))),
  }
}

export const consumeScenarios: readonly Scenario[] = [
  reading({
    name: 'consume-cached',
    title: 'Consume from the first offset out of the page cache, up to 1 MiB a fetch',
    metrics: [
      metric.consumeRate(),
      metric.consumeMegabytes({ ratioAtLeast: 1.5 }),
      metric.cpu(),
      metric.memory({ atMost: 150 }),
    ],
    flags: { consumers: 1 },
    isCold: false,
  }),
  reading({
    name: 'consume-cold',
    title: 'Consume segments that are not in the page cache, up to 1 MiB a fetch',
    metrics: [metric.consumeRate(), metric.consumeMegabytes(), metric.cpu()],
    flags: { consumers: 1 },
    isCold: true,
  }),
  following({
    name: 'consume-tail',
    title: 'Consume at the tail while one producer sends 300 K records/s in 64 KB batches',
    metrics: [metric.consumeRate(), metric.endToEndP50(), metric.endToEndP99(), metric.cpu()],
    flags: { recordBytes: 100, batchBytes: 65_536, rate: 300_000, acks: 'all', connections: 1, inFlight: 5 },
  }),
  following({
    name: 'end-to-end-50k',
    title: 'From when a record is due until a consumer has it: 50 K records/s in batches of 100, acks=all',
    metrics: [
      metric.endToEndP50(),
      metric.endToEndP99({ ratioAtMost: 1 }),
      metric.endToEndP999(),
      metric.ackP99(),
      metric.heldShare(),
      metric.cpu(),
    ],
    flags: { recordBytes: 100, batchRecords: 100, rate: 50_000, acks: 'all', connections: 1, inFlight: 5 },
  }),
]
