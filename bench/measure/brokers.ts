import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { prepareKafka } from './kafka.ts'
import { answersMetadata } from './metadata-probe.ts'
import { BackgroundProcess } from './processes.ts'

const command = resolve(import.meta.dirname, '..', '..', 'broker', 'bin', 'millrace.js')
const START_TIMEOUT_MS = 120_000

export type Kind = 'millrace' | 'kafka'

/** Somebody who takes part in a scenario: a kind of broker and what is set beside its defaults. */
export interface Contestant {
  /** Heading of its column. */
  readonly name: string
  readonly kind: Kind
  readonly settings: Readonly<Record<string, string>>
}

/** Both acknowledge what the operating system has taken. */
export const ours: Contestant = { name: 'millrace', kind: 'millrace', settings: { 'acks.after': 'write' } }
export const kafka: Contestant = { name: 'Kafka', kind: 'kafka', settings: {} }

/** A broker that runs as a process of its own over a data directory of its own. */
export interface Broker {
  readonly contestant: Contestant
  readonly bootstrap: string
  readonly port: number
  readonly pid: number
  readonly dataDir: string
  /** From the start of the process to the first answered Metadata request. */
  readonly startMs: number
  /** Kills it with -9 and starts it again over its data directory, at the same address. */
  crash(): Promise<void>
  stop(): Promise<void>
}

/** What a start of a broker needs, apart from how it is started: reused by whoever starts it under a profiler. */
export interface LaunchOptions {
  /** In front of the arguments of our command. */
  readonly nodeFlags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a broker on a new data directory; a setting that it refuses is an exception with its own words. */
export async function startBroker(contestant: Contestant, options: LaunchOptions = {}): Promise<Broker> {
  const workDir = mkdtempSync(join(tmpdir(), `bench-${contestant.kind}-`))
  try {
    const [port, controllerPort] = (await freePorts(2)) as [number, number]
    const launch =
      contestant.kind === 'kafka'
        ? await kafkaLaunch(workDir, port, controllerPort, contestant)
        : ownLaunch(workDir, port, contestant, options)
    const startMs = performance.now()
    const start = (): BackgroundProcess =>
      BackgroundProcess.start(launch.command, launch.args, join(workDir, 'out.log'), {
        cwd: workDir,
        ...(options.env === undefined ? {} : { env: options.env }),
      })
    let child = start()
    await untilReady(child, port)
    return {
      contestant,
      bootstrap: `127.0.0.1:${port}`,
      port,
      get pid() {
        return child.pid
      },
      dataDir: launch.dataDir,
      startMs: performance.now() - startMs,
      async crash() {
        await child.stop('SIGKILL')
        child = start()
        await untilReady(child, port)
      },
      async stop() {
        await child.stop()
        rmSync(workDir, { recursive: true, force: true })
      },
    }
  } catch (error) {
    rmSync(workDir, { recursive: true, force: true })
    throw error
  }
}

interface Launch {
  readonly command: string
  readonly args: readonly string[]
  readonly dataDir: string
}

function ownLaunch(workDir: string, port: number, contestant: Contestant, options: LaunchOptions): Launch {
  const dataDir = join(workDir, 'data')
  const sets = Object.entries(contestant.settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
  const start = ['start', '--port', String(port), '--data', dataDir, ...sets]
  return {
    command: process.execPath,
    args: [...(options.nodeFlags ?? []), '-C', 'source', command, ...start],
    dataDir,
  }
}

async function kafkaLaunch(
  workDir: string,
  port: number,
  controllerPort: number,
  contestant: Contestant,
): Promise<Launch> {
  const { args, dataDir } = await prepareKafka(workDir, port, controllerPort, contestant.settings)
  return { command: 'java', args, dataDir }
}

async function untilReady(child: BackgroundProcess, port: number): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS
  while (!(await answersMetadata(port))) {
    if (child.hasEnded) throw new Error(`the broker ended while it started:\n${child.log}`)
    if (performance.now() > deadlineMs) {
      await child.stop('SIGKILL')
      throw new Error(`the broker does not answer:\n${child.log}`)
    }
    // Long enough to leave the processor to the broker, short enough not to show in a start time.
    await pause(2)
  }
}

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
