import { apis, ErrorCode } from '@millrace/protocol'
import { createTopics, type NewTopic } from '../client/admin.ts'
import type { Cluster, TopicMetadata } from '../client/cluster.ts'
import { committedOffsets } from '../client/offsets.ts'
import { StreamsError } from '../errors.ts'
import type { TopologyPlan } from '../topology/plan.ts'
import type { InternalTopic, SubTopology } from '../topology/task-topology.ts'
import type { AssignableTask } from './assignor.ts'
import { taskId } from './task-id.ts'

/** What an application is made of once its topology has met its topics. */
export interface Plan {
  readonly subTopologies: readonly SubTopology[]
  readonly tasks: readonly AssignableTask[]
  /** Partitions of every topic that the topology reads or writes by name. */
  readonly partitionCounts: ReadonlyMap<string, number>
  readonly repartitionTopics: ReadonlySet<string>
  /** Every topic that feeds a task. */
  readonly sourceTopics: readonly string[]
}

export interface PrepareOptions {
  readonly applicationId: string
  readonly topology: TopologyPlan
  readonly replicationFactor: number
  /** Those of the application's own handlers. */
  readonly deadLetterTopics: readonly string[]
  /** Start although internal topics of the application are there that the topology has no use for. */
  readonly allowsOrphans: boolean
  readonly signal?: AbortSignal
}

/**
 * Checks that the topology can run on the topics that there are, and creates the internal ones that are missing.
 * Everything that can be known before the start is found here, and said in one error.
 */
export async function prepare(cluster: Cluster, options: PrepareOptions): Promise<Plan> {
  const { applicationId, signal } = options
  const { subTopologies } = options.topology
  const internal = internalTopics(subTopologies)
  const external = new Set(
    [
      ...subTopologies.flatMap(({ sourceTopics, sinkTopics }) => [...sourceTopics, ...sinkTopics]),
      ...options.topology.deadLetterTopics,
      ...options.deadLetterTopics,
    ].filter((topic) => !internal.has(topic)),
  )
  const known = await cluster.retry(() => cluster.describeTopics([...external, ...internal.keys()], signal), { signal })
  const missing = [...external].filter((topic) => !known.has(topic))
  if (missing.length > 0) {
    throw new StreamsError(
      'unknown-topic',
      `${applicationId}: ${quoted(missing)} ${missing.length === 1 ? 'does' : 'do'} not exist; create ${missing.length === 1 ? 'it' : 'them'} before the application starts`,
    )
  }
  const counts = new Map([...external].map((topic) => [topic, known.get(topic)!.partitions.length]))
  checkCopartitioned(options, counts, internal)
  const needed = neededCounts(options, counts, internal)
  checkExisting(applicationId, needed, known)
  if (!options.allowsOrphans) await checkOrphans(cluster, options, internal)

  const created: NewTopic[] = [...internal.values()]
    .filter(({ name }) => !known.has(name))
    .map(({ name, configs }) => ({
      name,
      partitions: needed.get(name)!,
      replicationFactor: options.replicationFactor,
      configs,
    }))
  await createTopics(cluster, created, { signal })
  // Another instance may have been faster, with another topology.
  checkExisting(
    applicationId,
    needed,
    await cluster.describeTopics(
      created.map(({ name }) => name),
      signal,
    ),
  )

  const tasks = subTopologies.flatMap((subTopology) => tasksOf(subTopology, needed))
  const sourceTopics = new Set(subTopologies.filter(({ isGlobal }) => !isGlobal).flatMap((one) => one.sourceTopics))
  const repartitionTopics = new Set(
    [...internal.values()].filter(({ kind }) => kind === 'repartition').map(({ name }) => name),
  )
  return { subTopologies, tasks, partitionCounts: needed, repartitionTopics, sourceTopics: [...sourceTopics] }
}

function internalTopics(subTopologies: readonly SubTopology[]): Map<string, InternalTopic> {
  const topics = subTopologies.flatMap(({ repartitionTopics, changelogTopics }) => [
    ...repartitionTopics,
    ...changelogTopics,
  ])
  return new Map(topics.map((topic) => [topic.name, topic]))
}

function tasksOf(
  { id, isGlobal, sourceTopics, stores }: SubTopology,
  counts: ReadonlyMap<string, number>,
): AssignableTask[] {
  if (isGlobal) return []
  const partitions = Math.max(0, ...sourceTopics.map((topic) => counts.get(topic)!))
  const isStateful = stores.some(({ hasChangelog }) => hasChangelog)
  return Array.from({ length: partitions }, (_, partition) => ({ id: taskId(id, partition), isStateful }))
}

/** P1: what is joined must have the same number of partitions, or equal keys would not meet. */
function checkCopartitioned(
  { applicationId, topology: { copartitioned } }: PrepareOptions,
  counts: ReadonlyMap<string, number>,
  internal: ReadonlyMap<string, InternalTopic>,
): void {
  for (const group of copartitioned) {
    const sized = group.flatMap((topic) => {
      const count = counts.get(topic) ?? internal.get(topic)?.partitionCount ?? null
      return count === null ? [] : [{ topic, count }]
    })
    if (new Set(sized.map(({ count }) => count)).size <= 1) continue
    const facts = sized.map(({ topic, count }) => `${topic} has ${count}`).join(', ')
    throw new StreamsError(
      'not-copartitioned',
      `${applicationId}: topics that are joined need the same number of partitions, but ${facts}; ` +
        'repartition one of them with .repartition({ partitions }) or give the topics the same number',
    )
  }
}

/** The number of partitions of every topic; those of repartition topics follow from what is joined and written. */
function neededCounts(
  { topology: { copartitioned, subTopologies } }: PrepareOptions,
  external: ReadonlyMap<string, number>,
  internal: ReadonlyMap<string, InternalTopic>,
): Map<string, number> {
  const counts = new Map(external)
  for (const { name, partitionCount } of internal.values())
    if (partitionCount !== null) counts.set(name, partitionCount)
  for (let isChanging = true; isChanging;) {
    isChanging = false
    for (const { name, kind } of internal.values()) {
      if (kind !== 'repartition' || counts.has(name)) continue
      const partners = copartitioned.filter((group) => group.includes(name)).flat()
      const joined = partners.map((topic) => counts.get(topic)).filter((count) => count !== undefined)
      const writers = subTopologies.filter(({ sinkTopics }) => sinkTopics.includes(name))
      const sources = writers.flatMap(({ sourceTopics }) => sourceTopics.map((topic) => counts.get(topic)))
      const isKnown = sources.length > 0 && sources.every((count) => count !== undefined)
      const count = joined[0] ?? (isKnown ? Math.max(...(sources as number[])) : null)
      if (count === null) continue
      counts.set(name, count)
      isChanging = true
    }
  }
  // Two repartition topics that are joined were counted on their own: the wider one decides for both.
  for (const group of copartitioned) {
    const widest = Math.max(...group.map((topic) => counts.get(topic) ?? 0))
    for (const topic of group) if (internal.get(topic)?.partitionCount === null) counts.set(topic, widest)
  }
  for (const { sourceTopics, changelogTopics } of subTopologies) {
    const widest = Math.max(1, ...sourceTopics.map((topic) => counts.get(topic) ?? 1))
    for (const { name, partitionCount } of changelogTopics) counts.set(name, partitionCount ?? widest)
  }
  for (const { name } of internal.values()) {
    if (!counts.has(name))
      throw new StreamsError('invalid-topology', `nothing writes to ${name}, so it has no number of partitions`)
  }
  return counts
}

/** P4: an internal topic of another width belongs to another topology, and its state to other partitions. */
function checkExisting(
  applicationId: string,
  needed: ReadonlyMap<string, number>,
  known: ReadonlyMap<string, TopicMetadata>,
): void {
  const changes = [...known.values()].flatMap(({ name, partitions }) => {
    const count = needed.get(name)
    return count === undefined || count === partitions.length
      ? []
      : [`${name} has ${partitions.length} partitions and needs ${count}`]
  })
  if (changes.length === 0) return
  throw new StreamsError(
    'topology-changed',
    `${applicationId}: the topics of the application do not fit its topology: ${changes.join('; ')}. ` +
      'Go back to the earlier topology or source topics, or reset the application and start anew',
  )
}

/** P4: internal topics that nothing uses any more hold the state of what has been renamed or removed. */
async function checkOrphans(
  cluster: Cluster,
  { applicationId, topology: { subTopologies, generatedNames }, signal }: PrepareOptions,
  internal: ReadonlyMap<string, InternalTopic>,
): Promise<void> {
  const all = await cluster.describeTopics(null, signal)
  const orphans = (await internalTopicsOf(cluster, applicationId, all.keys(), signal)).filter(
    (topic) => !internal.has(topic),
  )
  if (orphans.length === 0) return
  const known = new Set(all.keys())
  const added = [...internal.keys()].filter((topic) => !known.has(topic))
  const committed = await committedOffsets(cluster, applicationId, null, { signal })
  const read = new Set(subTopologies.flatMap(({ sourceTopics }) => sourceTopics))
  const unread = new Set(
    [...committed.keys()].map((key) => key.slice(0, key.lastIndexOf('/'))).filter((topic) => !read.has(topic)),
  )
  const difference = [
    ...orphans.map((topic) => `- ${topic}`),
    ...[...unread].filter((topic) => !orphans.includes(topic)).map((topic) => `- ${topic} (was a source)`),
    ...added.map((topic) => `+ ${topic}`),
  ]
  throw new StreamsError(
    'topology-changed',
    `${applicationId}: the topology has changed over existing state:\n${difference.join('\n')}\n` +
      hintOf(generatedNames) +
      'Name what was renamed as it was before, reset the application to start anew, ' +
      "or run with onTopologyChange: 'ignore' to leave the old topics behind",
  )
}

function hintOf(generatedNames: readonly string[]): string {
  if (generatedNames.length === 0) return ''
  return `Names like ${generatedNames[0]} are generated by position and change with the topology: give the operators names. `
}

/** Those of `topics` that are internal ones of the application, by their names. */
export async function internalTopicsOf(
  cluster: Cluster,
  applicationId: string,
  topics: Iterable<string>,
  signal?: AbortSignal,
): Promise<string[]> {
  const candidates = [...topics].filter(
    (topic) =>
      topic.startsWith(`${applicationId}-`) && (topic.endsWith('-changelog') || topic.endsWith('-repartition')),
  )
  if (candidates.length === 0) return []
  // 'orders' must not claim the topics of 'orders-archive'.
  const others = await longerGroups(cluster, applicationId, signal)
  return candidates.filter((topic) => !others.some((group) => topic.startsWith(`${group}-`)))
}

async function longerGroups(cluster: Cluster, applicationId: string, signal?: AbortSignal): Promise<string[]> {
  const groups: string[] = []
  for (const node of cluster.brokerIds) {
    const response = await cluster.request(node, apis.listGroups, {}, { signal })
    if (response.errorCode !== ErrorCode.none) continue
    groups.push(...response.groups.map(({ groupId }) => groupId))
  }
  return groups.filter((group) => group.startsWith(`${applicationId}-`))
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ')
}
