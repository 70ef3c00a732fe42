import { ErrorCode } from '@millrace/protocol'
import type { ClusterImage } from './cluster-image.ts'
import { refused, type Refusal } from './refusal.ts'

/** What is wrong with replicas that a client chose, in Kafka's words; null when they can be had. */
export function invalidReplicas(
  image: ClusterImage,
  replicas: readonly number[],
  replicationFactor?: number,
): Refusal | null {
  const invalid = (rest: string): Refusal =>
    refused(ErrorCode.invalidReplicaAssignment, `The manual partition assignment includes ${rest}`)
  if (replicas.length === 0) return invalid('an empty replica list.')
  const sorted = replicas.toSorted((a, b) => a - b)
  for (const [index, brokerId] of sorted.entries()) {
    if (!image.brokers.has(brokerId)) return invalid(`broker ${brokerId}, but no such broker is registered.`)
    if (index > 0 && sorted[index - 1] === brokerId) return invalid(`the broker ${brokerId} more than once.`)
  }
  if (replicationFactor !== undefined && replicas.length !== replicationFactor) {
    return invalid(
      `a partition with ${replicas.length} replica(s), but this is not consistent with previous partitions, ` +
        `which have ${replicationFactor} replica(s).`,
    )
  }
  return null
}

/** Refuses a replication factor that the registered brokers cannot give; null when they can. */
export function invalidReplicationFactor(image: ClusterImage, replicationFactor: number): Refusal | null {
  const brokerCount = image.brokers.size
  if (replicationFactor <= brokerCount) return null
  return refused(
    ErrorCode.invalidReplicationFactor,
    `Unable to replicate the partition ${replicationFactor} time(s): The target replication factor of ` +
      `${replicationFactor} cannot be reached because only ${brokerCount} broker(s) are registered.`,
  )
}
