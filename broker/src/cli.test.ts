import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const bin = join(import.meta.dirname, '../bin/millrace.js')
let directory: string
const running: ChildProcessWithoutNullStreams[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-cli-'))
})
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  rmSync(directory, { recursive: true, force: true })
})

function run(...args: string[]) {
  const child = spawn(process.execPath, ['-C', 'source', bin, ...args], { cwd: directory })
  running.push(child)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (text) => (stdout += String(text)))
  child.stderr.on('data', (text) => (stderr += String(text)))
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  return { child, exit, stdout: () => stdout, stderr: () => stderr }
}

/** Starts a broker and resolves when it says that it listens. */
async function started(...args: string[]) {
  const broker = run('start', ...args)
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
    expect(broker.stdout()).toContain('written, not yet synced')
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

  it('refuses a second data directory, in which there may be partitions already', async () => {
    const text = await failure('start', '--port', '0', '--set', 'log.dirs=a,b')
    expect(text).toBe('millrace: log.dirs=a,b: one directory, as several are not there yet')
  })

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
