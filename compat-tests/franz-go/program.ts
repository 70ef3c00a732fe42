import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { run, uniqueName } from '../harness/index.ts'

const source = import.meta.dirname
const program = resolve(source, '..', '.cache', 'franz-go', 'franz-go')

/** Compiles the Go program of this folder; a matter of a second when nothing has changed since the last time. */
export async function build(): Promise<void> {
  mkdirSync(resolve(program, '..'), { recursive: true })
  const result = await run('go', ['build', '-o', program, '.'], { cwd: source, timeoutMs: 280_000 })
  if (result.exitCode !== 0) throw new Error(`go build ended with ${result.exitCode}:\n${result.stderr}`)
}

/** Runs one theme of the program and returns what it saw, by the name of what it looked at. */
export async function observe(theme: string, bootstrap: string): Promise<Record<string, unknown>> {
  const result = await run(program, [theme, bootstrap, uniqueName(theme)])
  if (result.exitCode !== 0)
    throw new Error(`${theme} ended with ${result.exitCode}:\n${result.stdout}${result.stderr}`)
  const lines = result.stdout.trim().split('\n')
  return Object.assign({}, ...lines.map((line) => JSON.parse(line) as object)) as Record<string, unknown>
}
