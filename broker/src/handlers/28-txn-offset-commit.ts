import { apis, ErrorCode, type TxnOffsetCommitRequest } from '@millrace/protocol'
import type { OffsetToCommit } from '../groups/coordinator.ts'
import { CONSUMER_OFFSETS } from '../metadata/topic-names.ts'
import { commitAnswer } from './commit-answer.ts'
import { handler, type RequestContext } from './handler.ts'

const ADDS_PARTITION = 5
const USES_TOPIC_IDS = 6

/**
 * TxnOffsetCommit (28): offsets of a group that count when the transaction commits. From version 5 on the request itself
 * makes the partition of the group part of the transaction, before it must be.
 */
export const txnOffsetCommit = handler({
  api: apis.txnOffsetCommit,
  handle(request, context) {
    return commitAnswer(request.topics, context, USES_TOPIC_IDS, (offsets) => commit(request, offsets, context))
  },
})

function commit(
  request: TxnOffsetCommitRequest,
  offsets: readonly OffsetToCommit[],
  { apiVersion, services }: RequestContext,
): number | readonly number[] {
  const { transactionalId, groupId, producerId, producerEpoch } = request
  const partition = groupId === '' ? null : services.groups.partitionOf(groupId)
  if (partition !== null) {
    const errorCode = services.transactions.admit(
      transactionalId,
      producerId,
      producerEpoch,
      CONSUMER_OFFSETS,
      partition,
      apiVersion >= ADDS_PARTITION,
    )
    if (errorCode !== ErrorCode.none) return asCommitError(errorCode, apiVersion)
  }
  // Where partitions are not verified nobody has looked, and what a producer that there is not commits nobody ends.
  if (producerId < 0) return ErrorCode.invalidProducerIdMapping
  const results = services.groups.commitTransactionalOffsets({
    groupId,
    producerId,
    producerEpoch,
    memberId: request.memberId,
    groupInstanceId: request.groupInstanceId,
    generationId: request.generationIdOrMemberEpoch,
    offsets,
  })
  return typeof results === 'number' ? asCommitError(results, apiVersion) : results
}

/** What the clients of a version make something of. */
function asCommitError(errorCode: number, apiVersion: number): number {
  switch (errorCode) {
    case ErrorCode.producerFenced:
      return ErrorCode.invalidProducerEpoch
    case ErrorCode.transactionAbortable:
      return apiVersion < 4 ? ErrorCode.invalidTxnState : errorCode
    case ErrorCode.concurrentTransactions:
      return apiVersion < ADDS_PARTITION ? ErrorCode.coordinatorNotAvailable : errorCode
    case ErrorCode.coordinatorLoadInProgress:
      // Java clients of before 2.3 gave up at the other one (KAFKA-7296).
      return apiVersion < 2 ? ErrorCode.coordinatorNotAvailable : errorCode
    default:
      return errorCode
  }
}
