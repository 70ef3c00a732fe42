import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { string } from '../serdes/primitives.ts'
import type { Serde } from '../serdes/serde.ts'
import { JoinWindowStore } from './join-window-store.ts'
import { openLmdb } from './lmdb/open-lmdb.ts'
import type { JoinWindowDefinition } from './store.ts'

const root = mkdtempSync(join(tmpdir(), 'join-window-stores-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let directories = 0
const newDirectory = (): string => join(root, String(directories++))

const text = string() as Serde<unknown>
const definition: JoinWindowDefinition = {
  kind: 'join-window',
  name: 'j',
  retentionMs: 20,
  hasChangelog: true,
  keySerde: text,
  valueSerde: text,
}
const RECORDS_PER_BLOCK = 3

interface Change {
  readonly key: Buffer
  readonly value: Buffer
  readonly timestampMs: number
}

function open(directory: string | null, changes: Change[], cacheLimit?: number): JoinWindowStore<string, string> {
  const options = {
    changelogTopic: 'changes',
    log: (key: Uint8Array, value: Uint8Array | null, timestampMs: number) => {
      changes.push({ key: Buffer.from(key), value: Buffer.from(value!), timestampMs })
    },
    backing: directory === null ? null : openLmdb(directory, { sync: false }),
    ...(cacheLimit === undefined ? {} : { cacheLimit }),
  }
  return new JoinWindowStore(definition, options, RECORDS_PER_BLOCK)
}

function found(store: JoinWindowStore<string, string>, key: string, fromMs: number, toMs: number): string[] {
  const count = store.find(key, fromMs, toMs)
  return Array.from({ length: count }, (_, index) => `${store.value(index)}@${store.startMs(index)}`)
}

const KEYS = ['a', 'b', 'ab', '', 'ä']
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ put: fc.constantFrom(...KEYS), ms: fc.nat(60), value: fc.string({ maxLength: 3 }) }),
  },
  fc.record({ forget: fc.nat(60) }),
  fc.constant('commit' as const),
  fc.constant('reopen' as const),
)

describe.each([
  ['in memory', false, undefined],
  ['on disk', true, undefined],
  ['on disk with nothing kept in memory', true, 0],
])('the records of a join %s', (_where, isOnDisk, cacheLimit) => {
  it('are found by key and time in the order of time and arrival, whatever is committed, forgotten or read again', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const directory = isOnDisk ? newDirectory() : null
        const changes: Change[] = []
        let store = open(directory, changes, cacheLimit)
        let model: { key: string; ms: number; value: string }[] = []
        let committed: typeof model = []
        let floor = -1
        for (const one of steps) {
          if (one === 'commit') {
            store.flush()
            store.persist(changes.length)
            committed = [...model]
          } else if (one === 'reopen') {
            // What was not committed is lost with the process; without a disk everything comes from the changelog.
            store.close()
            store = open(directory, changes, cacheLimit)
            if (directory === null) {
              for (const { key, value, timestampMs } of changes) store.restore(key, value, timestampMs)
            }
            store.forget(floor)
            model = committed.filter(({ ms }) => ms > floor)
          } else if ('forget' in one) {
            floor = Math.max(floor, one.forget)
            store.forget(floor)
            model = model.filter(({ ms }) => ms > floor)
          } else if (one.ms > floor) {
            store.put(one.put, one.value, one.ms)
            model.push({ key: one.put, ms: one.ms, value: one.value })
          }
        }
        for (const key of KEYS) {
          for (const [from, to] of [
            [0, 60],
            [10, 30],
            [25, 25],
          ] as const) {
            const expected = model
              .filter((record) => record.key === key && record.ms >= from && record.ms <= to)
              .toSorted((left, right) => left.ms - right.ms)
              .map(({ value, ms }) => `${value}@${ms}`)
            expect(found(store, key, from, to)).toEqual(expected)
          }
        }
        store.flush()
        expect(new Set(changes.map(({ key }) => key.toString('hex'))).size).toBe(changes.length)
        store.close()
      }),
      { numRuns: isOnDisk ? 60 : 400 },
    )
  })

  it('take their place on disk only while they are needed', () => {
    const directory = isOnDisk ? newDirectory() : null
    const store = open(directory, [], cacheLimit)
    for (let n = 0; n < 100; n++) {
      store.put('a', String(n), n)
      store.forget(n - 10)
      if (n % 5 === 4) {
        store.flush()
        store.persist(n)
      }
    }
    expect(found(store, 'a', 0, 100).map((one) => Number(one.split('@')[1]))).toEqual(
      Array.from({ length: 10 }, (_, n) => 90 + n),
    )
    expect(store.entryCount).toBeLessThanOrEqual(10 + 2 * RECORDS_PER_BLOCK)
    store.close()
    if (directory === null) return
    const rows = [...openLmdb(directory).range(null, null)]
    expect(rows.length).toBeLessThanOrEqual(10 / RECORDS_PER_BLOCK + 2)
  })
})

it('the records of a join come back from disk within the limit of the cache, and are read within twice as much', () => {
  const directory = newDirectory()
  const written = open(directory, [])
  const valueOf = (n: number): string => String(n).repeat(30)
  for (let n = 0; n < 300; n++) written.put('a', valueOf(n), n)
  written.flush()
  written.persist(300)
  written.close()
  const blockBytes = RECORDS_PER_BLOCK * 91
  const limit = 1024
  const store = open(directory, [], limit / 32)
  expect(store.entryCount).toBe(300)
  expect(store.cachedBytes).toBeLessThanOrEqual(limit)
  for (let n = 0; n < 300; n++) {
    expect(found(store, 'a', n, n)).toEqual([`${valueOf(n)}@${n}`])
    expect(store.cachedBytes).toBeLessThanOrEqual(2 * limit + blockBytes)
  }
  // Answers across all blocks are right, though not all of them fit.
  expect(found(store, 'a', 0, 300)).toEqual(Array.from({ length: 300 }, (_, n) => `${valueOf(n)}@${n}`))
  store.put('a', 'new', 300)
  expect(found(store, 'a', 298, 300)).toEqual([`${valueOf(298)}@298`, `${valueOf(299)}@299`, 'new@300'])
  store.close()
})

it('the records of a join say how much of them waits for a commit', () => {
  const store = open(null, [])
  expect(store.unflushedBytes).toBe(0)
  store.put('key', 'x'.repeat(1000), 1)
  expect(store.unflushedBytes).toBeGreaterThan(1000)
  store.flush()
  expect(store.unflushedBytes).toBe(0)
})

it('the records of a join stay as they are when their blocks are large and come back from disk between commits', () => {
  const store = open(newDirectory(), [], 0)
  const valueOf = (n: number): string => String(n).padStart(6, '0').repeat(10_000)
  for (let n = 0; n < 30; n++) {
    store.put(`k${n % 5}`, valueOf(n), n)
    store.flush()
    store.persist(n)
    const count = store.find(`k${n % 5}`, n - 10, n)
    const values = Array.from({ length: count }, (_, index) => store.value(index))
    store.put('other', valueOf(n), n)
    store.forget(n - 12)
    store.flush()
    store.persist(n)
    const expected = [n - 10, n - 5, n].filter((one) => one >= 0).map(valueOf)
    expect(values.every((value, index) => value === expected[index])).toBe(true)
    expect(values).toHaveLength(expected.length)
    expect(found(store, `k${n % 5}`, n, n)[0] === `${valueOf(n)}@${n}`).toBe(true)
  }
  store.close()
})
