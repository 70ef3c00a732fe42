import { readFileSync } from 'node:fs'
import type { Guarantee } from '@millrace/streams'

/** What a job prints when it has ended, whatever engine it ran. */
export interface Measured {
  /** From the first record to the last, of the last counted stage. */
  readonly seconds: number
  /** The second half of that: after the JVM has compiled what it runs. */
  readonly steadySeconds: number
  /** Of the whole process, from its start to its end. */
  readonly cpuSeconds: number
  readonly steadyCpuSeconds: number
  /** The largest resident set of the process up to its end, with mapped files and the final commit. */
  readonly peakMegabytes: number
}

/** The arguments of every job. */
export interface JobOptions {
  readonly query: string
  readonly bootstrap: string
  /** Of each topic that the query reads. */
  readonly records: number
  readonly stateDir: string
  readonly application: string
  readonly outTopic: string
  /** How many calls of `seen` make the query complete. */
  readonly counted: number
  /** How long nothing must come through the stages behind the last counted one; 0 where there are none. */
  readonly drainMs: number
  readonly guarantee: Guarantee
}

/** Of every engine. For exactly-once, what Kafka Streams and we have when nothing is set. */
export const commitIntervalMs: Readonly<Record<Guarantee, number>> = { 'at-least-once': 5000, 'exactly-once': 100 }

export function jobArguments(options: JobOptions): string[] {
  const { query, bootstrap, records, stateDir, application, outTopic, counted, drainMs, guarantee } = options
  const numbers = [counted, drainMs, commitIntervalMs[guarantee]].map(String)
  return [query, bootstrap, String(records), stateDir, application, outTopic, ...numbers, guarantee]
}

export function jobOptions(): JobOptions {
  const [query, bootstrap, records, stateDir, application, outTopic, counted, drainMs, , guarantee] =
    process.argv.slice(2) as [string, string, string, string, string, string, string, string, string, Guarantee]
  return {
    query,
    bootstrap,
    records: Number(records),
    stateDir,
    application,
    outTopic,
    counted: Number(counted),
    drainMs: Number(drainMs),
    guarantee,
  }
}

/** Counts the records of a job at its counted stages, and takes the times of the first, the middle and the last. */
export class Progress {
  readonly #counted: number
  readonly #half: number
  #seen = 0
  #first = 0
  #middle = { ms: 0, cpu: 0 }
  #last = { ms: 0, cpu: 0 }
  #touchedMs = 0
  #finish: () => void = () => {}
  readonly done: Promise<void> = new Promise((resolve) => (this.#finish = resolve))

  constructor(counted: number) {
    this.#counted = counted
    this.#half = Math.floor(counted / 2)
  }

  readonly seen = (): void => {
    if (this.#seen === 0) this.#first = performance.now()
    this.#seen += 1
    if (this.#seen === this.#half) this.#middle = now()
    if (this.#seen !== this.#counted) return
    this.#last = now()
    this.#finish()
  }

  /** For the stages that are not counted, because caches decide how much comes through them. */
  readonly touched = (): void => {
    this.#touchedMs = performance.now()
  }

  /** Resolves when everything is counted and the stages behind have been silent for so long. */
  async drained(silentMs: number): Promise<void> {
    await this.done
    this.touched()
    while (performance.now() - this.#touchedMs < silentMs) await pause(100)
  }

  /** Call it when the application is closed. */
  measured(): Measured {
    const status = readFileSync('/proc/self/status', 'utf8')
    return {
      seconds: (this.#last.ms - this.#first) / 1000,
      steadySeconds: (this.#last.ms - this.#middle.ms) / 1000,
      cpuSeconds: now().cpu,
      steadyCpuSeconds: this.#last.cpu - this.#middle.cpu,
      peakMegabytes: Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024),
    }
  }
}

function now(): { ms: number; cpu: number } {
  const { user, system } = process.cpuUsage()
  return { ms: performance.now(), cpu: (user + system) / 1e6 }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
