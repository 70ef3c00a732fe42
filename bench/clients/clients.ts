import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Broker } from '../measure/brokers.ts'
import { installKafka, kafkaClassPath, performanceFlags } from '../measure/kafka.ts'
import { cpuSeconds } from '../measure/proc.ts'
import { isInstalled, output } from '../measure/processes.ts'

const here = import.meta.dirname

/** Java's tools as their scripts start them. */
const javaFlags = ['-Xmx512M', ...performanceFlags]
const requirements = resolve(here, '..', '..', 'compat-tests', 'librdkafka', 'requirements.txt')
const cache = resolve(here, '..', '..', 'compat-tests', '.cache')
const environment = join(cache, readFileSync(requirements, 'utf8').trim().replace('==', '-'))
const python = join(environment, 'bin', 'python')

export type Figures = Record<string, number>

export function javaMissing(): string | null {
  return isInstalled('java', ['-version']) ? null : 'java is not installed'
}

export function librdkafkaMissing(): string | null {
  return existsSync(python) || isInstalled('python3', ['--version']) ? null : 'python3 is not installed'
}

/** Runs a client and adds what the broker spent for each of so many records. */
async function measured(broker: Broker, records: number, client: () => Promise<Figures>): Promise<Figures> {
  const before = cpuSeconds(broker.pid)
  const figures = await client()
  return { ...figures, cpu: ((cpuSeconds(broker.pid) - before) * 1e6) / records }
}

export interface JavaProducer {
  readonly topic: string
  readonly records: number
  readonly recordBytes: number
  /** Records a second; as many as can be unless given. */
  readonly rate?: number
}

export function javaProduce(
  broker: Broker,
  { topic, records, recordBytes, rate = -1 }: JavaProducer,
): Promise<Figures> {
  const settings = ['acks=all', 'linger.ms=5', 'batch.size=65536'].flatMap((setting) => ['--command-property', setting])
  const target = ['--bootstrap-server', broker.bootstrap, '--topic', topic]
  const shape = ['--num-records', records, '--record-size', recordBytes, '--throughput', rate].map(String)
  return measured(broker, records, async () => {
    const text = await javaTool('ProducerPerformance', [...target, ...shape, ...settings])
    return producerFigures(text, records)
  })
}

/** The last line of ProducerPerformance. */
export function producerFigures(text: string, records: number): Figures {
  const line =
    /(\d+) records sent, ([\d.]+) records\/sec .*? avg latency, .*? max latency, (\d+) ms 50th, \d+ ms 95th, (\d+) ms 99th, (\d+) ms 99\.9th/
  const total = text.trimEnd().split('\n').at(-1)!
  const found = line.exec(total)
  if (found === null || Number(found[1]) !== records) throw new Error(`ProducerPerformance did not finish:\n${text}`)
  const [recordRate, ackP50, ackP99, ackP999] = found.slice(2).map(Number) as [number, number, number, number]
  return { recordRate, ackP50, ackP99, ackP999 }
}

export function javaConsume(broker: Broker, topic: string, records: number): Promise<Figures> {
  return measured(broker, records, async () => {
    const target = ['--bootstrap-server', broker.bootstrap, '--topic', topic]
    const text = await javaTool('ConsumerPerformance', [...target, '--num-records', String(records), '--hide-header'])
    return consumerFigures(text, records)
  })
}

/** The line of ConsumerPerformance: with the time it took to join the group, and without. */
export function consumerFigures(text: string, records: number): Figures {
  const fields = text
    .trimEnd()
    .split('\n')
    .at(-1)!
    .split(',')
    .map((field) => Number(field.trim()))
  const [consumed, withJoin, fetching] = [fields[4], fields[5], fields[9]]
  if (consumed !== records) throw new Error(`ConsumerPerformance did not finish:\n${text}`)
  return { consumeRate: fetching!, withJoinRate: withJoin! }
}

async function javaTool(name: string, args: readonly string[]): Promise<string> {
  await installKafka()
  const logging = `-Dlog4j2.configurationFile=${join(here, '..', '..', 'compat-tests', 'real-kafka', 'log4j2.properties')}`
  return output('java', [...javaFlags, logging, '-cp', kafkaClassPath, `org.apache.kafka.tools.${name}`, ...args])
}

/** Installs the client into the virtual environment that the compatibility tests use, once per checkout. */
export async function installLibrdkafka(): Promise<void> {
  if (existsSync(python)) return
  mkdirSync(cache, { recursive: true })
  const unfinished = `${environment}.${process.pid}`
  try {
    await output('python3', ['-m', 'venv', unfinished])
    await output(join(unfinished, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '-r', requirements])
    renameSync(unfinished, environment)
  } catch (cause) {
    // Somebody else was faster when the environment is there; its contents are the same.
    if (!existsSync(python)) throw cause
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

export function librdkafka(
  broker: Broker,
  mode: 'produce' | 'consume' | 'hold',
  topic: string,
  numbers: readonly number[],
  records: number,
): Promise<Figures> {
  return measured(broker, records, async () => {
    const args = [join(here, 'librdkafka.py'), mode, broker.bootstrap, topic, ...numbers.map(String)]
    return JSON.parse(await output(python, args, { env: { PYTHONDONTWRITEBYTECODE: '1' } })) as Figures
  })
}

export function kafkajs(
  broker: Broker,
  mode: 'produce' | 'single' | 'consume',
  topic: string,
  records: number,
): Promise<Figures> {
  return measured(broker, records, async () => {
    const args = ['--disable-warning=TimeoutNegativeWarning', join(here, 'kafkajs.ts'), mode]
    return JSON.parse(await output(process.execPath, [...args, broker.bootstrap, topic, String(records)])) as Figures
  })
}
