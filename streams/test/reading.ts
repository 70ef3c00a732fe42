import { apis } from '@millrace/protocol'
import type { Cluster } from '../src/client/cluster.ts'
import { Fetcher, type Isolation } from '../src/client/fetcher.ts'
import { EARLIEST, LATEST, listOffsets } from '../src/client/offsets.ts'
import { PartitionBuffer } from '../src/client/partition-buffer.ts'
import { partitionKey } from '../src/client/topic-partition.ts'

export interface ReadRecord {
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: string | null
  readonly keyBytes: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly { readonly key: string; readonly value: string | null }[]
}

/** Every record of a topic from its start to its present end, by partition and offset. */
export async function readTopic(
  cluster: Cluster,
  topic: string,
  isolation: Isolation = 'read-uncommitted',
): Promise<ReadRecord[]> {
  await cluster.watch([topic])
  const partitions = cluster.topic(topic)?.partitions ?? []
  const at = (timestampMs: number) => partitions.map(({ partition }) => ({ topic, partition, timestampMs }))
  const starts = await listOffsets(cluster, at(EARLIEST))
  const ends = await listOffsets(cluster, at(LATEST), { isolation })
  const records: ReadRecord[] = []
  const left = new Set(partitions.map(({ partition }) => partition))
  await new Promise<void>((resolve, reject) => {
    const buffers = partitions.map(
      ({ partition }) =>
        new PartitionBuffer(topic, partition, { position: starts.get(partitionKey(topic, partition))! }),
    )
    const drain = (): void => {
      for (const buffer of buffers) {
        while (buffer.peek()) {
          records.push({
            partition: buffer.partition,
            offset: buffer.offset,
            timestampMs: buffer.timestampMs,
            key: buffer.key?.toString() ?? null,
            keyBytes: buffer.key,
            value: buffer.value,
            headers: buffer.headers.map(({ key, value }) => ({ key, value: value?.toString() ?? null })),
          })
          buffer.take()
        }
        if (buffer.position >= ends.get(partitionKey(topic, buffer.partition))!) left.delete(buffer.partition)
      }
      if (left.size > 0) return
      fetcher.close()
      resolve()
    }
    const fetcher = new Fetcher(cluster, { isolation, onData: drain, onError: reject, onOutOfRange: () => {} })
    for (const buffer of buffers) fetcher.add(buffer)
    drain()
  })
  return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
}

/** Changes settings of a topic. */
export async function alterTopic(
  cluster: Cluster,
  topic: string,
  configs: Readonly<Record<string, string>>,
): Promise<void> {
  const changes = Object.entries(configs).map(([name, value]) => ({ name, configOperation: 0, value }))
  const { responses } = await cluster.request(null, apis.incrementalAlterConfigs, {
    resources: [{ resourceType: 2, resourceName: topic, configs: changes }],
    validateOnly: false,
  })
  for (const { errorCode, errorMessage } of responses) {
    if (errorCode !== 0) throw new Error(`${topic}: ${errorMessage} (${errorCode})`)
  }
}

/** Ends the membership of all members of a classic group behind their back. */
export async function removeMembers(cluster: Cluster, groupId: string): Promise<void> {
  const described = await cluster.coordinated(
    'group',
    groupId,
    apis.describeGroups,
    { groups: [groupId] },
    { codeOf: ({ groups }) => groups[0]?.errorCode ?? 0 },
  )
  const members = described.groups.flatMap((group) => group.members.map(({ memberId }) => ({ memberId })))
  const { errorCode } = await cluster.coordinated(
    'group',
    groupId,
    apis.leaveGroup,
    { groupId, members },
    { codeOf: (response) => response.errorCode },
  )
  if (errorCode !== 0 || members.length === 0) throw new Error(`no members of ${groupId} to remove (${errorCode})`)
}
