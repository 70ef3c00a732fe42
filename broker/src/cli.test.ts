import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { apis } from '@millrace/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { requestFrame } from './testing/wire-client.ts'

const bin = join(import.meta.dirname, '../bin/millrace.js')
let directory: string
const children: ChildProcessWithoutNullStreams[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-cli-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  rmSync(directory, { recursive: true, force: true })
})

function run(...args: string[]) {
  return running(process.execPath, ['-C', 'source', bin, ...args])
}

function running(command: string, args: readonly string[]) {
  const child = spawn(command, args, { cwd: directory })
  children.push(child)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (text) => (stdout += String(text)))
  child.stderr.on('data', (text) => (stderr += String(text)))
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  return { child, exit, stdout: () => stdout, stderr: () => stderr }
}

/** Starts a broker and resolves when it says that it listens. */
async function started(...args: string[]) {
  return listening(run('start', ...args))
}

async function listening(broker: ReturnType<typeof run>) {
  await expect.poll(() => broker.stdout() + broker.stderr(), { timeout: 10_000 }).toMatch(/listens on|millrace:/)
  const port = Number(/listens on 127\.0\.0\.1:(\d+)/.exec(broker.stdout())?.[1])
  return { ...broker, port }
}

async function failure(...args: string[]): Promise<string> {
  const command = run(...args)
  expect(await command.exit).toBe(1)
  return command.stderr().trim()
}

describe('millrace start', () => {
  it('listens, says where its data is and what an acknowledgement means, and stops on SIGTERM with 0', async () => {
    const broker = await started('--port', '0', '--data', join(directory, 'data'))
    expect(broker.stdout()).toContain(join(directory, 'data'))
    expect(broker.stdout()).toContain('an acknowledged record is synced to disk;')
    const socket = connect(broker.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.destroy()
    broker.child.kill('SIGTERM')
    expect(await broker.exit).toBe(0)
  })

  it('takes settings from a file, the environment and --set, the last of these first', async () => {
    const file = join(directory, 'server.properties')
    writeFileSync(file, 'num.partitions=3\nlog.retention.hours=1\n')
    const broker = await started(
      '--port',
      '0',
      '--memory',
      '--config',
      file,
      '--set',
      'num.partitions=4',
      '--set',
      'nmu.partitions=1',
    )
    expect(broker.stderr()).toContain('unknown setting nmu.partitions is ignored; did you mean num.partitions?')
    expect(broker.stderr().match(/unknown setting/g)).toHaveLength(1)
  })

  it('says in one sentence that a port is in use', async () => {
    const first = await started('--port', '0', '--memory')
    const text = await failure('start', '--port', String(first.port), '--memory')
    expect(text).toBe(`millrace: port ${first.port} on 127.0.0.1 is in use by another program`)
  })

  it('says in one sentence that a data directory is locked', async () => {
    const data = join(directory, 'data')
    await started('--port', '0', '--data', data)
    const text = await failure('start', '--port', '0', '--data', data)
    expect(text).toMatch(/^millrace: .*data.*$/)
    expect(text).toContain('is in use by')
  })

  it('says in one sentence that a data directory cannot be written', async () => {
    const file = join(directory, 'file')
    writeFileSync(file, '')
    expect(await failure('start', '--port', '0', '--data', join(file, 'data'))).toMatch(
      /^millrace: .*file\/data.*ENOTDIR$/,
    )
    if (process.getuid?.() === 0) return
    chmodSync(directory, 0o500)
    expect(await failure('start', '--port', '0', '--data', join(directory, 'data'))).toMatch(/^millrace: .*EACCES$/)
    chmodSync(directory, 0o700)
  })

  it.each([
    [['--memory'], 'data in memory; an acknowledged record is in memory, and gone with the process;'],
    [['--set', 'acks.after=write'], 'an acknowledged record is written, not yet synced to disk ('],
    [
      ['--set', 'acks.after=write', '--set', 'log.flush.interval.ms=250'],
      'an acknowledged record is written, and synced to disk within 250 ms (',
    ],
    [['--set', 'log.dirs=a,b'], 'data in a, b; '],
  ])('says what it promises with %j', async (args, promise) => {
    const broker = await started('--port', '0', ...args)
    expect(broker.stdout()).toContain(promise)
  })

  it.skipIf(process.platform !== 'linux')('S16: warns of a limit of open files that is soon reached', async () => {
    const node = [process.execPath, '-C', 'source', bin, 'start', '--port', '0', '--memory']
    const broker = await listening(running('bash', ['-c', 'ulimit -n 700; exec "$@"', 'bash', ...node]))
    expect(broker.stderr()).toContain('this process may have 700 files open: logs take up to 512')
  })

  // A limit of the shell on the size of files is the one way to make a write fail that needs no rights.
  it.skipIf(process.platform === 'win32')(
    'S9: answers a write that failed and exits with 1, in one sentence',
    async () => {
      const script = `trap '' XFSZ; ulimit -f 16; exec "$@"`
      const node = [process.execPath, '-C', 'source', bin, 'start', '--port', '0', '--data', join(directory, 'data')]
      const broker = await listening(running('bash', ['-c', script, 'bash', ...node]))
      const socket = connect(broker.port, '127.0.0.1')
      await once(socket, 'connect')
      const topic = { name: 't', numPartitions: 1000, replicationFactor: 1, assignments: [], configs: [] }
      socket.write(requestFrame(apis.createTopics, 7, 1, { topics: [topic], timeoutMs: 0 }))
      const [answer] = (await once(socket, 'data')) as [Buffer]
      expect(answer.includes(Buffer.from('the metadata log failed: EFBIG'))).toBe(true)
      expect(await broker.exit).toBe(1)
      expect(broker.stderr()).toMatch(/^millrace: append to .*__cluster_metadata-0.*: EFBIG$/m)
      socket.destroy()
    },
  )

  it.each([
    [['start', '--prot', '1'], '--prot'],
    [['start', '--port', 'x'], '--port'],
    [['start', '--port', '70000'], '65535'],
    [['start', '--set', 'num.partitions'], 'num.partitions'],
    [['start', '--set', 'num.partitions=lots'], 'num.partitions=lots'],
    [['start', '--config', 'nowhere.properties'], 'nowhere.properties'],
    [['strat'], 'strat'],
  ])('exits with 1 and names what is wrong: %j', async (args, named) => {
    expect(await failure(...args)).toContain(named)
  })
})
