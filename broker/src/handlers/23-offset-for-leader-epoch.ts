import { apis, ErrorCode } from '@millrace/protocol'
import { handler, type RequestContext } from './handler.ts'

/** OffsetForLeaderEpoch (23): where an epoch ends in this log, so that a client can tell whether its position was truncated (KIP-320). */
export const offsetForLeaderEpoch = handler({
  api: apis.offsetForLeaderEpoch,
  handle(request, context) {
    return {
      throttleTimeMs: 0,
      topics: request.topics.map((topic) => ({
        topic: topic.topic,
        partitions: topic.partitions.map((asked) => ({
          partition: asked.partition,
          ...endOf(topic.topic, asked, context),
        })),
      })),
    }
  },
})

function endOf(
  topic: string,
  asked: { readonly partition: number; readonly currentLeaderEpoch: number; readonly leaderEpoch: number },
  context: RequestContext,
): { errorCode: number; leaderEpoch: number; endOffset: number } {
  const failure = (errorCode: number) => ({ errorCode, leaderEpoch: -1, endOffset: -1 })
  const partition = context.services.partitions.get(topic, asked.partition)
  if (partition === undefined) return failure(context.services.partitions.absence(topic, asked.partition))
  if (partition.isOffline) return failure(ErrorCode.kafkaStorageError)
  const epochError = partition.checkLeaderEpoch(asked.currentLeaderEpoch)
  if (epochError !== ErrorCode.none) return failure(epochError)
  const { epoch, endOffset } = partition.log.leaderEpochs.endOffsetFor(asked.leaderEpoch, partition.offsets.end)
  return { errorCode: ErrorCode.none, leaderEpoch: epoch, endOffset }
}
