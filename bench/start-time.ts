// How long until a broker answers: from its start to the last byte of its first answer to a Metadata request.
//
//   npm run bench:start -- [--runs 15]
//
// A broker of its own process is asked by a loop that connects again and again, as an impatient client would; an
// embedded one is asked once `Broker.start` has resolved. The request is written by hand, so that no line of the
// broker runs in the process that measures another.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const GOAL_PROCESS_MS = 300
const GOAL_EMBEDDED_MS = 50
const EXISTING_TOPICS = 10
const EXISTING_PARTITIONS = 6
const LATER_STARTS = 5
const START_TIMEOUT_MS = 30_000

const command = resolve(import.meta.dirname, '..', 'broker', 'bin', 'millrace.js')

// Metadata version 1: size, API key, version, correlation id, no client id, and null for all topics.
const metadataRequest = Buffer.from('0000000e' + '0003' + '0001' + '00000001' + 'ffff' + 'ffffffff', 'hex')

/** What one process that embeds a broker saw. */
interface EmbeddedTimes {
  readonly importMs: number
  readonly firstMs: number
  readonly laterMs: readonly number[]
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: { runs: { type: 'string', default: '15' }, 'embedded-child': { type: 'boolean', default: false } },
  })
  if (options['embedded-child']) {
    console.log(JSON.stringify(await measureEmbedded()))
    return
  }
  const runs = Number(options.runs)
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs ${options.runs}: a whole number from 1 on is wanted`)

  const work = mkdtempSync(join(tmpdir(), 'millrace-start-'))
  try {
    printMachine()
    console.log(`${'start to the first Metadata answer, ms'.padEnd(58)}   min  median   max   goal`)
    await measureProcesses(work, runs)
    await measureEmbeddings(runs)
    printLoad('load average at the end')
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function measureProcesses(work: string, runs: number): Promise<void> {
  const codeCache = join(work, 'code-cache')
  const freshDir = (run: number): string => join(work, `data-${run}`)

  const cold: number[] = []
  for (let run = 0; run < runs; run += 1) {
    cold.push(await processStart(freshDir(run), join(work, `cold-code-cache-${run}`)))
    rmSync(freshDir(run), { recursive: true })
  }
  report('process, its very first start (nothing compiled yet)', cold, GOAL_PROCESS_MS)

  // Fills the cache of compiled code that the command keeps from start to start.
  await processStart(freshDir(0), codeCache)
  rmSync(freshDir(0), { recursive: true })
  const fresh: number[] = []
  for (let run = 0; run < runs; run += 1) {
    fresh.push(await processStart(freshDir(run), codeCache))
    rmSync(freshDir(run), { recursive: true })
  }
  report('process, new data directory', fresh, GOAL_PROCESS_MS)

  const existing = join(work, 'existing')
  await fill(existing)
  const again: number[] = []
  for (let run = 0; run < runs; run += 1) again.push(await processStart(existing, codeCache))
  const partitions = EXISTING_TOPICS * EXISTING_PARTITIONS
  report(`process, data directory with ${partitions} partitions`, again, GOAL_PROCESS_MS)
}

async function measureEmbeddings(runs: number): Promise<void> {
  const times: EmbeddedTimes[] = []
  for (let run = 0; run < runs; run += 1) {
    const args = [...process.execArgv, import.meta.filename, '--embedded-child']
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(child, 'exit')
    let output = ''
    for await (const chunk of child.stdout) output += String(chunk)
    const [exitCode] = (await ended) as [number | null]
    if (exitCode !== 0) throw new Error(`a process with an embedded broker ended with ${exitCode}`)
    times.push(JSON.parse(output) as EmbeddedTimes)
  }
  const firstMs = times.map((time) => time.firstMs)
  const laterMs = times.flatMap((time) => time.laterMs)
  const importMs = times.map((time) => time.importMs)
  report('embedded, in memory: first start of a test process', firstMs, GOAL_EMBEDDED_MS)
  report('embedded, in memory: each later start', laterMs, GOAL_EMBEDDED_MS)
  report("(before that, once: import of 'millrace')", importMs)
}

/** Runs in a process of its own, because only the first start of a process pays for what is compiled on the way. */
async function measureEmbedded(): Promise<EmbeddedTimes> {
  const importStart = performance.now()
  const { Broker } = await import('millrace')
  const importMs = performance.now() - importStart

  const starts: number[] = []
  for (let start = 0; start <= LATER_STARTS; start += 1) {
    const startMs = performance.now()
    const broker = await Broker.start({ port: 0 })
    await askMetadata(broker.port)
    starts.push(performance.now() - startMs)
    await broker.close()
  }
  return { importMs, firstMs: starts[0]!, laterMs: starts.slice(1) }
}

/** Starts the command and stops it again; the time from the spawn to the answer. */
async function processStart(dataDir: string, codeCache: string): Promise<number> {
  const port = await freePort()
  const args = [
    '-C',
    'source',
    command,
    'start',
    '--port',
    String(port),
    '--data',
    dataDir,
    '--set',
    'acks.after=write',
  ]
  const env = { ...process.env, NODE_COMPILE_CACHE: codeCache }
  const startMs = performance.now()
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(child, 'exit')
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint += String(chunk)))
  try {
    for (;;) {
      try {
        await askMetadata(port)
        return performance.now() - startMs
      } catch (cause) {
        if (child.exitCode !== null) throw new Error(`the broker ended with ${child.exitCode}: ${complaint}`, { cause })
        if (performance.now() - startMs > START_TIMEOUT_MS) throw new Error('the broker does not answer', { cause })
        // Long enough to leave the processor to the broker, short enough not to show in the result.
        await new Promise((again) => setTimeout(again, 1))
      }
    }
  } finally {
    child.kill('SIGTERM')
    await ended
  }
}

/** Connects, asks and waits for the whole answer. */
function askMetadata(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    let received = Buffer.alloc(0)
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the broker closed the connection')))
    socket.on('connect', () => socket.write(metadataRequest))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return
      // Size, correlation id, number of brokers.
      if (received.readInt32BE(8) < 1) reject(new Error('the broker knows of no broker'))
      else resolve()
      socket.destroy()
    })
  })
}

/** A data directory with some topics in it, closed cleanly. */
async function fill(dataDir: string): Promise<void> {
  const { Broker } = await import('millrace')
  await using broker = await Broker.start({ port: 0, dataDir })
  for (let topic = 0; topic < EXISTING_TOPICS; topic += 1) {
    await broker.createTopic(`topic-${topic}`, { partitions: EXISTING_PARTITIONS })
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

function printMachine(): void {
  const processors = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  console.log(`${processors.length} x ${processors[0]?.model ?? 'unknown processor'}, ${memory} GiB`)
  console.log(`${process.platform} ${process.arch}, Node ${process.versions.node}`)
  printLoad('load average at the start')
  console.log('')
}

function printLoad(what: string): void {
  const [oneMinute, fiveMinutes] = loadavg() as [number, number]
  console.log(`${what}: ${oneMinute.toFixed(2)} (1 min), ${fiveMinutes.toFixed(2)} (5 min)`)
}

function report(what: string, timesMs: readonly number[], goalMs?: number): void {
  const sorted = timesMs.toSorted((a, b) => a - b)
  const median = sorted[Math.floor((sorted.length - 1) / 2)]!
  const cells = [sorted[0]!, median, sorted.at(-1)!].map((time) => time.toFixed(0).padStart(6)).join(' ')
  const goal = goalMs === undefined ? '' : `< ${goalMs}`.padStart(8)
  console.log(`${`${what}, n=${sorted.length}`.padEnd(56)} ${cells}${goal}`)
}

await main()
