import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Figures, Metric } from '../scenarios/scenario.ts'
import { root, type Machine, type Versions } from './machine.ts'

export const resultsDir: string = join(root, 'bench', 'results')

export interface Round {
  readonly contestant: string
  readonly figures: Figures
  /** Share of a core that the other brokers, which stood idle beside, used meanwhile. */
  readonly neighbourCpu: number
  readonly loadAverage: readonly [number, number]
}

/** What one scenario gave: everything its table is made from. */
export interface Result {
  readonly scenario: string
  readonly title: string
  readonly measuredAt: string
  readonly machine: Machine
  readonly versions: Versions
  readonly settings: Readonly<Record<string, string | number>>
  readonly warmupSeconds: Readonly<Record<string, number>>
  readonly seconds: number
  readonly metrics: readonly Metric[]
  readonly contestants: readonly string[]
  readonly rounds: readonly Round[]
  readonly loadAverageBefore: readonly [number, number]
  readonly loadAverageAfter: readonly [number, number]
}

/** Written aside and then renamed: an interrupted run leaves the result of the one before. */
export function writeJson(directory: string, name: string, value: unknown): string {
  mkdirSync(directory, { recursive: true })
  const path = join(directory, `${name}.json`)
  writeFileSync(`${path}.unfinished`, `${JSON.stringify(value, null, 2)}\n`)
  renameSync(`${path}.unfinished`, path)
  return path
}

export function readJson<T>(directory: string, name: string): T | null {
  const path = join(directory, `${name}.json`)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : null
}

export function resultNames(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
}
