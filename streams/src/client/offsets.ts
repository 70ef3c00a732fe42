import { apis, ErrorCode, type Input } from '@millrace/protocol'
import type { Cluster } from './cluster.ts'
import { KafkaError } from './errors.ts'
import type { Isolation } from './fetcher.ts'
import type { RetryOptions } from './retry.ts'
import { byTopic, partitionKey, partitionName, type TopicPartition } from './topic-partition.ts'

export const EARLIEST = -2
export const LATEST = -1

const MANY_GROUPS_VERSION = 8
/** From the next one on, topics go by their ids. */
const NAMED_VERSION = 9

export interface PartitionOffset extends TopicPartition {
  readonly offset: number
  /** A text of the committer's own, kept with a committed offset. */
  readonly metadata?: string
}

/**
 * The offset of the first record at or after a timestamp, or of EARLIEST or LATEST, by `partitionKey`. A timestamp
 * beyond the last record gives the end of the partition.
 */
export async function listOffsets(
  cluster: Cluster,
  partitions: readonly (TopicPartition & { readonly timestampMs: number })[],
  options: RetryOptions & { readonly isolation?: Isolation } = {},
): Promise<Map<string, number>> {
  const offsets = new Map<string, number>()
  const isolationLevel = options.isolation === 'read-committed' ? 1 : 0
  await cluster.watch(new Set(partitions.map(({ topic }) => topic)), options.signal)
  const askMissing = async (): Promise<void> => {
    const byLeader = new Map<number, (typeof partitions)[number][]>()
    for (const one of partitions) {
      if (offsets.has(partitionKey(one.topic, one.partition))) continue
      const leader = cluster.leaderOf(one.topic, one.partition)
      const same = byLeader.get(leader)
      if (same === undefined) byLeader.set(leader, [one])
      else same.push(one)
    }
    for (const [leader, wanted] of byLeader) {
      if (leader < 0) throw new KafkaError('ListOffsets', ErrorCode.leaderNotAvailable, partitionName(wanted[0]!))
    }
    await Promise.all([...byLeader].map(([leader, wanted]) => ask(leader, wanted)))
  }
  const ask = async (leader: number, wanted: (typeof partitions)[number][]): Promise<void> => {
    const body = {
      replicaId: -1,
      isolationLevel,
      topics: [...byTopic(wanted)].map(([name, same]) => ({
        name,
        partitions: same.map(({ partition, timestampMs }) => ({ partitionIndex: partition, timestamp: timestampMs })),
      })),
    }
    const response = await cluster.request(leader, apis.listOffsets, body, { signal: options.signal, maxVersion: 9 })
    let failure: KafkaError | null = null
    for (const { name, partitions: answers } of response.topics) {
      for (const { partitionIndex, errorCode, offset } of answers) {
        if (errorCode === ErrorCode.none) offsets.set(partitionKey(name, partitionIndex), offset)
        else failure ??= new KafkaError('ListOffsets', errorCode, `${name}-${partitionIndex}`)
      }
    }
    if (failure !== null) throw failure
  }
  await cluster.retry(askMissing, options)
  const beyondTheEnd = partitions.filter(({ topic, partition }) => offsets.get(partitionKey(topic, partition)) === -1)
  if (beyondTheEnd.length > 0) {
    const ends = await listOffsets(
      cluster,
      beyondTheEnd.map(({ topic, partition }) => ({ topic, partition, timestampMs: LATEST })),
      options,
    )
    for (const [key, offset] of ends) offsets.set(key, offset)
  }
  return offsets
}

/** Committed offsets of a group by `partitionKey`; what was never committed is missing. */
export async function committedOffsets(
  cluster: Cluster,
  groupId: string,
  partitions: readonly TopicPartition[] | null,
  options: RetryOptions & { readonly requireStable?: boolean } = {},
): Promise<Map<string, PartitionOffset>> {
  const topics =
    partitions === null
      ? null
      : [...byTopic(partitions)].map(([name, same]) => ({ name, partitionIndexes: same.map((one) => one.partition) }))
  const { signal, requireStable = false } = options
  const ask = async (): Promise<Map<string, PartitionOffset>> => {
    const response = await cluster.coordinated(
      'group',
      groupId,
      apis.offsetFetch,
      (version) =>
        version >= MANY_GROUPS_VERSION
          ? { groups: [{ groupId, topics }], requireStable }
          : { groupId, topics: topics ?? [], requireStable },
      { signal, maxVersion: NAMED_VERSION, codeOf: ({ groups, errorCode }) => groups[0]?.errorCode ?? errorCode },
    )
    const answer = response.groups[0] ?? response
    if (answer.errorCode !== ErrorCode.none) throw new KafkaError('OffsetFetch', answer.errorCode, `group ${groupId}`)
    const offsets = new Map<string, PartitionOffset>()
    for (const { name, partitions: found } of answer.topics) {
      for (const { partitionIndex, committedOffset, metadata, errorCode } of found) {
        if (errorCode !== ErrorCode.none) throw new KafkaError('OffsetFetch', errorCode, `${name}-${partitionIndex}`)
        if (committedOffset < 0) continue
        const partition = { topic: name, partition: partitionIndex }
        offsets.set(partitionKey(name, partitionIndex), {
          ...partition,
          offset: committedOffset,
          metadata: metadata ?? '',
        })
      }
    }
    return offsets
  }
  return cluster.retry(ask, options)
}

/** Whose commit it is; an administrator commits for a group without members. */
export interface CommitIdentity {
  readonly groupId: string
  readonly memberId: string
  readonly generationId: number
  readonly groupInstanceId: string | null
}

export function administrator(groupId: string): CommitIdentity {
  return { groupId, memberId: '', generationId: -1, groupInstanceId: null }
}

/** One OffsetCommit. A member that is out of date gets KafkaError with the code that says so. */
export async function commitOffsets(
  cluster: Cluster,
  identity: CommitIdentity,
  offsets: readonly PartitionOffset[],
  options: RetryOptions = {},
): Promise<void> {
  if (offsets.length === 0) return
  const { groupId, memberId, generationId, groupInstanceId } = identity
  const body: Input<typeof apis.offsetCommit.request.fields> = {
    groupId,
    memberId,
    generationIdOrMemberEpoch: generationId,
    groupInstanceId,
    topics: [...byTopic(offsets)].map(([name, same]) => ({
      name,
      partitions: same.map(({ partition, offset, metadata = '' }) => ({
        partitionIndex: partition,
        committedOffset: offset,
        committedMetadata: metadata,
      })),
    })),
  }
  const { signal, timeoutMs } = options
  const commit = async (): Promise<void> => {
    const response = await cluster.coordinated('group', groupId, apis.offsetCommit, body, {
      signal,
      maxVersion: NAMED_VERSION,
      codeOf: ({ topics }) => topics[0]?.partitions[0]?.errorCode ?? ErrorCode.none,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    })
    for (const { name, partitions } of response.topics) {
      for (const { partitionIndex, errorCode } of partitions) {
        if (errorCode !== ErrorCode.none) throw new KafkaError('OffsetCommit', errorCode, `${name}-${partitionIndex}`)
      }
    }
  }
  await cluster.retry(commit, options)
}
