import { api, array, bool, bytes, int16, int32, string, type RequestOf, type ResponseOf } from '../schema.ts'

/** JoinGroup (key 11): become a member of a classic group, or stay one through a rebalance. */
export const joinGroup = api({
  key: 11,
  name: 'JoinGroup',
  versions: '0-9',
  flexible: '6+',
  request: {
    groupId: string(),
    sessionTimeoutMs: int32(),
    // Version 0 has none: the session timeout counts as both.
    rebalanceTimeoutMs: int32({ versions: '1+', default: -1 }),
    // Empty on the first attempt; the broker then answers MEMBER_ID_REQUIRED with one (KIP-394).
    memberId: string(),
    // Given by static members, which keep their assignment through a restart (KIP-345).
    groupInstanceId: string({ versions: '5+', nullable: true, default: null }),
    protocolType: string(),
    // Assignors the member offers, best first, each with metadata that only clients understand.
    protocols: array({
      name: string(),
      metadata: bytes(),
    }),
    reason: string({ versions: '8+', nullable: true, default: null }),
  },
  response: {
    throttleTimeMs: int32({ versions: '2+' }),
    errorCode: int16(),
    generationId: int32({ default: -1 }),
    protocolType: string({ versions: '7+', nullable: true, default: null }),
    protocolName: string({ nullable: '7+' }),
    leader: string(),
    // The leader of a group of static members came back: nothing has to be assigned anew (KIP-814).
    skipAssignment: bool({ versions: '9+', default: false }),
    memberId: string(),
    // Only the leader is told of all of them.
    members: array({
      memberId: string(),
      groupInstanceId: string({ versions: '5+', nullable: true, default: null }),
      metadata: bytes(),
    }),
  },
})

export type JoinGroupRequest = RequestOf<typeof joinGroup>
export type JoinGroupResponse = ResponseOf<typeof joinGroup>
