import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { delimiter, join, resolve } from 'node:path'
import { missing, run, type RunningProcess, start } from '../harness/index.ts'
import { javaMissing } from '../java/tool-shell.ts'

const here = import.meta.dirname
const pom = join(here, 'pom.xml')
const sources = join(here, 'src')
const cache = resolve(here, '..', '.cache', 'kafka-streams')
const libs = join(cache, 'libs')
const heap = ['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

/** Why no application of Kafka Streams can be run here, or null when it can. */
export function kafkaStreamsMissing(): string | null {
  return javaMissing() ?? (existsSync(libs) ? null : missing('mvn'))
}

/** Fetches the jars once per checkout and compiles `src/` once for each state of it. */
export async function build(): Promise<void> {
  if (!existsSync(libs)) {
    const unfinished = `${libs}.${process.pid}`
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${unfinished}`]
    await succeed('mvn', ['-q', '-B', '-f', pom, ...goal])
    renameSync(unfinished, libs)
  }
  if (existsSync(classes())) return
  const unfinished = `${classes()}.${process.pid}`
  mkdirSync(unfinished, { recursive: true })
  try {
    const files = readdirSync(sources).map((name) => join(sources, name))
    await succeed('javac', ['-proc:none', '-cp', join(libs, '*'), '-d', unfinished, ...files])
    renameSync(unfinished, classes())
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

/** Starts a program in `src/`, which runs until it is killed. */
export function startProgram(main: string, args: readonly string[]): RunningProcess {
  return start('java', [...heap, '-cp', [classes(), join(libs, '*')].join(delimiter), main, ...args])
}

function classes(): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(sources)) hash.update(readFileSync(join(sources, name)))
  return join(cache, `classes-${hash.digest('hex').slice(0, 16)}`)
}

async function succeed(command: string, args: readonly string[]): Promise<void> {
  mkdirSync(cache, { recursive: true })
  const result = await run(command, args, { timeoutMs: 600_000 })
  if (result.exitCode !== 0)
    throw new Error(`${command} ended with ${result.exitCode}:\n${result.stdout}${result.stderr}`)
}
