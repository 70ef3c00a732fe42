import type { Bar, Metric } from '../scenarios/scenario.ts'
import type { Result } from './results.ts'
import { median, readable } from './statistics.ts'

/** One metric of one scenario: medians, ratios, and whether the bars hold. */
export interface Row {
  readonly metric: Metric
  readonly cells: readonly Cell[]
  readonly verdicts: readonly Verdict[]
}

export interface Cell {
  readonly contestant: string
  readonly median: number
  readonly min: number
  readonly max: number
  /** Ours divided by this one; null for ours. */
  readonly ratio: number | null
}

export interface Verdict {
  readonly text: string
  readonly isMet: boolean
}

export function rowsOf(result: Result): Row[] {
  return result.metrics.map((metric) => {
    const values = result.contestants.map((contestant) =>
      result.rounds
        .filter((round) => round.contestant === contestant)
        .map((round) => round.figures[metric.key])
        .filter((value) => value !== undefined),
    )
    const own = median(values[0] ?? [])
    const cells = result.contestants.map((contestant, index) => {
      const middle = median(values[index]!)
      return {
        contestant,
        median: middle,
        min: Math.min(...values[index]!),
        max: Math.max(...values[index]!),
        ratio: index === 0 ? null : own / middle,
      }
    })
    return { metric, cells, verdicts: (metric.bars ?? []).map((bar) => verdict(bar, cells)) }
  })
}

function verdict(bar: Bar, cells: readonly Cell[]): Verdict {
  const other = bar.against === undefined ? cells[1] : cells.find((cell) => cell.contestant === bar.against)
  const ratio = other?.ratio ?? NaN
  const own = cells[0]?.median ?? NaN
  const suffix = bar.against === undefined ? '' : ` of ${bar.against}`
  const parts: { readonly text: string; readonly isMet: boolean }[] = []
  if (bar.ratioAtLeast !== undefined) {
    parts.push({ text: `≥ ${readable(bar.ratioAtLeast)}x${suffix}`, isMet: ratio >= bar.ratioAtLeast })
  }
  if (bar.ratioAtMost !== undefined) {
    parts.push({ text: `≤ ${readable(bar.ratioAtMost)}x${suffix}`, isMet: ratio <= bar.ratioAtMost })
  }
  if (bar.atLeast !== undefined) parts.push({ text: `≥ ${readable(bar.atLeast)}`, isMet: own >= bar.atLeast })
  if (bar.atMost !== undefined) parts.push({ text: `≤ ${readable(bar.atMost)}`, isMet: own <= bar.atMost })
  return { text: parts.map((part) => part.text).join(', '), isMet: parts.every((part) => part.isMet) }
}

/** A table of Markdown, which is also how it is printed. */
export function tableOf(result: Result): string {
  const rows = rowsOf(result)
  const others = result.contestants.slice(1)
  const hasBars = rows.some((row) => row.verdicts.length > 0)
  const head = [
    result.title,
    ...result.contestants,
    ...others.map((name) => (others.length === 1 ? 'ratio' : `to ${name}`)),
    ...(hasBars ? ['wanted', ''] : []),
  ]
  const lines = rows.map((row) => [
    `${row.metric.label}, ${row.metric.unit}`,
    ...row.cells.map((cell) => `${readable(cell.median)} (${readable(cell.min)} to ${readable(cell.max)})`),
    ...row.cells.slice(1).map((cell) => `${readable(cell.ratio!)}x`),
    ...(hasBars ? verdictCells(row.verdicts) : []),
  ])
  return markdownTable(head, lines)
}

function verdictCells(verdicts: readonly Verdict[]): [string, string] {
  if (verdicts.length === 0) return ['', '']
  const isMet = verdicts.every((each) => each.isMet)
  return [verdicts.map((each) => each.text).join('; '), isMet ? 'met' : '**missed**']
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, column) => Math.max(3, cell.length, ...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n')
}

/** What the figures depend on, in a few lines below the table. */
export function circumstances(result: Result): string {
  const { machine, versions } = result
  const settings = Object.entries(result.settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
  const warmups = Object.entries(result.warmupSeconds)
    .map(([name, seconds]) => `${name} ${seconds} s`)
    .join(', ')
  const neighbours = result.rounds.map((round) => round.neighbourCpu)
  const loads = result.rounds.map((round) => round.loadAverage[0])
  return [
    `${result.rounds.length / result.contestants.length} rounds of ${result.seconds} s each, in turn; medians (smallest to largest). Warmed: ${warmups}.`,
    `Settings: ${settings}.`,
    `${machine.processors}, ${machine.memoryGiB} GiB, ${machine.system}, ${machine.fileSystem}; Node ${versions.node}, ` +
      `Apache Kafka ${versions.kafka} on ${versions.java}; commit ${versions.commit}, ${result.measuredAt}.`,
    `Load average ${result.loadAverageBefore[0]} before, ${Math.max(...loads)} at most; idle brokers beside used ` +
      `${(Math.max(0, ...neighbours) * 100).toFixed(1)} % of a core at most.`,
  ].join('\n')
}
