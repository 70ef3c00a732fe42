// Where the time of our broker goes under a load: the top entries as text, and a flame graph.
//
//   npm run profile -- [produce|small|fetch|tail ...] [--seconds 10] [--top 15]
//
// The flame graph is drawn by 0x, from the package in bench/profile, which is installed when it is first wanted.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Broker, ours, startBroker } from './measure/brokers.ts'
import { busiestFunctions, type CpuProfile } from './measure/cpu-profile.ts'
import { buildLoad, createTopic, load, loadMissing } from './measure/load.ts'
import { output } from './measure/processes.ts'
import { readable } from './measure/statistics.ts'
import { markdownTable } from './measure/table.ts'

const toolDir = join(import.meta.dirname, 'profile')
const outDir = join(toolDir, '.cache')
const SAMPLING_MICROS = 200
const FILLED_RECORDS = 5_000_000

interface Load {
  readonly title: string
  /** What happens before and is not looked at. */
  readonly fill?: (broker: Broker) => Promise<unknown>
  readonly run: (broker: Broker, seconds: number) => Promise<string>
}

const topic = 'profiled'

const loads: Readonly<Record<string, Load>> = {
  produce: {
    title: 'Produce, 64 KB batches of 100 B records, one connection',
    async run(broker, seconds) {
      const line = await load('produce', broker, { topic, seconds, batchBytes: 65_536 })
      return `${readable(line.produced!.recordsPerSecond)} records/s`
    },
  },
  small: {
    title: 'Produce, single records over 64 connections, 5 in flight each',
    async run(broker, seconds) {
      const line = await load('produce', broker, { topic, seconds, batchRecords: 1, connections: 64 })
      return `${readable(line.produced!.requestsPerSecond)} requests/s`
    },
  },
  fetch: {
    title: 'Fetch from the page cache, one connection, up to 1 MiB at a time',
    fill: (broker) => load('produce', broker, { topic, records: FILLED_RECORDS, batchBytes: 65_536 }),
    async run(broker, seconds) {
      const line = await load('fetch', broker, { topic, seconds })
      return `${readable(line.fetched!.megabytesPerSecond)} MB/s`
    },
  },
  tail: {
    title: 'Fetch at the tail, while 50 K records/s come in batches of 100',
    async run(broker, seconds) {
      const line = await load('end-to-end', broker, { topic, seconds, batchRecords: 100, rate: 50_000 })
      return `p99 from end to end ${readable(line.endToEndMs!.p99)} ms`
    },
  },
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seconds: { type: 'string', default: '10' }, top: { type: 'string', default: '15' } },
  })
  const names = positionals.length === 0 ? Object.keys(loads) : positionals
  const unknown = names.find((name) => loads[name] === undefined)
  if (unknown !== undefined) throw new Error(`${unknown}: one of ${Object.keys(loads).join(', ')} is wanted`)
  const missing = loadMissing()
  if (missing !== null) throw new Error(missing)
  for (const name of names) await profile(name, Number(values.seconds), Number(values.top))
}

async function profile(name: string, seconds: number, top: number): Promise<void> {
  const { title, fill, run } = loads[name]!
  const directory = join(outDir, name)
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })

  const nodeFlags = ['--cpu-prof', `--cpu-prof-dir=${directory}`, `--cpu-prof-interval=${SAMPLING_MICROS}`]
  await buildLoad()
  const spawnedMs = performance.now()
  const broker = await startBroker(ours, { nodeFlags })
  let reached: string
  let loadStartMs: number
  try {
    await createTopic(broker, topic, 1)
    await fill?.(broker)
    loadStartMs = performance.now()
    reached = await run(broker, seconds)
  } finally {
    // Node writes the profile when the process ends by itself.
    await broker.stop()
  }
  const file = readdirSync(directory).find((entry) => entry.endsWith('.cpuprofile'))
  if (file === undefined) throw new Error('the broker left no profile')
  const { entries, idleShare } = busiestFunctions(
    JSON.parse(readFileSync(join(directory, file), 'utf8')) as CpuProfile,
    // The start is another subject.
    (loadStartMs - spawnedMs) * 1000,
  )
  const rows = entries.slice(0, top).map((entry) => [`${(entry.share * 100).toFixed(1)} %`, entry.what, entry.where])
  console.log(
    `${title}: ${reached} while profiled; the event loop was idle ${(idleShare * 100).toFixed(0)} % of the time\n`,
  )
  console.log(`${markdownTable(['of the busy time', 'in', 'at'], rows)}\n`)
  console.log(`${await flameGraph(directory, file, title)}\n`)
}

async function flameGraph(directory: string, file: string, title: string): Promise<string> {
  if (!existsSync(join(toolDir, 'node_modules', '0x'))) {
    await output('npm', ['install', '--no-package-lock', '--ignore-scripts'], { cwd: toolDir })
  }
  const command = join(toolDir, 'node_modules', '0x', 'cmd.js')
  const flags = ['--visualize-cpu-profile', file, '--output-dir', directory, '--title', title]
  await output(process.execPath, [command, ...flags], { cwd: directory })
  return join(directory, 'flamegraph.html')
}

await main()
