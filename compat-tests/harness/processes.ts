import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'

export interface RunOptions {
  /** Written to standard input, which is then closed. */
  readonly input?: string
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** The process is killed and the call fails after this time; 60 seconds unless given. */
  readonly timeoutMs?: number
}

export interface RunResult {
  /** null when a signal ended it. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A child process that is started with low priority and does not outlive the tests. */
export interface RunningProcess {
  readonly pid: number
  readonly stdin: ChildProcessWithoutNullStreams['stdin']
  /** What it has printed so far. */
  readonly stdout: string
  readonly stderr: string
  readonly hasEnded: boolean
  /** Resolves when it has ended, whatever the reason. */
  readonly ended: Promise<RunResult>
  /** Sends the signal and waits for the end; a process that ignores SIGTERM for 20 seconds is killed. */
  stop(signal?: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<RunResult>
}

const running = new Set<ChildProcessWithoutNullStreams>()

// Also covers a test run that is interrupted or fails before its afterAll.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export function start(command: string, args: readonly string[], options: RunOptions = {}): RunningProcess {
  // nice replaces itself by the command, so the process id is the command's own.
  const child = spawn('nice', ['-n', '10', command, ...args], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
    stdio: 'pipe',
  })
  running.add(child)

  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  // A tool that ends early closes its input under our hands; its exit code tells the story.
  child.stdin.on('error', () => {})

  const ended = new Promise<RunResult>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (exitCode) => {
      running.delete(child)
      resolve({ exitCode, stdout, stderr })
    })
  })

  return {
    pid: child.pid!,
    stdin: child.stdin,
    ended,
    get stdout() {
      return stdout
    },
    get stderr() {
      return stderr
    },
    get hasEnded() {
      return !running.has(child)
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      const killTimer = setTimeout(() => child.kill('SIGKILL'), 20_000)
      try {
        return await ended
      } finally {
        clearTimeout(killTimer)
      }
    },
  }
}

/** Runs a command to its end. A non-zero exit code is a result, not an exception; a timeout is an exception. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { timeoutMs = 60_000 } = options
  const child = start(command, args, options)
  child.stdin.end(options.input ?? '')

  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    void child.stop('SIGKILL')
  }, timeoutMs)
  try {
    const result = await child.ended
    if (isLate) throw new Error(`${command} ${args.join(' ')} took more than ${timeoutMs} ms:\n${result.stderr}`)
    return result
  } finally {
    clearTimeout(timer)
  }
}
