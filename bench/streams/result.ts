import type { Kind } from '../measure/brokers.ts'
import type { Machine, Versions } from '../measure/machine.ts'
import { median } from '../measure/statistics.ts'
import { markdownTable } from '../measure/table.ts'
import type { Digest } from './digest.ts'
import type { Measured } from './progress.ts'
import type { Query } from './queries.ts'

export const engines = ['millrace', 'kafka-streams', 'kafkats'] as const
export type Engine = (typeof engines)[number]

const names: Readonly<Record<Engine, string>> = {
  millrace: '@millrace/streams',
  'kafka-streams': 'Kafka Streams',
  kafkats: '@kafkats/flow',
}

/** One query on one broker, by every engine that ran it. */
export interface Line {
  readonly query: Query
  readonly broker: Kind
  /** The commit of what was measured. */
  readonly commit: string
  readonly records: number
  readonly measured: Partial<Record<Engine, readonly Measured[]>>
  readonly outputs: Partial<Record<Engine, Digest>>
  readonly isSame: boolean
  readonly loadAverage: readonly [number, number]
}

export interface StreamsResult {
  readonly machine: Machine
  readonly versions: Versions
  readonly settings: Readonly<Record<string, string>>
  readonly lines: readonly Line[]
}

/** The section of docs/PERFORMANCE.md. */
export function streamsSection({ machine, versions, settings, lines }: StreamsResult): string {
  const about =
    `${machine.processors}, ${machine.memoryGiB} GiB, ${machine.system}; Node ${versions.node} with ${settings.node}, ` +
    `Kafka Streams ${versions.kafka} on ${versions.java} with ${settings.java}; commits every ${settings.commitInterval}. ` +
    'Medians of the rounds; a ratio of speed or CPU above 1x is for us, and a ratio of memory below 1 is.'
  const tables = (['kafka', 'millrace'] as const).flatMap((broker) => {
    const table = tableOf(lines, broker, 'kafka-streams')
    return table === null ? [] : [table]
  })
  return [about, ...tables].join('\n\n')
}

/** Our figures beside those of another engine; null where both have not run. */
export function tableOf(lines: readonly Line[], broker: Kind, engine: Engine): string | null {
  const rows = lines
    .filter((line) => line.broker === broker)
    .flatMap(({ query, records, measured, isSame, loadAverage: [load] }) => {
      const [a, b] = [measured.millrace, measured[engine]]
      if (a === undefined || b === undefined) return []
      const ratio = (value: (one: Measured) => number): string => `${(of(b, value) / of(a, value)).toFixed(2)}x`
      const steady = (all: readonly Measured[]): string =>
        thousands(of(all, ({ steadySeconds }) => records / 2 / steadySeconds))
      const [m, n] = [of(a, ({ peakMegabytes }) => peakMegabytes), of(b, ({ peakMegabytes }) => peakMegabytes)]
      return [
        [
          query,
          thousands(rateOf(records, a)),
          thousands(rateOf(records, b)),
          ratio(({ seconds }) => seconds),
          steady(a),
          steady(b),
          ratio(({ steadySeconds }) => steadySeconds),
          ratio(({ cpuSeconds }) => cpuSeconds),
          ratio(({ steadyCpuSeconds }) => steadyCpuSeconds),
          `${m} MB`,
          `${n} MB`,
          (m / n).toFixed(2),
          isSame ? 'same' : '**different**',
          String(load),
        ],
      ]
    })
  if (rows.length === 0) return null
  const theirs = names[engine]
  const rates = ['ours, records/s', theirs, 'ratio', 'second half, ours', theirs, 'ratio']
  const head = ['query', ...rates, 'CPU', 'CPU, second half', 'our memory', 'theirs', 'ratio', 'results', 'load']
  const where = broker === 'kafka' ? 'Apache Kafka' : 'this broker'
  return `${names.millrace} and ${theirs} on ${where}:\n\n${markdownTable(head, rows)}`
}

export function rateOf(records: number, measured: readonly Measured[]): number {
  return of(measured, ({ seconds }) => records / seconds)
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function of(measured: readonly Measured[], value: (one: Measured) => number): number {
  return median(measured.map(value))
}
