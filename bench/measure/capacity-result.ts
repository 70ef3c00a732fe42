import type { LoadFlags } from './load.ts'
import type { Machine, Versions } from './machine.ts'

export interface Shape {
  readonly name: string
  readonly title: string
  readonly partitions: number
  /** The first rate that is offered, in records a second; each step offers `FACTOR` times the one before. */
  readonly from: number
  readonly flags: LoadFlags
}

export const capacityShapes: readonly Shape[] = [
  {
    name: 'batches',
    title: 'batches of 100 records of 100 B to 6 partitions over 6 connections, acks=all',
    partitions: 6,
    from: 50_000,
    flags: { connections: 6, inFlight: 5, batchRecords: 100, acks: 'all' },
  },
  {
    name: 'single',
    title: 'requests of one record of 100 B to one partition over 64 connections, acks=all',
    partitions: 1,
    from: 1000,
    flags: { connections: 64, inFlight: 5, batchRecords: 1, acks: 'all' },
  },
]

/** A step is held while so much of what was offered is acknowledged in time. */
export const HELD_PERCENT = 97

export interface Step {
  readonly offered: number
  readonly achieved: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** Cores that the broker and the generator used. */
  readonly brokerCores: number
  readonly loadCores: number
  readonly busiest: { readonly name: string; readonly share: number }
}

export interface CapacityRun {
  readonly shape: string
  readonly contestant: string
  readonly steps: readonly Step[]
  readonly commit: string
  readonly measuredAt: string
  readonly loadAverage: readonly [number, number]
}

export interface CapacityResult {
  readonly machine: Machine
  readonly versions: Versions
  readonly runs: readonly CapacityRun[]
}

export function isHeld(step: Step): boolean {
  return step.achieved >= (step.offered * HELD_PERCENT) / 100
}

/** The last step before the first that was not held; null when not even the first was. */
export function knee(steps: readonly Step[]): Step | null {
  const broken = steps.findIndex((step) => !isHeld(step))
  return steps[(broken < 0 ? steps.length : broken) - 1] ?? null
}
