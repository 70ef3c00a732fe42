import { api, int16, int32, int64, string, type RequestOf, type ResponseOf } from '../schema.ts'

/**
 * InitProducerId (key 22): a producer id and epoch for idempotence, and the fencing of older producers of a
 * transactional id.
 */
export const initProducerId = api({
  key: 22,
  name: 'InitProducerId',
  versions: '0-5',
  flexible: '2+',
  request: {
    // Null for a producer that is only idempotent.
    transactionalId: string({ nullable: true }),
    transactionTimeoutMs: int32(),
    // The id the producer already has and wants a new epoch of (KIP-360), or -1.
    producerId: int64({ versions: '3+', default: -1 }),
    producerEpoch: int16({ versions: '3+', default: -1 }),
  },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    producerId: int64({ default: -1 }),
    producerEpoch: int16(),
  },
})

export type InitProducerIdRequest = RequestOf<typeof initProducerId>
export type InitProducerIdResponse = ResponseOf<typeof initProducerId>
