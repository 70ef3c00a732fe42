import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { check } from '../../broker/src/testing/simulation/checker.ts'
import { History } from '../../broker/src/testing/simulation/history.ts'
import { brokerKind, until } from '../harness/index.ts'
import { freePorts } from '../harness/real-kafka.ts'
import { startBrokerOn } from './broker-process.ts'
import { createTopic, kafkaOn, readAll, TOPIC } from './clients.ts'

/** How many calls are let fail, each in a broker of its own: `FAULTS=200` for a long run. */
const faultCount = Number(process.env['FAULTS'] ?? 5)
const hasCompiler = process.platform === 'linux' && spawnSync('gcc', ['--version'], { stdio: 'ignore' }).status === 0
const reason = brokerKind === 'kafka' ? 'about this broker alone' : hasCompiler ? null : 'needs gcc on Linux'

describe.skipIf(reason !== null)(`calls to the system that fail${reason === null ? '' : `: ${reason}`}`, () => {
  let workDir = ''
  let shim = ''
  beforeAll(() => {
    workDir = mkdtempSync(join(tmpdir(), 'faults-'))
    shim = join(workDir, 'shim.so')
    const args = ['-shared', '-fPIC', '-O1', '-o', shim, join(import.meta.dirname, 'shim.c'), '-ldl']
    const { status, stderr } = spawnSync('gcc', args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
  })
  afterAll(() => rmSync(workDir, { recursive: true, force: true }))

  // Every third: the first are those of the start, those behind acknowledge records.
  const numbers = Array.from({ length: faultCount }, (_, i) => (faultCount < 50 ? 3 * i + 3 : i + 1))

  it.each(numbers)(
    'a sync that fails, number %i: nothing is acknowledged after it, and nothing before is lost',
    async (n) => {
      const { history, ended } = await live({ FAIL_SYNC: String(n) })
      expect(check(history)).toEqual([])
      // It has no directory left, and says so.
      expect(ended).not.toBe(0)
    },
  )

  it.each(numbers)('a write that finds no room, number %i: nothing acknowledged is lost', async (n) => {
    const { history } = await live({ FAIL_WRITE: String(n) })
    expect(check(history)).toEqual([])
  })

  it('writes that are all short: nothing is lost, and nobody notices', async () => {
    const { history } = await live({ SHORT_WRITES: '1' })
    expect(check(history)).toEqual([])
    expect(history.sends.filter(({ outcome }) => outcome === 'acknowledged')).toHaveLength(RECORDS)
  })

  const RECORDS = 30

  /** A broker with the fault that takes records until it fails or has all, then one without over the same directory. */
  async function live(fault: Readonly<Record<string, string>>) {
    const dataDir = mkdtempSync(join(workDir, 'data-'))
    const [port] = await freePorts(1)
    const history = new History()
    const broker = await startBrokerOn(dataDir, port!, { LD_PRELOAD: shim, ...fault })
    if (!broker.hasEnded) await send(port!, history)
    const isSync = fault['FAIL_SYNC'] !== undefined
    if (isSync) await until(() => broker.hasEnded, { what: 'end of a broker without a directory', timeoutMs: 20_000 })
    const { exitCode } = await broker.stop('SIGKILL')

    const after = await startBrokerOn(dataDir, port!)
    try {
      if (await createTopic(port!)) history.finals.push(await readAll(port!))
    } finally {
      await after.stop('SIGKILL')
    }
    expect(history.finals).toHaveLength(1)
    return { history, ended: exitCode }
  }

  async function send(port: number, history: History): Promise<void> {
    if (!(await createTopic(port))) return
    const producer = kafkaOn(port).producer()
    try {
      await producer.connect()
      for (let i = 0; i < RECORDS; i++) {
        const at = { topic: TOPIC, partition: 0 }
        const value = `record ${i}`
        const noted = history.send({ ...at, producer: 'p', isIdempotent: false, value, key: null, startMs: i * 10 })
        const [answer] = await producer.send({ topic: TOPIC, messages: [{ value, partition: 0 }] })
        Object.assign(noted, { outcome: 'acknowledged', offset: Number(answer!.baseOffset), endMs: i * 10 + 5 })
      }
    } catch {
      // What was under way is unknown, and nothing follows it.
    } finally {
      await producer.disconnect()
    }
  }
})
