// Latency against offered load, in steps until it breaks.
//
//   npm run bench:capacity -- [batches] [single] [--only millrace|kafka] [--seconds 8] [--warmup-seconds 60]
//                             [--resume] [--out DIR]
//
// The table and the charts go into docs/PERFORMANCE.md with `npm run bench:report`.

import { parseArgs } from 'node:util'
import { type Broker, type Contestant, kafka, ours, startBroker } from './measure/brokers.ts'
import {
  capacityShapes,
  type CapacityResult,
  type CapacityRun,
  isHeld,
  type Shape,
  type Step,
} from './measure/capacity-result.ts'
import { kafkaMissing } from './measure/kafka.ts'
import { load, loadMissing, withTopic } from './measure/load.ts'
import { commit, loadAverage, machine, versions } from './measure/machine.ts'
import { readJson, resultsDir, writeJson } from './measure/results.ts'
import { busiestThread, threadsOf } from './measure/threads.ts'

const FACTOR = 1.5
const STEPS_MAX = 20
/** A step that is not held is tried again: once may be chance. */
const TRIES = 2
/** How many steps beyond the first that is not held are shown. */
const BROKEN_STEPS = 2
/** Of each step, before it is measured. */
const STEP_WARMUP_SECONDS = 1
const OWN_WARMUP_SECONDS = 10

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string' },
      seconds: { type: 'string', default: '8' },
      'warmup-seconds': { type: 'string', default: '60' },
      out: { type: 'string', default: resultsDir },
      resume: { type: 'boolean', default: false },
    },
  })
  const contestants = [ours, kafka].filter(({ kind }) => values.only === undefined || values.only === kind)
  const missing = loadMissing() ?? (contestants.includes(kafka) ? kafkaMissing() : null)
  if (missing !== null) throw new Error(missing)
  if (contestants.length === 0) throw new Error(`--only ${values.only}: millrace or kafka is wanted`)
  const shapes = capacityShapes.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  if (shapes.length === 0) throw new Error('batches or single is wanted')

  const about = { machine: machine('.'), versions: versions() }
  let result: CapacityResult = { runs: [], ...readJson<CapacityResult>(values.out, 'capacity'), ...about }
  for (const shape of shapes) {
    for (const contestant of contestants) {
      const isThis = (run: CapacityRun): boolean => run.shape === shape.name && run.contestant === contestant.name
      if (values.resume && result.runs.some((run) => isThis(run) && run.commit === commit())) continue
      console.log(`${contestant.name}: ${shape.title}`)
      const warmupSeconds = contestant.kind === 'kafka' ? Number(values['warmup-seconds']) : OWN_WARMUP_SECONDS
      const run = await climb(shape, contestant, Number(values.seconds), warmupSeconds)
      result = { ...result, runs: [...result.runs.filter((other) => !isThis(other)), run] }
      writeJson(values.out, 'capacity', result)
    }
  }
}

/** Offers more and more until the broker no longer follows. */
async function climb(
  shape: Shape,
  contestant: Contestant,
  seconds: number,
  warmupSeconds: number,
): Promise<CapacityRun> {
  const broker = await startBroker(contestant)
  try {
    // As fast as it goes, so that the first steps do not measure what a compiler has not done yet.
    const warmup = { ...shape.flags, seconds: warmupSeconds }
    await withTopic(broker, shape.partitions, (topic) => load('produce', broker, { topic, ...warmup }))
    const steps: Step[] = []
    let offered = shape.from
    for (let broken = 0; broken < BROKEN_STEPS && steps.length < STEPS_MAX; offered *= FACTOR) {
      let step = await offer(shape, broker, Math.round(offered), seconds)
      for (let again = 1; again < TRIES && !isHeld(step); again += 1) {
        const other = await offer(shape, broker, Math.round(offered), seconds)
        if (other.achieved > step.achieved) step = other
      }
      steps.push(step)
      broken = isHeld(step) ? 0 : broken + 1
      const { achieved, p50, p99, busiest } = step
      console.log(
        `  ${Math.round(offered)}/s offered: ${Math.round(achieved)}/s, p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, ` +
          `${busiest.name} ${(busiest.share * 100).toFixed(0)} %`,
      )
    }
    const measuredAt = new Date().toISOString()
    const { name } = contestant
    return { shape: shape.name, contestant: name, steps, commit: commit(), measuredAt, loadAverage: loadAverage() }
  } finally {
    await broker.stop()
  }
}

async function offer(shape: Shape, broker: Broker, rate: number, seconds: number): Promise<Step> {
  return withTopic(broker, shape.partitions, async (topic) => {
    const before = threadsOf(broker.pid)
    const flags = { ...shape.flags, rate, warmupSeconds: STEP_WARMUP_SECONDS, seconds }
    const line = await load('produce', broker, { topic, ...flags })
    const busySeconds = STEP_WARMUP_SECONDS + line.seconds + (line.drainSeconds ?? 0)
    const busiest = busiestThread(before, threadsOf(broker.pid), busySeconds)
    return {
      offered: rate,
      achieved: line.produced?.recordsPerSecond ?? 0,
      p50: line.ackMs!.p50,
      p99: line.ackMs!.p99,
      p999: line.ackMs!.p999,
      brokerCores: line.brokerCpuSeconds! / line.seconds,
      loadCores: line.loadCpuSeconds / line.seconds,
      busiest,
    }
  })
}

await main()
