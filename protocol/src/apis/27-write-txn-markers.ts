import { api, array, bool, int16, int32, int64, int8, string, type RequestOf, type ResponseOf } from '../schema.ts'

/** WriteTxnMarkers (key 27): a coordinator, or an administrator, ends transactions on the partitions they wrote to. */
export const writeTxnMarkers = api({
  key: 27,
  name: 'WriteTxnMarkers',
  versions: '1-2',
  flexible: '1+',
  request: {
    markers: array({
      producerId: int64(),
      producerEpoch: int16(),
      // True for a commit.
      transactionResult: bool(),
      topics: array({
        name: string(),
        partitionIndexes: array(int32()),
      }),
      coordinatorEpoch: int32(),
      // From 2 on a marker has a higher epoch than the transaction that it ends (KIP-1228).
      transactionVersion: int8({ versions: '2+' }),
    }),
  },
  response: {
    markers: array({
      producerId: int64(),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
        }),
      }),
    }),
  },
})

export type WriteTxnMarkersRequest = RequestOf<typeof writeTxnMarkers>
export type WriteTxnMarkersResponse = ResponseOf<typeof writeTxnMarkers>
