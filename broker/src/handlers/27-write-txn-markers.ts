import { apis } from '@millrace/protocol'
import { handler } from './handler.ts'
import { writeMarker } from './transaction-markers.ts'

/**
 * WriteTxnMarkers (27): ends transactions on the partitions they wrote to. In a cluster one broker's coordinator asks the
 * others; here it is what `kafka-transactions --abort` sends for a transaction that no coordinator knows of.
 */
export const writeTxnMarkers = handler({
  api: apis.writeTxnMarkers,
  handle(request, { services }) {
    return {
      markers: request.markers.map((asked) => {
        const marker = {
          producerId: asked.producerId,
          producerEpoch: asked.producerEpoch,
          coordinatorEpoch: asked.coordinatorEpoch,
          isCommit: asked.transactionResult,
          transactionVersion: asked.transactionVersion >= 2 ? 2 : 1,
        } as const
        return {
          producerId: asked.producerId,
          topics: asked.topics.map(({ name, partitionIndexes }) => ({
            name,
            partitions: partitionIndexes.map((partitionIndex) => ({
              partitionIndex,
              errorCode: writeMarker(services, name, partitionIndex, marker),
            })),
          })),
        }
      }),
    }
  },
})
