// Plants one fault after the other into a copy of the sources and sees whether a test notices:
// `npx node -C source scripts/planted-faults.ts`, with `--only <text in its name>`, or `--seeds 200` for more of the
// simulation. Prints a line of a Markdown table for each; ends with 1 if one goes unnoticed.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { plantedFaults, type PlantedFault } from './planted-faults-table.ts'

const root = resolve(import.meta.dirname, '..')
const packages = ['native', 'protocol', 'broker', 'streams', 'bench', 'compat-tests']

/** The sources of this checkout with its installed packages, in a place where they may be changed. */
function copySources(): string {
  const copy = mkdtempSync(join(tmpdir(), 'planted-faults-'))
  const ignored = new Set(['node_modules', '.git', '.cache', 'target', 'dist', 'bench', 'compat-tests', 'docs'])
  for (const name of readdirSync(root)) {
    if (ignored.has(name)) continue
    cpSync(join(root, name), join(copy, name), {
      recursive: true,
      filter: (path) => !ignored.has(basename(path)) || path === join(root, name),
    })
  }
  const modules = join(copy, 'node_modules')
  mkdirSync(join(modules, '@millrace'), { recursive: true })
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name === '@millrace' || name === 'millrace') continue
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  symlinkSync(join(copy, 'broker'), join(modules, 'millrace'))
  for (const name of packages) {
    if (existsSync(join(copy, name))) symlinkSync(join(copy, name), join(modules, '@millrace', name))
  }
  return copy
}

/** What noticed, or null. */
function noticedBy(copy: string, { tests }: PlantedFault, seeds: number): string[] {
  const found: string[] = []
  if (tests.length > 0) {
    const report = join(copy, 'report.json')
    rmSync(report, { force: true })
    const args = ['vitest', 'run', '--project', 'unit', '--reporter=json', `--outputFile=${report}`, ...tests]
    const { status } = spawnSync('npx', args, { cwd: copy, stdio: 'ignore', timeout: 300_000 })
    if (existsSync(report)) found.push(...failedTests(report, copy))
    else if (status !== 0) found.push(`${tests.join(', ')} (did not end)`)
  }
  const args = ['node', '-C', 'source', 'scripts/simulate.ts', '--seeds', String(seeds), '--first-failure']
  const run = spawnSync('npx', args, { cwd: copy, encoding: 'utf8', timeout: 600_000 })
  const seed = /^FAILED: npm run simulate -- (--seed \d+)$/m.exec(run.stdout)
  if (seed !== null) found.push(`simulation, \`${seed[1]}\``)
  else if (run.status !== 0) found.push(`simulation (did not end: ${run.signal ?? run.status})`)
  return found
}

function failedTests(report: string, copy: string): string[] {
  interface Report {
    readonly testResults: readonly {
      readonly name: string
      readonly status: string
      readonly assertionResults: readonly { readonly status: string; readonly title: string }[]
    }[]
  }
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
  return testResults
    .filter(({ status }) => status === 'failed')
    .map(({ name, assertionResults }) => {
      const failed = assertionResults.filter(({ status }) => status === 'failed')
      const rest = failed.length > 1 ? ` and ${failed.length - 1} more` : ''
      return `${name.replace(`${copy}/broker/src/`, '')}: "${failed[0]?.title ?? 'does not run'}"${rest}`
    })
}

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, seeds: { type: 'string', default: '60' } },
})
const copy = copySources()
let unnoticed = 0
try {
  for (const fault of plantedFaults) {
    if (!fault.name.includes(values.only)) continue
    const path = join(copy, fault.file)
    const before = readFileSync(path, 'utf8')
    if (before.split(fault.find).length !== 2) throw new Error(`${fault.name}: its text is not once in ${fault.file}`)
    writeFileSync(
      path,
      before.replace(fault.find, () => fault.replace),
    )
    const found = noticedBy(copy, fault, Number(values.seeds))
    writeFileSync(path, before)
    if (found.length === 0) unnoticed++
    console.log(`| ${fault.name} | ${found.length === 0 ? 'NOTHING' : found.join('; ')} |`)
  }
} finally {
  rmSync(copy, { recursive: true, force: true })
}
if (unnoticed > 0) {
  console.log(`${unnoticed} unnoticed`)
  process.exitCode = 1
}
