// npm run chaos:streams: an application with guarantee exactly-once whose workers and whose broker are killed with -9 at
// random while input comes in. At the end everything that is committed must be what plain loops make of the input.
//
//   npm run chaos:streams -- --minutes 20 --broker ours|kafka [--workers 3] [--rate 200] [--seed N] [--every 6]
import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Kafka, logLevel, Partitioners, type Producer } from 'kafkajs'
import { pause, startBroker, type Broker } from '../measure/brokers.ts'
import { TopicReader } from '../measure/topic-reader.ts'
import { differences, modelOf, totalOf, type InputRecord, type Model } from './model.ts'
import { Output } from './output.ts'
import { topicsOf } from './topology.ts'

const PARTITIONS = 3
const STATUS_EVERY_MS = 30_000
/** How long the application may need for what is left when the kills are over. */
const CATCH_UP_MS = 180_000

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    broker: { type: 'string', default: 'ours' },
    workers: { type: 'string', default: '3' },
    rate: { type: 'string', default: '200' },
    every: { type: 'string', default: '6' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
})
const durationMs = Number(flags.minutes) * 60_000
const everyMs = Number(flags.every) * 1000
const random = randomOf(Number(flags.seed))
const name = `chaos-${process.pid}`
const topics = topicsOf(name)
const inputs = ['lines', 'events', 'left', 'right'] as const
const happened = { workerKills: 0, leaves: 0, brokerKills: 0, rebalances: 0, endings: 0 }
let isOver = false

/** A worker that is started again whenever it has ended, over the same state directory. */
class Worker {
  readonly #bootstrap: string
  readonly #stateDir: string
  #child: ChildProcess
  #ended: Promise<void>

  constructor(bootstrap: string, stateDir: string) {
    this.#bootstrap = bootstrap
    this.#stateDir = stateDir
    ;[this.#child, this.#ended] = this.#start()
    process.once('exit', () => this.#child.kill('SIGKILL'))
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const [child, ended] = [this.#child, this.#ended]
    wanted.add(child)
    child.kill(signal)
    await ended
  }

  async restart(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    await this.end(signal)
    ;[this.#child, this.#ended] = this.#start()
  }

  #start(): [ChildProcess, Promise<void>] {
    const child = fork(join(import.meta.dirname, 'job.ts'), [this.#bootstrap, name, this.#stateDir], { silent: true })
    let stderr = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-4000)))
    child.stdout!.resume()
    child.on('message', (message) => (happened.rebalances += (message as { rebalances: number }).rebalances))
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    child.once('close', (code, signal) => {
      if (wanted.has(child)) return
      happened.endings += 1
      console.log(`a worker ended by itself with ${signal ?? code}:\n${stderr.trim()}`)
      if (!isOver && this.#child === child) [this.#child, this.#ended] = this.#start()
    })
    return [child, ended]
  }
}
/** Children that were told to end, or killed. */
const wanted = new WeakSet<ChildProcess>()

await main()

async function main(): Promise<void> {
  if (flags.broker !== 'ours' && flags.broker !== 'kafka') throw new Error('--broker is ours or kafka')
  console.log(`chaos with seed ${flags.seed}, ${flags.minutes} min, ${flags.workers} workers, broker ${flags.broker}`)
  const contestant =
    flags.broker === 'ours'
      ? ({ name: 'millrace', kind: 'millrace', settings: {} } as const)
      : ({ name: 'Kafka', kind: 'kafka', settings: { 'group.initial.rebalance.delay.ms': '0' } } as const)
  const broker = await startBroker(contestant)
  const stateDir = mkdtempSync(join(tmpdir(), 'millrace-chaos-'))
  try {
    await createTopics(broker)
    const workers = Array.from(
      { length: Number(flags.workers) },
      (_, index) => new Worker(broker.bootstrap, join(stateDir, String(index))),
    )
    const filling = fill(broker)
    await breakThings(broker, workers)
    isOver = true
    await filling
    const input = await readInput(broker)
    const model = modelOf(input)
    const records = inputs.reduce((sum, one) => sum + input[one].length, 0)
    const output = new Output(broker.port, PARTITIONS)
    await catchUp(output, totalOf(model.words) + totalOf(model.windows) + totalOf(model.pairs))
    // What would come twice comes until then.
    await Promise.all(workers.map((worker) => worker.end('SIGTERM')))
    await output.read(topics)
    judge(model, output, records)
  } finally {
    isOver = true
    await broker.stop()
    rmSync(stateDir, { recursive: true, force: true, maxRetries: 3 })
  }
}

async function createTopics(broker: Broker): Promise<void> {
  const admin = clientOf(broker).admin()
  await admin.connect()
  const created = Object.values(topics).map((one) => ({ topic: one.name, numPartitions: PARTITIONS }))
  await admin.createTopics({ topics: created, waitForLeaders: true })
  await admin.disconnect()
}

function clientOf(broker: Broker): Kafka {
  return new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 1 } })
}

/** Sends input until it is over. What is sent twice because an answer was lost is input twice: the model reads it back. */
async function fill(broker: Broker): Promise<void> {
  const producer = clientOf(broker).producer({ createPartitioner: Partitioners.DefaultPartitioner })
  for (let n = 0; !isOver; n += 10) {
    const startMs = performance.now()
    await sendInput(producer, n).catch(() => producer.connect().catch(() => {}))
    await pause(Math.max(10, 10_000 / Number(flags.rate) - (performance.now() - startMs)))
  }
  await producer.disconnect()
}

async function sendInput(producer: Producer, from: number): Promise<void> {
  const timestamp = String(Date.now())
  const valueOf = {
    lines: () => Array.from({ length: 3 }, () => `word${Math.floor(Math.random() * 500)}`).join(' '),
    events: (n: number) => `v${n}`,
    left: (n: number) => `l${n}`,
    right: (n: number) => `r${n}`,
  }
  const topicMessages = inputs.map((input) => ({
    topic: topics[input].name,
    messages: Array.from({ length: 10 }, (_, index) => ({
      key: `k${Math.floor(Math.random() * 200)}`,
      value: valueOf[input](from + index),
      timestamp,
    })),
  }))
  await producer.sendBatch({ topicMessages, acks: -1 })
}

/** Kills, one after the other at random moments, until the time is over. */
async function breakThings(broker: Broker, workers: readonly Worker[]): Promise<void> {
  const startMs = performance.now()
  let saidMs = startMs
  while (performance.now() - startMs < durationMs) {
    const left = durationMs - (performance.now() - startMs)
    await pause(Math.min(left, everyMs * (0.5 + random())))
    const worker = workers[Math.floor(random() * workers.length)]!
    const kind = random()
    if (kind < 0.2) {
      happened.brokerKills += 1
      await broker.crash()
    } else if (kind < 0.4) {
      happened.leaves += 1
      await worker.restart('SIGTERM')
    } else {
      happened.workerKills += 1
      await worker.restart('SIGKILL')
    }
    if (performance.now() - saidMs < STATUS_EVERY_MS) continue
    saidMs = performance.now()
    console.log(`${Math.round((saidMs - startMs) / 1000)} s: ${summary()}`)
  }
}

async function readInput(broker: Broker): Promise<Record<(typeof inputs)[number], InputRecord[]>> {
  const reader = new TopicReader(broker.port)
  const read = { lines: [], events: [], left: [], right: [] } as Record<(typeof inputs)[number], InputRecord[]>
  for (const input of inputs) {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      await reader.read(topics[input].name, partition, 0, ({ key, value, timestampMs }) =>
        read[input].push({ key: String(key), value: String(value), timestampMs }),
      )
    }
  }
  reader.close()
  return read
}

/** Until as much is committed as the model has, or it takes too long; the comparison then says what is missing. */
async function catchUp(output: Output, expected: number): Promise<void> {
  const untilMs = performance.now() + CATCH_UP_MS
  for (;;) {
    await output.read(topics)
    if (output.count >= expected || performance.now() > untilMs) return
    await pause(200)
  }
}

function judge(model: Model, output: Output, records: number): void {
  const wrong = [
    ...output.wrong,
    ...(['words', 'windows', 'pairs'] as const).flatMap((what) => differences(what, model[what], output[what])),
  ]
  for (const line of wrong.slice(0, 20)) console.log(line)
  const results = `${totalOf(model.words)} words, ${totalOf(model.windows)} in windows, ${totalOf(model.pairs)} pairs`
  console.log(`${records} records of input, ${output.count} results committed: ${results}`)
  console.log(summary())
  const verdict = wrong.length === 0 ? 'every result exact' : `${wrong.length} differences`
  const endings = happened.endings === 0 ? '' : `, ${happened.endings} workers ended by themselves`
  const isGood = wrong.length === 0 && happened.endings === 0 && records > 0
  console.log(`chaos ${isGood ? 'passed' : 'failed'}: ${verdict}${endings}, seed ${flags.seed}`)
  if (!isGood) process.exitCode = 1
}

function summary(): string {
  const { workerKills, leaves, brokerKills, rebalances } = happened
  return `${workerKills} workers killed, ${leaves} closed, ${brokerKills} kills of the broker, ${rebalances} rebalances`
}

/** Numbers in [0, 1) that are the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x = (x + Math.imul(x ^ (x >>> 7), x | 61)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 4_294_967_296
  }
}
