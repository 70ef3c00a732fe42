import { StreamsApp, type RunnableTopology } from './app.ts'
import type { RunOptions } from './options.ts'

/**
 * Starts a topology on a cluster.
 *
 *     await using app = await run(words, { brokers: ['localhost:9092'] })
 *
 * Fails before anything has started for what can be known then: no broker can be reached, topics are missing or not
 * co-partitioned, the topology does not fit the internal topics of an earlier run.
 */
export function run(topology: RunnableTopology, options: RunOptions): Promise<StreamsApp> {
  return StreamsApp.run(topology, options)
}
