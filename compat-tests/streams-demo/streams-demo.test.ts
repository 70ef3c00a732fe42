import { join } from 'node:path'
import { expect, it } from 'vitest'
import { brokerKind, run, startBroker } from '../harness/index.ts'

const root = join(import.meta.dirname, '..', '..')
const command = ['--disable-warning=TimeoutNegativeWarning', '-C', 'source', 'bench/demo-streams.ts']

it('the demo of streams is killed half-way and writes what plain loops over the file compute', async () => {
  // Without an argument the demo starts the broker itself, which is what a newcomer runs.
  const broker = brokerKind === 'kafka' ? await startBroker() : null
  try {
    const args = broker === null ? command : [...command, '--bootstrap', broker.bootstrap]
    const result = await run(process.execPath, args, { cwd: root, timeoutMs: 150_000 })

    expect(result).toMatchObject({ exitCode: 0, stderr: '' })
    expect(result.stdout).toContain('killed with -9 after')
    expect(result.stdout.trimEnd().split('\n').at(-1)).toBe(
      'demo passed: 20,000 flights, killed half-way, nothing lost: 27,377 windows, 8,457 sessions, 67 late',
    )
  } finally {
    await broker?.stop()
  }
}, 180_000)

it('the demo of streams says in one sentence that there is no broker and exits with 1', async () => {
  const result = await run(process.execPath, [...command, '--bootstrap', '127.0.0.1:1'], {
    cwd: root,
    timeoutMs: 90_000,
  })

  expect(result.exitCode).toBe(1)
  expect(result.stderr).toMatch(/^demo failed: .*ECONNREFUSED.*\n$/)
})
