import { schema } from '@millrace/protocol'

const { api, array, bool, int16, int32, int64, string } = schema

/** AddPartitionsToTxn (key 24) as clients send it; from version 4 on it is between brokers. */
export const addPartitionsToTxn = api({
  key: 24,
  name: 'AddPartitionsToTxn',
  versions: '0-3',
  flexible: '3+',
  request: {
    transactionalId: string(),
    producerId: int64(),
    producerEpoch: int16(),
    topics: array({
      name: string(),
      partitions: array(int32()),
    }),
  },
  response: {
    throttleTimeMs: int32(),
    results: array({
      name: string(),
      results: array({
        partitionIndex: int32(),
        errorCode: int16(),
      }),
    }),
  },
})

/** AddOffsetsToTxn (key 25): the transaction will commit offsets of a group. */
export const addOffsetsToTxn = api({
  key: 25,
  name: 'AddOffsetsToTxn',
  versions: '0-4',
  flexible: '3+',
  request: {
    transactionalId: string(),
    producerId: int64(),
    producerEpoch: int16(),
    groupId: string(),
  },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16(),
  },
})

/** EndTxn (key 26): commit or abort. Version 5 is of transactions that raise the epoch each time (KIP-890). */
export const endTxn = api({
  key: 26,
  name: 'EndTxn',
  versions: '0-4',
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
  },
})

/** TxnOffsetCommit (key 28): offsets that become visible with the transaction. Version 5 adds them to it by itself. */
export const txnOffsetCommit = api({
  key: 28,
  name: 'TxnOffsetCommit',
  versions: '0-4',
  flexible: '3+',
  request: {
    transactionalId: string(),
    groupId: string(),
    producerId: int64(),
    producerEpoch: int16(),
    // Who commits, so that a member that is out of date is refused (KIP-447).
    generationId: int32({ versions: '3+', default: -1 }),
    memberId: string({ versions: '3+', default: '' }),
    groupInstanceId: string({ versions: '3+', nullable: true, default: null }),
    topics: array({
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        committedOffset: int64(),
        committedLeaderEpoch: int32({ versions: '2+', default: -1 }),
        committedMetadata: string({ nullable: true }),
      }),
    }),
  },
  response: {
    throttleTimeMs: int32(),
    topics: array({
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        errorCode: int16(),
      }),
    }),
  },
})
