import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { run, type RunOptions, type ThreadedApp } from '../../src/index.ts'
import { describeApps } from '../kit.ts'

const module = new URL('../threads-topology.ts', import.meta.url)

describeApps('an application in threads', (kit) => {
  afterEach(() => void delete process.env['THREADS_TEST_NAME'])

  interface Counts {
    readonly input: string
    /** The last count of each key. */
    readonly last: () => Promise<Record<string, number>>
    readonly threadIds: () => Promise<Set<number>>
    readonly start: (options?: Partial<RunOptions>) => Promise<ThreadedApp>
  }

  async function aCount(partitions: number): Promise<Counts> {
    const name = uniqueName('threads')
    // A thread has the environment that its process had when it began.
    process.env['THREADS_TEST_NAME'] = name
    await kit.createTopics({ name: `${name}-in`, partitions }, { name: `${name}-out`, partitions: 1 })
    const results = async () =>
      (await kit.read(`${name}-out`)).map(({ key, value }) => ({
        key: key!,
        ...(JSON.parse(value!.toString()) as { count: number; threadId: number }),
      }))
    return {
      input: `${name}-in`,
      last: async () => Object.fromEntries((await results()).map(({ key, count }) => [key, count])),
      threadIds: async () => new Set((await results()).map(({ threadId }) => threadId)),
      start: (options) =>
        run(module, {
          brokers: kit.brokers,
          workers: 2,
          commitInterval: 20,
          heartbeatInterval: 50,
          sessionTimeout: '1s',
          ...options,
        }),
    }
  }
  /** The same for each of eight keys, two in each of four partitions. */
  const records = (value = '') => Array.from({ length: 8 }, (_, n) => ({ key: `k${n}`, value, partition: n % 4 }))
  const all = (count: number) => Object.fromEntries(records().map(({ key }) => [key, count]))

  it('has a part of the tasks in each, with one view of all of it', async () => {
    const { input, last, threadIds, start } = await aCount(4)
    const app = await start()
    await app.running()
    await until(() => app.metrics().tasks.active.length === 4, { what: 'all four tasks' })
    await kit.send(input, records())
    await kit.send(input, records())
    await until(async () => (await last())['k7'] === 2 && (await last())['k0'] === 2, { what: 'both rounds' })
    await until(async () => Object.keys(await last()).length === 8, { what: 'all keys' })
    expect((await threadIds()).size).toBe(2)

    const metrics = await app.refresh()
    expect(metrics).toMatchObject({ state: 'running', recordsProcessed: 16, totalLag: 0 })
    expect(metrics.tasks.active.toSorted()).toEqual(['0_0', '0_1', '0_2', '0_3'])
    expect(metrics.work.map(({ recordsProcessed }) => recordsProcessed)).toEqual([4, 4, 4, 4])
    const counts = app.query<string, number>('by-key')
    const rows: Record<string, number> = {}
    for await (const { key, value } of counts.all()) rows[key] = value
    expect(rows).toEqual(all(2))
    await expect(app.query('nowhere').get('k0')).rejects.toMatchObject({ code: 'unknown-store' })

    await app.close()
    expect([app.state, app.failure]).toEqual(['closed', null])
    await expect(app.commit()).rejects.toMatchObject({ code: 'closed' })
  })

  it('is asked for its state like one without threads, and gives Buffers as they are', async () => {
    const { input, last, start } = await aCount(4)
    await using app = await start()
    await app.running()
    await kit.send(input, records('hello'))
    await until(async () => Object.keys(await last()).length === 8, { what: 'all keys' })
    const counts = app.query<string, number>('by-key')
    const found: string[] = []
    for await (const { key } of counts.range('k2', 'k5')) found.push(key)
    expect(found.toSorted()).toEqual(['k2', 'k3', 'k4', 'k5'])
    // Chosen by the sender, the partition of a key need not be the one where a query looks: one of the tasks has it.
    expect(await counts.owner('k0')).toEqual({ isLocal: true, owner: null })
    const values: unknown[] = []
    for await (const { value } of app.query<string, { last: Buffer }>('buffers').all()) values.push(value)
    expect(values).toEqual(Array.from({ length: 8 }, () => ({ last: Buffer.from('hello') })))
    expect(values.every((value) => Buffer.isBuffer((value as { last: unknown }).last))).toBe(true)
  })

  it('refuses an answer or a question that cannot be sent to another thread, and goes on', async () => {
    const { input, last, start } = await aCount(4)
    await using app = await start()
    await app.running()
    await kit.send(input, records())
    await until(async () => Object.keys(await last()).length === 8, { what: 'all keys' })
    const functions = app.query<unknown, () => string>('functions')
    await expect(functions.all().next()).rejects.toThrow(/could not be cloned/)
    await expect(functions.get(() => 'k0')).rejects.toThrow(/could not be cloned/)
    expect((await app.refresh()).state).toBe('running')
    expect(app.failure).toBeNull()
  })

  it('does not start any more when it is told to stop while it does', async () => {
    const { start } = await aCount(1)
    await expect(start({ signal: AbortSignal.abort(new Error('not at all')) })).rejects.toThrow('not at all')
    const controller = new AbortController()
    const starting = start({ signal: controller.signal })
    controller.abort(new Error('not any more'))
    await expect(starting).rejects.toThrow('not any more')
  })

  it('hands its tasks over when it is closed, and finds its state again', async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'millrace-threads-'))
    try {
      const { input, last, start } = await aCount(4)
      const first = await start({ stateDir })
      await first.running()
      await kit.send(input, records())
      await until(async () => Object.keys(await last()).length === 8, { what: 'the first round' })
      await first.close()
      expect(existsSync(join(stateDir, 'thread-1'))).toBe(true)

      const second = await start({ stateDir })
      const shares: number[] = []
      for await (const { share } of second.restoring('5ms')) shares.push(share)
      expect(shares.at(-1)).toBe(1)
      await kit.send(input, records())
      await until(async () => Object.values(await last()).every((count) => count === 2), { what: 'the second round' })
      await second.close()
    } finally {
      rmSync(stateDir, { recursive: true, force: true })
    }
  })

  it('ends as a whole when one of its threads fails, with the error of that one', async () => {
    const { input, start } = await aCount(4)
    const app = await start()
    await app.running()
    await kit.send(input, [{ key: 'k', value: 'bad', partition: 2 }])
    await app.closed
    expect(app.state).toBe('failed')
    expect(app.failure).toMatchObject({ code: 'processing', topic: input, partition: 2, offset: 0 })
    expect(app.failure!.message).toContain('a value that is not liked')
    expect((app.failure!.cause as Error).stack).toContain('threads-topology.ts')
  })

  it('ends as a whole when one of its threads is gone', async () => {
    const { input, start } = await aCount(4)
    const app = await start()
    await app.running()
    await kit.send(input, [{ key: 'k', value: 'exit', partition: 1 }])
    await app.closed
    expect(app.failure!.message).toBe('a thread of the application ended with code 3')
  })

  it('is told before anything starts what a single thread would be told', async () => {
    process.env['THREADS_TEST_NAME'] = 'nothing-there'
    const options = { brokers: kit.brokers, workers: 2 }
    await expect(run(module, options)).rejects.toMatchObject({
      code: 'unknown-topic',
      message:
        "nothing-there: 'nothing-there-in', 'nothing-there-out' do not exist; create them before the application starts",
    })
    await expect(run(new URL('../reading.ts', import.meta.url), options)).rejects.toThrow('exports no topology')
    await expect(run(new URL('../nowhere.ts', import.meta.url), options)).rejects.toThrow('Cannot find module')
  })

  it('refuses options that cannot be sent to a thread', async () => {
    const options = { brokers: kit.brokers, workers: 2 }
    await expect(run(module, { ...options, openBacking: () => null as never })).rejects.toMatchObject({
      code: 'invalid-option',
      message: 'openBacking is a function, and functions do not cross threads',
    })
    const sasl = { mechanism: 'OAUTHBEARER', token: () => 'secret' } as never
    await expect(run(module, { ...options, sasl })).rejects.toMatchObject({
      code: 'invalid-option',
      message: expect.stringContaining('options for threads have to be data') as string,
    })
    await expect(run(module, { ...options, workers: 0 })).rejects.toThrow('workers: 0 is not a number of workers')
  })

  it('logs through its owner, and stops when it is told to', async () => {
    const { start } = await aCount(1)
    const said: string[] = []
    const controller = new AbortController()
    const logger = { info: (message: string) => void said.push(message), warn() {} }
    const app = await start({ logger, signal: controller.signal })
    await app.running()
    expect(said.some((message) => message.includes('works on 0_0'))).toBe(true)
    controller.abort()
    await app.closed
    expect([app.state, app.failure]).toEqual(['closed', null])
  })
})
