import type { PrepareSerdeOptions, RemoteSerde, SerdeUse } from '../serdes/serde.ts'
import type { TopologyPlan } from '../topology/plan.ts'

export interface PrepareSerdesOptions extends PrepareSerdeOptions {
  /** Also for sending to the topics that the topology reads, as a test driver does. */
  readonly forDriver?: boolean
}

/**
 * Has the serdes of a topology fetch what they need: schema ids of what it writes, schemas of what it may read. `run`
 * does; a test with `testDriver`, or a program that uses such a serde by itself, awaits it first.
 */
export async function prepareSerdes(
  topology: { plan(): Pick<TopologyPlan, 'serdes'> },
  options: PrepareSerdesOptions = {},
): Promise<void> {
  const uses = new Map<RemoteSerde, SerdeUse[]>()
  for (const { serde, use: planned } of topology.plan().serdes) {
    const isSent = options.forDriver === true && planned.access === 'read'
    const use: SerdeUse = isSent ? { ...planned, access: 'write' } : planned
    for (const remote of serde.remotes ?? []) {
      const known = uses.get(remote)
      if (known === undefined) uses.set(remote, [use])
      else known.push(use)
    }
  }
  await Promise.all([...uses].map(([remote, own]) => remote.prepare(own, options)))
}
