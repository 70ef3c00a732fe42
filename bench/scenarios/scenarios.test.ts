import { describe, expect, it } from 'vitest'
import { chosen, scenarios } from './index.ts'

describe('scenarios', () => {
  it('have names of their own, ours first, and something to measure', () => {
    expect(scenarios.length).toBeGreaterThan(30)
    expect(new Set(scenarios.map((scenario) => scenario.name)).size).toBe(scenarios.length)
    for (const scenario of scenarios) {
      expect(scenario.contestants[0]!.kind).toBe('millrace')
      expect(scenario.contestants.some((contestant) => contestant.kind === 'kafka')).toBe(true)
      expect(scenario.metrics.length).toBeGreaterThan(0)
      expect([scenario.round, scenario.ownRound].filter((round) => round !== undefined)).toHaveLength(1)
    }
  })

  it('compare a bar with a contestant that takes part', () => {
    const named = scenarios.flatMap((scenario) =>
      scenario.metrics
        .flatMap((metric) => metric.bars ?? [])
        .filter((bar) => bar.against !== undefined)
        .map((bar) => ({ names: scenario.contestants.map((contestant) => contestant.name), against: bar.against })),
    )
    expect(named.length).toBeGreaterThan(0)
    expect(named.filter(({ names, against }) => !names.includes(against!))).toEqual([])
  })

  it('are chosen by name, or by how their names begin', () => {
    const names = (...wanted: string[]): string[] => chosen(wanted).map((scenario) => scenario.name)
    expect(names()).toHaveLength(scenarios.length)
    expect(names('single')).toEqual(['single-1', 'single-16', 'single-64'])
    // An exact name that others begin with.
    expect(names('single-1')).toEqual(['single-1'])
    expect(names('latency-50k', 'footprint')).toEqual(['latency-50k', 'footprint'])
    expect(() => names('nothing')).toThrow('no scenario is called nothing')
  })
})
