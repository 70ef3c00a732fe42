import { apis, ErrorCode } from '@millrace/protocol'
import { CONSUMER_OFFSETS } from '../metadata/topic-names.ts'
import { forOlderClients } from './fenced-producer.ts'
import { handler } from './handler.ts'

/** AddOffsetsToTxn (25): as AddPartitionsToTxn, for the partition that holds the offsets of a group. */
export const addOffsetsToTxn = handler({
  api: apis.addOffsetsToTxn,
  handle(request, { services, apiVersion }) {
    const { transactionalId, producerId, producerEpoch, groupId } = request
    const partition = services.groups.partitionOf(groupId)
    if (partition === null) return { throttleTimeMs: 0, errorCode: ErrorCode.coordinatorNotAvailable }
    const partitions = new Map([[CONSUMER_OFFSETS, new Set([partition])]])
    const errorCode = services.transactions.addPartitionsToTxn({
      transactionalId,
      producerId,
      producerEpoch,
      partitions,
    })
    return { throttleTimeMs: 0, errorCode: forOlderClients(errorCode, apiVersion, 2) }
  },
})
