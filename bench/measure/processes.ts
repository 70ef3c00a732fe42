import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'

export interface Finished {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

const running = new Set<ChildProcess>()

// Also covers a run that is interrupted: a broker that stayed behind would spoil the next one.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

/** A process that runs until it is stopped. What it prints goes to a file, so that nobody has to read it meanwhile. */
export class BackgroundProcess {
  readonly pid: number
  readonly #child: ChildProcess
  readonly #logFile: string

  private constructor(child: ChildProcess, logFile: string) {
    this.pid = child.pid!
    this.#child = child
    this.#logFile = logFile
  }

  static start(command: string, args: readonly string[], logFile: string, options: RunOptions = {}): BackgroundProcess {
    const log = openSync(logFile, 'a')
    const child = spawn(command, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    // A command that does not exist is met by whoever waits for the process to be ready.
    child.on('error', () => {})
    child.on('exit', () => running.delete(child))
    running.add(child)
    return new BackgroundProcess(child, logFile)
  }

  get hasEnded(): boolean {
    return !running.has(this.#child)
  }

  get log(): string {
    return readFileSync(this.#logFile, 'utf8')
  }

  /** Ends it, and waits until it has ended. */
  async stop(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (this.hasEnded) return
    const ended = once(this.#child, 'exit')
    this.#child.kill(signal)
    const killTimer = setTimeout(() => this.#child.kill('SIGKILL'), 30_000)
    await ended
    clearTimeout(killTimer)
  }
}

/** Runs a command to its end. A non-zero exit code is a result; a command that takes too long is an exception. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { timeoutMs = 600_000 } = options
  const child = spawn(command, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    child.kill('SIGKILL')
  }, timeoutMs)
  try {
    const [exitCode] = (await once(child, 'close')) as [number | null]
    if (isLate) throw new Error(`${command} ${args.join(' ')} took more than ${timeoutMs} ms:\n${stderr}`)
    return { exitCode, stdout, stderr }
  } finally {
    clearTimeout(timer)
    running.delete(child)
  }
}

/** Runs a command that must succeed; what it printed. */
export async function output(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command, args, options)
  if (exitCode === 0) return stdout
  throw new Error(`${command} ${args.join(' ')} ended with ${exitCode}:\n${stdout}${stderr}`)
}

/** Whether a command can be called here. */
export function isInstalled(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

/** A child whose input stays open until it is told to end: `stdin` is its signal. */
export interface HeldProcess {
  /** The first line it prints. */
  readonly firstLine: string
  release(): Promise<void>
}

export async function hold(command: string, args: readonly string[]): Promise<HeldProcess> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  running.add(child)
  const ended = once(child, 'close')
  let stdout = ''
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const firstLine = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      const end = stdout.indexOf('\n')
      if (end >= 0) resolve(stdout.slice(0, end))
    })
    child.on('error', reject)
    child.on('close', (exitCode) => reject(new Error(`${command} ended with ${exitCode}: ${stderr}`)))
  })
  return {
    firstLine,
    async release() {
      child.stdin.end()
      const [exitCode] = (await ended) as [number | null]
      running.delete(child)
      if (exitCode !== 0) throw new Error(`${command} ended with ${exitCode}: ${stderr}`)
    },
  }
}
