import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { deleteTopics, describeGroup } from '../client/admin.ts'
import { Cluster } from '../client/cluster.ts'
import { administrator, commitOffsets, EARLIEST, LATEST, listOffsets } from '../client/offsets.ts'
import type { ConnectionOptions } from '../client/platformatic-transport.ts'
import { partitionKey } from '../client/topic-partition.ts'
import { StreamsError } from '../errors.ts'
import type { RunnableTopology } from './app.ts'
import { internalTopicsOf } from './prepare.ts'

export interface ResetOptions extends ConnectionOptions {
  readonly brokers: readonly string[]
  /** From where the application reads its source topics again: `earliest` unless given, or a timestamp. */
  readonly to?: 'earliest' | 'latest' | { readonly timestampMs: number }
  /** The state directory of this machine; those of other instances are to be removed there. */
  readonly stateDir?: string
  /** Say what would be done and do nothing. */
  readonly dryRun?: boolean
}

export interface ResetReport {
  readonly deletedTopics: readonly string[]
  readonly offsets: readonly { readonly topic: string; readonly partition: number; readonly offset: number }[]
}

/**
 * Makes an application start anew: deletes its internal topics with all state in them, and sets its offsets in the
 * source topics. What it has written to its sink topics stays. Every instance must have been stopped.
 */
export async function resetApplication(
  topology: Pick<RunnableTopology, 'name' | 'plan'>,
  options: ResetOptions,
): Promise<ResetReport> {
  const { name } = topology
  const { to = 'earliest', dryRun = false, stateDir } = options
  await using cluster = await Cluster.connect(options)
  const { state, memberIds } = await describeGroup(cluster, name)
  if (memberIds.length > 0) {
    throw new StreamsError(
      'invalid-option',
      `${name} is running (group ${state} with ${memberIds.length} members): stop every instance before it is reset`,
    )
  }
  const all = await cluster.describeTopics(null)
  const deletedTopics = (await internalTopicsOf(cluster, name, all.keys())).toSorted()
  const partitions = topology
    .plan()
    .sourceTopics.flatMap((topic) => (all.get(topic)?.partitions ?? []).map(({ partition }) => ({ topic, partition })))
  const timestampMs = to === 'earliest' ? EARLIEST : to === 'latest' ? LATEST : to.timestampMs
  const found = await listOffsets(
    cluster,
    partitions.map((one) => ({ ...one, timestampMs })),
  )
  const offsets = partitions.map((one) => ({ ...one, offset: found.get(partitionKey(one.topic, one.partition))! }))
  if (dryRun) return { deletedTopics, offsets }

  await deleteTopics(cluster, deletedTopics)
  await commitOffsets(cluster, administrator(name), offsets)
  if (stateDir !== undefined) rmSync(join(stateDir, name), { recursive: true, force: true })
  return { deletedTopics, offsets }
}
