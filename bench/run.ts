// The same load against this broker and against Apache Kafka, in turn, on one machine.
//
//   npm run bench -- [scenario...] [--rounds 3] [--seconds 10] [--warmup-seconds 60] [--resume] [--out DIR] [--list]
//
// Both brokers run for the whole of a scenario and stand idle beside each other while the other is measured: a JVM that
// is stopped between its rounds would be cold in each. What the idle one uses is measured and printed.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Broker, type Contestant, pause, startBroker } from './measure/brokers.ts'
import { kafkaMissing } from './measure/kafka.ts'
import { buildLoad, loadMissing } from './measure/load.ts'
import { commit, loadAverage, machine, versions } from './measure/machine.ts'
import { cpuSeconds, residentMegabytes, unwrittenMegabytes } from './measure/proc.ts'
import { output } from './measure/processes.ts'
import { readJson, type Result, resultsDir, type Round, writeJson } from './measure/results.ts'
import { circumstances, tableOf } from './measure/table.ts'
import { touchMemory } from './measure/touch-memory.ts'
import { chosen } from './scenarios/index.ts'
import type { Figures, Scenario } from './scenarios/scenario.ts'

const DEFAULT_SECONDS = 10
/** Ours needs as long as V8 takes to compile a hot path; the JVM goes on improving for a minute. */
const OWN_WARMUP_SECONDS = 10
const SETTLED_MEGABYTES = 64
const SETTLE_TIMEOUT_MS = 30_000

interface Options {
  readonly rounds: number
  readonly seconds: number | null
  readonly warmupSeconds: number
  readonly ownWarmupSeconds: number
  readonly out: string
  readonly resume: boolean
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string' },
      'warmup-seconds': { type: 'string', default: '60' },
      'own-warmup-seconds': { type: 'string', default: String(OWN_WARMUP_SECONDS) },
      out: { type: 'string', default: resultsDir },
      resume: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  })
  const wanted = chosen(positionals)
  if (values.list) {
    for (const scenario of wanted) console.log(`${scenario.name.padEnd(28)} ${scenario.title}`)
    return
  }
  const missing = loadMissing() ?? kafkaMissing()
  if (missing !== null) throw new Error(missing)
  await buildLoad()
  const options: Options = {
    rounds: positive('--rounds', values.rounds),
    seconds: values.seconds === undefined ? null : positive('--seconds', values.seconds),
    warmupSeconds: positive('--warmup-seconds', values['warmup-seconds']),
    ownWarmupSeconds: positive('--own-warmup-seconds', values['own-warmup-seconds']),
    out: values.out,
    resume: values.resume,
  }
  let failed = 0
  for (const scenario of wanted) {
    if (!(await runOrSkip(scenario, options))) failed += 1
  }
  if (failed > 0) {
    console.log(`${failed} of ${wanted.length} scenarios failed`)
    process.exitCode = 1
  }
}

/** False when it failed: the others are still worth running. */
async function runOrSkip(scenario: Scenario, options: Options): Promise<boolean> {
  const before = options.resume ? readJson<Result>(options.out, scenario.name) : null
  if (before !== null && before.versions.commit === commit()) {
    console.log(`${scenario.name}: has results of this commit\n`)
    return true
  }
  const reason = scenario.missing?.() ?? null
  if (reason !== null) {
    console.log(`${scenario.name}: skipped, ${reason}\n`)
    return true
  }
  try {
    await scenario.prepare?.()
    const result = await measure(scenario, options)
    if (result === null) return true
    const path = writeJson(options.out, scenario.name, result)
    console.log(`\n${tableOf(result)}\n${circumstances(result)}\n${path}\n`)
    return true
  } catch (error) {
    console.log(`${scenario.name}: failed: ${error instanceof Error ? error.message : String(error)}\n`)
    return false
  }
}

/** Null when a broker cannot be set up as the scenario wants; the reason is printed. */
async function measure(scenario: Scenario, options: Options): Promise<Result | null> {
  console.log(`${scenario.name}: ${scenario.title}`)
  const seconds = options.seconds ?? scenario.seconds ?? DEFAULT_SECONDS
  const loadAverageBefore = loadAverage()
  const dataDir = mkdtempSync(join(tmpdir(), 'bench-'))
  const about = machine(dataDir)
  rmSync(dataDir, { recursive: true })

  const runners: Runner[] = []
  try {
    for (const contestant of scenario.contestants) {
      const runner = await Runner.start(scenario, contestant)
      if (typeof runner === 'string') {
        console.log(`${scenario.name}: skipped, ${runner}\n`)
        return null
      }
      runners.push(runner)
    }
    const warmupSeconds: Record<string, number> = {}
    for (const runner of runners) {
      const { kind, name } = runner.contestant
      const wanted = kind === 'kafka' ? options.warmupSeconds : options.ownWarmupSeconds
      warmupSeconds[name] = await runner.warmUp(wanted, Math.min(seconds, DEFAULT_SECONDS))
    }
    const rounds: Round[] = []
    for (let round = 0; round < options.rounds; round += 1) {
      // Each goes first as often as the other: what changes over time then meets both.
      for (const runner of round % 2 === 0 ? runners : runners.toReversed()) {
        rounds.push(await measureRound(runner, runners, seconds))
      }
    }
    return {
      scenario: scenario.name,
      title: scenario.title,
      measuredAt: new Date().toISOString(),
      machine: about,
      versions: versions(),
      settings: scenario.settings,
      warmupSeconds,
      seconds,
      metrics: scenario.metrics,
      contestants: scenario.contestants.map((contestant) => contestant.name),
      rounds,
      loadAverageBefore,
      loadAverageAfter: loadAverage(),
    }
  } finally {
    for (const runner of runners) await runner.stop()
  }
}

async function measureRound(runner: Runner, all: readonly Runner[], seconds: number): Promise<Round> {
  await settle()
  if (runner.fillsMemory) await touchMemory()
  const neighbours = all.filter((other) => other !== runner)
  const cpuOfNeighbours = (): number => neighbours.reduce((sum, other) => sum + other.cpu(), 0)
  const startMs = performance.now()
  const before = cpuOfNeighbours()
  const figures = await runner.round(seconds)
  const neighbourCpu = ((cpuOfNeighbours() - before) * 1000) / (performance.now() - startMs)
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
  console.log(`  ${runner.contestant.name.padEnd(18)} ${shown.join(', ')}`)
  return { contestant: runner.contestant.name, figures, neighbourCpu, loadAverage: loadAverage() }
}

/** Waits until what the round before has written is on the disk, so that nobody pays for another's bytes. */
async function settle(): Promise<void> {
  await output('sync', [])
  const deadlineMs = performance.now() + SETTLE_TIMEOUT_MS
  while (unwrittenMegabytes() > SETTLED_MEGABYTES && performance.now() < deadlineMs) await pause(200)
}

/** A contestant of one scenario, with the broker that it has for the whole of it, if any. */
class Runner {
  readonly contestant: Contestant
  readonly #scenario: Scenario
  readonly #broker: Broker | null

  private constructor(scenario: Scenario, contestant: Contestant, broker: Broker | null) {
    this.contestant = contestant
    this.#scenario = scenario
    this.#broker = broker
  }

  /** A text is the reason why ours cannot do what the scenario wants. */
  static async start(scenario: Scenario, contestant: Contestant): Promise<Runner | string> {
    if (scenario.ownRound !== undefined) return new Runner(scenario, contestant, null)
    let broker: Broker
    try {
      broker = await startBroker(contestant)
    } catch (error) {
      const refused = /^millrace: .*acks\.after.*$/m.exec(error instanceof Error ? error.message : '')
      if (refused === null) throw error
      return refused[0]
    }
    try {
      await scenario.fill?.(broker)
      return new Runner(scenario, contestant, broker)
    } catch (error) {
      await broker.stop()
      throw error
    }
  }

  /** Seconds that it was kept busy in the shape of the scenario. */
  async warmUp(wantedSeconds: number, roundSeconds: number): Promise<number> {
    if (this.#broker === null) return 0
    let secondsLeft = wantedSeconds
    while (secondsLeft > 0) {
      const startMs = performance.now()
      await this.#scenario.round!(this.#broker, {
        seconds: Math.min(roundSeconds, Math.max(1, Math.ceil(secondsLeft))),
      })
      secondsLeft -= (performance.now() - startMs) / 1000
    }
    return Math.round(wantedSeconds - secondsLeft)
  }

  async round(seconds: number): Promise<Figures> {
    if (this.#broker === null) return this.#scenario.ownRound!(this.contestant, { seconds })
    const figures = await this.#scenario.round!(this.#broker, { seconds })
    return { ...figures, memory: residentMegabytes(this.#broker.pid).now }
  }

  get fillsMemory(): boolean {
    return this.#scenario.fillsMemory === true
  }

  cpu(): number {
    return this.#broker === null ? 0 : cpuSeconds(this.#broker.pid)
  }

  async stop(): Promise<void> {
    await this.#broker?.stop()
  }
}

function positive(flag: string, text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0) throw new Error(`${flag} ${text}: a number above 0 is wanted`)
  return value
}

await main()
