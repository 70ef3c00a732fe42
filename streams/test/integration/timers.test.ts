import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { int64, string, topic, topology, type Topology } from '../../src/index.ts'
import { describeApps } from '../kit.ts'

describeApps('timers of keys', (kit) => {
  interface Timing {
    readonly app: Topology
    readonly input: string
    /** What has rung so far, as `key clock time`, sorted. */
    readonly rung: () => Promise<string[]>
  }

  /** The value of a record is the time of a timer for its key, by the clock that the key starts with. */
  async function aTiming(partitions: number): Promise<Timing> {
    const name = uniqueName('timing')
    const input = topic(`${name}-in`, { key: string(), value: int64() })
    const output = topic(`${name}-out`, { key: string(), value: string() })
    const app = topology(name)
    app
      .stream(input)
      .process<string, string>(
        (context) => ({
          process(key, timeMs) {
            if (key.startsWith('wall')) context.timers.set(key, timeMs, 'wall-clock')
            if (key.startsWith('event')) context.timers.set(key, timeMs)
          },
          onTimer: (key, timeMs, clock) => context.forward(key, `${clock} ${timeMs}`, timeMs),
        }),
        { name: 'timing', timers: ['event-time', 'wall-clock'] },
      )
      .to(output)
    await kit.createTopics({ name: input.name, partitions }, { name: output.name, partitions: 1 })
    return {
      app,
      input: input.name,
      rung: async () => (await kit.read(output.name)).map(({ key, value }) => `${key} ${String(value)}`).toSorted(),
    }
  }

  const at = (key: string, timeMs: number, ts: number, partition: number) => ({
    key,
    value: Buffer.from(int64().serialize(timeMs)),
    ts,
    partition,
  })

  it('ring in the instance that takes over from one that was killed, and only there', async () => {
    const { app, input, rung } = await aTiming(2)
    await using first = await kit.start(app)
    const second = await kit.start(app)
    await until(() => first.activeTasks.length === 1 && second.activeTasks.length === 1, { what: 'one task each' })
    const keys = Array.from({ length: 20 }, (_, i) => `event-${i}`)
    await kit.send(
      input,
      keys.map((key, i) => at(key, 100 + i, 1, i % 2)),
    )
    await until(() => [first, second].every((one) => one.metrics().recordsProcessed === 10), { what: 'all timers set' })
    await second.commit()
    await second.kill()
    await until(() => first.activeTasks.length === 2, { what: 'the tasks of the killed instance' })
    expect(await rung()).toEqual([])
    await kit.send(
      input,
      [0, 1].map((partition) => at('x', 0, 109, partition)),
    )
    await until(async () => (await rung()).length >= 10, { what: 'the timers that are due' })
    expect(await rung()).toEqual(
      keys
        .slice(0, 10)
        .map((key, i) => `${key} event-time ${100 + i}`)
        .toSorted(),
    )
  })

  it.each(['in memory', 'on disk'])(
    '%s ring after a restart by the wall clock, although nothing comes in',
    async (where) => {
      const directory = mkdtempSync(join(tmpdir(), 'millrace-timers-'))
      try {
        const stateDir = where === 'on disk' ? { stateDir: directory } : {}
        const { app, input, rung } = await aTiming(1)
        const dueMs = Date.now() + 1_500
        {
          await using first = await kit.start(app, stateDir)
          await kit.send(input, [at('wall-a', dueMs, 1, 0), at('wall-b', dueMs + 86_400_000, 1, 0)])
          await until(() => first.metrics().recordsProcessed === 2, { what: 'the timers set' })
        }
        await using second = await kit.start(app, stateDir)
        await until(async () => (await rung()).length > 0, { what: 'the timer' })
        expect(Date.now()).toBeGreaterThanOrEqual(dueMs)
        await second.commit()
        expect(await rung()).toEqual([`wall-a wall-clock ${dueMs}`])
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    },
  )

  it.each(['at-least-once', 'exactly-once'] as const)(
    'by the wall clock ring once, %s, also when nothing comes in between their ringing and the end',
    async (guarantee) => {
      const { app, input, rung } = await aTiming(1)
      const options = { guarantee, commitInterval: '1h' } as const
      const dueMs = Date.now() + 1_000
      {
        await using first = await kit.start(app, options)
        await kit.send(input, [at('wall-a', dueMs, 1, 0)])
        await until(() => first.metrics().recordsProcessed === 1, { what: 'the timer set' })
      }
      {
        await using second = await kit.start(app, options)
        // What a transaction holds is to be seen only once it is committed, by the close.
        await until(() => second.metrics().recordsSent > 0, { what: 'the timer' })
      }
      await until(async () => (await rung()).length > 0, { what: 'its result' })
      await using third = await kit.start(app, options)
      await kit.send(input, [at('wall-b', dueMs, 1, 0)])
      await until(async () => (await rung()).some((one) => one.startsWith('wall-b')), { what: 'the next timer' })
      expect(await rung()).toEqual([`wall-a wall-clock ${dueMs}`, `wall-b wall-clock ${dueMs}`])
      expect(third.failure).toBeNull()
    },
  )
})
