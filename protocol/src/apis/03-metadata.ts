import { api, array, bool, int16, int32, string, uuid, type RequestOf, type ResponseOf } from '../schema.ts'

/** Metadata (key 3): brokers, topics and the leaders of their partitions. */
export const metadata = api({
  key: 3,
  name: 'Metadata',
  versions: '0-13',
  flexible: '9+',
  request: {
    // Null: all topics. In version 0 it is the empty array that means all.
    topics: array(
      {
        topicId: uuid({ versions: '10+' }),
        // Null when the topic is asked for by its id.
        name: string({ nullable: '10+' }),
      },
      { nullable: '1+' },
    ),
    allowAutoTopicCreation: bool({ versions: '4+', default: true }),
    includeClusterAuthorizedOperations: bool({ versions: '8-10' }),
    includeTopicAuthorizedOperations: bool({ versions: '8+' }),
  },
  response: {
    throttleTimeMs: int32({ versions: '3+' }),
    brokers: array({
      nodeId: int32(),
      host: string(),
      port: int32(),
      rack: string({ versions: '1+', nullable: true, default: null }),
    }),
    clusterId: string({ versions: '2+', nullable: true, default: null }),
    controllerId: int32({ versions: '1+', default: -1 }),
    topics: array({
      errorCode: int16(),
      name: string({ nullable: '12+' }),
      topicId: uuid({ versions: '10+' }),
      isInternal: bool({ versions: '1+', default: false }),
      partitions: array({
        errorCode: int16(),
        partitionIndex: int32(),
        leaderId: int32(),
        leaderEpoch: int32({ versions: '7+', default: -1 }),
        replicaNodes: array(int32()),
        isrNodes: array(int32()),
        // Replicas whose broker is down or whose log directory failed.
        offlineReplicas: array(int32(), { versions: '5+' }),
      }),
      // A bit set of ACL operations; -2147483648 when it was not asked for.
      topicAuthorizedOperations: int32({ versions: '8+', default: -2147483648 }),
    }),
    clusterAuthorizedOperations: int32({ versions: '8-10', default: -2147483648 }),
    // REBOOTSTRAP_REQUIRED sends the client back to its bootstrap servers (KIP-1102).
    errorCode: int16({ versions: '13+' }),
  },
})

export type MetadataRequest = RequestOf<typeof metadata>
export type MetadataResponse = ResponseOf<typeof metadata>
