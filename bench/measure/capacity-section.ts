import { type CapacityResult, type CapacityRun, capacityShapes, HELD_PERCENT, isHeld, knee } from './capacity-result.ts'
import { svgChart } from './chart.ts'
import { writeChart } from './document.ts'
import { readable } from './statistics.ts'
import { markdownTable } from './table.ts'

/** The climbs: where each broker breaks, what was busy then, and latency against offered load as a chart. */
export function capacitySection(result: CapacityResult): string {
  const { machine, versions } = result
  const about =
    `${machine.processors}, ${machine.memoryGiB} GiB, ${machine.system}; Node ${versions.node}, Apache Kafka ` +
    `${versions.kafka} on ${versions.java}. A step is held when ${HELD_PERCENT} % of it is acknowledged in time; the ` +
    'latency counts from when a batch was due.'
  const parts = capacityShapes.flatMap((shape) => {
    const runs = result.runs
      .filter((run) => run.shape === shape.name)
      .toSorted((a, b) => b.contestant.localeCompare(a.contestant))
    if (runs.length === 0) return []
    const title = `Latency by offered load: ${shape.name === 'single' ? 'single records' : shape.name}`
    return [
      `### ${title}`,
      `Records/s offered: ${shape.title}.`,
      table(runs),
      writeChart(`capacity-${shape.name}`, title, chart(title, runs)),
    ]
  })
  return [about, ...parts].join('\n\n')
}

function table(runs: readonly CapacityRun[]): string {
  const head = [
    '',
    'last rate held, /s',
    'p50, ms',
    'p99, ms',
    'most that was achieved, /s',
    'busiest thread at the break',
  ]
  const rows = runs.map(({ contestant, steps }) => {
    const held = knee(steps)
    const broken = steps.find((step) => !isHeld(step)) ?? steps.at(-1)!
    return [
      contestant,
      readable(held?.offered ?? NaN),
      readable(held?.p50 ?? NaN),
      readable(held?.p99 ?? NaN),
      readable(Math.max(...steps.map((step) => step.achieved))),
      `${broken.busiest.name}, ${(broken.busiest.share * 100).toFixed(0)} % of a core; broker ${broken.brokerCores.toFixed(2)} ` +
        `and generator ${broken.loadCores.toFixed(2)} cores`,
    ]
  })
  return markdownTable(head, rows)
}

function chart(title: string, runs: readonly CapacityRun[]): string {
  const series = runs.flatMap(({ contestant, steps }, color) => [
    { name: `${contestant} p99`, color, points: steps.map((step) => [step.offered, step.p99] as const) },
    {
      name: `${contestant} p50`,
      color,
      isDashed: true,
      points: steps.map((step) => [step.offered, step.p50] as const),
    },
  ])
  const axes = {
    x: { label: 'records/s offered', isLogarithmic: true },
    y: { label: 'acknowledgement, ms', isLogarithmic: true },
  }
  return svgChart({ title, ...axes, series })
}
