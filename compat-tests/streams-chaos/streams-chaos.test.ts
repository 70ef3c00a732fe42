import { join } from 'node:path'
import { expect, it } from 'vitest'
import { brokerKind, run } from '../harness/index.ts'

const root = join(import.meta.dirname, '..', '..')
const command = ['--disable-warning=TimeoutNegativeWarning', '-C', 'source', 'bench/chaos/run.ts']

it('an exactly-once application has every result once while its workers and the broker are killed', async () => {
  const broker = brokerKind === 'kafka' ? 'kafka' : 'ours'
  const args = [...command, '--minutes', '0.3', '--every', '3', '--rate', '100', '--broker', broker]
  const result = await run(process.execPath, args, { cwd: root, timeoutMs: 280_000 })

  expect(result, result.stdout + result.stderr).toMatchObject({ exitCode: 0 })
  expect(result.stdout).toContain('chaos passed: every result exact')
}, 300_000)
