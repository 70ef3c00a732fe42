import { array, bytes, int32, int64, message, string } from '../schema.ts'

/** The key of a classic group in __consumer_offsets. */
export const groupMetadataKey = message({
  name: 'GroupMetadataKey',
  versions: '2',
  flexible: 'none',
  fields: {
    group: string(),
  },
})

/**
 * A generation of a classic group as it was when every member had its assignment. Without a value the group is gone.
 */
export const groupMetadataValue = message({
  name: 'GroupMetadataValue',
  versions: '0-4',
  flexible: '4+',
  fields: {
    protocolType: string(),
    generation: int32(),
    // Null in a group without members.
    protocol: string({ nullable: true }),
    leader: string({ nullable: true }),
    // -1 in records of old brokers.
    currentStateTimestamp: int64({ versions: '2+', default: -1 }),
    members: array({
      memberId: string(),
      groupInstanceId: string({ versions: '3+', nullable: true, default: null }),
      clientId: string(),
      clientHost: string(),
      rebalanceTimeout: int32({ versions: '1+', default: -1 }),
      sessionTimeout: int32(),
      // What the member sent in JoinGroup and got in SyncGroup; only clients understand it.
      subscription: bytes(),
      assignment: bytes(),
    }),
  },
})
