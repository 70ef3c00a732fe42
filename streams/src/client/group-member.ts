import assert from 'node:assert/strict'
import {
  apis,
  consumerProtocolAssignment,
  consumerProtocolSubscription,
  decodeVersioned,
  encodeVersioned,
  ErrorCode,
  type ResponseOf,
} from '@millrace/protocol'
import type { Cluster } from './cluster.ts'
import { isRetriable, KafkaError } from './errors.ts'
import type { CommitIdentity } from './offsets.ts'
import { backoffMs, pause } from './retry.ts'
import { byTopic, type TopicPartition } from './topic-partition.ts'
import type { Lane } from './transport.ts'

export interface GroupOptions {
  readonly groupId: string
  /** A name that survives a restart (KIP-345): the member then gets its assignment back without a rebalance. */
  readonly groupInstanceId?: string | null
  /** The name of the assignor; all members of a group offer the same. */
  readonly protocolName: string
  /** A member from which nothing is heard for so long is out, and others get what it had. */
  readonly sessionTimeoutMs?: number
  /** How often the coordinator hears from the member, which is also how soon the member hears of a rebalance. */
  readonly heartbeatIntervalMs?: number
  /** How long the others may take to give up what they must, and to join. */
  readonly rebalanceTimeoutMs?: number
}

/** What a member tells about itself when it joins. */
export interface Subscription {
  readonly topics: readonly string[]
  /** What it works on, and goes on working on until it is told otherwise. */
  readonly owned: readonly TopicPartition[]
  /** For the assignor of the members' own. */
  readonly userData: Buffer
}

export interface GroupParticipant extends Subscription {
  readonly memberId: string
  readonly groupInstanceId: string | null
  /** The generation in which it got what it says it owns; -1 from a new member. */
  readonly generationId: number
}

export interface GroupAssignment {
  readonly partitions: readonly TopicPartition[]
  readonly userData: Buffer
}

export interface GroupHandler {
  subscription(): Subscription
  /** Asked of one member in each generation: who gets what. */
  assign(participants: readonly GroupParticipant[]): Promise<ReadonlyMap<string, GroupAssignment>>
  /**
   * The assignment of this member. It gives up what is no longer in it, and resolves when nothing is done for that any
   * more and everything is committed. True: something was given up, so a further rebalance has to give it to others.
   */
  assigned(assignment: GroupAssignment): Promise<boolean>
  /** The group went on without this member: what it owned may be somebody else's, and cannot be committed. */
  lost(): Promise<void>
  /** The member cannot be in the group at all, and is not any more. */
  failed(error: Error): void
}

const PROTOCOL_TYPE = 'consumer'
const SUBSCRIPTION_VERSION = 3
const ASSIGNMENT_VERSION = 1
const SESSION_TIMEOUT_MS = 10_000
const HEARTBEAT_INTERVAL_MS = 1_000
const REBALANCE_TIMEOUT_MS = 60_000
const LEAVE_TIMEOUT_MS = 2_000
const NO_GENERATION = -1
let memberCount = 0
/** From this version on, members leave in a list. */
const LEAVE_MANY_VERSION = 3

/**
 * Membership in a group of the classic protocol, with cooperative rebalances: while the members agree on a new
 * assignment each goes on with what it has, and gives up only what another one gets. It joins, hears of rebalances
 * through heartbeats, joins again, and assigns when the coordinator makes it the leader; what is assigned, and what it
 * means to have it, is the handler's.
 */
export class GroupMember {
  readonly #cluster: Cluster
  readonly #options: GroupOptions
  readonly #handler: GroupHandler
  readonly #sessionTimeoutMs: number
  readonly #heartbeatIntervalMs: number
  readonly #closing = new AbortController()
  readonly #lane: Lane
  #memberId = ''
  #generationId = NO_GENERATION
  /** The generation of what is owned; behind `#generationId` only between two assignments. */
  #ownedGeneration = NO_GENERATION
  #isJoinDue = true
  #isBeating = false
  #wake: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null
  #running: Promise<void> | null = null
  /** Rebalances that this member took part in, for metrics. */
  rebalanceCount = 0

  constructor(cluster: Cluster, options: GroupOptions, handler: GroupHandler) {
    this.#cluster = cluster
    this.#options = options
    this.#handler = handler
    this.#lane = `membership-${memberCount++}`
    this.#sessionTimeoutMs = options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS
    this.#heartbeatIntervalMs = options.heartbeatIntervalMs ?? HEARTBEAT_INTERVAL_MS
  }

  /** With what commits are made. They are refused with ILLEGAL_GENERATION or UNKNOWN_MEMBER_ID when it is out of date. */
  get identity(): CommitIdentity {
    return {
      groupId: this.#options.groupId,
      memberId: this.#memberId,
      generationId: this.#generationId,
      groupInstanceId: this.#options.groupInstanceId ?? null,
    }
  }

  /**
   * Whether what was asked in a generation may have been refused only because the member is on its way to the next one,
   * which the coordinator has begun while the answer to the join is still under way.
   */
  hasMovedOn(generationId: number): boolean {
    return !this.#isBeating || this.#generationId !== generationId
  }

  start(): void {
    assert(this.#running === null, 'a member starts once')
    this.#running = this.#run()
  }

  /** Asks for a rebalance: something changed that the assignment depends on. */
  rejoin(): void {
    this.#isJoinDue = true
    this.#wakeUp()
  }

  /** A commit was refused because the group has gone on without this member. */
  fenced(): void {
    this.#memberId = ''
    this.#generationId = NO_GENERATION
    this.rejoin()
  }

  /**
   * Ends the membership. Leaving tells the coordinator, so that others take over at once; without it they do after the
   * session timeout, which a member with an instance id wants that is about to come back.
   */
  async close(options: { readonly leaves: boolean }): Promise<void> {
    const isMember = this.#memberId !== ''
    this.#closing.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#wakeUp()
    await this.#running
    if (!options.leaves || !isMember) return
    const { groupId, groupInstanceId = null } = this.#options
    const memberId = this.#memberId
    const leave = this.#cluster.coordinated(
      'group',
      groupId,
      apis.leaveGroup,
      (version) =>
        version >= LEAVE_MANY_VERSION
          ? { groupId, members: [{ memberId, groupInstanceId, reason: 'the application is closing' }] }
          : { groupId, memberId },
      { timeoutMs: LEAVE_TIMEOUT_MS, codeOf: ({ errorCode }) => errorCode },
    )
    // Not being able to say goodbye costs the others a session timeout, and is no reason to fail a close.
    await Promise.race([leave.catch(() => {}), pause(LEAVE_TIMEOUT_MS)])
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted;) {
      if (!this.#isJoinDue) {
        await new Promise<void>((resolve) => (this.#wake = resolve))
        continue
      }
      try {
        await this.#join()
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        if (!isRetriable(error)) {
          this.#handler.failed(error as Error)
          return
        }
        this.#isJoinDue = true
        await pause(backoffMs(++failures), signal).catch(() => {})
      }
    }
  }

  /** One round of the protocol: join, agree, take on. Whatever calls for another one sets `#isJoinDue` again. */
  async #join(): Promise<void> {
    this.#isJoinDue = false
    this.#isBeating = false
    const joined = await this.#joinGroup()
    if (joined === null) return
    this.#generationId = joined.generationId
    this.#memberId = joined.memberId
    const isLeader = joined.leader === joined.memberId
    const assignments = isLeader && !joined.skipAssignment ? await this.#assign(joined.members) : []
    const assignment = await this.#syncGroup(joined.protocolName, assignments)
    if (assignment === null) return
    this.rebalanceCount++
    this.#ownedGeneration = this.#generationId
    this.#isBeating = true
    this.#beatLater()
    if (await this.#handler.assigned(assignment)) this.#isJoinDue = true
  }

  async #joinGroup(): Promise<ResponseOf<typeof apis.joinGroup> | null> {
    const { groupId, groupInstanceId = null, protocolName, rebalanceTimeoutMs = REBALANCE_TIMEOUT_MS } = this.#options
    const { topics, owned, userData } = this.#handler.subscription()
    const metadata = encodeVersioned(consumerProtocolSubscription, SUBSCRIPTION_VERSION, {
      topics,
      userData,
      ownedPartitions: [...byTopic(owned)].map(([topic, same]) => ({
        topic,
        partitions: same.map(({ partition }) => partition),
      })),
      generationId: this.#ownedGeneration,
    })
    const response = await this.#cluster.coordinated(
      'group',
      groupId,
      apis.joinGroup,
      {
        groupId,
        sessionTimeoutMs: this.#sessionTimeoutMs,
        rebalanceTimeoutMs,
        memberId: this.#memberId,
        groupInstanceId,
        protocolType: PROTOCOL_TYPE,
        protocols: [{ name: protocolName, metadata }],
      },
      { lane: this.#lane, signal: this.#closing.signal, codeOf: ({ errorCode }) => errorCode },
    )
    if (response.errorCode === ErrorCode.none) return response
    this.#isJoinDue = true
    if (response.errorCode === ErrorCode.memberIdRequired) {
      this.#memberId = response.memberId
      return null
    }
    await this.#onRefused('JoinGroup', response.errorCode)
    return null
  }

  async #assign(
    members: ResponseOf<typeof apis.joinGroup>['members'],
  ): Promise<{ memberId: string; assignment: Buffer }[]> {
    const participants = members.map(({ memberId, groupInstanceId, metadata }) => {
      const { topics, userData, ownedPartitions, generationId } = decodeVersioned(
        consumerProtocolSubscription,
        metadata,
      ).value
      const owned = ownedPartitions.flatMap(({ topic, partitions }) =>
        partitions.map((partition) => ({ topic, partition })),
      )
      return { memberId, groupInstanceId, topics, owned, generationId, userData: userData ?? Buffer.alloc(0) }
    })
    const assignments = await this.#handler.assign(participants)
    return [...assignments].map(([memberId, { partitions, userData }]) => ({
      memberId,
      assignment: encodeVersioned(consumerProtocolAssignment, ASSIGNMENT_VERSION, {
        assignedPartitions: [...byTopic(partitions)].map(([topic, same]) => ({
          topic,
          partitions: same.map(({ partition }) => partition),
        })),
        userData,
      }),
    }))
  }

  async #syncGroup(
    protocolName: string | null,
    assignments: readonly { memberId: string; assignment: Buffer }[],
  ): Promise<GroupAssignment | null> {
    const { groupId, groupInstanceId = null } = this.#options
    const response = await this.#cluster.coordinated(
      'group',
      groupId,
      apis.syncGroup,
      {
        groupId,
        generationId: this.#generationId,
        memberId: this.#memberId,
        groupInstanceId,
        protocolType: PROTOCOL_TYPE,
        protocolName,
        assignments,
      },
      { lane: this.#lane, signal: this.#closing.signal, codeOf: ({ errorCode }) => errorCode },
    )
    if (response.errorCode !== ErrorCode.none) {
      this.#isJoinDue = true
      await this.#onRefused('SyncGroup', response.errorCode)
      return null
    }
    // The leader of static members gets its old assignment without being asked for one; others always get bytes.
    if (response.assignment.length === 0) return { partitions: [], userData: Buffer.alloc(0) }
    const { assignedPartitions, userData } = decodeVersioned(consumerProtocolAssignment, response.assignment).value
    const partitions = assignedPartitions.flatMap(({ topic, partitions: indexes }) =>
      indexes.map((partition) => ({ topic, partition })),
    )
    return { partitions, userData: userData ?? Buffer.alloc(0) }
  }

  /** What a code means for the membership; throws it when there is none any more. */
  async #onRefused(api: string, errorCode: number): Promise<void> {
    switch (errorCode) {
      case ErrorCode.rebalanceInProgress:
        this.#isJoinDue = true
        return
      case ErrorCode.unknownMemberId:
      case ErrorCode.illegalGeneration:
        if (errorCode === ErrorCode.unknownMemberId) this.#memberId = ''
        this.#generationId = NO_GENERATION
        this.#ownedGeneration = NO_GENERATION
        this.#isJoinDue = true
        await this.#handler.lost()
        return
      default:
        throw new KafkaError(api, errorCode, `group ${this.#options.groupId}`)
    }
  }

  #beatLater(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#closing.signal.aborted) return
    this.#timer = setTimeout(() => void this.#beat(), this.#heartbeatIntervalMs)
  }

  /** Runs beside everything else, also while an assignment is being taken on. */
  async #beat(): Promise<void> {
    if (!this.#isBeating) return
    const { groupId, groupInstanceId = null } = this.#options
    const generationId = this.#generationId
    const body = { groupId, generationId, memberId: this.#memberId, groupInstanceId }
    try {
      const { errorCode } = await this.#cluster.coordinated('group', groupId, apis.heartbeat, body, {
        signal: this.#closing.signal,
        codeOf: (response) => response.errorCode,
        timeoutMs: this.#sessionTimeoutMs,
      })
      // An answer to an older generation says nothing about this one.
      if (generationId !== this.#generationId || !this.#isBeating) return
      if (errorCode !== ErrorCode.none) {
        if (errorCode !== ErrorCode.rebalanceInProgress) this.#isBeating = false
        await this.#onRefused('Heartbeat', errorCode)
        this.#wakeUp()
      }
    } catch (error) {
      if (this.#closing.signal.aborted) return
      if (!isRetriable(error)) {
        this.#isBeating = false
        this.#closing.abort()
        this.#wakeUp()
        this.#handler.failed(error as Error)
        return
      }
    }
    if (this.#isBeating) this.#beatLater()
  }

  #wakeUp(): void {
    this.#wake?.()
    this.#wake = null
  }
}
