import { api, array, int16, int32, int64, int8, string, type RequestOf, type ResponseOf } from '../schema.ts'

/** ListOffsets (key 2): the offset of a timestamp, or one of the special offsets that negative timestamps stand for. */
export const listOffsets = api({
  key: 2,
  name: 'ListOffsets',
  versions: '1-11',
  flexible: '6+',
  request: {
    // -1 from a client.
    replicaId: int32(),
    isolationLevel: int8({ versions: '2+' }),
    topics: array({
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        currentLeaderEpoch: int32({ versions: '4+', default: -1 }),
        // -1 latest, -2 earliest, -3 of the largest timestamp, -4 earliest on local disk, -5 latest tiered, -6 earliest
        // pending upload.
        timestamp: int64(),
      }),
    }),
    // For answers that have to ask remote storage.
    timeoutMs: int32({ versions: '10+' }),
  },
  response: {
    throttleTimeMs: int32({ versions: '2+' }),
    topics: array({
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        errorCode: int16(),
        // -1 with the special offsets.
        timestamp: int64({ default: -1 }),
        offset: int64({ default: -1 }),
        leaderEpoch: int32({ versions: '4+', default: -1 }),
      }),
    }),
  },
})

export type ListOffsetsRequest = RequestOf<typeof listOffsets>
export type ListOffsetsResponse = ResponseOf<typeof listOffsets>
