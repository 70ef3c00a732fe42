import { StreamsApp, type RunnableTopology } from './app.ts'
import type { RunOptions } from './options.ts'
import type { ThreadedApp } from './threads/threaded-app.ts'

/**
 * Starts a topology on a cluster.
 *
 *     await using app = await run(words, { brokers: ['localhost:9092'] })
 *
 * Fails before anything has started for what can be known then: no broker can be reached, topics are missing or not
 * co-partitioned, the topology does not fit the internal topics of an earlier run.
 *
 * With the module that exports the topology instead, `workers` are threads, and each can use a core of its own:
 *
 *     await using app = await run(new URL('./words.ts', import.meta.url), { brokers: ['localhost:9092'], workers: 4 })
 */
export function run(topology: RunnableTopology, options: RunOptions): Promise<StreamsApp>
export function run(module: URL, options: RunOptions): Promise<ThreadedApp>
export async function run(what: RunnableTopology | URL, options: RunOptions): Promise<StreamsApp | ThreadedApp> {
  if (!(what instanceof URL)) return StreamsApp.run(what, options)
  const { ThreadedApp: app } = await import('./threads/threaded-app.ts')
  return app.run(what, options)
}
