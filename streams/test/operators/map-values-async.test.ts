import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  deadLetter,
  keyValueStore,
  int64,
  retry,
  skip,
  string,
  testDriver,
  topic,
  topology,
  TopologyError,
  type AsyncOptions,
  type CallContext,
  type Stream,
  type TestDriver,
} from '../../src/index.ts'

const text = { key: string(), value: string() }
const IN = topic('in', text)
const OUT = topic('out', text)
const DEAD = topic('dead', text)

interface Call {
  readonly value: string
  readonly context: CallContext
  readonly answer: (result: string) => void
  readonly fail: (error: Error) => void
}

interface Lookup extends Disposable {
  readonly driver: TestDriver
  /** Every call so far, in order. */
  readonly calls: Call[]
  send(...records: readonly string[]): void
  /** What has come out since the last time. */
  results(): string[]
}

/** A stream through `mapValuesAsync` whose calls are answered by the test. */
function aLookup(
  options: AsyncOptions = {},
  around: (looked: Stream<string, string>) => Stream<string, string> = (looked) => looked,
  before: (input: Stream<string, string>) => Stream<string, string> = (input) => input,
): Lookup {
  const calls: Call[] = []
  const app = topology('lookup')
  const looked = before(app.stream(IN)).mapValuesAsync(
    (value, _key, context) =>
      new Promise<string>((resolve, reject) => {
        calls.push({ value, context, answer: resolve, fail: reject })
      }),
    options,
  )
  around(looked).to(OUT)
  const driver = testDriver(app)
  return {
    driver,
    calls,
    send(...records) {
      for (const record of records) {
        const [, key, value, ts] = /^(\w*)=(\w+)@(\d+)$/.exec(record)!
        driver.input(IN).send(key === '' ? null : key!, value!, { ts: Number(ts) })
      }
    },
    results: () =>
      driver
        .output(OUT)
        .drain()
        .map(({ key, value, timestampMs }) => `${key ?? ''}=${value}@${timestampMs}`),
    [Symbol.dispose]: () => driver.close(),
  }
}

/** Lets answers that were given be noticed; nothing else waits for them. */
async function noticed(lookup: Lookup): Promise<string[]> {
  await new Promise<void>((resolve) => setImmediate(resolve))
  lookup.driver.advanceWallClock(0)
  return lookup.results()
}

describe('mapValuesAsync', () => {
  it('gives results their record s key, time and headers', async () => {
    using t = aLookup()
    const headers = [{ key: 'trace', value: Buffer.from('1') }]
    t.driver.input(IN).send('a', 'x', { ts: 7, headers })
    expect(t.driver.output(OUT).isEmpty).toBe(true)
    t.calls[0]!.answer('X')
    await t.driver.settle()
    expect(t.driver.output(OUT).drain()).toEqual([{ key: 'a', value: 'X', timestampMs: 7, headers }])
  })

  it('calls for several records at once, and keeps their order', async () => {
    using t = aLookup({ concurrency: 3 })
    t.send('a=x@1', 'b=y@2', 'c=z@3')
    expect(t.calls.map(({ value }) => value)).toEqual(['x', 'y', 'z'])
    t.calls[2]!.answer('Z')
    t.calls[1]!.answer('Y')
    expect(await noticed(t)).toEqual([])
    t.calls[0]!.answer('X')
    expect(await noticed(t)).toEqual(['a=X@1', 'b=Y@2', 'c=Z@3'])
  })

  it('lets results overtake each other when asked to', async () => {
    using t = aLookup({ order: 'none' })
    t.send('a=x@1', 'a=y@2', 'b=z@3')
    t.calls[1]!.answer('Y')
    expect(await noticed(t)).toEqual(['a=Y@2'])
    t.calls[2]!.answer('Z')
    t.calls[0]!.answer('X')
    expect(await noticed(t)).toEqual(['a=X@1', 'b=Z@3'])
  })

  it('keeps the order of each key, and of no key', async () => {
    using t = aLookup({ order: 'key' })
    t.send('a=w@1', 'a=x@2', 'b=y@3', '=z@4')
    t.calls[1]!.answer('X')
    t.calls[2]!.answer('Y')
    t.calls[3]!.answer('Z')
    expect(await noticed(t)).toEqual(['b=Y@3', '=Z@4'])
    t.calls[0]!.answer('W')
    expect(await noticed(t)).toEqual(['a=W@1', 'a=X@2'])
  })

  it('takes no more records than its concurrency, answered ones that wait for their turn included', async () => {
    using t = aLookup({ concurrency: 2 })
    t.send('a=x@1', 'a=y@2', 'a=z@3', 'a=w@4')
    expect(t.calls).toHaveLength(2)
    t.calls[1]!.answer('Y')
    expect(await noticed(t)).toEqual([])
    expect(t.calls).toHaveLength(2)
    t.calls[0]!.answer('X')
    expect(await noticed(t)).toEqual(['a=X@1', 'a=Y@2'])
    expect(t.calls.map(({ value }) => value)).toEqual(['x', 'y', 'z', 'w'])
  })

  it('makes no more calls at once than that for one record that becomes many', async () => {
    using t = aLookup({ concurrency: 2 }, undefined, (input) => input.flatMapValues((value) => value.split('')))
    t.send('a=wxyz@1')
    expect(t.calls.map(({ value }) => value)).toEqual(['w', 'x'])
    t.calls[0]!.answer('W')
    expect(await noticed(t)).toEqual(['a=W@1'])
    expect(t.calls.map(({ value }) => value)).toEqual(['w', 'x', 'y'])
    t.driver.input(IN).send('b', 'v', { ts: 2 })
    for (let at = 1; at < 5; at++) {
      t.calls[at]!.answer(t.calls[at]!.value.toUpperCase())
      await noticed(t)
    }
    expect(t.calls.map(({ value }) => value).join('')).toBe('wxyzv')
  })

  it('takes a plain value for an answer, and what is thrown at once for a failure', async () => {
    const app = topology('app')
    app
      .stream(IN)
      .mapValuesAsync(
        (value) => {
          if (value === 'bad') throw new Error('no')
          return value.length
        },
        { onError: skip() },
      )
      .mapValues(String)
      .to(OUT)
    using driver = testDriver(app)
    for (const value of ['bad', 'four']) driver.input(IN).send('k', value)
    await driver.settle()
    expect(driver.output(OUT).drain()).toMatchObject([{ value: '4' }])
    expect(driver.dropped).toBe(1)
  })

  it('fails with the place of the record that it failed on', async () => {
    using t = aLookup({ name: 'prices' })
    t.send('a=x@1', 'a=y@2')
    t.calls[1]!.fail(new Error('out of reach'))
    t.calls[0]!.answer('X')
    await expect(t.driver.settle()).rejects.toMatchObject({
      code: 'processing',
      topic: 'in',
      offset: 1,
      message: 'prices at in-0 offset 1: out of reach',
    })
    expect(t.results()).toEqual(['a=X@1'])
  })

  it('sends a record that it cannot get an answer for to the dead letters, as it came', async () => {
    using t = aLookup({ onError: deadLetter('dead') }, undefined, (input) =>
      input.mapValues((value) => `looked up ${value}`),
    )
    t.send('a=x@1', 'a=y@2')
    t.calls[0]!.fail(new RangeError('out of reach'))
    t.calls[1]!.answer('Y')
    await t.driver.settle()
    expect(t.results()).toEqual(['a=Y@2'])
    const [letter] = t.driver.output(DEAD).drain()
    expect(letter).toMatchObject({ key: 'a', value: 'x', timestampMs: 1 })
    const headers = Object.fromEntries(letter!.headers.map(({ key, value }) => [key, String(value)]))
    expect(headers).toMatchObject({
      '__streams.errors.exception': 'RangeError',
      '__streams.errors.topic': 'in',
      '__streams.errors.offset': '0',
    })
  })

  it('calls again after a pause that doubles, and lets the others go on', async () => {
    using t = aLookup({
      order: 'none',
      onError: retry({ attempts: 3, backoff: '1s', maxBackoff: '3s', then: skip() }),
    })
    t.send('a=x@1', 'b=y@2')
    t.calls[0]!.fail(new Error('not yet'))
    t.calls[1]!.answer('Y')
    expect(await noticed(t)).toEqual(['b=Y@2'])
    const pauses: number[] = []
    for (let at = 2; at < 5; at++) {
      const before = t.driver.wallClockMs
      while (t.calls.length === at) t.driver.advanceWallClock('100ms')
      pauses.push(t.driver.wallClockMs - before)
      expect(t.calls[at]!.context.attempt).toBe(at)
      t.calls[at]!.fail(new Error('not yet'))
      await noticed(t)
    }
    expect(pauses).toEqual([1_000, 2_000, 3_000])
    await t.driver.settle()
    expect(t.driver.dropped).toBe(1)
  })

  it('lets the pauses of retries pass at once when a test settles', async () => {
    using t = aLookup({ onError: retry({ attempts: 1, backoff: '1h' }) })
    t.send('a=x@1')
    t.calls[0]!.fail(new Error('not yet'))
    const settled = t.driver.settle()
    while (t.calls.length < 2) await new Promise<void>((resolve) => setImmediate(resolve))
    t.calls[1]!.answer('X')
    await settled
    expect(t.results()).toEqual(['a=X@1'])
    expect(t.driver.wallClockMs).toBe(3_600_000)
  })

  it('gives up a call that takes too long, aborts it, and takes no late answer', async () => {
    using t = aLookup({ timeout: '5s', onError: skip() })
    t.send('a=x@1')
    t.driver.advanceWallClock('4s')
    expect(t.calls[0]!.context.signal.aborted).toBe(false)
    t.driver.advanceWallClock('1s')
    expect(t.calls[0]!.context.signal.reason).toMatchObject({ code: 'timeout', message: 'no answer within 5000 ms' })
    t.calls[0]!.answer('X')
    await t.driver.settle()
    expect(t.results()).toEqual([])
    expect(t.driver.dropped).toBe(1)
  })

  it('times a call from its start, however long nothing was to do before', () => {
    using t = aLookup({ timeout: '5s' })
    t.driver.advanceWallClock('1h')
    t.send('a=x@1')
    t.driver.advanceWallClock('4s')
    expect(t.calls[0]!.context.signal.aborted).toBe(false)
  })

  it('aborts what is under way when its task ends', () => {
    const t = aLookup()
    t.send('a=x@1')
    t.driver.close()
    expect(t.calls[0]!.context.signal.reason).toMatchObject({ code: 'closed' })
  })

  it('offers a result again when what follows wants to try again', async () => {
    let attempts = 0
    using t = aLookup({}, (looked) =>
      looked.mapValues(
        (value) => {
          if (++attempts < 3) throw new Error('not yet')
          return `${value} after ${attempts}`
        },
        { onError: retry({ attempts: 5, backoff: '1s' }) },
      ),
    )
    t.send('a=x@1')
    t.calls[0]!.answer('X')
    await t.driver.settle()
    expect(t.results()).toEqual(['a=X after 3@1'])
    // The call was answered once: only what comes after it was done again.
    expect(t.calls).toHaveLength(1)
  })

  it('says which record it was when what follows fails', async () => {
    using t = aLookup({ name: 'prices' }, (looked) =>
      looked.mapValues((): string => {
        throw new Error('no')
      }),
    )
    t.send('a=x@1')
    t.calls[0]!.answer('X')
    await expect(t.driver.settle()).rejects.toMatchObject({ topic: 'in', offset: 0 })
  })

  it('counts once, with a store behind it, through a repartition topic and another call', async () => {
    const seen = keyValueStore({ name: 'seen', key: string(), value: int64() })
    const app = topology('app')
    app
      .stream(IN)
      .mapValuesAsync(async (value) => Promise.resolve(value.toUpperCase()))
      .selectKey((_key, value) => value, { key: string() })
      .repartition({ name: 'by-value' })
      .mapValuesAsync(async (value) => Promise.resolve(`${value}!`), { order: 'none' })
      .process<string, string>(
        (context) => {
          const counts = context.store<string, number>('seen')
          return {
            process(key, value, timestampMs) {
              counts.put(key, (counts.get(key) ?? 0) + 1, timestampMs)
              context.forward(key, `${value} ${counts.get(key)} from ${context.record?.offset}`, timestampMs)
            },
          }
        },
        { stores: [seen] },
      )
      .to(OUT)
    using driver = testDriver(app)
    for (const value of ['x', 'x', 'y']) driver.input(IN).send('k', value)
    await driver.settle()
    expect(
      driver
        .output(OUT)
        .drain()
        .map(({ value }) => value),
    ).toEqual(['X! 1 from 0', 'X! 2 from 1', 'Y! 1 from 2'])
  })

  it('loses nothing, keeps its bound and its order, however the answers come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('input' as const, 'key' as const, 'none' as const),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 20 }),
        fc.infiniteStream(fc.nat()),
        async (order, concurrency, keys, choices) => {
          using t = aLookup({ order, concurrency, onError: retry({ attempts: 2, backoff: 1, then: skip() }) })
          const records = keys.map((key, i) => `${key}=v${i}@${i}`)
          t.send(...records)
          const answered = new Set<Call>()
          const results: string[] = []
          const choose = (below: number): number => choices.next().value! % below
          for (let open = t.calls; open.length > 0; open = t.calls.filter((call) => !answered.has(call))) {
            expect(open.length).toBeLessThanOrEqual(concurrency)
            const call = open[choose(open.length)]!
            answered.add(call)
            // Two failures at most, so that nothing is given up.
            if (call.context.attempt < 3 && choose(4) === 0) call.fail(new Error('not yet'))
            else call.answer(call.value)
            results.push(...(await noticed(t)))
            if (t.calls.every((one) => answered.has(one))) {
              t.driver.advanceWallClock(1)
              results.push(...t.results())
            }
          }
          await t.driver.settle()
          results.push(...t.results())
          expect(results.toSorted()).toEqual(records.toSorted())
          // By what a key begins with: all keys together, each alone, or no order at all.
          const groups = { input: [''], key: ['a', 'b', 'c'], none: [] }[order]
          const of = (all: string[]): string[][] => groups.map((group) => all.filter((one) => one.startsWith(group)))
          expect(of(results)).toEqual(of(records))
        },
      ),
      { numRuns: 100 },
    )
  })

  it('has nothing under way at a restart of the driver', async () => {
    using t = aLookup()
    t.send('a=x@1')
    expect(() => t.driver.restart()).toThrow('await settle()')
    t.calls[0]!.answer('X')
    await t.driver.settle()
    t.driver.restart()
  })

  it('is shown in the description of the topology', () => {
    const app = topology('app')
    app
      .stream(IN)
      .mapValuesAsync(async (value) => Promise.resolve(value), { name: 'prices' })
      .to(OUT)
    expect(app.describe()).toContain('Processor: prices (stores: [], async)')
    expect(app.mermaid()).toContain('["prices<br/>async"]')
  })

  it('refuses a number of calls that is none', () => {
    expect(() => aLookup({ concurrency: 0 })).toThrow(TopologyError)
    expect(() => retry({ attempts: 0, backoff: 1 })).toThrow('0 is not a number of attempts')
  })
})
