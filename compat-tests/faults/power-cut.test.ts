import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { check } from '../../broker/src/testing/simulation/checker.ts'
import { History, type Send } from '../../broker/src/testing/simulation/history.ts'
import { brokerKind, until } from '../harness/index.ts'
import { freePorts } from '../harness/real-kafka.ts'
import { startBrokerOn } from './broker-process.ts'
import { createTopic, kafkaOn, readAll, TOPIC } from './clients.ts'

/** How often the power goes: `CUTS=500` for a long run. */
const cutCount = Number(process.env['CUTS'] ?? 5)
const IMAGE_MIB = 96

/** Why no file system can be made here for the test, or null. */
function missing(): string | null {
  if (brokerKind === 'kafka') return 'about this broker alone'
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux'
  for (const tool of ['mkfs.ext4', 'losetup', 'mount']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `needs ${tool}`
  }
  return spawnSync('losetup', ['-f']).status === 0 ? null : 'needs loop devices'
}

function succeed(command: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
}

const reason = missing()

describe.skipIf(reason !== null)(`a machine that loses power${reason === null ? '' : `: ${reason}`}`, () => {
  it('has all that acks.after=fsync acknowledged, on ext4', { timeout: 60_000 + cutCount * 20_000 }, async () => {
    const workDir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'power-cut-'))
    const image = join(workDir, 'disk.img')
    const mounted = join(workDir, 'mounted')
    const afterwards = join(workDir, 'afterwards')
    for (const path of [mounted, afterwards]) mkdirSync(path)
    succeed('truncate', '-s', `${IMAGE_MIB}M`, image)
    succeed('mkfs.ext4', '-q', image)
    succeed('mount', '-o', 'loop', image, mounted)
    const [port, otherPort] = await freePorts(2)
    try {
      const broker = await startBrokerOn(join(mounted, 'data'), port!)
      const writing = write(port!)
      try {
        expect(await writing.started).toBe(true)
        for (let cut = 0; cut < cutCount; cut++) {
          const wanted = writing.acknowledgedCount() + 1 + Math.floor(Math.random() * 40)
          await until(() => writing.acknowledgedCount() >= wanted, { what: `${wanted} acknowledgements` })
          // What the file holds now is what a disk would: the rest is in the memory of the machine.
          process.kill(broker.pid, 'SIGSTOP')
          const history = writing.soFar()
          succeed('cp', '--sparse=always', image, `${image}.cut`)
          process.kill(broker.pid, 'SIGCONT')
          expect(await readCut(`${image}.cut`, afterwards, otherPort!, history)).toEqual([])
        }
      } finally {
        await writing.stop()
        await broker.stop('SIGKILL')
      }
    } finally {
      spawnSync('umount', [mounted])
      rmSync(workDir, { recursive: true, force: true })
    }
  })
})

/** Starts a broker over what the cut left, and judges what it has. */
async function readCut(image: string, directory: string, port: number, history: History) {
  succeed('mount', '-o', 'loop', image, directory)
  try {
    const broker = await startBrokerOn(join(directory, 'data'), port)
    try {
      history.finals.push(await readAll(port))
      return check(history)
    } finally {
      await broker.stop('SIGKILL')
    }
  } finally {
    succeed('umount', directory)
  }
}

/** Four producers that write one record after the other until they are stopped. */
function write(port: number) {
  const sends: Send[] = []
  const history = new History()
  let isStopping = false
  let acknowledged = 0
  const started = createTopic(port)
  const one = async (producer: string): Promise<void> => {
    if (!(await started)) return
    const client = kafkaOn(port).producer()
    await client.connect()
    for (let i = 0; !isStopping; i++) {
      const at = { topic: TOPIC, partition: 0, producer, isIdempotent: false, key: null }
      const send = history.send({ ...at, value: `${producer}:${i}`, startMs: performance.now() })
      sends.push(send)
      const [answer] = await client.send({ topic: TOPIC, messages: [{ value: send.value, partition: 0 }] })
      acknowledged++
      Object.assign(send, { outcome: 'acknowledged', offset: Number(answer!.baseOffset), endMs: performance.now() })
    }
    await client.disconnect()
  }
  const written = Promise.all([1, 2, 3, 4].map((n) => one(`p${n}`)))
  written.catch(() => {})
  return {
    started,
    acknowledgedCount: () => acknowledged,
    soFar() {
      const copy = new History()
      for (const send of sends) copy.sends.push({ ...send })
      return copy
    },
    async stop() {
      isStopping = true
      await written
    },
  }
}
