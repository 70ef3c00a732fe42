import type { GroupMember, MemberProtocol } from './group-member.ts'

// What goes into a classic group and what comes out of it.

export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Dead'

export interface GroupSettings {
  /** group.initial.rebalance.delay.ms: how long an empty group waits for more members after the first. */
  readonly initialRebalanceDelayMs: number
  /** group.max.size */
  readonly maxSize: number
}

export interface JoinRequest {
  /** Names the request in the effect that answers it. */
  readonly requestId: number
  /** Empty for a client that has no member id yet. */
  readonly memberId: string
  /** The member id to give to such a client. */
  readonly newMemberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocolType: string
  readonly protocols: readonly MemberProtocol[]
  readonly reason: string | null
  /** JoinGroup 4 and later: a new dynamic member is told its id first and joins with it. */
  readonly mustKnowMemberId: boolean
  /** JoinGroup 9 and later: a static leader that comes back can be told to leave the assignment as it is. */
  readonly canSkipAssignment: boolean
}

export interface JoinAnswer {
  readonly errorCode: number
  readonly memberId: string
  readonly generationId: number
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly leader: string
  readonly skipAssignment: boolean
  /** All members with their metadata, for the leader; empty for the others. */
  readonly members: readonly JoinedMember[]
}

export interface JoinedMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly metadata: Buffer
}

export interface SyncRequest {
  readonly requestId: number
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generationId: number
  /** Null when the request's version has no such field. */
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly assignments: ReadonlyMap<string, Buffer>
}

export interface SyncAnswer {
  readonly errorCode: number
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly assignment: Buffer
}

export interface LeavingMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
}

/** `join`: end of the wait for members to join. `sync`: end of the wait for their SyncGroup. `session:<member id>`. */
export type GroupTimer = 'join' | 'sync' | `session:${string}`

/** A group as it is stored: what a coordinator knows of it after a restart. */
export interface GroupSnapshot {
  readonly protocolType: string | null
  readonly generationId: number
  readonly protocolName: string | null
  readonly leader: string | null
  /** When the group came into its state, by the wall clock; null in records older than that field. */
  readonly stateTimestampMs: number | null
  readonly members: readonly StoredMember[]
}

export interface StoredMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly rebalanceTimeoutMs: number
  readonly sessionTimeoutMs: number
  readonly metadata: Buffer
  readonly assignment: Buffer
}

/** What to store, and what the group needs to go on when it is told the outcome. */
export type GroupWrite = { readonly snapshot: GroupSnapshot } & (
  | { readonly of: 'assignment'; readonly assignments: ReadonlyMap<string, Buffer> }
  | { readonly of: 'static-member'; readonly replacement: StaticReplacement }
  | { readonly of: 'empty-generation' }
)

export interface StaticReplacement {
  readonly request: JoinRequest
  /** The member as it was before, to go back to when the write fails. */
  readonly old: GroupMember
  readonly newMemberId: string
  readonly oldLeader: string | null
}

export type GroupEffect =
  | { readonly kind: 'answer-join'; readonly requestId: number; readonly answer: JoinAnswer }
  | { readonly kind: 'answer-sync'; readonly requestId: number; readonly answer: SyncAnswer }
  | { readonly kind: 'set-timer'; readonly timer: GroupTimer; readonly delayMs: number }
  | { readonly kind: 'cancel-timer'; readonly timer: GroupTimer }
  | { readonly kind: 'store'; readonly write: GroupWrite }
  | { readonly kind: 'log'; readonly message: string; readonly reason: string }
