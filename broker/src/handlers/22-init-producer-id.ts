import { apis, ErrorCode } from '@millrace/protocol'
import { handler } from './handler.ts'

const NO_PRODUCER = { producerId: -1, producerEpoch: -1, throttleTimeMs: 0 }

/**
 * InitProducerId (22): an id for an idempotent producer. Without a transactional id there is no identity to continue, so
 * each call gets a new one at epoch 0.
 */
export const initProducerId = handler({
  api: apis.initProducerId,
  handle(request, context) {
    // A producer that has an id has an epoch as well.
    const isHalf = (request.producerId === -1) !== (request.producerEpoch === -1)
    if (request.transactionalId === '' || isHalf) return { ...NO_PRODUCER, errorCode: ErrorCode.invalidRequest }
    if (request.transactionalId !== null) return { ...NO_PRODUCER, errorCode: ErrorCode.coordinatorNotAvailable }
    return {
      errorCode: ErrorCode.none,
      producerId: context.services.producerIds.next(),
      producerEpoch: 0,
      throttleTimeMs: 0,
    }
  },
})
