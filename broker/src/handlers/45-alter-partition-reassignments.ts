import { ErrorCode, apis } from '@millrace/protocol'
import type { ClusterImage } from '../metadata/cluster-image.ts'
import { accepted, refused, type Refusal } from '../metadata/refusal.ts'
import { invalidReplicas } from '../metadata/replica-assignment.ts'
import { handler } from './handler.ts'

/**
 * AlterPartitionReassignments (45), as far as a node that is alone can: a partition may be moved to where it is, no other
 * broker is registered to move it to, and no move is under way that could be cancelled.
 */
export const alterPartitionReassignments = handler({
  api: apis.alterPartitionReassignments,
  handle({ topics, allowReplicationFactorChange }, { services }) {
    const { image } = services.metadata
    return {
      throttleTimeMs: 0,
      allowReplicationFactorChange,
      errorCode: ErrorCode.none,
      errorMessage: null,
      responses: topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex, replicas }) => {
          const { errorCode, errorMessage } = reassign(image, name, partitionIndex, replicas)
          return { partitionIndex, errorCode, errorMessage }
        }),
      })),
    }
  },
})

function reassign(image: ClusterImage, name: string, index: number, replicas: readonly number[] | null): Refusal {
  const topic = image.topics.get(name)
  if (!topic) return refused(ErrorCode.unknownTopicOrPartition, `Unable to find a topic named ${name}.`)
  if (!topic.partitions[index]) {
    return refused(ErrorCode.unknownTopicOrPartition, `Unable to find partition ${name}:${index}.`)
  }
  if (replicas === null) return refused(ErrorCode.noReassignmentInProgress, null)
  return invalidReplicas(image, replicas) ?? accepted
}
