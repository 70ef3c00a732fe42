import { api, bool, int16, int32, int64, string, type RequestOf, type ResponseOf } from '../schema.ts'

/**
 * EndTxn (key 26): commit or abort. Since version 5 the epoch is raised each time, and the answer says under which id and
 * epoch the producer goes on (KIP-890).
 */
export const endTxn = api({
  key: 26,
  name: 'EndTxn',
  versions: '0-5',
  flexible: '3+',
  request: {
    transactionalId: string(),
    producerId: int64(),
    producerEpoch: int16(),
    committed: bool(),
  },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    producerId: int64({ versions: '5+', default: -1 }),
    producerEpoch: int16({ versions: '5+', default: -1 }),
  },
})

export type EndTxnRequest = RequestOf<typeof endTxn>
export type EndTxnResponse = ResponseOf<typeof endTxn>
