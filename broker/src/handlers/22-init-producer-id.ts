import { apis, ErrorCode } from '@millrace/protocol'
import { StorageError } from '../base/errors.ts'
import { forOlderClients } from './fenced-producer.ts'
import { handler } from './handler.ts'

const NO_PRODUCER = { producerId: -1, producerEpoch: -1, throttleTimeMs: 0 }

/**
 * InitProducerId (22): an id and an epoch for a producer. Without a transactional id there is no identity to continue, so
 * each call gets a new id at epoch 0; with one, every producer of that name before this one is shut out.
 */
export const initProducerId = handler({
  api: apis.initProducerId,
  handle(request, context) {
    const { services, apiVersion } = context
    const { transactionalId, producerId, producerEpoch } = request
    // A producer that has an id has an epoch as well.
    const isHalf = (producerId === -1) !== (producerEpoch === -1)
    if (transactionalId === '' || isHalf) return { ...NO_PRODUCER, errorCode: ErrorCode.invalidRequest }
    if (transactionalId === null) {
      try {
        return { ...NO_PRODUCER, errorCode: ErrorCode.none, producerId: services.producerIds.next(), producerEpoch: 0 }
      } catch (cause) {
        // The next block of ids is not in the metadata log.
        if (!(cause instanceof StorageError)) throw cause
        return { ...NO_PRODUCER, errorCode: ErrorCode.kafkaStorageError }
      }
    }
    const { errorCode, ...producer } = services.transactions.initProducerId({
      transactionalId,
      timeoutMs: request.transactionTimeoutMs,
      expected: producerId === -1 ? null : { producerId, producerEpoch },
    })
    return { throttleTimeMs: 0, errorCode: forOlderClients(errorCode, apiVersion, 4), ...producer }
  },
})
