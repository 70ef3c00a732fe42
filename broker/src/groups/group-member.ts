/** One way of assigning that a member can take part in, with what the leader must know of the member to do it. */
export interface MemberProtocol {
  readonly name: string
  readonly metadata: Buffer
}

/** A member of a classic group. Only ClassicGroup changes one. */
export interface GroupMember {
  readonly memberId: string
  /** Set for a static member (KIP-345): it keeps its assignment when it comes back under a new member id. */
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  rebalanceTimeoutMs: number
  sessionTimeoutMs: number
  /** In the member's order of preference. */
  protocols: readonly MemberProtocol[]
  assignment: Buffer
  /** The JoinGroup request that waits for the next generation, or null. */
  joinRequestId: number | null
  /** The SyncGroup request that waits for the leader's assignment, or null. */
  syncRequestId: number | null
  /** Until its first generation a member knows no member id, cannot send heartbeats, and may expire while it waits. */
  isNew: boolean
}

export const NO_ASSIGNMENT: Buffer = Buffer.alloc(0)

/** The member's metadata for a protocol; null when it does not support it. */
export function metadataFor(member: GroupMember, protocolName: string | null): Buffer | null {
  return member.protocols.find((protocol) => protocol.name === protocolName)?.metadata ?? null
}

/** Whether a join says what the member said before; the order of preference does not count. */
export function hasSameProtocols(member: GroupMember, protocols: readonly MemberProtocol[]): boolean {
  return (
    member.protocols.length === protocols.length &&
    protocols.every((protocol) => metadataFor(member, protocol.name)?.equals(protocol.metadata) === true)
  )
}
