import { describe, expect, it } from 'vitest'
import {
  deadLetter,
  idempotentSink,
  retry,
  skip,
  string,
  testDriver,
  topic,
  topology,
  type CallContext,
  type IdempotentSinkOptions,
  type SinkRow,
  type Stream,
  type TestDriver,
} from '../../src/index.ts'

const text = { key: string(), value: string() }
const IN = topic('in', text)
const OTHER = topic('other', text)
const DEAD = topic('dead', text)

interface Write {
  readonly values: string[]
  readonly rows: readonly SinkRow<string, string>[]
  readonly context: CallContext
  readonly done: () => void
  readonly fail: (error: Error) => void
}

interface Sinking extends Disposable {
  readonly driver: TestDriver
  readonly writes: Write[]
  send(...values: readonly string[]): void
  /** Answers the latest write, and lets that be noticed. */
  done(): Promise<void>
  refuse(message?: string): Promise<void>
}

function aSink(
  options: Partial<IdempotentSinkOptions<string, string>> = {},
  before: (input: Stream<string, string>) => Stream<string, string> = (input) => input,
): Sinking {
  const writes: Write[] = []
  const app = topology('sinking')
  before(app.stream(IN)).sink(
    idempotentSink({
      name: 'database',
      write: (rows, context) =>
        new Promise<void>((resolve, reject) => {
          writes.push({ values: rows.map(({ value }) => value), rows, context, done: resolve, fail: reject })
        }),
      ...options,
    }),
  )
  const driver = testDriver(app)
  const noticed = async (): Promise<void> => {
    await new Promise<void>((resolve) => setImmediate(resolve))
    driver.advanceWallClock(0)
  }
  return {
    driver,
    writes,
    send(...values) {
      for (const value of values) driver.input(IN).send('k', value, { ts: 1 })
    },
    async done() {
      writes.at(-1)!.done()
      await noticed()
    },
    async refuse(message = 'refused') {
      writes.at(-1)!.fail(new Error(message))
      await noticed()
    },
    [Symbol.dispose]: () => driver.close(),
  }
}

describe('an idempotent sink', () => {
  it('is given rows that say which record they are of', async () => {
    using t = aSink({ batch: { max: 2 } })
    const headers = [{ key: 'trace', value: Buffer.from('1') }]
    t.driver.input(IN).send('a', 'x', { ts: 5, headers })
    t.driver.input(IN).send('b', 'y', { ts: 6 })
    expect(t.writes[0]!.rows).toEqual([
      { topic: 'in', partition: 0, offset: 0, index: 0, key: 'a', value: 'x', timestampMs: 5, headers },
      { topic: 'in', partition: 0, offset: 1, index: 0, key: 'b', value: 'y', timestampMs: 6, headers: [] },
    ])
    await t.done()
    await t.driver.settle()
  })

  it('writes a batch when it is full, when its first row has waited, and when a commit is to come', async () => {
    using t = aSink({ batch: { max: 3, linger: '50ms' } })
    t.send('a', 'b', 'c')
    expect(t.writes.map(({ values }) => values)).toEqual([['a', 'b', 'c']])
    await t.done()
    t.send('d')
    t.driver.advanceWallClock(49)
    expect(t.writes).toHaveLength(1)
    t.driver.advanceWallClock(1)
    expect(t.writes.at(-1)!.values).toEqual(['d'])
    await t.done()
    t.send('e')
    const settled = t.driver.settle()
    expect(t.writes.at(-1)!.values).toEqual(['e'])
    t.writes.at(-1)!.done()
    await settled
    expect(t.driver.wallClockMs).toBe(50)
  })

  it('writes one batch at a time, and takes no more records than the next one has room for', async () => {
    using t = aSink({ batch: { max: 2 } })
    t.send('a', 'b', 'c', 'd', 'e')
    expect(t.writes).toHaveLength(1)
    await t.done()
    expect(t.writes.map(({ values }) => values)).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ])
    await t.done()
    void t.driver.settle()
    expect(t.writes.at(-1)!.values).toEqual(['e'])
    await t.done()
  })

  it('writes the same rows again after a failure, and the next ones after them', async () => {
    using t = aSink({ batch: { max: 2 }, onError: retry({ attempts: 2, backoff: '1s' }) })
    t.send('a', 'b', 'c')
    await t.refuse()
    expect(t.writes).toHaveLength(1)
    t.driver.advanceWallClock('1s')
    expect(t.writes[1]!.rows).toEqual(t.writes[0]!.rows)
    expect(t.writes[1]!.context.attempt).toBe(2)
    await t.done()
    void t.driver.settle()
    expect(t.writes.at(-1)!.values).toEqual(['c'])
    await t.done()
  })

  it('fails with the place of its first row when nothing else was said', async () => {
    using t = aSink({ batch: { max: 2 } })
    t.send('a', 'b')
    t.writes[0]!.fail(new Error('disk full'))
    await expect(t.driver.settle()).rejects.toMatchObject({
      code: 'processing',
      topic: 'in',
      offset: 0,
      message: 'database at in-0 offset 0: disk full',
    })
  })

  it('gives up a write that takes too long, and aborts it', async () => {
    using t = aSink({ batch: { max: 1 }, timeout: '2s' })
    t.send('a')
    expect(() => t.driver.advanceWallClock('2s')).toThrow('database at in-0 offset 0: no answer within 2000 ms')
    expect(t.writes[0]!.context.signal.aborted).toBe(true)
  })

  it('aborts the write under way when its task ends', () => {
    const t = aSink({ batch: { max: 1 } })
    t.send('a')
    t.driver.close()
    expect(t.writes[0]!.context.signal.reason).toMatchObject({ code: 'closed' })
  })

  it('writes the rows of a refused batch one by one, so that only the bad ones are left out', async () => {
    using t = aSink({ batch: { max: 3 }, onError: deadLetter('dead') }, (input) =>
      input.mapValues((value) => `row ${value}`),
    )
    t.send('a', 'b', 'c', 'd')
    await t.refuse('the batch has something bad')
    expect(t.writes.at(-1)!.values).toEqual(['row a'])
    await t.done()
    expect(t.writes.at(-1)!.values).toEqual(['row b'])
    await t.refuse('b is bad')
    expect(t.writes.at(-1)!.values).toEqual(['row c'])
    await t.done()
    void t.driver.settle()
    expect(t.writes.at(-1)!.values).toEqual(['row d'])
    await t.done()
    const letters = t.driver.output(DEAD).drain()
    expect(letters).toMatchObject([{ key: 'k', value: 'b', timestampMs: 1 }])
    const headers = Object.fromEntries(letters[0]!.headers.map(({ key, value }) => [key, String(value)]))
    expect(headers).toMatchObject({ '__streams.errors.message': 'b is bad', '__streams.errors.processor': 'database' })
    expect(t.driver.dropped).toBe(1)
  })

  it('numbers the rows of one record, from 0 again when the record is tried again', async () => {
    let attempts = 0
    const app = topology('numbered')
    const rows: string[] = []
    const parts = app.stream(IN).flatMapValues((value) => value.split(''))
    parts.sink(
      idempotentSink({
        name: 'database',
        write: (batch) => {
          for (const { value, offset, index } of batch) rows.push(`${value} ${offset}.${index}`)
        },
      }),
    )
    parts.peek(
      (_key, value) => {
        if (value === 'y' && ++attempts === 1) throw new Error('not yet')
      },
      { onError: retry({ attempts: 1, backoff: '1s', then: skip() }) },
    )
    using driver = testDriver(app)
    driver.input(IN).send('k', 'xyz')
    driver.input(IN).send('k', 'w')
    await driver.settle()
    expect(rows).toEqual(['x 0.0', 'y 0.1', 'x 0.0', 'y 0.1', 'z 0.2', 'w 1.0'])
  })

  it('numbers them the same behind a call that answers later', async () => {
    const app = topology('numbered')
    const rows: string[] = []
    app
      .stream(IN)
      .flatMapValues((value) => value.split(''))
      .mapValuesAsync(async (value) => Promise.resolve(value.toUpperCase()))
      .flatMapValues((value) => [value, `${value}'`])
      .sink(
        idempotentSink({
          name: 'database',
          write: (batch) => {
            for (const { value, offset, index } of batch) rows.push(`${value} ${offset}.${index}`)
          },
        }),
      )
    using driver = testDriver(app)
    driver.input(IN).send('k', 'xy')
    driver.input(IN).send('k', 'z')
    await driver.settle()
    expect(rows).toEqual(['X 0.0', "X' 0.1", 'Y 0.2', "Y' 0.3", 'Z 1.0', "Z' 1.1"])
  })

  it('refuses rows that it could not tell apart another time', async () => {
    const app = topology('unordered')
    const sink = idempotentSink<string, string>({ name: 'database', write: () => {} })
    app
      .stream(IN)
      .flatMapValues((value) => value.split(''))
      .mapValuesAsync((value) => value, { order: 'none' })
      .sink(sink)
    using driver = testDriver(app)
    driver.input(IN).send('k', 'x')
    await driver.settle()
    driver.input(IN).send('k', 'xy')
    await expect(driver.settle()).rejects.toThrow('several rows of one record in no certain order')

    const merged = topology('merged')
    const input = merged.stream(IN)
    expect(() => input.merge(input.mapValuesAsync((value) => value)).sink(sink)).toThrow(
      'send the stream through a topic before the sink',
    )
  })

  it('refuses what a timer made', () => {
    using t = aSink({}, (input) =>
      input.process<string, string>((context) => {
        context.schedule('1s', 'wall-clock', (timeMs) => context.forward('k', 'tick', timeMs))
        return { process() {} }
      }),
    )
    expect(() => t.driver.advanceWallClock('1s')).toThrow('cannot tell whether it has written what a timer made')
  })

  it('is shown in the description of the topology', () => {
    const app = topology('app')
    const sink = idempotentSink<string, string>({ name: 'database', write: () => {} })
    app.stream(IN).sink(sink)
    expect(app.describe()).toContain('Processor: database (stores: [], idempotent sink)\n      --> none')
    expect(app.mermaid()).toContain('["database<br/>idempotent sink"]')
    expect(() => app.stream(OTHER).sink(sink)).toThrow('two nodes are named database')
    expect(() => idempotentSink({ name: 'none', batch: { max: 0 }, write: () => {} })).toThrow('not a number of rows')
  })
})
