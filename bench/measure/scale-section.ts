import { svgChart, type Series } from './chart.ts'
import { writeChart } from './document.ts'
import { type Curve, scaleCurves, type ScalePoint, type ScaleResult } from './scale-result.ts'
import { readable, slope } from './statistics.ts'
import { markdownTable } from './table.ts'

const columns: readonly (readonly [key: string, heading: string])[] = [
  ['rate', 'rate, /s'],
  ['p99', 'p99, ms'],
  ['commitP99', 'commit p99, ms'],
  ['cpu', 'CPU, µs each'],
  ['idleMegabytes', 'idle, MB'],
  ['loadedMegabytes', 'loaded, MB'],
  ['idleFiles', 'open files, idle'],
  ['loadedFiles', 'open files, loaded'],
  ['createMs', 'created in, ms'],
  ['openMs', 'opened in, ms'],
]

/** The cost curves: a table, two charts and what one more takes, for each thing there may be many of. */
export function scaleSection(result: ScaleResult): string {
  const parts = scaleCurves.flatMap((curve) => {
    const points = result.points.filter((point) => point.curve === curve.name).toSorted(byContestantAndSize)
    return points.length === 0 ? [] : curveParts(curve, points)
  })
  const { machine, versions } = result
  const about =
    `${machine.processors}, ${machine.memoryGiB} GiB, ${machine.system}; Node ${versions.node}, Apache Kafka ` +
    `${versions.kafka} on ${versions.java}. A broker of its own for every point.`
  return [about, ...parts].join('\n\n')
}

function byContestantAndSize(a: ScalePoint, b: ScalePoint): number {
  // Ours first: it comes last in the alphabet.
  return b.contestant.localeCompare(a.contestant) || a.size - b.size
}

function curveParts(curve: Curve, points: readonly ScalePoint[]): string[] {
  const shown = columns.filter(([key]) => points.some((point) => point.figures[key] !== undefined))
  const table = markdownTable(
    [curve.name, '', ...shown.map(([, heading]) => heading)],
    points.map((point) => [
      String(point.size),
      point.contestant,
      ...shown.map(([key]) => readable(point.figures[key] ?? NaN)),
    ]),
  )
  const contestants = [...new Set(points.map((point) => point.contestant))]
  const series = (key: string): Series[] =>
    contestants.map((name, color) => ({
      name,
      color,
      points: points
        .filter((point) => point.contestant === name)
        .map((point) => [point.size, point.figures[key] ?? NaN]),
    }))
  const chart = (key: string, what: string, label: string): string => {
    const title = `${what} by ${curve.name}`
    const axes = { x: { label: curve.name, isLogarithmic: true }, y: { label, isLogarithmic: true } }
    return writeChart(`scale-${curve.name}-${key}`, title, svgChart({ title, ...axes, series: series(key) }))
  }
  const commits = [...new Set(points.map((point) => point.commit))].join(', ')
  const loads = points.map((point) => point.loadAverage[0])
  return [
    `### ${curve.name[0]!.toUpperCase()}${curve.name.slice(1)}`,
    `${curve.text} Commit ${commits}; load average up to ${Math.max(...loads)}.`,
    table,
    ...contestants.flatMap((name) => memoryOfOne(name, curve, points)),
    chart('cpu', 'Broker CPU per record', 'µs'),
    chart('p99', 'Latency, p99,', 'ms'),
  ]
}

function memoryOfOne(contestant: string, curve: Curve, points: readonly ScalePoint[]): string[] {
  const own = points.filter((point) => point.contestant === contestant && point.figures['grownMegabytes'] !== undefined)
  if (own.length < 2) return []
  const kilobytes = slope(own.map((point) => [point.size, point.figures['grownMegabytes']! * 1024]))
  return [`An idle ${curve.one} takes ${contestant} ${readable(kilobytes)} KB (the slope over all sizes).`]
}
