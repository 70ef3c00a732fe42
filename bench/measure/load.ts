import { join } from 'node:path'
import { root } from './machine.ts'
import { hold, type HeldProcess, isInstalled, output, run } from './processes.ts'
import type { Broker } from './brokers.ts'

export interface Latencies {
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface Rates {
  readonly requests: number
  readonly records: number
  readonly requestsPerSecond: number
  readonly recordsPerSecond: number
  readonly megabytesPerSecond: number
}

/** What the load generator prints about a run. */
export interface LoadLine {
  readonly seconds: number
  readonly errors: Readonly<Record<string, number>>
  readonly produced?: Rates
  readonly fetched?: Rates
  readonly ackMs?: Latencies
  readonly endToEndMs?: Latencies
  readonly fetchMs?: Latencies
  readonly commitMs?: Latencies
  readonly loadCpuSeconds: number
  readonly brokerCpuSeconds?: number
  readonly brokerCpuMicrosPerRecord?: number
  readonly batchRecords?: number
  readonly batchBytes?: number
  readonly offeredPerSecond?: number
  readonly drainSeconds?: number
  readonly unsentBatches?: number
}

export type LoadFlags = Readonly<Record<string, string | number | boolean>>

/** Why the load generator cannot be built here, or null. */
export function loadMissing(): string | null {
  if (process.platform !== 'linux') return 'the load generator wants Linux'
  return isInstalled('cargo', ['--version']) ? null : 'cargo is not installed'
}

const binary = join(root, 'target', 'release', 'millrace-load')
let building: Promise<unknown> | undefined

/** Compiles the generator, once per process. Cargo knows whether there is something to do. */
export function buildLoad(): Promise<unknown> {
  building ??= output('cargo', ['build', '--release', '--quiet', '--package', 'millrace-load'], { cwd: root })
  return building
}

/** Runs a load against a broker; an answer that was an error, or a record that is missing, is an exception. */
export async function load(
  mode: 'produce' | 'fetch' | 'end-to-end',
  broker: Broker,
  flags: LoadFlags,
): Promise<LoadLine> {
  await buildLoad()
  const args = [mode, '--bootstrap', broker.bootstrap, '--pid', String(broker.pid), ...flagArgs(flags)]
  const { exitCode, stdout, stderr } = await run(binary, args)
  if (exitCode !== 0) throw new Error(`${broker.contestant.name}: ${args.join(' ')}: ${stderr}${stdout}`)
  return JSON.parse(stdout) as LoadLine
}

/** Opens connections that stay silent until they are released. */
export async function idleConnections(broker: Broker, connections: number): Promise<HeldProcess> {
  await buildLoad()
  return hold(binary, ['idle', '--bootstrap', broker.bootstrap, '--connections', String(connections)])
}

/** Creates a topic and waits until all of it can be used. */
export async function createTopic(broker: Broker, topic: string, partitions: number): Promise<void> {
  await buildLoad()
  // A deleted topic gives its bytes back at once and not after a minute: rounds would fill the disk.
  const config = ['--topic-config', 'file.delete.delay.ms=1000']
  const at = ['--bootstrap', broker.bootstrap, '--topic', topic]
  await output(binary, ['create', ...at, '--partitions', String(partitions), ...config])
}

export async function deleteTopic(broker: Broker, topic: string): Promise<void> {
  await output(binary, ['delete', '--bootstrap', broker.bootstrap, '--topic', topic])
}

/** Fails when the topic holds another number of records than somebody says he has sent. */
export async function expectRecords(broker: Broker, topic: string, expected: number): Promise<void> {
  const line = await output(binary, ['count', '--bootstrap', broker.bootstrap, '--topic', topic])
  const { records } = JSON.parse(line) as { records: number }
  if (records !== expected) throw new Error(`${broker.contestant.name}: ${records} records where ${expected} were sent`)
}

let topics = 0

/** A topic for the time of `body`. */
export async function withTopic<T>(
  broker: Broker,
  partitions: number,
  body: (topic: string) => Promise<T>,
): Promise<T> {
  topics += 1
  const topic = `load-${topics}`
  await createTopic(broker, topic, partitions)
  const result = await body(topic)
  await deleteTopic(broker, topic)
  return result
}

function flagArgs(flags: LoadFlags): string[] {
  return Object.entries(flags).flatMap(([name, value]) => {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
    if (typeof value === 'boolean') return value ? [flag] : []
    return [flag, String(value)]
  })
}
