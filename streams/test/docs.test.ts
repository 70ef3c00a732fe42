import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../compat-tests/harness/index.ts'
import {
  CogroupedStream,
  GroupedStream,
  GroupedTable,
  SessionWindowedStream,
  Stream,
  Table,
  WindowedStream,
} from '../src/index.ts'

const root = join(import.meta.dirname, '..', '..')
const docs = join(root, 'docs', 'streams')
// Below the package, so that the examples find it by its name.
const work = join(root, 'streams', '.cache', `docs-${process.pid}`)

interface Example {
  /** The document, and the heading above the example. */
  readonly title: string
  readonly file: string
  readonly code: string
  /** What stands behind `ts` at the fence: how the example is run when that is not by itself. */
  readonly how: string
  readonly printed: readonly string[]
}

const documents = [
  ...readdirSync(docs)
    .filter((name) => name.endsWith('.md'))
    .toSorted()
    .map((name) => join(docs, name)),
  join(root, 'streams', 'README.md'),
]
// Types of jest are not installed; where its example is run, it is run whole.
const examples = documents.flatMap(examplesOf).filter(({ how }) => how !== 'jest')
/** Others are tests, which compat-tests/streams-testing runs, or run until somebody stops them. */
const byThemselves = examples.filter(({ how }) => how === '')

/** The TypeScript of a document. The comment that ends an example is what it prints. */
function examplesOf(document: string): Example[] {
  const name = relative(root, document)
  const found: Example[] = []
  let heading = ''
  let fence: { readonly info: string; readonly lines: string[] } | null = null
  for (const line of readFileSync(document, 'utf8').split('\n')) {
    if (fence !== null) {
      if (line !== '```') {
        fence.lines.push(line)
        continue
      }
      const [language, how = ''] = fence.info.split(' ')
      if (language === 'ts') {
        const { lines } = fence
        const printedFrom = lines.findLastIndex((one) => !one.startsWith('//')) + 1
        found.push({
          title: `${name}: ${heading} (${found.length + 1})`,
          file: `${name.replaceAll(/\W+/g, '-')}-${found.length + 1}.ts`,
          code: lines.join('\n') + '\n',
          how,
          printed: lines.slice(printedFrom).map((one) => one.slice(3)),
        })
      }
      fence = null
    } else if (line.startsWith('```')) fence = { info: line.slice(3), lines: [] }
    else if (line.startsWith('#')) heading = line.replace(/^#+ /, '')
  }
  return found
}

/** Runs all examples in one process, as anybody's program would be run, and answers with what each has printed. */
const runner = `
import { format } from 'node:util'
const results = {}
for (const file of process.argv.slice(2)) {
  const printed = []
  console.log = (...values) => printed.push(...format(...values).split('\\n'))
  try {
    await import('./' + file)
  } catch (error) {
    printed.push(...String(error.stack).split('\\n'))
  }
  results[file] = printed
}
process.stdout.write(JSON.stringify(results))
`

describe('the examples of the documents', () => {
  let printed: Record<string, string[]>
  let compilerErrors: string[]

  beforeAll(async () => {
    mkdirSync(work, { recursive: true })
    for (const { file, code } of examples) writeFileSync(join(work, file), code)
    writeFileSync(join(work, 'run-all.mjs'), runner)
    // What strictness asks of the repository beyond a program's types is not for those who copy an example.
    const compilerOptions = { noEmit: true, allowImportingTsExtensions: true, noUnusedParameters: false }
    writeFileSync(
      join(work, 'tsconfig.json'),
      JSON.stringify({ extends: '../../../tsconfig.base.json', compilerOptions, include: ['*.ts'] }),
    )
    const files = byThemselves.map(({ file }) => file)
    const node = ['-C', 'source', 'run-all.mjs', ...files]
    const ran = await run(process.execPath, node, { cwd: work, timeoutMs: 100_000 })
    printed = JSON.parse(ran.stdout) as Record<string, string[]>
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const { stdout } = await run(process.execPath, [tsc, '-p', work], { cwd: work, timeoutMs: 100_000 })
    // Those of the library itself have a check of their own.
    compilerErrors = stdout.split('\n').filter((line) => /^\w/.test(line))
  }, 200_000)
  afterAll(() => rmSync(work, { recursive: true, force: true }))

  it('are many, and each prints something', () => {
    expect(byThemselves.length).toBeGreaterThan(40)
    expect(byThemselves.filter((example) => example.printed.length === 0).map(({ title }) => title)).toEqual([])
  })

  it('are of the types that they claim', () => {
    expect(compilerErrors).toEqual([])
  })

  it.each(byThemselves.map((example) => [example.title, example] as const))('%s', (_title, example) => {
    expect(printed[example.file]).toEqual(example.printed)
  })
})

describe('what the documents refer to', () => {
  it('are tests of that name', () => {
    const cited = documents.flatMap((document) =>
      [...readFileSync(document, 'utf8').matchAll(/\]\(([^)]+\.test\.ts)\) "([^"]+)"/g)].map(([, file, name]) => ({
        file: join(document, '..', file!),
        name: name!,
      })),
    )
    expect(cited.length).toBeGreaterThan(10)
    expect(cited.filter(({ file, name }) => !readFileSync(file, 'utf8').includes(name))).toEqual([])
  })

  it('is every method of the classes that a program uses', () => {
    const text = readFileSync(join(docs, 'operators.md'), 'utf8')
    const internal = new Set(['constructor', 'handle', 'parts', 'with'])
    const classes = [Stream, Table, GroupedStream, GroupedTable, WindowedStream, SessionWindowedStream, CogroupedStream]
    const methods = classes.flatMap((one) => Object.getOwnPropertyNames(one.prototype))
    expect(methods).toContain('flatMapValues')
    expect(methods.filter((name) => !internal.has(name) && !new RegExp(`\\b${name}\\b`).test(text))).toEqual([])
  })
})
