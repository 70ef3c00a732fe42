// What it costs to have more: partitions, connections, consumer groups. Each point on a broker of its own.
//
//   npm run bench:scale -- [partitions] [connections] [groups] [--only millrace|kafka] [--seconds 5]
//                          [--warmup-seconds 20] [--resume] [--out DIR]
//
// The table and the charts go into docs/PERFORMANCE.md with `npm run bench:report`.

import { parseArgs } from 'node:util'
import { type Broker, type Contestant, kafka, ours, pause, startBroker } from './measure/brokers.ts'
import { kafkaMissing } from './measure/kafka.ts'
import { createTopic, idleConnections, load, loadMissing, withTopic, type LoadFlags } from './measure/load.ts'
import { commit, loadAverage, machine, versions } from './measure/machine.ts'
import { openFiles, residentMegabytes } from './measure/proc.ts'
import { readJson, resultsDir, writeJson } from './measure/results.ts'
import { type Curve, type CurveName, type ScalePoint, type ScaleResult, scaleCurves } from './measure/scale-result.ts'

const OWN_WARMUP_SECONDS = 3
/** Until what a start or a creation needed for a moment is given back. */
const SETTLE_MS = 3000

interface Options {
  readonly seconds: number
  readonly warmupSeconds: number
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string' },
      seconds: { type: 'string', default: '5' },
      'warmup-seconds': { type: 'string', default: '20' },
      out: { type: 'string', default: resultsDir },
      resume: { type: 'boolean', default: false },
    },
  })
  const contestants = [ours, kafka].filter(({ kind }) => values.only === undefined || values.only === kind)
  const missing = loadMissing() ?? (contestants.includes(kafka) ? kafkaMissing() : null)
  if (missing !== null) throw new Error(missing)
  if (contestants.length === 0) throw new Error(`--only ${values.only}: millrace or kafka is wanted`)
  const options = { seconds: Number(values.seconds), warmupSeconds: Number(values['warmup-seconds']) }
  const curves = scaleCurves.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  if (curves.length === 0) throw new Error('partitions, connections or groups is wanted')

  let result = previous(values.out)
  for (const curve of curves) {
    for (const contestant of contestants) {
      for (const size of curve.sizes) {
        const isThis = (point: ScalePoint): boolean =>
          point.curve === curve.name && point.contestant === contestant.name && point.size === size
        if (values.resume && result.points.some((point) => isThis(point) && point.commit === commit())) continue
        const point = await measurePoint(curve, contestant, size, options).catch((error: unknown) => {
          // Where a broker cannot follow, the curve ends; the others are still worth measuring.
          console.log(`${size} ${curve.name}, ${contestant.name}: failed: ${String(error)}`)
          return null
        })
        if (point === null) continue
        result = { ...result, points: [...result.points.filter((other) => !isThis(other)), point] }
        writeJson(values.out, 'scale', result)
        const shown = Object.entries(point.figures).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
        console.log(`${size} ${curve.name}, ${contestant.name}: ${shown.join(', ')}`)
      }
    }
  }
}

function previous(directory: string): ScaleResult {
  const about = { machine: machine('.'), versions: versions() }
  return { points: [], ...readJson<ScaleResult>(directory, 'scale'), ...about }
}

async function measurePoint(curve: Curve, contestant: Contestant, size: number, options: Options): Promise<ScalePoint> {
  const broker = await startBroker(contestant)
  try {
    await pause(SETTLE_MS)
    const warmupSeconds = contestant.kind === 'kafka' ? options.warmupSeconds : OWN_WARMUP_SECONDS
    const figures = await measures[curve.name](broker, size, options.seconds, warmupSeconds)
    const measuredAt = new Date().toISOString()
    const { name } = contestant
    return {
      curve: curve.name,
      contestant: name,
      size,
      figures,
      commit: commit(),
      measuredAt,
      loadAverage: loadAverage(),
    }
  } finally {
    await broker.stop()
  }
}

type Figures = Record<string, number>
type Measure = (broker: Broker, size: number, seconds: number, warmupSeconds: number) => Promise<Figures>

const measures: Readonly<Record<CurveName, Measure>> = {
  async partitions(broker, size, seconds, warmupSeconds) {
    const before = residentMegabytes(broker.pid).now
    const startMs = performance.now()
    await createTopic(broker, 'many', size)
    const createMs = performance.now() - startMs
    await pause(SETTLE_MS)
    const idle = residentMegabytes(broker.pid).now
    const idleFiles = openFiles(broker.pid)
    const flags: LoadFlags = { topic: 'many', connections: Math.min(size, 10), inFlight: 5, batchRecords: 100 }
    const line = await load('produce', broker, { ...flags, seconds, warmupSeconds })
    return {
      idleMegabytes: idle,
      grownMegabytes: idle - before,
      idleFiles,
      createMs,
      rate: line.produced!.recordsPerSecond,
      p99: line.ackMs!.p99,
      cpu: line.brokerCpuMicrosPerRecord!,
      loadedMegabytes: residentMegabytes(broker.pid).now,
      loadedFiles: openFiles(broker.pid),
    }
  },

  async connections(broker, size, seconds, warmupSeconds) {
    const before = residentMegabytes(broker.pid).now
    const held = await idleConnections(broker, size)
    await pause(SETTLE_MS)
    const idle = residentMegabytes(broker.pid).now
    await held.release()
    const flags: LoadFlags = { connections: size, inFlight: 1, batchRecords: 1, seconds, warmupSeconds }
    const line = await withTopic(broker, 1, (topic) => load('produce', broker, { topic, ...flags }))
    return {
      idleMegabytes: idle,
      grownMegabytes: idle - before,
      openMs: (JSON.parse(held.firstLine) as { openSeconds: number }).openSeconds * 1000,
      rate: line.produced!.requestsPerSecond,
      p99: line.ackMs!.p99,
      cpu: line.brokerCpuMicrosPerRecord!,
      loadedMegabytes: residentMegabytes(broker.pid).now,
    }
  },

  async groups(broker, size, seconds, warmupSeconds) {
    const flags: LoadFlags = { groups: true, consumers: size, batchRecords: 100, rate: 10_000, seconds, warmupSeconds }
    const line = await withTopic(broker, 1, (topic) => load('end-to-end', broker, { topic, ...flags }))
    return {
      rate: line.fetched!.recordsPerSecond,
      p99: line.endToEndMs!.p99,
      commitP99: line.commitMs!.p99,
      ackP99: line.ackMs!.p99,
      cpu: line.brokerCpuMicrosPerRecord!,
      loadedMegabytes: residentMegabytes(broker.pid).now,
    }
  },
}

await main()
