import { ErrorCode } from '@millrace/protocol'
import type { ClusterImage } from './cluster-image.ts'
import { RECORDS_PER_OPERATION_MAX, refused, tooManyRecords, type Refusal } from './refusal.ts'
import { invalidReplicas, invalidReplicationFactor } from './replica-assignment.ts'
import { isCoordinatorTopic } from './topic-names.ts'

export interface NewPartitions {
  readonly name: string
  /** Partitions the topic has afterwards. */
  readonly count: number
  /** The replicas of each new partition; null or nothing leaves the choice to the broker. */
  readonly assignments?: readonly { readonly brokerIds: readonly number[] }[] | null
  readonly validateOnly?: boolean
}

/** The replicas of the partitions to add, or why they cannot be added: in Kafka's order of checks. */
export function planPartitions(image: ClusterImage, request: NewPartitions): Refusal | number[][] {
  const { name, count, assignments = null } = request
  const topic = image.topics.get(name)
  if (!topic) return refused(ErrorCode.unknownTopicOrPartition, null)
  if (isCoordinatorTopic(name)) {
    return refused(
      ErrorCode.invalidPartitions,
      `The number of partitions of ${name} decides which of them holds what, and cannot be changed.`,
    )
  }
  const before = topic.partitions.length
  if (count === before) return refused(ErrorCode.invalidPartitions, `Topic already has ${before} partition(s).`)
  if (count < before) {
    return refused(
      ErrorCode.invalidPartitions,
      `The topic ${name} currently has ${before} partition(s); ${count} would not be an increase.`,
    )
  }
  const additional = count - before
  if (assignments !== null && assignments.length !== additional) {
    return refused(
      ErrorCode.invalidReplicaAssignment,
      `Attempted to add ${additional} additional partition(s), but only ${assignments.length} assignment(s) ` +
        'were specified.',
    )
  }
  // Asked before an array is made: the count is a client's.
  if (additional > RECORDS_PER_OPERATION_MAX) return tooManyRecords

  const factor = topic.partitions[0]!.replicas.length
  if (assignments === null) {
    const invalid = invalidReplicationFactor(image, factor)
    if (invalid !== null) return invalid
    const brokerIds = [...image.brokers.keys()].slice(0, factor)
    return Array.from({ length: additional }, () => [...brokerIds])
  }
  for (const { brokerIds } of assignments) {
    const invalid = invalidReplicas(image, brokerIds, factor)
    if (invalid !== null) return invalid
  }
  return assignments.map(({ brokerIds }) => [...brokerIds])
}
