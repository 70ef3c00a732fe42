import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Broker } from 'millrace'
import { afterAll, beforeAll, describe } from 'vitest'
import { realKafkaMissing } from '../real-kafka/install.ts'
import { answersMetadata } from './probes.ts'
import { type RunningProcess, start } from './processes.ts'
import { freePorts, RealKafka } from './real-kafka.ts'
import { until } from './until.ts'

export interface StartBrokerOptions {
  /** Kafka settings, over those that every broker under test has. */
  readonly settings?: Readonly<Record<string, string>>
  /** Keeps its data in this directory and leaves it there at the end. */
  readonly dataDir?: string
  /** Keeps its data in a temporary directory instead of memory, so that a restart finds it. */
  readonly persistent?: boolean
  /** Runs ours as a process of its own, as `npm start` does; implies `persistent`. A real Kafka always is one. */
  readonly process?: boolean
}

/** A broker that tests talk to over TCP. Whose broker it is matters only to a test that says so. */
export interface BrokerUnderTest {
  readonly kind: 'millrace' | 'kafka'
  /** `host:port`, the same before and after a restart. */
  readonly bootstrap: string
  readonly host: string
  readonly port: number
  /** Where its log directories are; null while it keeps everything in memory. */
  readonly dataDir: string | null
  readonly settings: Readonly<Record<string, string>>
  stop(): Promise<void>
  /** Starts it again over the same data, after a clean stop or, for a process, after a kill. */
  restart(options?: { readonly crash?: boolean }): Promise<void>
}

/** Which broker the tests run against: ours, or with `KAFKA=real` an Apache Kafka. */
export const brokerKind: BrokerUnderTest['kind'] = process.env['KAFKA'] === 'real' ? 'kafka' : 'millrace'

// Both kinds get the same, so that a test's expectation holds for both. Small numbers keep a start short.
const commonSettings = {
  'auto.create.topics.enable': 'true',
  'group.initial.rebalance.delay.ms': '0',
  'group.min.session.timeout.ms': '100',
  'offsets.topic.num.partitions': '4',
}

/** Starts the broker that `KAFKA` chooses. Whoever starts it stops it; `describeBroker` does both. */
export async function startBroker(options: StartBrokerOptions = {}): Promise<BrokerUnderTest> {
  const settings = { ...commonSettings, ...options.settings }
  if (brokerKind === 'kafka') return startRealKafka(settings, options)
  return options.process === true ? startProcess(settings, options) : startEmbedded(settings, options)
}

/**
 * A suite with one broker, started before its first test and stopped after its last. Skipped with a printed reason
 * where a real Kafka is asked for and cannot be had.
 */
export function describeBroker(
  name: string,
  options: StartBrokerOptions,
  suite: (broker: BrokerUnderTest) => void,
): void {
  const reason = brokerKind === 'kafka' ? realKafkaMissing() : null
  const because = reason === null ? '' : ` (${reason})`
  describe.skipIf(reason !== null)(`${name}${because}`, () => {
    let started: BrokerUnderTest | undefined
    const broker = (): BrokerUnderTest => {
      if (started === undefined) throw new Error('the broker starts before the first test, not while tests are defined')
      return started
    }
    beforeAll(async () => {
      started = await startBroker(options)
    })
    afterAll(() => started?.stop())

    suite({
      kind: brokerKind,
      get bootstrap() {
        return broker().bootstrap
      },
      get host() {
        return broker().host
      },
      get port() {
        return broker().port
      },
      get dataDir() {
        return broker().dataDir
      },
      get settings() {
        return broker().settings
      },
      stop: () => broker().stop(),
      restart: (how) => broker().restart(how),
    })
  })
}

type Settings = Readonly<Record<string, string>>

async function startRealKafka(settings: Settings, options: StartBrokerOptions): Promise<BrokerUnderTest> {
  const { dataDir } = options
  const kafka = await RealKafka.start(dataDir === undefined ? { settings } : { settings, dataDir })
  return {
    kind: 'kafka',
    ...address(kafka.port),
    dataDir: kafka.dataDir,
    settings,
    stop: () => kafka.stop(),
    restart: (how) => kafka.restart(how),
  }
}

async function startEmbedded(settings: Settings, options: StartBrokerOptions): Promise<BrokerUnderTest> {
  // Loaded only where it is used: a run against a real Kafka needs no line of ours.
  const millrace = await import('millrace')
  const data = dataDirectory(options)
  const open = (port: number): Promise<Broker> =>
    millrace.Broker.start({ port, settings, ...(data.path === null ? {} : { dataDir: data.path }) })

  let broker = await open(0)
  const { port } = address(broker.bootstrap)
  return {
    kind: 'millrace',
    ...address(port),
    dataDir: data.path,
    settings,
    async stop() {
      await broker[Symbol.asyncDispose]()
      data.remove()
    },
    async restart(how) {
      if (data.path === null) throw new Error('a broker in memory has nothing to restart from: set persistent')
      if (how?.crash === true) throw new Error('a broker in this process cannot crash alone: set process')
      await broker[Symbol.asyncDispose]()
      broker = await open(port)
    },
  }
}

async function startProcess(settings: Settings, options: StartBrokerOptions): Promise<BrokerUnderTest> {
  const data = dataDirectory({ ...options, persistent: true })
  const [port] = await freePorts(1)
  let child: RunningProcess | undefined

  const launch = async (): Promise<void> => {
    const command = resolve(import.meta.dirname, '..', '..', 'broker', 'bin', 'millrace.js')
    const sets = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    const args = ['-C', 'source', command, 'start', '--port', String(port), '--data', data.path!, ...sets]
    const broker = start(process.execPath, args)
    child = broker
    await until(async () => broker.hasEnded || (await answersMetadata(port!)), {
      what: 'answer to a Metadata request',
      timeoutMs: 30_000,
    })
    if (broker.hasEnded) throw new Error(`the broker ended while starting:\n${broker.stdout}${broker.stderr}`)
  }

  const stop = async (): Promise<void> => {
    await child?.stop()
    data.remove()
  }

  try {
    await launch()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    kind: 'millrace',
    ...address(port!),
    dataDir: data.path,
    settings,
    stop,
    async restart(how) {
      await child?.stop(how?.crash === true ? 'SIGKILL' : 'SIGTERM')
      await launch()
    },
  }
}

function dataDirectory(options: StartBrokerOptions): { path: string | null; remove(): void } {
  if (options.dataDir !== undefined) return { path: options.dataDir, remove() {} }
  if (options.persistent !== true) return { path: null, remove() {} }
  const path = mkdtempSync(join(tmpdir(), 'millrace-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

function address(at: number | string): { bootstrap: string; host: string; port: number } {
  const port = typeof at === 'number' ? at : Number(at.slice(at.lastIndexOf(':') + 1))
  return { bootstrap: `127.0.0.1:${port}`, host: '127.0.0.1', port }
}
