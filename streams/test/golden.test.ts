import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openLmdb } from '../src/state/lmdb/open-lmdb.ts'
import { compare, type Verdict } from './oracle/compare.ts'
import { runSpec } from './oracle/run-spec.ts'
import type { Spec, SpecResult } from './oracle/spec.ts'

interface Golden {
  readonly spec: Spec
  readonly result: SpecResult
}

function golden(name: string): Golden[] {
  const path = new URL(`oracle/golden/${name}.jsonl`, import.meta.url)
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Golden)
}

/** Runs every case; what is different is listed, all others are counted by how they agree. */
function verdicts(cases: readonly Golden[]): { counts: Partial<Record<Verdict, number>>; different: string[] } {
  const counts: Partial<Record<Verdict, number>> = {}
  const different: string[] = []
  for (const { spec, result } of cases) {
    const { verdict, reason } = compare(spec, result, runSpec(spec))
    counts[verdict] = (counts[verdict] ?? 0) + 1
    if (verdict === 'different') different.push(reason)
  }
  return { counts, different }
}

describe('what Kafka Streams 4.3.1 answered', () => {
  it.each([
    ['hand', 73],
    ['random', 500],
  ])('is what we answer to all of golden/%s.jsonl, with our rules for its quirks', (name, count) => {
    const cases = golden(name)
    expect(cases).toHaveLength(count)
    const { counts, different } = verdicts(cases)
    console.log(
      `golden/${name}.jsonl: ${Object.entries(counts)
        .map(([verdict, n]) => `${verdict} ${n}`)
        .join(', ')}`,
    )
    expect(different).toEqual([])
  })

  const directory = mkdtempSync(join(tmpdir(), 'streams-golden-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  it.each(['hand', 'random'])(
    'is the same with stores on disk that forget everything after each record: %s',
    (name) => {
      const different: string[] = []
      for (const [index, { spec }] of golden(name).entries()) {
        const onDisk = runSpec(spec, {
          cacheLimit: 0,
          backing: (definition) => openLmdb(join(directory, `${name}-${index}`, definition.name), { sync: false }),
        })
        if (JSON.stringify(onDisk) !== JSON.stringify(runSpec(spec))) different.push(spec.name)
      }
      expect(different).toEqual([])
    },
    120_000,
  )

  it.each(['hand', 'random'])(
    'is the same when the tasks start anew from their changelogs before each record: %s',
    (name) => {
      const different: string[] = []
      let count = 0
      for (const { spec } of golden(name)) {
        // A record without key or value moves the time of a join and leaves no trace in its stores.
        if (spec.nodes.some((node) => node.op === 'join' && node.window !== undefined) && hasNulls(spec)) continue
        count++
        const { steps } = runSpec(spec, { restarts: true })
        if (JSON.stringify(steps) !== JSON.stringify(runSpec(spec).steps)) different.push(spec.name)
      }
      expect(count).toBeGreaterThan(50)
      expect(different).toEqual([])
    },
    120_000,
  )
})

function hasNulls(spec: Spec): boolean {
  return spec.input.some((input) => 'key' in input && (input.key === null || input.value === null))
}
