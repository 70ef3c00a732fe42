import { apis, ErrorCode } from '@millrace/protocol'
import { handler } from './handler.ts'

/** DescribeProducers (61): the producers that a partition remembers, and where a transaction that is open begins (KIP-664). */
export const describeProducers = handler({
  api: apis.describeProducers,
  handle(request, { services }) {
    return {
      throttleTimeMs: 0,
      topics: request.topics.map(({ name, partitionIndexes }) => ({
        name,
        partitions: partitionIndexes.map((partitionIndex) => {
          const partition = services.partitions.get(name, partitionIndex)
          if (partition === undefined || partition.isOffline) {
            const errorCode =
              partition === undefined ? services.partitions.absence(name, partitionIndex) : ErrorCode.kafkaStorageError
            return { partitionIndex, errorCode, errorMessage: null, activeProducers: [] }
          }
          return {
            partitionIndex,
            errorCode: ErrorCode.none,
            errorMessage: null,
            activeProducers: partition.activeProducers().map((producer) => ({
              producerId: producer.producerId,
              producerEpoch: producer.epoch,
              lastSequence: producer.lastSequence,
              lastTimestamp: producer.timestamp,
              coordinatorEpoch: producer.coordinatorEpoch,
              currentTxnStartOffset: producer.currentTxnFirstOffset,
            })),
          }
        }),
      })),
    }
  },
})
