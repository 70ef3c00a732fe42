import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Spec, SpecResult } from './spec.ts'

const source = fileURLToPath(new URL('.', import.meta.url))
const cache = fileURLToPath(new URL('../../.cache/oracle', import.meta.url))

/** Why Kafka Streams cannot be asked on this machine; null where it can. */
export function whyNoOracle(): string | null {
  for (const [command, argument] of [
    ['java', '-version'],
    ['javac', '-version'],
    ['mvn', '-version'],
  ] as const) {
    try {
      execFileSync(command, [argument], { stdio: 'ignore' })
    } catch {
      return `there is no ${command} here`
    }
  }
  return null
}

/**
 * Kafka Streams in a process of its own: one spec in, one result out, in order. Fetches the libraries and compiles the
 * program once, into `streams/.cache`.
 */
export class JavaOracle implements AsyncDisposable {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #lines: Interface
  readonly #waiting: ((line: string) => void)[] = []
  #errors = ''

  private constructor() {
    this.#process = spawn('java', ['-Xmx512m', '-cp', `${cache}/out:${cache}/lib/*`, 'oracle.Oracle'], {
      env: { ...process.env, JAVA_TOOL_OPTIONS: '-Dorg.slf4j.simpleLogger.defaultLogLevel=off' },
    })
    this.#process.stderr.on('data', (chunk: Buffer) => (this.#errors = (this.#errors + chunk.toString()).slice(-4_000)))
    this.#lines = createInterface({ input: this.#process.stdout })
    this.#lines.on('line', (line) => this.#waiting.shift()?.(line))
    this.#lines.on('close', () => {
      for (const resolve of this.#waiting.splice(0)) resolve(JSON.stringify({ error: this.#errors }))
    })
  }

  static start(): JavaOracle {
    const program = `${source}src/main/java/oracle/Oracle.java`
    const compiled = `${cache}/out/oracle/Oracle.class`
    if (!existsSync(`${cache}/lib`)) {
      mkdirSync(cache, { recursive: true })
      execFileSync('mvn', ['-q', '-B', 'dependency:copy-dependencies', `-DoutputDirectory=${cache}/lib`], {
        cwd: source,
      })
    }
    if (!existsSync(compiled) || statSync(compiled).mtimeMs < statSync(program).mtimeMs) {
      execFileSync('javac', ['-nowarn', '-d', `${cache}/out`, '-cp', `${cache}/lib/*`, program], { stdio: 'pipe' })
    }
    return new JavaOracle()
  }

  ask(spec: Spec): Promise<SpecResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push((line) => {
        const result = JSON.parse(line) as SpecResult
        if (result.error !== undefined) reject(new Error(`the oracle failed: ${result.error}`))
        else resolve(result)
      })
      this.#process.stdin.write(`${JSON.stringify(spec)}\n`)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.stdin.end()
    await new Promise((resolve) => this.#process.once('exit', resolve))
  }
}
