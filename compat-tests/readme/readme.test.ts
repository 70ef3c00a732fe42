import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { brokerKind, run, start, startBroker, until } from '../harness/index.ts'

const root = join(import.meta.dirname, '..', '..')
// Below the repository, so that the examples find the packages that they import.
const work = join(root, 'compat-tests', '.cache', `readme-${process.pid}`)

/** The code blocks of a language, in order. */
function blocks(language: string): string[] {
  const text = readFileSync(join(root, 'README.md'), 'utf8')
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, code]) => code!)
}

/** kafkajs logs JSON to standard output. */
function isLogLine(line: string): boolean {
  return line.startsWith('{"level"')
}

// A newcomer copies these.
describe('the examples of the README', () => {
  const [testExample, kafkajsExample] = blocks('ts') as [string, string]

  beforeAll(() => void mkdirSync(work, { recursive: true }))
  afterAll(() => rmSync(work, { recursive: true, force: true }))

  it('are two: a test, and a program', () => {
    expect(blocks('ts').length).toBe(2)
    expect(testExample).toContain("from 'vitest'")
    expect(kafkajsExample).toContain("['127.0.0.1:9092']")
  })

  it.skipIf(brokerKind === 'kafka')('the test passes as it stands there', async () => {
    const config =
      "export default { resolve: { conditions: ['source'] }, ssr: { resolve: { conditions: ['source'] } } }\n"
    writeFileSync(join(work, 'vitest.config.ts'), config)
    writeFileSync(join(work, 'example.spec.ts'), testExample)
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')

    const report = join(work, 'report.json')
    const args = [vitest, 'run', '--root', work, '--reporter=json', `--outputFile=${report}`]
    const result = await run(process.execPath, args, { cwd: work, timeoutMs: 90_000 })

    expect(result).toMatchObject({ exitCode: 0 })
    expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({ numPassedTests: 1, numFailedTests: 0 })
  })

  it('the program prints what it produced', async () => {
    const broker = await startBroker()
    const program = join(work, 'example.ts')
    writeFileSync(program, kafkajsExample.replace('127.0.0.1:9092', broker.bootstrap))
    const running = start(process.execPath, [program], { cwd: work })
    try {
      // It consumes until it is stopped.
      const printed = (): string[] => running.stdout.split('\n').filter((line) => line !== '' && !isLogLine(line))
      await until(() => printed().length > 0, { what: 'greeting' })
      expect(printed()).toEqual(['0 en: hello'])
    } finally {
      await running.stop('SIGKILL')
      await broker.stop()
    }
  })
})
