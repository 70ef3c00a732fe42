import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import {
  string,
  testDriver,
  topic,
  topology,
  type Clock,
  type Processor,
  type ProcessorContext,
  type TestDriver,
  type TestDriverOptions,
} from '../../src/index.ts'
import { openLmdb } from '../../src/state/lmdb/open-lmdb.ts'

// A store on disk for each run takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const text = { key: string(), value: string() }
const IN = topic('in', text)
const OUT = topic('out', text)

/**
 * Records say what becomes of their key's timers: `+10` sets one for event time 10, `-10` deletes it, `w+10` and `w-10`
 * do the same by the wall clock. Every timer that rings comes out as `key event-time 10`.
 */
function aProcessor(
  timers: readonly Clock[] = ['event-time', 'wall-clock'],
  onTimer?: (context: ProcessorContext<string, string, string>, key: string, timeMs: number, clock: Clock) => void,
) {
  const app = topology('timing')
  app
    .stream(IN)
    .process<string, string>(
      (context): Processor<string, string> => ({
        process(key, value) {
          const [, wall, what, at] = /^(w?)([+-])(\d+)$/.exec(value) ?? []
          const clock = wall === 'w' ? 'wall-clock' : 'event-time'
          if (what === '+') context.timers.set(key, Number(at), clock)
          if (what === '-' && !context.timers.delete(key, Number(at), clock)) context.forward(key, 'none', 0)
        },
        onTimer(key, timeMs, clock) {
          context.forward(key, clock, timeMs)
          onTimer?.(context, key, timeMs, clock)
        },
      }),
      { name: 'timing', timers },
    )
    .to(OUT)
  return app
}

function using(driver: TestDriver) {
  return {
    driver,
    /** Sends `key=value@time`; answers with what rang. */
    send(...records: readonly string[]): string[] {
      for (const record of records) {
        const [, key, value, ts] = /^(\w*)=(\S*)@(\d+)$/.exec(record)!
        driver.input(IN).send(key!, value!, { ts: Number(ts) })
      }
      return this.rung()
    },
    rung: (): string[] =>
      driver
        .output(OUT)
        .drain()
        .map(({ key, value, timestampMs }) => `${key} ${value} ${timestampMs}`),
    [Symbol.dispose]: () => driver.close(),
  }
}

const aDriver = (options?: TestDriverOptions, ...rest: Parameters<typeof aProcessor>) =>
  using(testDriver(aProcessor(...rest), options))

describe('timers of keys', () => {
  it('ring when stream time has come to them, after the record that brought it there', () => {
    using t = aDriver()
    expect(t.send('a=+10@1', 'b=+12@2', 'a=@9')).toEqual([])
    expect(t.send('c=@10')).toEqual(['a event-time 10'])
    expect(t.send('c=@50')).toEqual(['b event-time 12'])
    expect(t.send('c=@99')).toEqual([])
  })

  it('ring when the wall clock has come to them, each with its own time and in order', () => {
    using t = aDriver()
    t.send('b=w+20@1', 'a=w+20@1', 'a=w+5@1', 'a=w+90@1')
    t.driver.advanceWallClock(4)
    expect(t.rung()).toEqual([])
    t.driver.advanceWallClock(50)
    expect(t.rung()).toEqual(['a wall-clock 5', 'a wall-clock 20', 'b wall-clock 20'])
  })

  it('ring once for a key and time, however often they are set, and not after they were deleted', () => {
    using t = aDriver()
    expect(t.send('a=+10@1', 'a=+10@2', 'a=+20@2', 'a=-20@3', 'a=-30@3')).toEqual(['a none 0'])
    expect(t.send('b=@100')).toEqual(['a event-time 10'])
  })

  it('ring after the record that sets one for a time that is past', () => {
    using t = aDriver()
    t.send('a=@100')
    expect(t.send('a=+7@1')).toEqual(['a event-time 7'])
  })

  it('may set and delete others, which keep the order of time', () => {
    const seen: number[] = []
    using t = aDriver(undefined, ['event-time'], (context, key, timeMs) => {
      if (timeMs === 10) {
        context.timers.set(key, 20)
        context.timers.delete('b', 30)
        seen.push(...context.timers.of(key))
      }
      if (timeMs === 20) context.timers.set(key, 40)
    })
    t.send('a=+10@1', 'a=+25@1', 'b=+30@1')
    expect(t.send('c=@39')).toEqual(['a event-time 10', 'a event-time 20', 'a event-time 25'])
    expect(t.send('c=@40')).toEqual(['a event-time 40'])
    expect(seen).toEqual([20, 25])
  })

  it('cannot set one that would ring for ever', () => {
    using t = aDriver(undefined, ['event-time'], (context, key, timeMs) => context.timers.set(key, timeMs))
    expect(() => t.send('a=+10@1', 'a=@10')).toThrow('a timer at 10 set one for 10')
  })

  it('that did not get their turn because one before them failed ring later', () => {
    let isBroken = true
    using t = aDriver(undefined, ['event-time'], (_context, key) => {
      if (key === 'a' && isBroken) throw new Error('no')
    })
    t.send('a=+10@1', 'b=+10@1', 'c=+11@1')
    expect(() => t.send('d=@20')).toThrow('no')
    isBroken = false
    t.rung()
    expect(t.send('d=@21')).toEqual(['b event-time 10', 'c event-time 11'])
  })

  it('have no record, and no headers of one', () => {
    const seen: unknown[] = []
    using t = aDriver(undefined, ['event-time'], (context) => seen.push(context.record, context.headers))
    t.driver.input(IN).send('a', '+1', { ts: 5, headers: [{ key: 'trace', value: null }] })
    expect(seen).toEqual([null, []])
    expect(t.driver.output(OUT).drain()[0]!.headers).toEqual([])
  })

  it('survive a restart, also those of the wall clock that were due meanwhile', () => {
    using t = aDriver()
    t.send('a=+10@1', 'b=+20@1', 'b=-20@2', 'a=w+10@2', 'a=w+90@2')
    t.driver.restart()
    expect(t.send('c=@30')).toEqual(['a event-time 10'])
    t.driver.restart()
    t.driver.advanceWallClock(50)
    expect(t.rung()).toEqual(['a wall-clock 10'])
    t.driver.restart()
    t.driver.advanceWallClock(50)
    expect(t.rung()).toEqual(['a wall-clock 90'])
    t.driver.restart()
    expect(t.send('c=@99')).toEqual([])
    expect(t.driver.producedTopics).toContain('timing-timing-event-time-timers-changelog')
  })

  it('are refused where they were not asked for, and for what is no time', () => {
    using t = aDriver(undefined, ['event-time'])
    expect(() => t.send('a=w+10@1')).toThrow('timing has no timers by wall-clock: name it in its option timers')
    const app = topology('app')
    app.stream(IN).process(() => ({ process() {} }), { name: 'deaf', timers: ['event-time'] })
    expect(() => testDriver(app)).toThrow('deaf has timers, and no onTimer')
    using wrong = aDriver(undefined, ['event-time'], (context, key) => context.timers.set(key, 10.5))
    expect(() => wrong.send('a=+1@1')).toThrow('10.5 is not a time for a timer')
  })

  it('are part of the description of the topology and of its plan', () => {
    const app = aProcessor()
    expect(app.describe()).toContain('Processor: timing (stores: [timing-event-time-timers, timing-wall-clock-timers])')
    expect(app.plan().subTopologies[0]!.changelogTopics.map(({ name }) => name)).toEqual([
      'timing-timing-event-time-timers-changelog',
      'timing-timing-wall-clock-timers-changelog',
    ])
  })

  it('ring the same whatever the order, the restarts, and the place of their store', () => {
    const directory = mkdtempSync(join(tmpdir(), 'millrace-timers-'))
    let disks = 0
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ key: fc.constantFrom('a', 'b', 'c'), set: fc.nat(60), at: fc.nat(60) }) },
      { weight: 2, arbitrary: fc.record({ key: fc.constantFrom('a', 'b', 'c'), unset: fc.nat(60), at: fc.nat(60) }) },
      { weight: 1, arbitrary: fc.constant('restart' as const) },
    )
    try {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, onDisk) => {
          const place = join(directory, String(disks++))
          const options = onDisk
            ? { backing: (store: { name: string }) => openLmdb(join(place, store.name)), cacheLimit: 0 }
            : {}
          using t = aDriver(options, ['event-time'])
          const model = new Set<string>()
          let streamMs = -1
          for (const one of steps) {
            if (one === 'restart') {
              t.driver.restart()
              continue
            }
            const expected: string[] = []
            if ('set' in one) model.add(`${one.key} ${one.set}`)
            else if (!model.delete(`${one.key} ${one.unset}`)) expected.push(`${one.key} none 0`)
            streamMs = Math.max(streamMs, one.at)
            const due = [...model].map((timer) => timer.split(' ') as [string, string])
            due.sort((x, y) => Number(x[1]) - Number(y[1]) || (x[0] < y[0] ? -1 : 1))
            for (const [key, at] of due) {
              if (Number(at) > streamMs) continue
              model.delete(`${key} ${at}`)
              expected.push(`${key} event-time ${at}`)
            }
            const value = 'set' in one ? `+${one.set}` : `-${one.unset}`
            expect(t.send(`${one.key}=${value}@${one.at}`)).toEqual(expected)
          }
        }),
        { numRuns: 80 },
      )
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
