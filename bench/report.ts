// Makes the tables and charts of docs/PERFORMANCE.md from the results that are there.
//
//   npm run bench:report -- [--from DIR] [--print]
//
// --print shows the comparison on the terminal and leaves the document alone.

import { parseArgs } from 'node:util'
import type { CapacityResult } from './measure/capacity-result.ts'
import { capacitySection } from './measure/capacity-section.ts'
import { writeSection } from './measure/document.ts'
import { readJson, type Result, resultsDir } from './measure/results.ts'
import type { ScaleResult } from './measure/scale-result.ts'
import { scaleSection } from './measure/scale-section.ts'
import { circumstances, markdownTable, rowsOf, tableOf } from './measure/table.ts'
import { readable } from './measure/statistics.ts'
import { scenarios } from './scenarios/index.ts'
import { streamsSection, type StreamsResult } from './streams/result.ts'

function main(): void {
  const { values } = parseArgs({
    options: { from: { type: 'string', default: resultsDir }, print: { type: 'boolean', default: false } },
  })
  const results = scenarios
    .map((scenario) => readJson<Result>(values.from, scenario.name))
    .filter((result) => result !== null)
  if (values.print) {
    console.log(comparison(results))
    return
  }
  const scale = readJson<ScaleResult>(values.from, 'scale')
  const capacity = readJson<CapacityResult>(values.from, 'capacity')
  if (results.length > 0) writeSection('comparison', comparison(results))
  if (scale !== null) writeSection('scale', scaleSection(scale))
  if (capacity !== null) writeSection('capacity', capacitySection(capacity))
  const streams = readJson<StreamsResult>(values.from, 'streams')
  const once = readJson<StreamsResult>(values.from, 'streams-exactly-once')
  const sections: string[] = []
  if (streams?.lines.every((line) => 'measured' in line) === true) sections.push(streamsSection(streams))
  if (once !== null) sections.push(`### Exactly once\n\n${streamsSection(once)}`)
  if (sections.length > 0) writeSection('streams', sections.join('\n\n'))
  console.log(
    `${results.length} of ${scenarios.length} scenarios, ${scale?.points.length ?? 0} points of scale, ` +
      `${capacity?.runs.length ?? 0} climbs`,
  )
}

function comparison(results: readonly Result[]): string {
  const tables = results.map((result) => `${tableOf(result)}\n\n${circumstances(result)}`)
  return [barTable(results), ...tables].join('\n\n')
}

/** Every figure that something is wanted of, in one table. */
function barTable(results: readonly Result[]): string {
  const rows = results.flatMap((result) =>
    rowsOf(result)
      .filter((row) => row.verdicts.length > 0)
      .map((row) => [
        result.scenario,
        `${row.metric.label}, ${row.metric.unit}`,
        readable(row.cells[0]!.median),
        readable(row.cells[1]?.median ?? NaN),
        `${readable(row.cells[1]?.ratio ?? NaN)}x`,
        row.verdicts.map((verdict) => verdict.text).join('; '),
        row.verdicts.every((verdict) => verdict.isMet) ? 'met' : '**missed**',
      ]),
  )
  return markdownTable(['scenario', 'figure', 'millrace', 'Kafka', 'ratio', 'wanted', ''], rows)
}

main()
