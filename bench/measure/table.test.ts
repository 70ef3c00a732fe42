import { describe, expect, it } from 'vitest'
import type { Metric } from '../scenarios/scenario.ts'
import type { Result } from './results.ts'
import { circumstances, rowsOf, tableOf } from './table.ts'

function aResult(metrics: readonly Metric[], figures: Readonly<Record<string, readonly number[]>>): Result {
  const contestants = Object.keys(figures)
  return {
    scenario: 'produce',
    title: 'Producing',
    measuredAt: '2026-01-01T00:00:00.000Z',
    machine: { processors: '2 x any', memoryGiB: 24, system: 'linux', fileSystem: 'ext4' },
    versions: { commit: 'abc', node: '24', kafka: '4.3.1', java: '17', rust: '1' },
    settings: { acks: 'all' },
    warmupSeconds: { millrace: 10, Kafka: 60 },
    seconds: 10,
    metrics,
    contestants,
    rounds: contestants.flatMap((contestant) =>
      figures[contestant]!.map((value) => ({
        contestant,
        figures: { rate: value },
        neighbourCpu: 0.01,
        loadAverage: [2, 2] as const,
      })),
    ),
    loadAverageBefore: [0, 0],
    loadAverageAfter: [2, 1],
  }
}

const rate = (...bars: NonNullable<Metric['bars']>): Metric => ({ key: 'rate', label: 'records', unit: '/s', bars })

describe('a result', () => {
  it('is read as medians and their ratio', () => {
    const [row] = rowsOf(aResult([rate()], { millrace: [900, 300, 600], Kafka: [100, 200, 300] }))
    expect(row!.cells.map((cell) => [cell.median, cell.min, cell.max, cell.ratio])).toEqual([
      [600, 300, 900, null],
      [200, 100, 300, 3],
    ])
  })

  it('meets a bar at its edge and misses it beyond', () => {
    const verdict = (bar: NonNullable<Metric['bars']>[number]): boolean =>
      rowsOf(aResult([rate(bar)], { millrace: [600], Kafka: [200] }))[0]!.verdicts[0]!.isMet
    expect(verdict({ ratioAtLeast: 3 })).toBe(true)
    expect(verdict({ ratioAtLeast: 3.1 })).toBe(false)
    expect(verdict({ ratioAtMost: 1 })).toBe(false)
    expect(verdict({ atMost: 600 })).toBe(true)
    expect(verdict({ atMost: 599, ratioAtLeast: 1 })).toBe(false)
  })

  it('is compared with whom the bar names', () => {
    const bar = { ratioAtLeast: 0.7, against: 'Kafka page cache' }
    const result = aResult([rate(bar)], { millrace: [600], Kafka: [100], 'Kafka page cache': [800] })
    expect(rowsOf(result)[0]!.verdicts).toEqual([{ text: '≥ 0.70x of Kafka page cache', isMet: true }])
  })

  it('misses a bar when nothing was seen', () => {
    const result = { ...aResult([rate({ ratioAtLeast: 1 })], { millrace: [1], Kafka: [1] }), rounds: [] }
    expect(rowsOf(result)[0]!.verdicts[0]!.isMet).toBe(false)
    expect(tableOf(result)).toContain('-')
  })

  it('is shown with everything that it depends on', () => {
    const result = aResult([rate({ ratioAtLeast: 4 })], { millrace: [600, 601, 602], Kafka: [200, 200, 200] })
    const text = `${tableOf(result)}\n${circumstances(result)}`
    for (const part of ['3.00x', '**missed**', 'abc', '4.3.1', 'acks all', '3 rounds of 10 s', 'Kafka 60 s']) {
      expect(text).toContain(part)
    }
  })
})
