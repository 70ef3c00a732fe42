import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { StateStorageError } from '../errors.ts'
import { int64, json, string } from '../serdes/primitives.ts'
import type { Serde } from '../serdes/serde.ts'
import type { StoreBacking } from './backing.ts'
import { escapeKey, unescapeKey } from './escaped-key.ts'
import { KeyValueStore } from './key-value-store.ts'
import { openLmdb } from './lmdb/open-lmdb.ts'
import type {
  KeyValueDefinition,
  SessionDefinition,
  SubscriptionDefinition,
  VersionedDefinition,
  WindowDefinition,
} from './store.ts'
import { SubscriptionStore } from './subscription-store.ts'
import { sessionLayout, timeOrderedLayout, windowLayout } from './timed-layouts.ts'
import { TimedStore } from './timed-store.ts'
import { VersionedStore } from './versioned-store.ts'

const root = mkdtempSync(join(tmpdir(), 'streams-stores-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let directories = 0
const newDirectory = (): string => join(root, String(directories++))

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const text = string() as Serde<unknown>
const serdes = { keySerde: text, valueSerde: text, hasChangelog: true }
const keyValue: KeyValueDefinition = { kind: 'key-value', name: 'kv', ...serdes }
const window: WindowDefinition = { kind: 'window', name: 'w', windowSizeMs: 10, retentionMs: 100, ...serdes }

interface Change {
  readonly key: Buffer
  readonly value: Buffer | null
  readonly timestampMs: number
}

/** A store's surroundings: where its changes go, and the disk if it has one. */
function surroundings(isOnDisk: boolean, directory = newDirectory()) {
  const changes: Change[] = []
  const options = {
    changelogTopic: 'changes',
    log: (key: Uint8Array, value: Uint8Array | null, timestampMs: number) => {
      changes.push({ key: Buffer.from(key), value: value === null ? null : Buffer.from(value), timestampMs })
    },
    backing: isOnDisk ? openLmdb(directory, { sync: false }) : null,
    cacheLimit: 2,
  }
  return { changes, options, directory }
}

describe.each([
  ['in memory', false],
  ['on disk', true],
])('stores %s', (_where, isOnDisk) => {
  const aKeyValueStore = (to = surroundings(isOnDisk)) => new KeyValueStore<string, string>(keyValue, to.options)

  it('holds the latest value and its time', () => {
    const store = aKeyValueStore()
    store.put('a', '1', 5)
    store.put('a', '2', 3)
    expect(store.find('a')).toMatchObject({ key: 'a', value: '2', timestampMs: 3 })
    expect(store.delete('a')).toBe('2')
    expect(store.find('a')).toBeNull()
    expect(store.get('b')).toBeNull()
    store.close()
  })

  it('writes each changed key once per flush, and nothing when nothing changed', () => {
    const to = surroundings(isOnDisk)
    const store = aKeyValueStore(to)
    for (let n = 0; n < 100; n++) store.put('a', String(n), n)
    store.flush()
    store.flush()
    expect(to.changes.map(({ key, value }) => `${key}=${value}`)).toEqual(['a=99'])
    store.close()
  })

  it('agrees with a plain map, in the order of the bytes, whatever is committed or forgotten in between', () => {
    const key = fc.constantFrom('a', 'b', 'ab', 'B', 'ä', '')
    const step = fc.oneof(
      fc.record({ key, value: fc.option(fc.string({ maxLength: 3 })) }),
      fc.constant('commit' as const),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const to = surroundings(isOnDisk)
        const store = aKeyValueStore(to)
        const model = new Map<string, string>()
        let time = 0
        for (const one of steps) {
          if (one === 'commit') {
            store.flush()
            store.persist(to.changes.length)
          } else {
            store.put(one.key, one.value, time++)
            if (one.value === null) model.delete(one.key)
            else model.set(one.key, one.value)
          }
        }
        for (const one of ['a', 'b', 'ab', 'B', 'ä', '']) expect(store.get(one)).toBe(model.get(one) ?? null)
        const inOrder = [...model].toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
        expect([...store.entries()].map(({ key, value }) => [key, value])).toEqual(inOrder)
        const range = inOrder.filter(([key]) => key >= 'a' && key <= 'b')
        expect([...store.entries('a', 'b')].map(({ key, value }) => [key, value])).toEqual(range)
        store.flush()
        const restored = aKeyValueStore()
        for (const { key, value, timestampMs } of to.changes) restored.restore(key, value, timestampMs)
        restored.persist(to.changes.length)
        expect([...restored.entries()].map(({ key, value }) => [key, value])).toEqual(inOrder)
        store.close()
        restored.close()
      }),
      { numRuns: isOnDisk ? 30 : 200 },
    )
  })

  it('keeps entries by key and time, gives them out when they are due, and restores them from the changelog', () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          put: fc.constantFrom('a', 'b', 'ab', 'c'),
          start: fc.nat(30),
          value: fc.string({ maxLength: 2 }),
        }),
      },
      fc.record({ due: fc.nat(60) }),
      fc.constant('commit' as const),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const to = surroundings(isOnDisk)
        const store = new TimedStore<string, string>(window, windowLayout(10), to.options)
        expect(store.liveCount).toBe(0)
        let model: { key: string; start: number; value: string }[] = []
        let floor = -1
        const sorted = (): typeof model =>
          model.toSorted((a, b) => a.start - b.start || Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))
        for (const one of steps) {
          if (one === 'commit') {
            store.flush()
            store.persist(to.changes.length)
          } else if ('due' in one) {
            const due = store.takeDue(one.due)
            floor = Math.max(floor, one.due)
            const expected = sorted().filter(({ start }) => start + 10 <= one.due)
            expect(due.map(({ group, startMs, value }) => ({ key: group.key, start: startMs, value }))).toEqual(
              expected,
            )
            for (const entry of due) store.remove(entry)
            model = model.filter(({ start }) => start + 10 > one.due)
          } else if (one.start + 10 > floor) {
            const found = store.group(one.put)?.entries.find(({ startMs }) => startMs === one.start)
            const known = model.find(({ key, start }) => key === one.put && start === one.start)
            expect(found?.value).toBe(known?.value)
            if (found !== undefined) store.update(found, one.value, one.start)
            else store.insert(one.put, one.start, one.start + 10, one.value, one.start)
            if (known !== undefined) known.value = one.value
            else model.push({ key: one.put, start: one.start, value: one.value })
          }
        }
        expect(store.liveCount).toBe(model.length)
        const all = (from: TimedStore<string, string>) =>
          from.all().map(({ group, startMs, value }) => `${group.key}@${startMs}=${value}`)
        const expected = model
          .toSorted((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)) || a.start - b.start)
          .map(({ key, start, value }) => `${key}@${start}=${value}`)
        expect(all(store)).toEqual(expected)
        store.flush()
        const restored = new TimedStore<string, string>(window, windowLayout(10), surroundings(isOnDisk).options)
        for (const { key, value, timestampMs } of to.changes) restored.restore(key, value, timestampMs)
        restored.persist(to.changes.length)
        expect(all(restored)).toEqual(expected)
        store.close()
        restored.close()
      }),
      { numRuns: isOnDisk ? 40 : 300 },
    )
  })

  it('does not write to the changelog what nobody has to know: entries that came and went, and those that expired', () => {
    const to = surroundings(isOnDisk)
    const store = new TimedStore<string, string>(window, windowLayout(10), to.options)
    store.remove(store.insert('a', 0, 10, 'x', 1))
    store.flush()
    expect(to.changes).toEqual([])
    const kept = store.insert('a', 5, 15, 'y', 5)
    store.flush()
    store.expire(kept)
    store.flush()
    expect(to.changes).toHaveLength(1)
    expect(store.all()).toEqual([])
    store.close()
  })

  it('writes what replaces an entry before its end, so that no part of a flush leaves a session out', () => {
    const to = surroundings(isOnDisk)
    const definition: SessionDefinition = { kind: 'session', name: 's', retentionMs: 100, ...serdes }
    const store = new TimedStore<string, string>(definition, sessionLayout, to.options)
    const commit = (): void => {
      store.flush()
      store.persist(to.changes.length)
    }
    const replaced = [store.insert('a', 0, 0, 'first', 0), store.insert('a', 10, 10, 'second', 10)]
    const other = store.insert('b', 5, 7, 'other', 7)
    commit()
    for (const entry of replaced) store.remove(store.group('a')!.entries.find((one) => one.startMs === entry.startMs)!)
    store.insert('a', 0, 10, 'both', 10)
    // A session that takes in a record between its first and its last is replaced by one of the same times.
    store.remove(store.group('b')?.entries[0] ?? other)
    store.insert('b', 5, 7, 'grown', 7)
    const before = to.changes.length
    commit()
    const sessions = (from: TimedStore<string, string>): string[] =>
      from.all().map(({ group, startMs, endMs, value }) => `${group.key}[${startMs},${endMs}]=${value}`)
    expect(sessions(store)).toEqual(['a[0,10]=both', 'b[5,7]=grown'])
    for (let cut = before; cut <= to.changes.length; cut++) {
      const restored = new TimedStore<string, string>(definition, sessionLayout, surroundings(isOnDisk).options)
      for (const { key, value, timestampMs } of to.changes.slice(0, cut)) restored.restore(key, value, timestampMs)
      restored.persist(cut)
      const found = restored.all()
      for (const [key, timeMs] of [
        ['a', 0],
        ['a', 10],
        ['b', 5],
        ['b', 7],
      ] as const) {
        const holders = found.filter(({ group, startMs, endMs }) => {
          return group.key === key && startMs <= timeMs && endMs >= timeMs
        })
        expect(holders, `${key}@${timeMs} after ${cut - before} changes`).not.toEqual([])
      }
      restored.close()
    }
    const complete = new TimedStore<string, string>(definition, sessionLayout, surroundings(isOnDisk).options)
    for (const { key, value, timestampMs } of to.changes) complete.restore(key, value, timestampMs)
    complete.persist(to.changes.length)
    expect(sessions(complete)).toEqual(sessions(store))
    complete.close()
    store.close()
  })

  it('forgets what the disk has, and finds it again by key and when it is due', () => {
    const to = surroundings(isOnDisk)
    const store = new TimedStore<string, string>(window, windowLayout(10), to.options)
    for (let n = 0; n < 600; n++) {
      store.insert(`key ${n}`, n, n + 10, String(n), n)
      if (n % 50 === 0) {
        store.flush()
        store.persist(n)
      }
    }
    store.flush()
    store.persist(600)
    expect(isOnDisk ? store.entryCount : 0).toBeLessThanOrEqual(2)
    expect(store.group('key 7')!.entries.map(({ value }) => value)).toEqual(['7'])
    for (let limitMs = 0; limitMs < 700; limitMs += 3) {
      for (const entry of store.takeDue(limitMs)) {
        expect(entry.endMs).toBeGreaterThan(limitMs - 3)
        expect(entry.endMs).toBeLessThanOrEqual(limitMs)
        store.expire(entry)
      }
      if (limitMs % 30 === 0) {
        store.flush()
        store.persist(600)
      }
    }
    expect(store.all()).toEqual([])
    store.close()
  })

  it('keeps little of what is removed long before its time', () => {
    const to = surroundings(isOnDisk)
    const store = new TimedStore<string, string>(window, windowLayout(10), to.options)
    store.insert('other', 7, 1e9, 'waits', 0)
    // A timer that each record sets anew, as one that ends a visit does.
    let timer = store.insert('a', 0, 1e6, 'timer', 0)
    for (let n = 1; n < 20_000; n++) {
      store.remove(timer)
      timer = store.insert('a', n, 1e6 + n, 'timer', n)
      expect(store.waitingCount).toBeLessThan(1_100)
    }
    expect(store.takeDue(1e9).map(({ group, endMs }) => `${group.key}@${endMs}`)).toEqual([
      'a@1019999',
      'other@1000000000',
    ])
    store.close()
  })

  it('keeps nothing of the versions that have left the history', async () => {
    const to = surroundings(isOnDisk)
    const definition: VersionedDefinition = {
      ...serdes,
      kind: 'versioned',
      name: 'v',
      historyRetentionMs: 5,
      valueSerde: json<unknown>(),
    }
    const store = new VersionedStore<string, object>(definition, to.options)
    const values: WeakRef<object>[] = []
    for (let n = 0; n < 200; n++) {
      const value = { n }
      values.push(new WeakRef(value))
      store.put('a', value, n)
      store.flush()
      store.persist(n)
    }
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
    expect(values.filter((value) => value.deref() !== undefined).length).toBeLessThan(10)
    expect(store.get('a')).toEqual({ n: 199 })
    store.close()
  })

  it('keeps duplicates of one key and time apart', () => {
    const to = surroundings(isOnDisk)
    const store = new TimedStore<string, string>({ ...window, kind: 'join-window' }, windowLayout(0), to.options)
    store.insertDuplicate('a', 1, 1, 'x', 1)
    store.insertDuplicate('a', 1, 1, 'y', 1)
    store.flush()
    store.persist(2)
    expect(store.group('a')!.entries.map(({ value }) => value)).toEqual(['x', 'y'])
    expect(new Set(to.changes.map(({ key }) => key.toString('hex'))).size).toBe(2)
    store.close()
  })

  it('gives out the earliest entry of all, on disk or not', () => {
    const to = surroundings(isOnDisk)
    const store = new TimedStore<string, string>(
      { kind: 'time-ordered', name: 't', ...serdes },
      timeOrderedLayout,
      to.options,
    )
    for (const [key, time] of [
      ['c', 3],
      ['a', 1],
      ['d', 1],
      ['b', 2],
    ] as const) {
      store.insert(key, time, time, key, time)
      store.flush()
      store.persist(null)
    }
    const order: string[] = []
    for (let entry = store.takeEarliest(); entry !== null; entry = store.takeEarliest()) {
      order.push(entry.group.key)
      store.remove(entry)
    }
    expect(order).toEqual(['a', 'd', 'b', 'c'])
    store.close()
  })

  it('knows which value of a versioned key was valid when, as far back as its history goes', () => {
    const to = surroundings(isOnDisk)
    const definition: VersionedDefinition = { kind: 'versioned', name: 'v', historyRetentionMs: 50, ...serdes }
    const store = new VersionedStore<string, string>(definition, to.options)
    expect(store.put('a', 'one', 10)).toBe('latest')
    expect(store.put('a', 'three', 30)).toBe('latest')
    expect(store.put('a', 'two', 20)).toBe('not-latest')
    expect(store.put('a', null, 40)).toBe('latest')
    store.flush()
    store.persist(null)
    expect([5, 10, 25, 35, 45].map((time) => store.asOf('a', time))).toEqual([null, 'one', 'two', 'three', null])
    expect(store.get('a')).toBeNull()
    store.put('b', 'x', 80)
    expect(store.put('a', 'old', 29)).toBe('too-old')
    expect(store.asOf('a', 25)).toBeNull()
    store.flush()
    const restored = new VersionedStore<string, string>(definition, surroundings(isOnDisk).options)
    for (const { key, value, timestampMs } of to.changes) restored.restore(key, value, timestampMs)
    restored.persist(null)
    expect([35, 45].map((time) => restored.asOf('a', time))).toEqual(['three', null])
    store.close()
    restored.close()
  })

  it('knows who refers to a foreign key', () => {
    const to = surroundings(isOnDisk)
    const definition: SubscriptionDefinition = {
      kind: 'subscription',
      name: 's',
      ...serdes,
      primaryKeySerde: int64() as Serde<unknown>,
    }
    const store = new SubscriptionStore<string, number>(definition, to.options)
    const subscription = (primaryKey: number) => ({ primaryKey, fingerprint: null, primaryPartition: 0 })
    for (const primaryKey of [2, 1, 3]) store.put('x', subscription(primaryKey), 1)
    store.put('xy', subscription(9), 1)
    store.delete('x', 2)
    store.flush()
    store.persist(1)
    expect([...store.of('x')].map(({ primaryKey }) => primaryKey)).toEqual([1, 3])
    const restored = new SubscriptionStore<string, number>(definition, surroundings(isOnDisk).options)
    for (const { key, value, timestampMs } of to.changes) restored.restore(key, value, timestampMs)
    restored.persist(1)
    expect([...restored.of('x')].map(({ primaryKey }) => primaryKey)).toEqual([1, 3])
    store.close()
    restored.close()
  })
})

describe('stores on disk', () => {
  const turn = (): Promise<void> => Promise.resolve()
  const commit = (store: { flush(): void; persist(offset: number): void }): void => {
    store.flush()
    store.persist(1)
  }

  it('forget what they only read, though nothing is committed', async () => {
    const rows = new KeyValueStore<string, string>(keyValue, surroundings(true).options)
    const timed = new TimedStore<string, string>(window, windowLayout(10), surroundings(true).options)
    const keys = Array.from({ length: 50 }, (_, n) => `key ${n}`)
    for (const key of keys) {
      rows.put(key, `value of ${key}`)
      timed.insert(key, 5, 15, `window of ${key}`, 5)
    }
    commit(rows)
    commit(timed)
    for (let round = 0; round < 2; round++) {
      for (const key of keys) {
        expect(rows.get(key)).toBe(`value of ${key}`)
        expect(timed.group(key)!.entries[0]!.value).toBe(`window of ${key}`)
        await turn()
        expect(rows.entryCount).toBeLessThanOrEqual(4)
        expect(timed.entryCount).toBeLessThanOrEqual(4)
      }
    }
    expect(timed.all()).toHaveLength(50)
    await turn()
    expect(timed.entryCount).toBeLessThanOrEqual(4)
    expect(timed.takeDue(20)).toHaveLength(50)
    rows.close()
    timed.close()
  })

  it('forget nothing that is on its way to disk', async () => {
    const rows = new KeyValueStore<string, string>(keyValue, surroundings(true).options)
    const timed = new TimedStore<string, string>(window, windowLayout(10), surroundings(true).options)
    for (let n = 0; n < 50; n++) {
      rows.put(`key ${n}`, 'before')
      timed.insert(`key ${n}`, 5, 15, 'before', 5)
    }
    commit(rows)
    commit(timed)
    rows.put('key 0', 'after')
    timed.update(timed.group('key 0')!.entries[0]!, 'after', 5)
    rows.flush()
    timed.flush()
    for (let n = 1; n < 50; n++) {
      expect(rows.get(`key ${n}`)).toBe('before')
      expect(timed.group(`key ${n}`)!.entries[0]!.value).toBe('before')
      await turn()
    }
    expect(rows.get('key 0')).toBe('after')
    expect(timed.group('key 0')!.entries[0]!.value).toBe('after')
    rows.close()
    timed.close()
  })

  it('leave what an operator holds in memory until it is done', async () => {
    const timed = new TimedStore<string, string>(window, windowLayout(10), surroundings(true).options)
    for (let n = 0; n < 50; n++) timed.insert(`key ${n}`, n, n + 10, 'before', n)
    commit(timed)
    await turn()
    const due = timed.takeDue(100)
    for (const entry of due) {
      // What `onTimer` looks up while the others are still to ring.
      expect(timed.group('key 49')).not.toBeNull()
      timed.update(entry, 'after', 100)
    }
    await turn()
    commit(timed)
    expect(new Set(timed.all().map(({ value }) => value))).toEqual(new Set(['after']))
    timed.close()
  })

  const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l')
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ put: key, value: fc.option(fc.string({ maxLength: 3 })) }) },
    { weight: 12, arbitrary: fc.record({ get: key }) },
    { weight: 4, arbitrary: fc.constant('turn' as const) },
    fc.constant('flush' as const),
    fc.constant('persist' as const),
  )

  it('hold what was put last, whatever they have forgotten before, within or after a commit', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 80 }), async (steps) => {
        const to = [surroundings(true), surroundings(true)] as const
        let rows = new KeyValueStore<string, string>(keyValue, to[0].options)
        let timed = new TimedStore<string, string>(window, windowLayout(10), to[1].options)
        const model = new Map<string, string>()
        const look = (one: string): void => {
          expect(rows.get(one)).toBe(model.get(one) ?? null)
          expect(timed.group(one)?.entries[0]?.value).toBe(model.get(one))
        }
        const persist = (): void => {
          rows.persist(1)
          timed.persist(1)
        }
        for (const one of steps) {
          if (one === 'turn') await turn()
          else if (one === 'persist') persist()
          else if (one === 'flush') {
            rows.flush()
            timed.flush()
          } else if ('get' in one) look(one.get)
          else {
            rows.put(one.put, one.value)
            const known = timed.group(one.put)?.entries[0]
            if (one.value === null) {
              model.delete(one.put)
              if (known !== undefined) timed.remove(known)
            } else {
              model.set(one.put, one.value)
              if (known === undefined) timed.insert(one.put, 5, 15, one.value, 5)
              else timed.update(known, one.value, 5)
            }
          }
        }
        for (const one of 'abcdefghijkl') look(one)
        rows.flush()
        timed.flush()
        persist()
        rows.close()
        timed.close()
        rows = new KeyValueStore<string, string>(keyValue, surroundings(true, to[0].directory).options)
        timed = new TimedStore<string, string>(window, windowLayout(10), surroundings(true, to[1].directory).options)
        for (const one of 'abcdefghijkl') look(one)
        expect(timed.takeDue(15)).toHaveLength(model.size)
        rows.close()
        timed.close()
      }),
      { numRuns: 40 },
    )
  })

  it('comes back with its rows, its offset and its time, and without what was not committed', () => {
    const first = surroundings(true)
    const store = new TimedStore<string, string>(window, windowLayout(10), first.options)
    store.insert('a', 0, 10, 'x', 7)
    store.flush()
    store.persist(42)
    store.insert('b', 0, 10, 'lost', 8)
    store.flush()
    store.close()
    const again = new TimedStore<string, string>(window, windowLayout(10), surroundings(true, first.directory).options)
    expect(again.restoredOffset).toBe(42)
    expect(again.observedMs).toBe(7)
    expect(again.all().map(({ group, value }) => `${group.key}=${value}`)).toEqual(['a=x'])
    again.close()
  })

  it('gives up for good at the first error of the disk', () => {
    const backing = openLmdb(newDirectory(), { sync: false })
    const failing: StoreBacking = backing
    failing.stagePut(Buffer.alloc(10_000), Buffer.from('a key longer than LMDB can have'))
    expect(() => failing.commit(1)).toThrow(StateStorageError)
    failing.stagePut(Buffer.from('a'), Buffer.from('b'))
    expect(() => failing.commit(2)).toThrow(/is given up/)
    expect(() => failing.get(Buffer.from('a'))).toThrow(StateStorageError)
  })

  it('refuses a file that is cut off, which would end the process with SIGBUS, and one that is no database', () => {
    const directory = newDirectory()
    const backing = openLmdb(directory, { sync: true })
    for (let n = 0; n < 1000; n++) backing.stagePut(Buffer.from(`key ${n}`), Buffer.alloc(100))
    backing.commit(1)
    const file = join(directory, 'data.mdb')
    const { size } = statSync(file)
    backing.close()
    truncateSync(file, size - 4096)
    expect(() => openLmdb(directory)).toThrow(/cut off/)
    writeFileSync(file, 'not a database'.repeat(20))
    expect(() => openLmdb(directory)).toThrow(/not an LMDB file/)
  })

  it('escapes keys so that they sort as before and none is the beginning of another', () => {
    const key = fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes.map((byte) => byte % 3)))
    fc.assert(
      fc.property(key, key, (left, right) => {
        expect(unescapeKey(escapeKey(left)).equals(left)).toBe(true)
        const [a, b] = [escapeKey(left), escapeKey(right)]
        expect(Math.sign(Buffer.compare(a, b))).toBe(Math.sign(Buffer.compare(left, right)))
        if (!left.equals(right)) expect(a.subarray(0, b.length).equals(b)).toBe(false)
      }),
    )
  })
})
