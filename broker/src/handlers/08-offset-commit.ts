import { apis, type OffsetCommitRequest } from '@millrace/protocol'
import type { OffsetToCommit } from '../groups/coordinator.ts'
import { commitAnswer } from './commit-answer.ts'
import { handler, type RequestContext } from './handler.ts'

const USES_TOPIC_IDS = 10

/** OffsetCommit (8): a group stores how far it has read. What the coordinator takes is stored together. */
export const offsetCommit = handler({
  api: apis.offsetCommit,
  handle(request, context) {
    return commitAnswer(request.topics, context, USES_TOPIC_IDS, (offsets) => commit(request, offsets, context))
  },
})

function commit(
  request: OffsetCommitRequest,
  offsets: readonly OffsetToCommit[],
  { apiVersion, services }: RequestContext,
): number | readonly number[] {
  return services.groups.commitOffsets({
    apiVersion,
    groupId: request.groupId,
    memberId: request.memberId,
    groupInstanceId: request.groupInstanceId,
    generationId: request.generationIdOrMemberEpoch,
    retentionTimeMs: request.retentionTimeMs,
    offsets,
  })
}
