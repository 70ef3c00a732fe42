import { kafka, ours, type Contestant } from '../measure/brokers.ts'
import { load, type LoadFlags, withTopic } from '../measure/load.ts'
import { figuresOf, metric } from './figures.ts'
import type { Metric, Scenario } from './scenario.ts'

interface Shape {
  readonly name: string
  readonly title: string
  readonly partitions?: number
  readonly metrics: readonly Metric[]
  readonly flags: LoadFlags
  readonly contestants?: readonly Contestant[]
  readonly seconds?: number
  readonly fillsMemory?: boolean
}

/** Producing by the light generator, in a closed loop or at a rate. */
export function producing(shape: Shape): Scenario {
  const { name, title, partitions = 1, flags, contestants = [ours, kafka], metrics, seconds: ownSeconds } = shape
  return {
    name,
    title,
    contestants,
    metrics,
    ...(ownSeconds === undefined ? {} : { seconds: ownSeconds }),
    ...(shape.fillsMemory === true ? { fillsMemory: true } : {}),
    settings: { partitions, ...textual(flags) },
    round: (broker, { seconds }) =>
      withTopic(broker, partitions, async (topic) =>
        figuresOf(await load('produce', broker, { topic, seconds, ...flags })),
      ),
  }
}

export function textual(flags: LoadFlags): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(flags).map(([name, value]) => [name, value === true ? 'yes' : String(value)]),
  )
}

/**
 * What comes faster than the disk writes stays in memory until a fifth of that is full; then the kernel slows the writer
 * down. A longer round of large batches would measure the disk.
 */
const SHORT_SECONDS = 5

const batchSizes = [
  { name: '16k', bytes: 16_384, bars: { rate: 4.5, cpu: 0.25 } },
  { name: '64k', bytes: 65_536, bars: { rate: 3, cpu: 0.25 } },
  { name: '1m', bytes: 1_000_000, bars: null },
] as const

/** One partition, one connection, five requests in flight: how much one partition takes. */
const onePartition: Scenario[] = [100, 1024].flatMap((recordBytes) =>
  batchSizes.flatMap((batch) =>
    (['1', 'all'] as const).map((acks) => {
      // The bars are about records of 100 bytes.
      const bars = recordBytes === 100 ? batch.bars : null
      return producing({
        name: `produce-${recordBytes === 100 ? '100b' : '1k'}-${batch.name}-acks-${acks}`,
        title: `One partition, ${recordBytes} B records, ${batch.name.toUpperCase()}B batches, acks=${acks}`,
        metrics: [
          metric.recordRate(...(bars === null ? [] : [{ ratioAtLeast: bars.rate }])),
          metric.megabytes(),
          metric.ackP50(),
          metric.ackP99(),
          metric.cpu(...(bars === null ? [] : [{ ratioAtMost: bars.cpu }])),
          metric.memory({ atMost: 150 }),
        ],
        flags: { recordBytes, batchBytes: batch.bytes, acks, connections: 1, inFlight: 5 },
        ...(batch.bytes > 16_384 ? { seconds: SHORT_SECONDS } : {}),
        fillsMemory: true,
      })
    }),
  ),
)

/** Each request carries one record: what a request costs. */
const singleRecords: Scenario[] = [
  { connections: 1, inFlight: 1, bar: 1.5 },
  { connections: 16, inFlight: 5, bar: null },
  { connections: 64, inFlight: 5, bar: 6 },
].map(({ connections, inFlight, bar }) =>
  producing({
    name: `single-${connections}`,
    title: `Requests of one record over ${connections} connection${connections === 1 ? '' : 's'}, ${inFlight} in flight`,
    metrics: [
      metric.requestRate(...(bar === null ? [] : [{ ratioAtLeast: bar }])),
      metric.ackP50(),
      metric.ackP99(),
      metric.cpu({ ratioAtMost: 0.25 }),
      metric.memory({ atMost: 150 }),
    ],
    flags: { recordBytes: 100, batchRecords: 1, acks: 'all', connections, inFlight },
  }),
)

const manyPartitions: Scenario[] = [
  { partitions: 6, connections: 6, batch: { batchBytes: 65_536 }, text: '64 KB batches' },
  { partitions: 100, connections: 10, batch: { batchRecords: 100 }, text: 'batches of 100 records' },
].map(({ partitions, connections, batch, text }) =>
  producing({
    name: `partitions-${partitions}`,
    title: `${partitions} partitions over ${connections} connections, ${text}`,
    partitions,
    metrics: [metric.recordRate(), metric.ackP99(), metric.cpu({ ratioAtMost: 0.25 }), metric.memory({ atMost: 150 })],
    flags: { recordBytes: 100, ...batch, acks: 'all', connections, inFlight: 5 },
    seconds: SHORT_SECONDS,
    fillsMemory: true,
  }),
)

/** Latency at a rate that is offered whatever the answers do, counted from when a batch was due. */
const offered: Scenario[] = [
  { name: 'latency-50k', rate: 50_000, batchRecords: 100, atMost: 1.5 },
  { name: 'latency-200k', rate: 200_000, batchRecords: 500, atMost: 5 },
  { name: 'latency-50k-small', rate: 50_000, batchRecords: 10, atMost: null },
].map(({ name, rate, batchRecords, atMost }) =>
  producing({
    name,
    title: `${rate / 1000} K records/s offered in batches of ${batchRecords}, acks=all`,
    metrics: [
      metric.ackP50(),
      metric.ackP99({ ratioAtMost: 1, ...(atMost === null ? {} : { atMost }) }),
      metric.ackP999(),
      metric.heldShare(),
      metric.cpu({ ratioAtMost: 0.25 }),
    ],
    flags: { recordBytes: 100, batchRecords, acks: 'all', rate, connections: 1, inFlight: 5 },
  }),
)

export const produceScenarios: readonly Scenario[] = [...onePartition, ...singleRecords, ...manyPartitions, ...offered]
