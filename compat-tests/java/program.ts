import { uniqueName } from '../harness/index.ts'
import type { ToolShell } from './tool-shell.ts'

/** Runs one theme of a program in `src/` and returns what it saw, by the name of what it looked at. */
export async function observe(
  shell: Pick<ToolShell, 'run'>,
  program: 'AdminThemes' | 'ClientThemes' | 'TransactionThemes',
  theme: string,
  bootstrap: string,
): Promise<Record<string, unknown>> {
  const result = await shell.run(program, [theme, bootstrap, uniqueName(theme)])
  if (result.exitCode !== 0)
    throw new Error(`${theme} ended with ${result.exitCode}:\n${result.stdout}${result.stderr}`)
  const lines = result.stdout.trim().split('\n')
  return Object.assign({}, ...lines.map((line) => JSON.parse(line) as object)) as Record<string, unknown>
}
