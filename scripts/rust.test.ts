// The checks of the Rust workspace, where there is a cargo: formatting, lints and its own tests.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')
const hasCargo = spawnSync('cargo', ['clippy', '--version']).status === 0
if (!hasCargo) console.log('the Rust workspace is not checked: there is no cargo with clippy')

/** The first run compiles everything; cargo knows afterwards that nothing has changed. */
const TIMEOUT_MS = 10 * 60_000

describe.skipIf(!hasCargo)('the Rust workspace', () => {
  it(
    'is formatted, has no lint and passes its tests',
    () => {
      const checked = spawnSync('npm', ['run', '--silent', 'check:rust'], {
        cwd: root,
        encoding: 'utf8',
        timeout: TIMEOUT_MS,
        shell: process.platform === 'win32',
      })
      expect(checked.status, `${checked.stdout}${checked.stderr}`).toBe(0)
      expect(checked.stdout).toMatch(/test result: ok\. [1-9]/)
    },
    TIMEOUT_MS + 10_000,
  )
})
