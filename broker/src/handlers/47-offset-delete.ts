import { apis, ErrorCode } from '@millrace/protocol'
import { handler } from './handler.ts'

/** OffsetDelete (47): offsets are forgotten of topics that nobody in the group subscribes to (KIP-496). */
export const offsetDelete = handler({
  api: apis.offsetDelete,
  handle(request, { services }) {
    const { topics: known } = services.metadata.image
    const asked = request.topics.map(({ name, partitions }) => {
      const topic = known.get(name)
      const exists = (index: number) => topic?.partitions[index] !== undefined
      const indexes = partitions.map(({ partitionIndex }) => partitionIndex)
      return { name, partitions: indexes.filter(exists), indexes, exists }
    })
    const results = services.groups.deleteOffsets(request.groupId, asked)
    if (typeof results === 'number') return { errorCode: results, throttleTimeMs: 0, topics: [] }
    return {
      errorCode: ErrorCode.none,
      throttleTimeMs: 0,
      topics: asked.map(({ name, indexes, exists }, at) => ({
        name,
        partitions: indexes.map((partitionIndex) => ({
          partitionIndex,
          errorCode: exists(partitionIndex) ? results[at]! : ErrorCode.unknownTopicOrPartition,
        })),
      })),
    }
  },
})
