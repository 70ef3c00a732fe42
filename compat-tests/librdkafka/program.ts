import { existsSync, mkdirSync, renameSync, rmSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { run, type RunningProcess, type RunResult, start, uniqueName } from '../harness/index.ts'

const here = import.meta.dirname
const requirements = join(here, 'requirements.txt')

// Named after what is in it, so that another version in requirements.txt gets an environment of its own.
const environment = resolve(here, '..', '.cache', readFileSync(requirements, 'utf8').trim().replace('==', '-'))
const python = join(environment, 'bin', 'python')

/** Installs the client into a virtual environment, once per checkout. */
export async function install(): Promise<void> {
  if (existsSync(python)) return

  mkdirSync(resolve(environment, '..'), { recursive: true })
  const unfinished = `${environment}.${process.pid}`
  try {
    await succeed('python3', ['-m', 'venv', unfinished])
    await succeed(join(unfinished, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '-r', requirements])
    renameSync(unfinished, environment)
  } catch (cause) {
    // Another process was faster when the environment is there; its contents are the same.
    if (!existsSync(python)) throw cause
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

/** Runs one theme of one script and returns what it saw, by the name of what it looked at. */
export async function observe(script: string, theme: string, bootstrap: string): Promise<Record<string, unknown>> {
  // Whoever runs the tests wants no compiled files beside the sources.
  const env = { PYTHONDONTWRITEBYTECODE: '1' }
  const { stdout } = await succeed(python, [join(here, `${script}.py`), theme, bootstrap, uniqueName(theme)], env)
  const lines = stdout.trim().split('\n')
  return Object.assign({}, ...lines.map((line) => JSON.parse(line) as object)) as Record<string, unknown>
}

/** Starts a script that runs until it is stopped. */
export function startScript(path: string, args: readonly string[]): RunningProcess {
  return start(python, [path, ...args], { env: { PYTHONDONTWRITEBYTECODE: '1' } })
}

async function succeed(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<RunResult> {
  const result = await run(command, args, { env, timeoutMs: 240_000 })
  if (result.exitCode === 0) return result
  throw new Error(`${args.join(' ')} ended with ${result.exitCode}:\n${result.stdout}${result.stderr}`)
}
