import {
  string,
  testDriver,
  topic,
  topology,
  windowed,
  type Duration,
  type Stream,
  type Table,
  type TestDriver,
  type Topology,
  type Windowed,
} from '../../src/index.ts'

const text = { key: string(), value: string() }

export const A = topic('A', text)
export const B = topic('B', text)
export const OUT = topic('OUT', text)
export const LATE = topic('LATE', { key: windowed(string()), value: string() })

/** Joins the two sides of a pair; makes visible which one is missing. */
export function cat(left: string | null, right: string | null): string {
  return `${left}+${right}`
}

/** Makes the order of additions visible. */
export const concat = {
  init: (): string => '',
  add: (_key: string, value: string, total: string): string => `${total}+${value}`,
  merge: (_key: string, left: string, right: string): string => `${left}&${right}`,
  subtract: (_key: string, value: string, total: string): string => `${total}-${value}`,
  serde: string(),
}

/** A topology under test, written to as `key=value@time` and read the same way. */
export class Harness implements Disposable {
  readonly #driver: TestDriver

  constructor(build: (app: Topology) => void) {
    const app = topology('app')
    build(app)
    this.#driver = testDriver(app)
  }

  /** Feeds records such as `A a=x@5` (`-` is null) one by one; the outputs of each, joined by spaces. */
  feed(...records: readonly string[]): string[] {
    return records.map((record) => {
      const [, name, key, value, ts] = /^(\S+) (.*)=(.*)@(\d+)$/.exec(record)!
      const input = this.#driver.input(name === 'A' ? A : B)
      input.send(key === '-' ? null : key!, value === '-' ? null : value!, { ts: Number(ts) })
      return this.output()
    })
  }

  advance(by: Duration): string {
    this.#driver.advanceWallClock(by)
    return this.output()
  }

  output(): string {
    return this.#driver
      .output(OUT)
      .drain()
      .map(({ key, value, timestampMs }) => `${key ?? '-'}=${value ?? '-'}@${timestampMs}`)
      .join(' ')
  }

  late(): string {
    return this.#driver
      .output(LATE)
      .drain()
      .map(({ key, value }) => `${windowText(key!)}=${value ?? '-'}`)
      .join(' ')
  }

  get dropped(): number {
    return this.#driver.dropped
  }

  get topics(): readonly string[] {
    return this.#driver.producedTopics
  }

  [Symbol.dispose](): void {
    this.#driver.close()
  }
}

export function harness(build: (app: Topology) => void): Harness {
  return new Harness(build)
}

/** Writes windowed results with the window in the key: `a@0/10`. */
export function toOut<V>(results: Table<Windowed<string>, V> | Stream<Windowed<string>, V | null>): void {
  const stream = 'toStream' in results ? results.toStream() : results
  stream.map((window, value) => [windowText(window), value === null ? null : String(value)] as const).to(OUT)
}

/** Writes the rows of a table as text. */
export function rowsToOut<V>(results: Table<string, V>): void {
  results
    .toStream()
    .mapValues((value) => (value === null ? null : String(value)))
    .to(OUT)
}

function windowText({ key, startMs, endMs }: Windowed<string>): string {
  return `${key}@${startMs}/${endMs}`
}
