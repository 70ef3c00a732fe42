import { spawnSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { kafkaVersion } from './kafka.ts'

export const root = resolve(import.meta.dirname, '..', '..')

/** What a figure depends on beside the programs that are measured. */
export interface Machine {
  readonly processors: string
  readonly memoryGiB: number
  readonly system: string
  readonly fileSystem: string
}

export interface Versions {
  readonly commit: string
  readonly node: string
  readonly kafka: string
  readonly java: string
  readonly rust: string
}

export function machine(dataDir: string): Machine {
  const processors = cpus()
  return {
    processors: `${processors.length} x ${processors[0]?.model.trim() ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release()} ${process.arch}`,
    fileSystem: firstLine('stat', ['-f', '-c', '%T', dataDir]),
  }
}

export function versions(): Versions {
  return {
    commit: commit(),
    node: process.versions.node,
    kafka: kafkaVersion,
    java: firstLine('java', ['-version']),
    rust: firstLine('rustc', ['--version']),
  }
}

/** What a change of must make results stale; their tests do not. */
const measured = ['broker', 'protocol', 'native', 'bench/load', 'bench/clients', 'bench/scenarios', ':!*.test.ts']

/**
 * The last commit that changed something which is measured, with a + behind it when a source differs from it. The
 * commits of results and documents in between are not such.
 */
export function commit(): string {
  const last = firstLine('git', ['log', '-1', '--format=%h', '--abbrev=12', '--', ...measured])
  return firstLine('git', ['status', '--porcelain', '--', ...measured]) === '' ? last : `${last}+`
}

/** Of the last minute and the last five. */
export function loadAverage(): readonly [number, number] {
  const [oneMinute, fiveMinutes] = loadavg() as [number, number]
  return [round(oneMinute), round(fiveMinutes)]
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

function firstLine(command: string, args: readonly string[]): string {
  const { stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  return `${stdout ?? ''}${stderr ?? ''}`.split('\n')[0]?.trim() ?? ''
}
