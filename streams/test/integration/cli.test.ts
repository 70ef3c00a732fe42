import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { main } from '../../src/cli.ts'
import { describeApps } from '../kit.ts'

const module = join(import.meta.dirname, '..', 'cli-topology.ts')
const bin = join(import.meta.dirname, '..', '..', 'bin', 'millrace-streams.js')

/** What a command prints, in this process. */
async function millraceStreams(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', '']
  const code = await main(args, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
  })
  return { code, stdout, stderr }
}

describeApps('the command line', (kit) => {
  it('runs a module until it is told to stop, shows its restore, and resets it', async () => {
    const name = uniqueName('cli')
    await kit.createTopics({ name: `${name}-in`, partitions: 1 }, { name: `${name}-out`, partitions: 1 })
    await kit.send(`${name}-in`, [{ key: 'a', value: '' }])
    const command = (...args: readonly string[]) => {
      const child = spawn(process.execPath, ['-C', 'source', bin, ...args, '--brokers', kit.brokers.join()], {
        env: { ...process.env, CLI_TEST_NAME: name },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const said = { stdout: '', stderr: '' }
      child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text))
      const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
      return { said, ended, stop: () => child.kill('SIGTERM') }
    }
    const running = command('run', module, '--commit-interval', '20ms')
    await until(async () => (await kit.read(`${name}-out`)).length === 1, { what: 'the result' })
    await until(() => running.said.stderr.includes('running'), { what: 'its state' })
    running.stop()
    expect(await running.ended).toBe(0)
    expect(running.said.stderr.split('\n')[0]).toMatch(/^(waiting|restor)/)
    expect(running.said.stderr).toContain('closed')

    const dry = command('reset', module, '--dry-run')
    expect(await dry.ended).toBe(0)
    expect(dry.said.stdout).toBe(`${name}-by-key-changelog would be deleted\n${name}-in-0 would be read from 0\n`)
    const reset = command('reset', module, '--to', 'latest')
    expect(await reset.ended).toBe(0)
    expect(reset.said.stdout).toBe(`${name}-by-key-changelog deleted\n${name}-in-0 read from 1\n`)
  })

  it('says in one line why an application does not start', async () => {
    const { code, stderr } = await millraceStreams('run', module, '--brokers', kit.brokers.join())
    expect(code).toBe(1)
    expect(stderr).toBe(
      "millrace-streams: words: 'words-in', 'words-out' do not exist; create them before the application starts\n",
    )
  })

  it('prints a topology as text and as a chart', async () => {
    expect((await millraceStreams('describe', module)).stdout).toMatch(/^Topologies:\n {3}Sub-topology: 0\n/)
    expect((await millraceStreams('describe', module, '--mermaid')).stdout).toMatch(/^(flowchart|graph) /)
  })

  it('says what it does not understand, and how it is meant', async () => {
    for (const [args, message] of [
      [['fly'], "there is no command 'fly'"],
      [['run'], 'say which module exports the topology'],
      [['run', module], '--brokers says where the cluster is'],
      [['run', module, '--brokers', 'a:1', '--guarantee', 'maybe'], '--guarantee maybe'],
      [['describe', module, '--colour'], "Unknown option '--colour'"],
      [['describe', module, 'twice'], "'twice' is one too many"],
      [['describe', '/nowhere.ts'], 'there is no module /nowhere.ts'],
      [['reset', module, '--brokers', 'a:1', '--to', 'yesterday'], '--to yesterday: earliest, latest, or a time'],
    ] as const) {
      const { code, stderr } = await millraceStreams(...args)
      expect(code).toBe(2)
      expect(stderr).toContain(message)
      expect(stderr).toContain('millrace-streams <command> <module>')
    }
    const { code, stderr } = await millraceStreams('describe', join(import.meta.dirname, '..', 'reading.ts'))
    expect([code, stderr]).toEqual([1, expect.stringContaining('exports no topology: export default')])
    expect((await millraceStreams('--help')).code).toBe(0)
  })
})
