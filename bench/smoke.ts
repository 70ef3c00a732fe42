// Whether the broker has become much slower, told within seconds and on any machine.
//
//   npm run bench:smoke -- [--write]
//
// --write makes what is measured the figures of smoke.json, which the test compares with: do that on a machine with
// nothing else to do, when a change of the figures is meant.

import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ours, startBroker } from './measure/brokers.ts'
import { buildLoad, load, type LoadFlags, type LoadLine, withTopic } from './measure/load.ts'

export const smokeFile: string = join(import.meta.dirname, 'smoke.json')

/** A committed figure may be exceeded so many times before it counts as a collapse. */
export const COLLAPSE_FACTOR = 2

/**
 * What the broker spends, in units of a piece of work that any machine can be asked to do. Only processor time is
 * looked at: how long something takes depends on who else runs.
 */
export interface Costs {
  /** A thousand records in batches of 64 KB. */
  readonly batchedRecords: number
  /** A thousand requests of one record. */
  readonly singleRecords: number
  /** A million records fetched from the page cache. */
  readonly fetchedRecords: number
}

export const costNames = ['batchedRecords', 'singleRecords', 'fetchedRecords'] as const satisfies (keyof Costs)[]

/** Microseconds of processor time: the costs, and the unit. */
export interface Micros extends Costs {
  readonly calibration: number
}

export async function measure(seconds: number): Promise<Micros> {
  await buildLoad()
  const broker = await startBroker(ours)
  try {
    const produce = (flags: LoadFlags): Promise<LoadLine> =>
      // The warm-up is V8's: what is measured is compiled code.
      withTopic(broker, 1, (topic) => load('produce', broker, { topic, seconds, warmupSeconds: 1, ...flags }))
    const batched = await produce({ batchBytes: 65_536 })
    const single = await produce({ batchRecords: 1, connections: 16 })
    const fetched = await withTopic(broker, 1, async (topic) => {
      await load('produce', broker, { topic, batchBytes: 65_536, records: 1_000_000 })
      return load('fetch', broker, { topic, seconds, warmupSeconds: 1 })
    })
    const calibrations = Array.from({ length: CALIBRATIONS }, calibrationMicros)
    return {
      batchedRecords: batched.brokerCpuMicrosPerRecord! * 1000,
      singleRecords: single.brokerCpuMicrosPerRecord! * 1000,
      fetchedRecords: fetched.brokerCpuMicrosPerRecord! * 1_000_000,
      calibration: Math.min(...calibrations),
    }
  } finally {
    await broker.stop()
  }
}

/** The smaller of each: noise only adds. */
export function least(a: Micros, b: Micros): Micros {
  const smaller = (name: keyof Micros): number => Math.min(a[name], b[name])
  return {
    batchedRecords: smaller('batchedRecords'),
    singleRecords: smaller('singleRecords'),
    fetchedRecords: smaller('fetchedRecords'),
    calibration: smaller('calibration'),
  }
}

export function costsOf({ batchedRecords, singleRecords, fetchedRecords, calibration }: Micros): Costs {
  return {
    batchedRecords: batchedRecords / calibration,
    singleRecords: singleRecords / calibration,
    fetchedRecords: fetchedRecords / calibration,
  }
}

const CALIBRATIONS = 5
const BLOCK = Buffer.alloc(65_536, 'calibration')
const BLOCKS = 2048
/** More than a cache holds, as a log is. */
const FILE_BLOCKS = 1024
const STEPS = 10_000_000

/** Processor time of some writes into the page cache and some arithmetic, of which a broker's work consists as well. */
export function calibrationMicros(): number {
  const directory = mkdtempSync(join(tmpdir(), 'bench-calibration-'))
  const file = openSync(join(directory, 'blocks'), 'w')
  try {
    ftruncateSync(file, BLOCK.length * FILE_BLOCKS)
    const before = process.cpuUsage()
    let mixed = 1
    for (let step = 0; step < STEPS; step += 1) mixed = (Math.imul(mixed, 1_103_515_245) + step) | 0
    BLOCK[0] = mixed
    for (let block = 0; block < BLOCKS; block += 1) {
      writeSync(file, BLOCK, 0, BLOCK.length, (block % FILE_BLOCKS) * BLOCK.length)
    }
    const { user, system } = process.cpuUsage(before)
    return user + system
  } finally {
    closeSync(file)
    rmSync(directory, { recursive: true })
  }
}

export function committedCosts(): Costs {
  return JSON.parse(readFileSync(smokeFile, 'utf8')) as Costs
}

/** Those that cost more than a collapse does. */
export function collapsed(costs: Costs, committed: Costs): string[] {
  return costNames
    .filter((name) => !(costs[name] <= committed[name] * COLLAPSE_FACTOR))
    .map((name) => `${name}: ${costs[name].toPrecision(3)}, and ${committed[name].toPrecision(3)} is committed`)
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } })
  let micros = await measure(2)
  for (let again = 0; again < 4; again += 1) micros = least(micros, await measure(2))
  const costs = costsOf(micros)
  const text = JSON.stringify(
    costs,
    (_, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(3)) : value),
    2,
  )
  console.log(text)
  if (values.write) writeFileSync(smokeFile, `${text}\n`)
}
