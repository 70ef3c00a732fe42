import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
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
  const [testExample, kafkajsExample, streamsExample] = blocks('ts') as [string, string, string]

  beforeAll(() => void mkdirSync(work, { recursive: true }))
  afterAll(() => rmSync(work, { recursive: true, force: true }))

  it('are three: a test, a program, and a stream job', () => {
    expect(blocks('ts').length).toBe(3)
    expect(testExample).toContain("from 'vitest'")
    for (const example of [kafkajsExample, streamsExample]) expect(example).toContain("['127.0.0.1:9092']")
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

  it('the stream job counts the words that are produced', async () => {
    const broker = await startBroker()
    const kafka = new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING })
    const admin = kafka.admin()
    const producer = kafka.producer()
    const consumer = kafka.consumer({ groupId: 'reader' })
    const clients = [admin, producer, consumer]
    await Promise.all(clients.map((client) => client.connect()))
    await admin.createTopics({ topics: ['lines', 'counts'].map((topic) => ({ topic, numPartitions: 2 })) })
    const program = join(work, 'job.ts')
    writeFileSync(
      program,
      streamsExample.replace('127.0.0.1:9092', broker.bootstrap) +
        '\nawait new Promise(() => setInterval(() => app.metrics(), 1000))\n',
    )
    const running = start(process.execPath, ['-C', 'source', program], { cwd: work })
    try {
      await producer.send({ topic: 'lines', messages: [{ key: '1', value: 'To be or not to be' }] })
      const counts = new Map<string, bigint>()
      await consumer.subscribe({ topic: 'counts', fromBeginning: true })
      await consumer.run({
        eachMessage: ({ message }) =>
          Promise.resolve(void counts.set(message.key!.toString(), message.value!.readBigInt64BE())),
      })
      await until(() => counts.get('be') === 2n && counts.size === 4, { what: 'counts of all words' })
      expect(Object.fromEntries(counts)).toEqual({ to: 2n, be: 2n, or: 1n, not: 1n })
    } finally {
      await running.stop('SIGKILL')
      await Promise.all(clients.map((client) => client.disconnect()))
      await broker.stop()
    }
  })
})
