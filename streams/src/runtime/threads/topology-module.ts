import { StreamsError } from '../../errors.ts'
import type { RunnableTopology } from '../app.ts'

/** A topology as a module exports it; by its shape, because the module may have a library of its own. */
export interface ExportedTopology extends RunnableTopology {
  mermaid(): string
}

/** The topology among the exports of a module: its default, or the only one. */
export async function importTopology(url: string): Promise<ExportedTopology> {
  const found = (await import(url)) as Record<string, unknown>
  if (isTopology(found['default'])) return found['default']
  const all = Object.values(found).filter(isTopology)
  if (all.length === 1) return all[0]!
  const what = all.length === 0 ? 'no topology' : `${all.length} topologies, and none as its default`
  throw new StreamsError('invalid-option', `${url} exports ${what}: export default the one that is meant`)
}

function isTopology(value: unknown): value is ExportedTopology {
  if (typeof value !== 'object' || value === null) return false
  const { name, plan, instantiate } = value as Partial<ExportedTopology>
  return typeof name === 'string' && typeof plan === 'function' && typeof instantiate === 'function'
}
