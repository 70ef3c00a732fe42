import type { Machine, Versions } from './machine.ts'

export type CurveName = 'partitions' | 'connections' | 'groups'

export interface Curve {
  readonly name: CurveName
  readonly sizes: readonly number[]
  /** What is done at each size. */
  readonly text: string
  /** What one more takes, where idle memory is measured. */
  readonly one: string
}

export const scaleCurves: readonly Curve[] = [
  {
    name: 'partitions',
    sizes: [1, 10, 100, 500, 1000, 2000],
    text: 'Up to 10 connections send batches of 100 records of 100 B to every partition in turn, 5 in flight each.',
    one: 'partition',
  },
  {
    name: 'connections',
    sizes: [1, 10, 100, 1000, 2000, 5000],
    text: 'Each connection sends requests of one record of 100 B, one at a time, to one partition.',
    one: 'connection',
  },
  {
    name: 'groups',
    sizes: [1, 10, 50, 100],
    text:
      '10 K records/s of 100 B are offered in batches of 100; every group reads all of them and commits after each ' +
      'fetch. The latency is from end to end.',
    one: 'group',
  },
]

export interface ScalePoint {
  readonly curve: CurveName
  readonly contestant: string
  readonly size: number
  readonly figures: Readonly<Record<string, number>>
  readonly commit: string
  readonly measuredAt: string
  readonly loadAverage: readonly [number, number]
}

export interface ScaleResult {
  readonly machine: Machine
  readonly versions: Versions
  readonly points: readonly ScalePoint[]
}
