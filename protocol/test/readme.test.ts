import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const protocol = fileURLToPath(new URL('..', import.meta.url))

it('the example in the README runs and prints what its comment says', { timeout: 20_000 }, () => {
  const [, example] = /```ts\n([^`]*)```/.exec(readFileSync(`${protocol}/README.md`, 'utf8'))!
  const [, printed] = /console\.log\(.*\) \/\/ (.*)/.exec(example!)!
  const flags = ['-C', 'source', '--input-type=module-typescript', '-e', example!]
  const { stdout, stderr } = spawnSync(process.execPath, flags, { cwd: protocol, encoding: 'utf8' })
  expect({ stdout, stderr }).toEqual({ stdout: `${printed}\n`, stderr: '' })
})
