// npm run bench:streams: the same queries over the same input by @millrace/streams, one worker, by Kafka Streams 4.3.1,
// one thread, and by @kafkats/flow where it has what the query needs, in turn, on each broker. Their results must be the
// same.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Guarantee } from '@millrace/streams'
import { Kafka, logLevel } from 'kafkajs'
import { kafka, ours, startBroker, type Broker, type Kind } from '../measure/brokers.ts'
import { installKafka } from '../measure/kafka.ts'
import { loadAverage, machine, root, versions } from '../measure/machine.ts'
import { output } from '../measure/processes.ts'
import { readJson, resultsDir, writeJson } from '../measure/results.ts'
import { digestOf, type Digest } from './digest.ts'
import { fill } from './input.ts'
import { commitIntervalMs, jobArguments, type JobOptions, type Measured } from './progress.ts'
import { engines, rateOf, tableOf, thousands, type Engine, type Line, type StreamsResult } from './result.ts'
import { countedOf, inputsOf, inputTopic, queries, recordsOf, shareOf, tables, type Query } from './queries.ts'

const here = import.meta.dirname
const cache = resolve(here, '..', '.cache', 'streams')
const JOB_TIMEOUT_MS = 300_000
/** Longer than the commit interval, at which caches give out what they held back. */
const DRAIN_MS = 8000

/** The smaller young generation and the earlier collections cost some CPU and save half of the memory. */
const nodeFlags = ['--max-semi-space-size=4', '--heap-growing-percent=50']
const javaFlags = ['-Xmx1G']
/** @kafkats/flow has no repartition topics, and its joins and sessions have other rules. */
const kafkatsQueries: ReadonlySet<Query> = new Set(['map', 'count', 'windowed', 'q0', 'q1', 'q2'])

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    engine: { type: 'string', default: 'millrace,kafka-streams' },
    guarantee: { type: 'string', default: 'at-least-once' },
    broker: { type: 'string', default: 'kafka,millrace' },
    rounds: { type: 'string', default: '3,1' },
    scale: { type: 'string', default: '1' },
    resume: { type: 'boolean', default: false },
    out: { type: 'string', default: resultsDir },
    name: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
if (flags.help) {
  console.log(`npm run bench:streams -- [query...] [options]

  queries    ${queries.join(' ')}; all unless given
  --engine   ${engines.join(',')}; the first two unless given
  --broker   kafka,millrace
  --guarantee  at-least-once or exactly-once, for both engines
  --rounds   of every query on each of the brokers, 3,1 unless given
  --scale    multiplies the number of records
  --resume   leaves out what has a result of this commit
  --out      the directory of the results, ${resultsDir}
  --name     of their file, streams or streams-exactly-once unless given: engines that need another scale have one of their own`)
  process.exit(0)
}
const chosen = oneOf<Query>('query', queries, positionals.length === 0 ? [...queries] : positionals)
const chosenEngines = oneOf<Engine>('engine', engines, flags.engine.split(','))
const chosenBrokers = oneOf<Kind>('broker', ['kafka', 'millrace'], flags.broker.split(','))
const [guarantee] = oneOf<Guarantee>('guarantee', ['at-least-once', 'exactly-once'], [flags.guarantee]) as [Guarantee]
if (guarantee === 'exactly-once' && chosenEngines.includes('kafkats')) {
  console.error('kafkats is measured with at-least-once only')
  process.exit(2)
}
const resultName = flags.name ?? (guarantee === 'exactly-once' ? 'streams-exactly-once' : 'streams')
const rounds = flags.rounds.split(',').map(Number)
const scale = Number(flags.scale)
const commitInterval = `${commitIntervalMs[guarantee]} ms`
const commit = commitOf('streams', 'protocol', 'native', 'bench/streams', ':!*.test.ts', ':!bench/results')

await installKafka()
await compile()
const before = readJson<Partial<StreamsResult>>(flags.out, resultName)
let lines: readonly Line[] = before?.lines?.every((line) => 'measured' in line) === true ? before.lines : []
console.log(`load average ${loadAverage().join(' ')}, commit ${commit}`)
for (const [index, kind] of chosenBrokers.entries()) {
  const missing = chosen.filter((query) => !(flags.resume && isDone(query, kind)))
  if (missing.length === 0) continue
  const broker = await startBroker(kind === 'kafka' ? kafka : ours)
  try {
    const filled = new Set<string>()
    for (const query of missing) {
      const line = await measure(query, broker, rounds[index] ?? rounds[0]!, filled)
      lines = [...lines.filter((other) => other.query !== query || other.broker !== kind), line]
      const settings = { node: nodeFlags.join(' '), java: javaFlags.join(' '), commitInterval, guarantee }
      writeJson(flags.out, resultName, { machine: machine(tmpdir()), versions: versions(), settings, lines })
    }
  } finally {
    await broker.stop()
  }
}
for (const broker of chosenBrokers) {
  for (const engine of ['kafka-streams', 'kafkats'] as const) {
    const chosenLines = lines.filter(({ query }) => chosen.includes(query))
    const table = tableOf(chosenLines, broker, engine)
    if (table !== null) console.log(`\n${table}\n`)
  }
}
console.log(`load average ${loadAverage().join(' ')}`)
const different = lines.filter(({ isSame }) => !isSame)
for (const { query, broker } of different) console.log(`${query} on ${broker}: the results are not the same`)
if (different.length > 0) process.exitCode = 1

function oneOf<T extends string>(what: string, known: readonly T[], given: readonly string[]): T[] {
  const unknown = given.find((one) => !(known as readonly string[]).includes(one))
  if (unknown === undefined) return given as T[]
  console.error(`${what} ${unknown} is unknown: there are ${known.join(' ')}`)
  return process.exit(2)
}

function commitOf(...paths: string[]): string {
  const git = (...args: string[]): string => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout.trim()
  const last = git('log', '-1', '--format=%h', '--abbrev=12', '--', ...paths)
  return git('status', '--porcelain', '--', ...paths) === '' ? last : `${last}+`
}

function isDone(query: Query, kind: Kind): boolean {
  const line = lines.find((one) => one.query === query && one.broker === kind)
  if (line === undefined || line.commit !== commit || line.records !== Math.floor(recordsOf[query] * scale))
    return false
  return chosenEngines.every((engine) => !runs(engine, query) || line.measured[engine] !== undefined)
}

function runs(engine: Engine, query: Query): boolean {
  return engine !== 'kafkats' || kafkatsQueries.has(query)
}

/** What users run: our packages as they are published, jobs without types, and the jars of Kafka Streams. */
async function compile(): Promise<void> {
  const tsc = join(root, 'node_modules', '.bin', 'tsc')
  await output(process.execPath, [tsc, '-b', join(root, 'streams')])
  const js = join(cache, 'js')
  const jobs = ['job.ts', 'kafkats-job.ts'].map((file) => join(here, file))
  const options = '--ignoreConfig --module nodenext --target es2024 --rewriteRelativeImportExtensions --skipLibCheck'
  await output(process.execPath, [tsc, ...jobs, '--outDir', js, '--types', 'node', ...options.split(' ')], {
    cwd: root,
  })
  mkdirSync(js, { recursive: true })
  writeFileSync(join(js, 'package.json'), '{"type":"module"}\n')
  const libs = join(cache, 'lib')
  if (!existsSync(libs)) {
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${libs}`]
    await output('mvn', ['-q', '-B', '-f', join(here, 'pom.xml'), ...goal], { timeoutMs: 600_000 })
  }
  await output('javac', ['-d', join(cache, 'out'), '-cp', join(libs, '*'), join(here, 'KafkaStreamsJob.java')])
}

async function measure(query: Query, broker: Broker, times: number, filled: Set<string>): Promise<Line> {
  const { kind } = broker.contestant
  const records = Math.floor(recordsOf[query] * scale)
  await fillInputs(query, broker, records, filled)
  const earlier = lines.find((one) => one.query === query && one.broker === kind)
  const isEarlierValid = earlier?.commit === commit && earlier.records === records
  const measured: Partial<Record<Engine, Measured[]>> = isEarlierValid ? { ...(earlier.measured as object) } : {}
  const outputs: Partial<Record<Engine, Digest>> = isEarlierValid ? { ...earlier.outputs } : {}
  for (const engine of chosenEngines) if (runs(engine, query)) measured[engine] = []
  for (let round = 0; round < times; round++) {
    for (const engine of chosenEngines) {
      if (!runs(engine, query)) continue
      // An application of its own, so that nothing of an earlier round is gone on with: no offsets, no internal topics.
      const application = `${query}-${engine}-${round}-${process.pid}`
      const outTopic = `${application}-out`
      await createTopics(broker, [outTopic])
      measured[engine]!.push(await runJob(engine, query, broker, { application, outTopic, records }))
      // Once is enough: input and program are the same each time.
      if (round === 0) outputs[engine] = await digestOf(broker.port, outTopic, tables.has(query))
    }
  }
  const digests = Object.values(outputs).map((digest) => JSON.stringify(digest))
  const isSame = new Set(digests).size < 2
  const line = { query, broker: kind, commit, records, measured, outputs, isSame, loadAverage: loadAverage() }
  const rates = Object.entries(measured).map(([engine, all]) => `${engine} ${thousands(rateOf(records, all))}`)
  console.log(`${query} on ${kind}: ${rates.join(', ')} records/s; ${isSame ? 'same results' : digests.join(' ')}`)
  return line
}

async function fillInputs(query: Query, broker: Broker, records: number, filled: Set<string>): Promise<void> {
  const share = shareOf(query, records)
  for (const input of inputsOf[query]) {
    const topic = inputTopic(input, share)
    if (filled.has(topic)) continue
    filled.add(topic)
    await createTopics(broker, [topic])
    await fill(broker.port, topic, input, share)
  }
}

async function createTopics(broker: Broker, names: readonly string[]): Promise<void> {
  const admin = new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  // The records are of 2023, and must not be removed for that.
  const configEntries = [{ name: 'retention.ms', value: '-1' }]
  await admin.createTopics({ topics: names.map((topic) => ({ topic, numPartitions: 1, configEntries })) })
  await admin.disconnect()
}

async function runJob(
  engine: Engine,
  query: Query,
  broker: Broker,
  job: { readonly application: string; readonly outTopic: string; readonly records: number },
): Promise<Measured> {
  const stateDir = mkdtempSync(join(tmpdir(), 'bench-state-'))
  const options: JobOptions = {
    ...job,
    query,
    bootstrap: broker.bootstrap,
    records: shareOf(query, job.records),
    stateDir,
    counted: engine === 'kafkats' ? job.records : countedOf(query, job.records),
    drainMs: query === 'q3' || query === 'q5' ? DRAIN_MS : 0,
    guarantee,
  }
  try {
    const args = jobArguments(options)
    const classPath = [join(cache, 'out'), join(cache, 'lib', '*')].join(':')
    const text =
      engine === 'kafka-streams'
        ? await output('java', [...javaFlags, '-cp', classPath, 'KafkaStreamsJob', ...args], {
            timeoutMs: JOB_TIMEOUT_MS,
          })
        : await output(
            process.execPath,
            [...nodeFlags, join(cache, 'js', engine === 'millrace' ? 'job.js' : 'kafkats-job.js'), ...args],
            { timeoutMs: JOB_TIMEOUT_MS },
          )
    return JSON.parse(text.trim().split('\n').at(-1)!) as Measured
  } finally {
    rmSync(stateDir, { recursive: true, force: true })
  }
}
