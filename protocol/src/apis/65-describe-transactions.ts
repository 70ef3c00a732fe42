import { api, array, int16, int32, int64, string, type RequestOf, type ResponseOf } from '../schema.ts'

/** DescribeTransactions (key 65): what the coordinator knows of transactional ids (KIP-664). */
export const describeTransactions = api({
  key: 65,
  name: 'DescribeTransactions',
  versions: '0',
  flexible: '0+',
  request: {
    transactionalIds: array(string()),
  },
  response: {
    throttleTimeMs: int32(),
    transactionStates: array({
      errorCode: int16(),
      transactionalId: string(),
      transactionState: string(),
      transactionTimeoutMs: int32(),
      transactionStartTimeMs: int64(),
      producerId: int64(),
      producerEpoch: int16(),
      // While a transaction ends, only the partitions that have no marker yet.
      topics: array({
        topic: string(),
        partitions: array(int32()),
      }),
    }),
  },
})

export type DescribeTransactionsRequest = RequestOf<typeof describeTransactions>
export type DescribeTransactionsResponse = ResponseOf<typeof describeTransactions>
