import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it, vi } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { partitionOfKey } from '../../src/client/murmur2.ts'
import { Transaction } from '../../src/client/transaction.ts'
import { int64, StateStorageError, string, topic, topology, type Topology } from '../../src/index.ts'
import { StreamTask } from '../../src/runtime/stream-task.ts'
import type { StoreBacking } from '../../src/state/backing.ts'
import { openLmdb } from '../../src/state/lmdb/open-lmdb.ts'
import { describeApps } from '../kit.ts'
import { readTopic, removeMembers } from '../reading.ts'

/** Commits are made when the test says so. */
const once = { guarantee: 'exactly-once', commitInterval: '1h' } as const

describeApps('work that is lost', (kit) => {
  const directories: string[] = []
  afterEach(() => {
    vi.restoreAllMocks()
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
  })

  function aStateDir(): string {
    const directory = mkdtempSync(join(tmpdir(), 'millrace-streams-'))
    directories.push(directory)
    return directory
  }

  interface Counting {
    readonly app: Topology
    readonly input: string
    /** Every committed count as `key count`, sorted. */
    readonly counts: () => Promise<string[]>
  }

  async function aCount(partitions: number, look?: (value: string) => Promise<string>): Promise<Counting> {
    const name = uniqueName('counting')
    const events = topic(`${name}-in`, { key: string(), value: string() })
    const output = topic(`${name}-out`, { key: string(), value: int64() })
    const app = topology(name)
    const stream = app.stream(events)
    const looked = look === undefined ? stream : stream.mapValuesAsync((value) => look(value), { name: 'look' })
    looked.groupByKey().count({ name: 'counts' }).toStream().to(output)
    await kit.createTopics({ name: events.name, partitions }, { name: output.name, partitions: 1 })
    return {
      app,
      input: events.name,
      counts: async () =>
        (await readTopic(kit.cluster, output.name, 'read-committed'))
          .map(({ key, value }) => `${key} ${int64().deserialize(value!)}`)
          .toSorted(),
    }
  }

  /** Different keys that land in the partition. */
  function keysFor(partition: number, partitions: number, count: number): string[] {
    const keys: string[] = []
    for (let i = 0; keys.length < count; i++) {
      if (partitionOfKey(Buffer.from(`k${i}`), partitions) === partition) keys.push(`k${i}`)
    }
    return keys
  }

  /** Disks of which the next one to be read fails when the test says so. */
  function aFlakyDisk() {
    const disk = {
      isFailing: false,
      failures: 0,
      open: (directory: string): StoreBacking =>
        new Proxy(openLmdb(directory), {
          get(target, name) {
            const value: unknown = Reflect.get(target, name)
            if (typeof value !== 'function') return value
            return (...args: unknown[]): unknown => {
              if (name === 'get' && disk.isFailing) {
                disk.isFailing = false
                disk.failures++
                throw new StateStorageError('read error')
              }
              return (value as (...args: unknown[]) => unknown).apply(target, args)
            }
          },
        }),
    }
    return disk
  }

  const one = (key: string) => ({ key, value: 'x' })

  it('with the disk of one task is in no transaction that is committed', async () => {
    const { app, input, counts } = await aCount(2)
    const disk = aFlakyDisk()
    await using running = await kit.start(app, { ...once, stateDir: aStateDir(), openBacking: disk.open })
    const [a, b] = keysFor(0, 2, 2) as [string, string]
    const [other] = keysFor(1, 2, 1) as [string]
    await kit.send(input, [one(a), one(other)])
    await until(() => running.metrics().recordsProcessed === 2, { what: 'two records of both tasks' })
    disk.isFailing = true
    await kit.send(input, [one(b)])
    await until(() => disk.failures === 1 && running.metrics().recordsProcessed >= 5, { what: 'all done again' })
    await running.commit()
    await until(async () => (await counts()).length >= 3, { what: 'committed counts' })
    expect(await counts()).toEqual([`${a} 1`, `${b} 1`, `${other} 1`].toSorted())
    expect(running.failure).toBeNull()
  })

  it('with the disk of a task that goes to another instance is done by that one', async () => {
    let answer!: () => void
    const answered = new Promise<void>((resolve) => (answer = resolve))
    const { app, input, counts } = await aCount(2, async (value) => {
      await answered
      return value
    })
    const disk = aFlakyDisk()
    const options = { commitInterval: '1h' } as const
    await using first = await kit.start(app, { ...options, stateDir: aStateDir(), openBacking: disk.open })
    const keys = [...keysFor(0, 2, 1), ...keysFor(1, 2, 1)]
    await kit.send(input, keys.map(one))
    await until(() => first.metrics().recordsProcessed === 2, { what: 'calls under way' })
    // Asked to come to rest by nothing but the handover.
    const settle = vi.spyOn(StreamTask.prototype, 'settle')
    const starting = kit.start(app, options)
    await until(() => settle.mock.calls.length > 0, { what: 'the handover' })
    disk.isFailing = true
    answer()
    await using second = await starting
    await until(() => first.activeTasks.length === 1 && second.activeTasks.length === 1, { what: 'one task each' })
    expect(disk.failures).toBe(1)
    await until(async () => (await counts()).length >= 2, { what: 'both keys counted' })
    expect(await counts()).toEqual(keys.map((key) => `${key} 1`).toSorted())
  })

  it('by a member that is out of its group is in no later transaction', async () => {
    const { app, input, counts } = await aCount(1)
    const warnings: string[] = []
    const logger = { info() {}, warn: (text: string) => void warnings.push(text) }
    await using running = await kit.start(app, { ...once, logger })
    let answer!: () => void
    const answered = new Promise<void>((resolve) => (answer = resolve))
    const addPartitions = Transaction.prototype.addPartitions
    const adding = vi.spyOn(Transaction.prototype, 'addPartitions').mockImplementationOnce(async function (
      this: Transaction,
      partitions,
    ) {
      await answered
      return addPartitions.call(this, partitions)
    })
    await kit.send(input, [one('a'), one('b')])
    await until(() => adding.mock.calls.length > 0 && running.metrics().recordsProcessed === 2, { what: 'results' })
    await removeMembers(kit.cluster, app.name)
    await until(() => warnings.some((text) => text.includes('has gone on without this worker')), { what: 'the loss' })
    answer()
    await until(() => running.metrics().recordsProcessed >= 4, { what: 'all done again' })
    await running.commit()
    await until(async () => (await counts()).length >= 2, { what: 'committed counts' })
    expect(await counts()).toEqual(['a 1', 'b 1'])
    expect(running.failure).toBeNull()
  })

  it('with the transaction while a task is handed over is done where the tasks are then', async () => {
    const { app, input, counts } = await aCount(2)
    await using first = await kit.start(app, { ...once, stateDir: aStateDir() })
    const keys = [...keysFor(0, 2, 1), ...keysFor(1, 2, 1)]
    await kit.send(input, keys.map(one))
    await until(() => first.metrics().recordsProcessed === 2, { what: 'both records' })
    await new Transaction(kit.cluster, { transactionalId: `${app.name}-${first.processId}-0` }).identity()
    await using second = await kit.start(app, { ...once, stateDir: aStateDir() })
    await until(() => first.activeTasks.length === 1 && second.activeTasks.length === 1, { what: 'one task each' })
    await until(() => first.state === 'running' && second.state === 'running', { what: 'restored tasks' })
    expect(first.metrics().restore.map(({ taskId }) => taskId)).not.toContain(second.activeTasks[0])
    await until(
      () =>
        first
          .metrics()
          .lag.concat(second.metrics().lag)
          .every(({ lag }) => lag === 0),
      {
        what: 'both records done again',
      },
    )
    await first.commit()
    await second.commit()
    await until(async () => (await counts()).length >= 2, { what: 'committed counts' })
    expect(await counts()).toEqual(keys.map((key) => `${key} 1`).toSorted())
    expect(first.failure ?? second.failure).toBeNull()
  })
})
