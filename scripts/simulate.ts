// Runs seeds of the simulated world: `npm run simulate -- --seed 17`, `-- --seeds 2000` (from 1, or from --seed on).
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { simulate } from '../broker/src/testing/simulation/world.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1' },
    operations: { type: 'string', default: '1000' },
    /** Says what happens, line by line. */
    trace: { type: 'boolean', default: false },
    /** Ends after the first seed that fails. */
    'first-failure': { type: 'boolean', default: false },
    /** A file in which a long run notes how far it came, and from which it goes on. */
    progress: { type: 'string' },
  },
})

const operations = Number(values.operations)
const first = Number(values.seed ?? 1)
const end = first + Number(values.seeds)
const done = values.progress === undefined ? null : progressOf(values.progress)
const incidents = new Map<string, number>()
let failedCount = 0
let operationCount = 0
const startMs = performance.now()

process.on('unhandledRejection', (error) => {
  console.error('an error that nobody handles:', error)
  process.exitCode = 1
})

for (let seed = done ?? first; seed < end; seed++) {
  const result = await simulate({
    seed,
    operations,
    nextTurn: (callback) => process.nextTick(callback),
    ...(values.trace ? { trace: (line) => console.log(line) } : {}),
  })
  operationCount += result.operations
  for (const [name, count] of Object.entries(result.incidents)) incidents.set(name, (incidents.get(name) ?? 0) + count)
  if (result.failures.length > 0) {
    failedCount++
    console.log(`FAILED: npm run simulate -- --seed ${seed}${operations === 1000 ? '' : ` --operations ${operations}`}`)
    for (const failure of result.failures.slice(0, 5)) console.log(`  ${failure}`)
  }
  if (failedCount > 0 && values['first-failure']) break
  if (values.progress !== undefined) writeFileSync(values.progress, `${seed + 1}\n`)
  if (end - first === 1) console.log(result)
  else if ((seed + 1 - first) % 100 === 0) console.log(`${seed + 1 - first} seeds, ${failedCount} failed`)
  // Lets the process hear its signals.
  await new Promise((resolve) => setImmediate(resolve))
}

const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
const list = [...incidents].map(([name, count]) => `${count} ${name}`).join(', ')
console.log(
  `${end - (done ?? first)} seeds, ${operationCount} operations, ${seconds} s, ${failedCount} failed; ${list}`,
)
if (failedCount > 0) process.exitCode = 1

function progressOf(path: string): number | null {
  try {
    return Number(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}
