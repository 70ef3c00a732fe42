import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { arbitrarySpec } from './oracle/arbitrary-spec.ts'
import { compare, type Verdict } from './oracle/compare.ts'
import { JavaOracle, whyNoOracle } from './oracle/java-oracle.ts'
import { runSpec } from './oracle/run-spec.ts'
import type { Spec } from './oracle/spec.ts'

const reason = whyNoOracle()
const runs = Number(process.env.STREAMS_ORACLE_RUNS ?? 300)
const seed = process.env.STREAMS_ORACLE_SEED === undefined ? {} : { seed: Number(process.env.STREAMS_ORACLE_SEED) }

/** Found once among 20,000: a tombstone that has the time of the only value before it leaves no trace. */
const forgottenTombstone: Spec = {
  name: 'table-table',
  stores: 'memory',
  topics: false,
  describe: true,
  nodes: [
    { id: 'x', op: 'table', topic: 'L', versioned: 100 },
    { id: 'y', op: 'table', topic: 'R', versioned: 100 },
    { id: 'j', op: 'join', kind: 'inner', in: ['x', 'y'] },
    { op: 'to', in: 'j', topic: 'OUT' },
  ],
  input: [
    { topic: 'R', key: 'a', value: 'x0', ts: 3 },
    { topic: 'R', key: 'a', value: null, ts: 3 },
    { topic: 'R', key: 'a', value: 'x1', ts: 2 },
    { topic: 'L', key: 'a', value: 'y0', ts: 4 },
  ],
}

describe.skipIf(reason !== null)(`Kafka Streams, asked now${reason === null ? '' : ` (not asked: ${reason})`}`, () => {
  it(`answers ${runs} topologies that nobody has written down as ours do`, { timeout: 30 * 60_000 }, async () => {
    await using oracle = JavaOracle.start()
    const counts: Partial<Record<Verdict, number>> = {}
    await fc.assert(
      fc.asyncProperty(arbitrarySpec, async (spec) => {
        const kafka = await oracle.ask(spec)
        const { verdict, reason } = compare(spec, kafka, runSpec(spec))
        counts[verdict] = (counts[verdict] ?? 0) + 1
        expect(reason).toBe('')
      }),
      { numRuns: runs, examples: [[forgottenTombstone]], ...seed },
    )
    console.log(
      `${runs} fresh topologies: ${Object.entries(counts)
        .map(([verdict, n]) => `${verdict} ${n}`)
        .join(', ')}`,
    )
  })
})
