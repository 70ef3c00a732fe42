import { array, bytes, int32, message, string } from './schema.ts'

/** What a consumer sends as its metadata in JoinGroup. Brokers only pass it on; tools show it. */
export const consumerProtocolSubscription = message({
  name: 'ConsumerProtocolSubscription',
  versions: '0-3',
  flexible: 'none',
  fields: {
    topics: array(string()),
    // For assignors of the user's own.
    userData: bytes({ nullable: true, default: null }),
    // What the member holds, which a cooperative assignor takes away one rebalance later.
    ownedPartitions: array(
      {
        topic: string(),
        partitions: array(int32()),
      },
      { versions: '1+' },
    ),
    generationId: int32({ versions: '2+', default: -1 }),
    rackId: string({ versions: '3+', nullable: true, default: null }),
  },
})

/** What the leader of a group of consumers assigned to one member. */
export const consumerProtocolAssignment = message({
  name: 'ConsumerProtocolAssignment',
  versions: '0-3',
  flexible: 'none',
  fields: {
    assignedPartitions: array({
      topic: string(),
      partitions: array(int32()),
    }),
    userData: bytes({ nullable: true, default: null }),
  },
})
