// npm run bench:streams [-- query...] [--records N] [--rounds N] [--brokers millrace,kafka]: the same queries over the
// same input by @millrace/streams, one worker, and by Kafka Streams 4.3.1, one thread, alternating, on each broker.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { kafka, ours, startBroker, type Broker } from '../measure/brokers.ts'
import { installKafka } from '../measure/kafka.ts'
import { loadAverage, machine, versions } from '../measure/machine.ts'
import { output } from '../measure/processes.ts'
import { writeJson, resultsDir } from '../measure/results.ts'
import { median } from '../measure/statistics.ts'
import { markdownTable } from '../measure/table.ts'
import { fill } from './input.ts'
import { inputsOf, queries, type Input, type Query } from './queries.ts'

const here = import.meta.dirname
const cache = resolve(here, '..', '.cache', 'streams')
const JOB_TIMEOUT_MS = 300_000

interface Measured {
  readonly records: number
  readonly seconds: number
  readonly peakMegabytes: number
}

interface Line {
  readonly query: Query
  readonly broker: string
  readonly ours: readonly Measured[]
  readonly kafkaStreams: readonly Measured[]
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    records: { type: 'string', default: '600000' },
    rounds: { type: 'string', default: '3' },
    brokers: { type: 'string', default: 'kafka,millrace' },
  },
})
const chosen = positionals.length === 0 ? queries : queries.filter((query) => positionals.includes(query))
const records = Number(flags.records)
const rounds = Number(flags.rounds)

await installKafka()
await compileJava()
console.log(`load average before: ${loadAverage().join(' ')}`)
const lines: Line[] = []
for (const contestant of [kafka, ours].filter(({ kind }) => flags.brokers.split(',').includes(kind))) {
  const broker = await startBroker(contestant)
  try {
    await fillAll(broker)
    for (const query of chosen) lines.push(await measure(query, broker))
  } finally {
    await broker.stop()
  }
}
print(lines)
writeJson(resultsDir, 'streams', { machine: machine(tmpdir()), versions: versions(), records, rounds, lines })
console.log(`load average after: ${loadAverage().join(' ')}`)

/** The jars of Kafka Streams and the job's classes, once per checkout. */
async function compileJava(): Promise<void> {
  const libs = join(cache, 'lib')
  if (!existsSync(libs)) {
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${libs}`]
    await output('mvn', ['-q', '-B', '-f', join(here, 'pom.xml'), ...goal], { timeoutMs: 600_000 })
  }
  await output('javac', ['-d', join(cache, 'out'), '-cp', join(libs, '*'), join(here, 'KafkaStreamsJob.java')])
}

async function fillAll(broker: Broker): Promise<void> {
  const inputs = new Set(chosen.flatMap((query) => inputsOf[query]))
  await withAdmin(broker, [...inputs])
  for (const input of inputs) await fill(broker.port, `in-${input}`, input, shareOf(input))
}

/** Where a query reads two topics, each has half of the records. */
function shareOf(input: Input): number {
  return ['left', 'right', 'auctions', 'persons'].includes(input) ? records / 2 : records
}

async function withAdmin(broker: Broker, inputs: readonly Input[]): Promise<void> {
  const admin = new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const outputs = chosen.flatMap((query) => ['ts', 'java'].map((engine) => `in-${query}-${engine}-out`))
  const names = [...inputs.map((input) => `in-${input}`), ...outputs]
  // The records are of 2023, and must not be removed for that.
  const configEntries = [{ name: 'retention.ms', value: '-1' }]
  await admin.createTopics({ topics: names.map((topic) => ({ topic, numPartitions: 1, configEntries })) })
  await admin.disconnect()
}

async function measure(query: Query, broker: Broker): Promise<Line> {
  const line = { query, broker: broker.contestant.name, ours: [] as Measured[], kafkaStreams: [] as Measured[] }
  for (let round = 0; round < rounds; round++) {
    line.ours.push(await runJob('ts', query, broker, round))
    line.kafkaStreams.push(await runJob('java', query, broker, round))
  }
  const [a, b] = [rate(line.ours), rate(line.kafkaStreams)]
  console.log(`${query} on ${line.broker}: ${Math.round(a)} against ${Math.round(b)} records/s, ${(a / b).toFixed(2)}x`)
  return line
}

async function runJob(engine: 'ts' | 'java', query: Query, broker: Broker, round: number): Promise<Measured> {
  const stateDir = mkdtempSync(join(tmpdir(), 'bench-state-'))
  const total = inputsOf[query].reduce((sum, input) => sum + shareOf(input), 0)
  // An application of its own, so that nothing of an earlier round is gone on with: no offsets, no internal topics.
  const args = [query, broker.bootstrap, 'in-', String(total), stateDir, `${query}-${engine}-${round}`]
  try {
    const text =
      engine === 'ts'
        ? await output(process.execPath, ['-C', 'source', join(here, 'job.ts'), ...args], { timeoutMs: JOB_TIMEOUT_MS })
        : await output(
            'java',
            ['-Xmx1G', '-cp', [join(cache, 'out'), join(cache, 'lib', '*')].join(':'), 'KafkaStreamsJob', ...args],
            { timeoutMs: JOB_TIMEOUT_MS },
          )
    return JSON.parse(text.trim().split('\n').at(-1)!) as Measured
  } finally {
    rmSync(stateDir, { recursive: true, force: true })
  }
}

function rate(measured: readonly Measured[]): number {
  return median(measured.map(({ records: count, seconds }) => count / seconds))
}

function print(all: readonly Line[]): void {
  const rows = all.map((line) => {
    const megabytes = (measured: readonly Measured[]): number =>
      median(measured.map(({ peakMegabytes }) => peakMegabytes))
    const [a, b] = [rate(line.ours), rate(line.kafkaStreams)]
    const [m, n] = [megabytes(line.ours), megabytes(line.kafkaStreams)]
    return [
      line.query,
      line.broker,
      Math.round(a).toLocaleString('en'),
      Math.round(b).toLocaleString('en'),
      `${(a / b).toFixed(2)}x`,
      `${m} MB`,
      `${n} MB`,
      (m / n).toFixed(2),
    ]
  })
  const head = ['query', 'broker', 'ours, records/s', 'Kafka Streams', 'ratio', 'our memory', 'theirs', 'ratio']
  console.log(markdownTable(head, rows))
}
