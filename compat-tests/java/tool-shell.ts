import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { missing, run, type RunningProcess, type RunResult, start, until } from '../harness/index.ts'
import { installRealKafka, kafkaClassPath } from '../real-kafka/install.ts'

const sources = join(import.meta.dirname, 'src')
const logging = `-Dlog4j2.configurationFile=${join(import.meta.dirname, '..', 'real-kafka', 'log4j2.properties')}`
const smallHeap = ['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

/**
 * A Java virtual machine that runs Kafka's tools and the programs in `src/` one after the other, so that only the first
 * one pays for the start. Tools that run until they are stopped need a process of their own: `startJavaTool`.
 */
export class ToolShell {
  readonly #arguments: readonly string[]
  #java: RunningProcess
  #answersTaken = 0
  #last: Promise<unknown> = Promise.resolve()

  private constructor(args: readonly string[]) {
    this.#arguments = args
    this.#java = start('java', args)
  }

  static async start(): Promise<ToolShell> {
    return new ToolShell(await javaArguments('ToolShell'))
  }

  /** Runs a main class to its end. Calls wait for each other. */
  run(main: string, args: readonly string[], input = ''): Promise<RunResult> {
    const result = this.#last.then(() => this.#run(main, args, input))
    this.#last = result.catch(() => {})
    return result
  }

  async stop(): Promise<void> {
    await this.#java.stop('SIGKILL')
  }

  async #run(main: string, args: readonly string[], input: string): Promise<RunResult> {
    if (this.#java.hasEnded) {
      this.#java = start('java', this.#arguments)
      this.#answersTaken = 0
    }
    this.#java.stdin.write(`${JSON.stringify({ main, args, input })}\n`)
    try {
      await until(() => this.#java.hasEnded || this.#answers().length > this.#answersTaken, {
        what: `end of ${main} ${args.join(' ')}`,
        timeoutMs: 60_000,
      })
    } catch (error) {
      // A tool that hangs takes the machine with it, and the next one gets a new machine.
      await this.stop()
      throw error
    }
    if (this.#java.hasEnded) throw new Error(`the Java machine ended during ${main}:\n${this.#java.stderr}`)
    return JSON.parse(this.#answers()[this.#answersTaken++]!) as RunResult
  }

  // The part behind the last line break is an answer that has not arrived in full.
  #answers(): string[] {
    return this.#java.stdout.split('\n').slice(0, -1)
  }
}

/** Starts a program in `src/` that runs until it is stopped, or killed. */
export async function startProgram(main: string, args: readonly string[]): Promise<RunningProcess> {
  return start('java', [...(await javaArguments(main)), ...args])
}

async function javaArguments(main: string): Promise<string[]> {
  const classPath = [await compile(), kafkaClassPath].join(delimiter)
  return [...smallHeap, logging, '-cp', classPath, main]
}

/** Why Java programs cannot be compiled and run here, or null when they can. Printed once, as `missing` does. */
export function javaMissing(): string | null {
  const reason = missing('java')
  if (reason !== null) return reason
  hasCompiler ??= spawnSync('javac', ['-version'], { stdio: 'ignore' }).status === 0
  if (hasCompiler) return null
  const noCompiler = 'javac is not installed'
  console.warn(`skipped: ${noCompiler}`)
  return noCompiler
}
let hasCompiler: boolean | undefined

/** Compiles `src/` against Kafka's jars, once for each state of the sources, and returns the directory of the classes. */
async function compile(): Promise<string> {
  await installRealKafka()
  const files = readdirSync(sources).map((name) => join(sources, name))
  const hash = createHash('sha256')
  for (const file of files) hash.update(readFileSync(file))
  const classes = resolve(sources, '..', '..', '.cache', 'java', hash.digest('hex').slice(0, 16))
  if (existsSync(classes)) return classes

  const unfinished = `${classes}.${process.pid}`
  mkdirSync(unfinished, { recursive: true })
  try {
    const lint = '-Xlint:all,-processing,-classfile,-path'
    const args = ['-nowarn', lint, '-proc:none', '-cp', kafkaClassPath, '-d', unfinished, ...files]
    const result = await run('javac', args, { timeoutMs: 120_000 })
    if (result.exitCode !== 0) throw new Error(`javac ended with ${result.exitCode}:\n${result.stderr}`)
    renameSync(unfinished, classes)
  } catch (cause) {
    if (!existsSync(classes)) throw cause
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return classes
}
