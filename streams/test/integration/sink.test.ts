import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { start, uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { committedOffsets } from '../../src/client/offsets.ts'
import { partitionKey } from '../../src/client/topic-partition.ts'
import { deadLetter, idempotentSink, int64, string, topic, topology } from '../../src/index.ts'
import { describeApps } from '../kit.ts'

describeApps('a sink', (kit) => {
  const cents = (value: number): Buffer => Buffer.from(int64().serialize(value))

  it('has every effect once in a database, wherever its process is killed', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'millrace-sink-'))
    try {
      const name = uniqueName('balances')
      const input = `${name}-in`
      await kit.createTopics({ name: input, partitions: 2 })
      const file = join(directory, 'balances.db')
      using database = new DatabaseSync(file)
      database.exec(`
        PRAGMA journal_mode = WAL;
        CREATE TABLE inbox (topic TEXT, partition INT, offset INT, idx INT, PRIMARY KEY (topic, partition, offset, idx));
        CREATE TABLE balances (owner TEXT PRIMARY KEY, cents INT NOT NULL);
      `)
      const one = (sql: string): number => Number(Object.values(database.prepare(sql).get()!)[0])
      const program = join(import.meta.dirname, 'sink-process.ts')
      const aProcess = (where: string, nth: number) =>
        start(process.execPath, ['-C', 'source', program, kit.broker.bootstrap, name, input, file, where, String(nth)])

      const places = [
        'before the transaction',
        'in the transaction',
        'after the transaction',
        'before the offsets are committed',
        'after a commit',
      ]
      let sent = 0
      let total = 0
      const killed: string[] = []
      for (const [round, place] of places.entries()) {
        const records = Array.from({ length: 60 }, (_, i) => ({
          key: `o${i % 5}`,
          value: cents(i + 1),
          partition: i % 2,
        }))
        await kit.send(input, records)
        sent += records.length
        total += (60 * 61) / 2
        const child = aProcess(place, 1 + (round % 3))
        const { exitCode, stderr } = await child.ended
        killed.push(exitCode === null ? place : stderr)
      }
      expect(killed).toEqual(places)
      const last = aProcess('never', 0)
      await until(() => one('SELECT count(*) FROM inbox') >= sent, { what: 'all rows' })
      expect(await last.stop('SIGTERM')).toMatchObject({ exitCode: 0, stderr: '' })

      expect(one('SELECT count(*) FROM inbox')).toBe(sent)
      expect(one('SELECT sum(cents) FROM balances')).toBe(total)
      const at = [0, 1].map((partition) => ({ topic: input, partition }))
      const offsets = await committedOffsets(kit.cluster, name, at)
      expect(at.map(({ topic: from, partition }) => offsets.get(partitionKey(from, partition))?.offset)).toEqual([
        sent / 2,
        sent / 2,
      ])
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  it('writes the rows of a partition in its order, and commits none before it is written', async () => {
    const name = uniqueName('ordered')
    const input = topic(`${name}-in`, { key: string(), value: string() })
    await kit.createTopics({ name: input.name, partitions: 2 })
    let open!: () => void
    const isOpen = new Promise<void>((resolve) => (open = resolve))
    const written: string[] = []
    const app = topology(name)
    app.stream(input).sink(
      idempotentSink({
        name: 'list',
        batch: { max: 5, linger: '1ms' },
        write: async (rows) => {
          if (rows[0]!.partition === 0 && rows[0]!.offset === 5) await isOpen
          for (const { partition, offset } of rows) written.push(`${partition}@${offset}`)
        },
      }),
    )
    const records = Array.from({ length: 40 }, (_, i) => ({ key: 'k', value: 'v', partition: i % 2 }))
    await kit.send(input.name, records)
    await using running = await kit.start(app)
    const committed = async (partition: number): Promise<number> => {
      const offsets = await committedOffsets(kit.cluster, name, [{ topic: input.name, partition }])
      return offsets.get(partitionKey(input.name, partition))?.offset ?? 0
    }
    await until(async () => (await committed(1)) === 20, { what: 'the other partition' })
    expect(await committed(0)).toBeLessThanOrEqual(5)
    open()
    await until(async () => (await committed(0)) === 20, { what: 'this partition' })
    for (const partition of [0, 1]) {
      expect(written.filter((row) => row.startsWith(`${partition}@`))).toEqual(
        Array.from({ length: 20 }, (_, offset) => `${partition}@${offset}`),
      )
    }
    expect(running.failure).toBeNull()
  })

  it('has every number of a count once with exactly-once, whoever is killed', async () => {
    const name = uniqueName('counted')
    const input = topic(`${name}-in`, { key: string(), value: string() })
    await kit.createTopics({ name: input.name, partitions: 4 })
    const inbox = new Set<string>()
    const effects: string[] = []
    const app = topology(name)
    app
      .stream(input)
      .groupBy((_key, value) => value, { key: string() })
      .count({ name: 'counts' })
      .toStream()
      .sink(
        idempotentSink({
          name: 'effects',
          batch: { max: 20, linger: '1ms' },
          write: async (rows) => {
            await new Promise<void>((resolve) => setImmediate(resolve))
            // All at once, as a transaction would.
            for (const { topic: from, partition, offset, index, key, value } of rows) {
              const id = `${from} ${partition} ${offset} ${index}`
              if (!inbox.has(id)) effects.push(`${key} ${value}`)
              inbox.add(id)
            }
          },
        }),
      )
    const once = { guarantee: 'exactly-once' } as const
    await using first = await kit.start(app, once)
    let second = await kit.start(app, once)
    const rounds = 12
    for (let round = 0; round < rounds; round++) {
      await kit.send(
        input.name,
        Array.from({ length: 100 }, (_, i) => ({ key: `e${i}`, value: `k${i % 10}` })),
      )
      if (round % 4 !== 2) continue
      await second.kill()
      second = await kit.start(app, once)
    }
    await until(() => effects.length >= rounds * 100, { what: 'every effect', timeoutMs: 40_000 })
    await first.commit()
    await second.commit()
    const expected = Array.from({ length: 10 }, (_k, k) =>
      Array.from({ length: rounds * 10 }, (_n, n) => `k${k} ${n + 1}`),
    )
    expect(effects.toSorted()).toEqual(expected.flat().toSorted())
    expect(first.failure ?? second.failure).toBeNull()
    await second.close()
  })

  it('sends what cannot be written to the dead letters, and goes on', async () => {
    const name = uniqueName('refusing')
    const input = topic(`${name}-in`, { key: string(), value: string() })
    await kit.createTopics({ name: input.name, partitions: 1 }, { name: `${name}-dead`, partitions: 1 })
    const written: string[] = []
    const app = topology(name)
    app.stream(input).sink(
      idempotentSink({
        name: 'list',
        onError: deadLetter(`${name}-dead`),
        write: (rows) => {
          if (rows.some(({ value }) => value === 'bad')) throw new Error('a bad row')
          written.push(...rows.map(({ value }) => value))
        },
      }),
    )
    await kit.send(
      input.name,
      ['a', 'bad', 'c'].map((value) => ({ key: 'k', value })),
    )
    await using running = await kit.start(app)
    await until(async () => (await kit.read(`${name}-dead`)).length === 1, { what: 'the dead letter' })
    await until(() => written.length === 2, { what: 'the others' })
    expect(written).toEqual(['a', 'c'])
    expect((await kit.read(`${name}-dead`)).map(({ value }) => String(value))).toEqual(['bad'])
    expect(running.failure).toBeNull()
  })
})
