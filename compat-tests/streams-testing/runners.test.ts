import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../harness/index.ts'

const JEST = '30.5.2'

const root = join(import.meta.dirname, '..', '..')
const guide = readFileSync(join(root, 'docs', 'streams', 'testing.md'), 'utf8')
const work = join(root, 'compat-tests', '.cache', `runners-${process.pid}`)

/** The code blocks with this text behind the fence, in order. */
function blocks(info: string): string[] {
  return [...guide.matchAll(new RegExp(`^\`\`\`${info}\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, code]) => code!)
}

function write(folder: string, file: string, text: string): void {
  mkdirSync(join(work, folder), { recursive: true })
  writeFileSync(join(work, folder, file), text)
}

// The test driver imports no test framework. These are the tests that docs/streams/testing.md shows.
describe('a test of a topology', () => {
  beforeAll(() => void mkdirSync(work, { recursive: true }))
  afterAll(() => rmSync(work, { recursive: true, force: true }))

  it('runs in vitest, with the driver and with a broker', async () => {
    const tests = blocks('ts vitest')
    expect(tests.length).toBe(2)
    const conditions = "{ resolve: { conditions: ['source'] }, ssr: { resolve: { conditions: ['source'] } } }"
    write('vitest', 'vitest.config.ts', `export default ${conditions}\n`)
    for (const [index, code] of tests.entries()) write('vitest', `example-${index}.spec.ts`, code)
    const report = join(work, 'vitest', 'report.json')
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
    const args = [vitest, 'run', '--root', join(work, 'vitest'), '--reporter=json', `--outputFile=${report}`]

    const result = await run(process.execPath, args, { cwd: join(work, 'vitest'), timeoutMs: 90_000 })

    expect(result).toMatchObject({ exitCode: 0 })
    expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({ numPassedTests: 2, numFailedTests: 0 })
  })

  it('runs in node:test', async () => {
    const [code, ...others] = blocks('ts node:test')
    expect(others).toEqual([])
    write('node', 'example.test.ts', code!)

    const args = ['-C', 'source', '--test', '--test-reporter=tap', 'example.test.ts']
    const result = await run(process.execPath, args, { cwd: join(work, 'node'), timeoutMs: 60_000 })

    expect(result).toMatchObject({ exitCode: 0 })
    expect(result.stdout).toContain('# pass 1\n')
    expect(result.stdout).toContain('# fail 0\n')
  })

  it('runs in jest as ESM', async (context) => {
    const jest = await installJest()
    if (jest === null) {
      console.warn('skipped: jest cannot be installed here')
      context.skip()
      return
    }
    const [code, ...others] = blocks('ts jest')
    const [config, transform] = blocks('js')
    expect(others).toEqual([])
    write('jest', 'package.json', '{ "type": "module" }\n')
    write('jest', 'example.test.ts', code!)
    write('jest', 'strip-types.js', transform!)
    // What the guide says that a checkout needs, and where jest itself is to be found.
    const checkout = `{
      testEnvironmentOptions: { customExportConditions: ['source', 'node'] },
      modulePaths: [${JSON.stringify(join(jest, 'node_modules'))}],
    }`
    write('jest', 'given.js', config!)
    write('jest', 'jest.config.js', `import given from './given.js'\nexport default { ...given, ...${checkout} }\n`)

    const args = ['--experimental-vm-modules', join(jest, 'node_modules', 'jest', 'bin', 'jest.js'), '--json']
    const result = await run(process.execPath, args, { cwd: join(work, 'jest'), timeoutMs: 90_000 })

    expect(result).toMatchObject({ exitCode: 0 })
    expect(JSON.parse(result.stdout)).toMatchObject({ numPassedTests: 1, numFailedTests: 0 })
  })
})

/** A folder with jest in it, installed once per checkout; null where npm cannot get it. */
async function installJest(): Promise<string | null> {
  const folder = join(root, 'compat-tests', '.cache', `jest-${JEST}`)
  if (existsSync(folder)) return folder
  const unfinished = `${folder}.${process.pid}`
  mkdirSync(unfinished, { recursive: true })
  try {
    writeFileSync(join(unfinished, 'package.json'), '{ "private": true }\n')
    const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error', `jest@${JEST}`]
    const result = await run('npm', args, { cwd: unfinished, timeoutMs: 240_000 })
    if (result.exitCode !== 0) return null
    renameSync(unfinished, folder)
    return folder
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}
