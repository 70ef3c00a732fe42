import { ErrorCode, ZERO_UUID } from '@millrace/protocol'
import type { RequestContext } from './handler.ts'

export interface FoundTopic {
  readonly name: string
  readonly topicId: string
  /** Why there is no such topic, or 0. */
  readonly errorCode: number
  readonly hasPartition: (index: number) => boolean
}

/** The topic that offsets are committed for: by its id since version `idsSince`, before by its name. */
export function findTopic(
  asked: { readonly name: string; readonly topicId: string },
  { apiVersion, services }: RequestContext,
  idsSince: number,
): FoundTopic {
  const { image } = services.metadata
  const usesIds = apiVersion >= idsSince
  const topic = usesIds ? image.topicById(asked.topicId) : image.topics.get(asked.name)
  const missing = usesIds ? ErrorCode.unknownTopicId : ErrorCode.unknownTopicOrPartition
  return {
    name: topic?.name ?? '',
    topicId: topic?.id ?? ZERO_UUID,
    errorCode: topic === undefined ? missing : ErrorCode.none,
    hasPartition: (index) => topic?.partitions[index] !== undefined,
  }
}
