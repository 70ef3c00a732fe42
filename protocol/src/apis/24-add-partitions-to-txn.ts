import { api, array, bool, int16, int32, int64, string, type RequestOf, type ResponseOf } from '../schema.ts'

/**
 * AddPartitionsToTxn (key 24): the transaction of a producer will write to these partitions. Since version 4 brokers ask
 * it of each other for several transactions at once, mostly only to verify; clients stay with version 3.
 */
export const addPartitionsToTxn = api({
  key: 24,
  name: 'AddPartitionsToTxn',
  versions: '0-5',
  flexible: '3+',
  request: {
    transactions: array(
      {
        transactionalId: string({ versions: '4+' }),
        producerId: int64({ versions: '4+' }),
        producerEpoch: int16({ versions: '4+' }),
        // Only say whether the partitions are in the transaction.
        verifyOnly: bool({ versions: '4+', default: false }),
        topics: array(
          {
            name: string(),
            partitions: array(int32()),
          },
          { versions: '4+' },
        ),
      },
      { versions: '4+' },
    ),
    v3AndBelowTransactionalId: string({ versions: '0-3' }),
    v3AndBelowProducerId: int64({ versions: '0-3' }),
    v3AndBelowProducerEpoch: int16({ versions: '0-3' }),
    v3AndBelowTopics: array(
      {
        name: string(),
        partitions: array(int32()),
      },
      { versions: '0-3' },
    ),
  },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16({ versions: '4+' }),
    resultsByTransaction: array(
      {
        transactionalId: string({ versions: '4+' }),
        topicResults: array(
          {
            name: string(),
            resultsByPartition: array({
              partitionIndex: int32(),
              partitionErrorCode: int16(),
            }),
          },
          { versions: '4+' },
        ),
      },
      { versions: '4+' },
    ),
    resultsByTopicV3AndBelow: array(
      {
        name: string(),
        resultsByPartition: array({
          partitionIndex: int32(),
          partitionErrorCode: int16(),
        }),
      },
      { versions: '0-3' },
    ),
  },
})

export type AddPartitionsToTxnRequest = RequestOf<typeof addPartitionsToTxn>
export type AddPartitionsToTxnResponse = ResponseOf<typeof addPartitionsToTxn>
