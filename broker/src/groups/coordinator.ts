import assert from 'node:assert/strict'
import {
  buildBatch,
  ErrorCode,
  errorName,
  readBatches,
  type apis,
  type DeleteGroupsRequest,
  type DescribeGroupsRequest,
  type HeartbeatRequest,
  type JoinGroupRequest,
  type LeaveGroupRequest,
  type ListGroupsRequest,
  type ResponseInput,
  type SyncGroupRequest,
  ZERO_UUID,
} from '@millrace/protocol'
import type { Clock, Timer } from '../base/clock.ts'
import { SlicedLoad } from '../base/sliced-load.ts'
import type { Logger } from '../base/logger.ts'
import type { Random } from '../base/random.ts'
import type { BrokerConfig } from '../config/broker-config.ts'
import { CONSUMER_OFFSETS } from '../metadata/topic-names.ts'
import { ClassicGroup, joinRefusal } from './classic-group.ts'
import { CommittedOffsets, type CommittedOffset } from './committed-offsets.ts'
import { coordinatorError } from './coordinator-error.ts'
import type { GroupEffect, GroupSettings, GroupTimer, JoinAnswer, LeavingMember, SyncAnswer } from './group-events.ts'
import { metadataFor } from './group-member.ts'
import { encodeGroupRecord, type GroupRecord } from './group-records.ts'
import { GroupReplay } from './group-replay.ts'
import { isExpired } from './offset-expiry.ts'
import { partitionOfGroup, type OffsetsTopic } from './offsets-topic.ts'

/** What the coordinator must know of a request besides its body. */
export interface GroupRequestContext {
  readonly apiVersion: number
  readonly clientId: string | null
  /** The peer's address, such as `127.0.0.1`. */
  readonly clientHost: string
}

/** An offset to commit, of a partition that exists. */
export interface OffsetToCommit {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string | null
}

export interface CommitRequest {
  readonly apiVersion: number
  readonly groupId: string
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generationId: number
  /** How long to keep the offsets, from clients of before Kafka 2.1; -1 leaves it to the broker. */
  readonly retentionTimeMs: number
  readonly offsets: readonly OffsetToCommit[]
}

export interface TransactionalCommitRequest {
  readonly groupId: string
  readonly producerId: number
  readonly producerEpoch: number
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generationId: number
  readonly offsets: readonly OffsetToCommit[]
}

export interface FetchedOffset {
  readonly partitionIndex: number
  readonly committedOffset: number
  readonly committedLeaderEpoch: number
  readonly metadata: string
  readonly errorCode: number
}

/** The groups of one partition of __consumer_offsets. */
interface Shard {
  readonly partition: number
  state: 'loading' | 'loaded' | 'failed'
  readonly offsets: CommittedOffsets
  readonly endsWhileLoading: { readonly producerId: number; readonly isCommit: boolean }[]
}

/** An offset that is being committed. */
type OffsetRecord = Extract<GroupRecord, { kind: 'offset' }> & { readonly value: CommittedOffset }

const NO_PRODUCER = { producerId: -1, producerEpoch: -1, isTransactional: false }

interface CoordinatedGroup {
  readonly group: ClassicGroup
  readonly timers: Map<GroupTimer, Timer>
}

const NO_OFFSET = { committedOffset: -1, committedLeaderEpoch: -1, metadata: '' }
const NO_BYTES = Buffer.alloc(0)

/** Tombstones in one batch, so that it stays well below the size a log takes. */
const TOMBSTONES_PER_BATCH = 500

/**
 * The groups of this broker: their members, by ClassicGroup, and their committed offsets.
 *
 * Everything that must survive is a record of __consumer_offsets, in Kafka's form, before anybody is told of it; what
 * cannot be stored has not happened. load() brings all of it back. Until the topic is there every request is answered
 * NOT_COORDINATOR, while it is being read COORDINATOR_LOAD_IN_PROGRESS, after close() COORDINATOR_NOT_AVAILABLE.
 *
 * Whether topics and partitions exist is not its business: see the handlers. Buffers in requests are kept, so they must
 * not be views of memory that is used again.
 */
export class GroupCoordinator {
  readonly #clock: Clock
  readonly #random: Random
  readonly #config: BrokerConfig
  readonly #logger: Logger
  readonly #settings: GroupSettings
  readonly #groups = new Map<string, CoordinatedGroup>()
  readonly #waitingJoins = new Map<number, (answer: JoinAnswer) => void>()
  readonly #waitingSyncs = new Map<number, (answer: SyncAnswer) => void>()
  readonly #listeners = new Map<string, Set<() => void>>()
  #topic: OffsetsTopic | null = null
  #shards: Shard[] = []
  readonly #loading: SlicedLoad
  #topicsDeletedWhileLoading: string[] = []
  #cleanUpTimer: Timer | null = null
  #nextRequestId = 1
  #isClosed = false

  constructor(options: {
    readonly clock: Clock
    readonly random: Random
    readonly config: BrokerConfig
    readonly logger: Logger
  }) {
    this.#clock = options.clock
    this.#loading = new SlicedLoad(options.clock)
    this.#random = options.random
    this.#config = options.config
    this.#logger = options.logger
    const config = options.config
    this.#settings = {
      get initialRebalanceDelayMs() {
        return config.int('group.initial.rebalance.delay.ms')
      },
      get maxSize() {
        return config.int('group.max.size')
      },
    }
  }

  /**
   * Reads what is stored and takes requests for it from then on. A small topic is there at once; a big one is read in
   * slices between which other work goes on, each partition answering as soon as it is read.
   */
  load(topic: OffsetsTopic): void {
    assert(!this.#isClosed)
    assert(this.#topic === null, 'the offsets topic is loaded once')
    this.#topic = topic
    this.#shards = Array.from({ length: topic.partitionCount }, (_, partition) => ({
      partition,
      state: 'loading',
      offsets: new CommittedOffsets(),
      endsWhileLoading: [],
    }))
    this.#loading.start(this.#replayAll(topic), () => this.#onLoaded())
    this.#scheduleCleanUp()
  }

  get isLoading(): boolean {
    return this.#loading.isUnderWay
  }

  /** Resolves when nothing is left to load. */
  whenLoaded(): Promise<void> {
    return this.#loading.whenOver()
  }

  /** Stops every timer and answers everybody who waits. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#unload(ErrorCode.coordinatorNotAvailable)
  }

  joinGroup(request: JoinGroupRequest, context: GroupRequestContext): Promise<ResponseInput<typeof apis.joinGroup>> {
    return new Promise((resolve) => {
      this.#join(request, context, (answer) => {
        const { protocolName, members, ...rest } = answer
        // Null came with version 7, and empty means nothing since.
        const name = context.apiVersion < 7 ? (protocolName ?? '') : protocolName === '' ? null : protocolName
        resolve({ throttleTimeMs: 0, ...rest, protocolName: name, members })
      })
    })
  }

  #join(request: JoinGroupRequest, context: GroupRequestContext, answered: (answer: JoinAnswer) => void): void {
    const { groupId, memberId, sessionTimeoutMs } = request
    const shard = this.#shardOf(groupId, { allowsEmptyId: false })
    if (typeof shard === 'number') {
      answered(joinRefusal(shard, memberId))
      return
    }
    if (!this.#isSessionTimeoutAllowed(sessionTimeoutMs)) {
      answered(joinRefusal(ErrorCode.invalidSessionTimeout, memberId))
      return
    }
    let coordinated = this.#groups.get(groupId)
    if (coordinated === undefined) {
      if (memberId !== '') {
        answered(joinRefusal(ErrorCode.unknownMemberId, memberId))
        return
      }
      const created = this.#createGroup(shard, groupId)
      if (typeof created === 'number') {
        answered(joinRefusal(created, memberId))
        return
      }
      coordinated = created
    }
    const requestId = this.#nextRequestId++
    this.#waitingJoins.set(requestId, answered)
    const clientId = context.clientId ?? ''
    coordinated.group.join(
      {
        requestId,
        memberId,
        newMemberId: `${request.groupInstanceId ?? clientId}-${this.#uuid()}`,
        groupInstanceId: request.groupInstanceId,
        clientId,
        // Kafka shows addresses the way Java prints them.
        clientHost: `/${context.clientHost}`,
        sessionTimeoutMs,
        rebalanceTimeoutMs: context.apiVersion === 0 ? sessionTimeoutMs : request.rebalanceTimeoutMs,
        protocolType: request.protocolType,
        protocols: request.protocols,
        reason: request.reason,
        mustKnowMemberId: context.apiVersion >= 4,
        canSkipAssignment: context.apiVersion >= 9,
      },
      this.#clock.nowMs(),
    )
    this.#carryOut(coordinated)
  }

  syncGroup(request: SyncGroupRequest, context: GroupRequestContext): Promise<ResponseInput<typeof apis.syncGroup>> {
    return new Promise((resolve) => {
      const answered = (answer: SyncAnswer): void => resolve({ throttleTimeMs: 0, ...answer })
      const refuse = (errorCode: number): void =>
        answered({ errorCode, protocolType: null, protocolName: null, assignment: NO_BYTES })
      // Version 5 brought the two fields and made them mandatory.
      if (context.apiVersion >= 5 && (request.protocolType === null || request.protocolName === null)) {
        refuse(ErrorCode.inconsistentGroupProtocol)
        return
      }
      const shard = this.#shardOf(request.groupId, { allowsEmptyId: false })
      const coordinated = this.#groups.get(request.groupId)
      if (typeof shard === 'number' || coordinated === undefined) {
        refuse(typeof shard === 'number' ? shard : ErrorCode.unknownMemberId)
        return
      }
      const requestId = this.#nextRequestId++
      this.#waitingSyncs.set(requestId, answered)
      coordinated.group.sync(
        {
          requestId,
          memberId: request.memberId,
          groupInstanceId: request.groupInstanceId,
          generationId: request.generationId,
          protocolType: request.protocolType,
          protocolName: request.protocolName,
          assignments: new Map(request.assignments.map(({ memberId, assignment }) => [memberId, assignment])),
        },
        this.#clock.nowMs(),
      )
      this.#carryOut(coordinated)
    })
  }

  heartbeat(request: HeartbeatRequest): ResponseInput<typeof apis.heartbeat> {
    return { throttleTimeMs: 0, errorCode: this.#heartbeat(request) }
  }

  #heartbeat({ groupId, memberId, groupInstanceId, generationId }: HeartbeatRequest): number {
    const shard = this.#shardOf(groupId, { allowsEmptyId: false })
    // The member is most likely in the part that is still being read, and has no need to do anything.
    if (shard === ErrorCode.coordinatorLoadInProgress) return ErrorCode.none
    if (typeof shard === 'number') return shard
    const coordinated = this.#groups.get(groupId)
    if (coordinated === undefined) return ErrorCode.unknownMemberId
    const errorCode = coordinated.group.heartbeat(memberId, groupInstanceId, generationId)
    this.#carryOut(coordinated)
    return errorCode
  }

  leaveGroup(request: LeaveGroupRequest, context: GroupRequestContext): ResponseInput<typeof apis.leaveGroup> {
    const { groupId } = request
    const hasBatch = context.apiVersion >= 3
    const leaving: readonly LeavingMember[] = hasBatch
      ? request.members
      : [{ memberId: request.memberId, groupInstanceId: null }]
    const shard = this.#shardOf(groupId, { allowsEmptyId: false })
    if (typeof shard === 'number') return { throttleTimeMs: 0, errorCode: shard, members: [] }
    const coordinated = this.#groups.get(groupId)
    const errorCodes =
      coordinated === undefined
        ? leaving.map(() => ErrorCode.unknownMemberId)
        : coordinated.group.leave(leaving, this.#clock.nowMs())
    if (coordinated !== undefined) this.#carryOut(coordinated)
    if (!hasBatch) return { throttleTimeMs: 0, errorCode: errorCodes[0] ?? ErrorCode.none }
    const members = leaving.map(({ memberId, groupInstanceId }, index) => ({
      memberId,
      groupInstanceId,
      errorCode: errorCodes[index]!,
    }))
    return { throttleTimeMs: 0, errorCode: ErrorCode.none, members }
  }

  describeGroups(
    request: DescribeGroupsRequest,
    context: GroupRequestContext,
  ): ResponseInput<typeof apis.describeGroups> {
    const groups = request.groups.map((groupId) => {
      const shard = this.#shardOf(groupId, { allowsEmptyId: true })
      const group = this.#groups.get(groupId)?.group
      if (typeof shard === 'number') return describedNothing(groupId, shard, '')
      if (group === undefined) {
        // Since version 6 (KIP-1043) a group that is not there is an error; before, it looked like one that is dead.
        if (context.apiVersion < 6) return describedNothing(groupId, ErrorCode.none, 'Dead')
        const errorMessage = `Group ${groupId} not found.`
        return { ...describedNothing(groupId, ErrorCode.groupIdNotFound, 'Dead'), errorMessage }
      }
      const isStable = group.state === 'Stable'
      return {
        errorCode: ErrorCode.none,
        errorMessage: null,
        groupId,
        groupState: group.state,
        protocolType: group.protocolType ?? '',
        protocolData: isStable ? (group.protocolName ?? '') : '',
        members: Array.from(group.members.values(), (member) => ({
          memberId: member.memberId,
          groupInstanceId: member.groupInstanceId,
          clientId: member.clientId,
          clientHost: member.clientHost,
          memberMetadata: (isStable ? metadataFor(member, group.protocolName) : null) ?? NO_BYTES,
          memberAssignment: member.assignment,
        })),
      }
    })
    return { throttleTimeMs: 0, groups }
  }

  listGroups(request: ListGroupsRequest): ResponseInput<typeof apis.listGroups> {
    if (this.#isClosed) return { throttleTimeMs: 0, errorCode: ErrorCode.coordinatorNotAvailable, groups: [] }
    if (this.isLoading) return { throttleTimeMs: 0, errorCode: ErrorCode.coordinatorLoadInProgress, groups: [] }
    const states = new Set(request.statesFilter.map((state) => state.trim().toLowerCase()))
    const types = new Set(request.typesFilter.map((type) => type.toLowerCase()))
    const groups = []
    for (const [groupId, { group }] of this.#groups) {
      if (states.size > 0 && !states.has(group.state.toLowerCase())) continue
      if (types.size > 0 && !types.has('classic')) continue
      const { protocolType, state } = group
      groups.push({ groupId, protocolType: protocolType ?? '', groupState: state as string, groupType: 'classic' })
    }
    return { throttleTimeMs: 0, errorCode: ErrorCode.none, groups }
  }

  deleteGroups(request: DeleteGroupsRequest): ResponseInput<typeof apis.deleteGroups> {
    const results = Array.from(new Set(request.groupsNames), (groupId) => ({
      groupId,
      errorCode: this.#deleteGroup(groupId),
    }))
    return { throttleTimeMs: 0, results }
  }

  #deleteGroup(groupId: string): number {
    const shard = this.#shardOf(groupId, { allowsEmptyId: true })
    if (typeof shard === 'number') return shard
    const coordinated = this.#groups.get(groupId)
    if (coordinated === undefined) return ErrorCode.groupIdNotFound
    if (coordinated.group.state !== 'Empty') return ErrorCode.nonEmptyGroup
    const tombstones: GroupRecord[] = []
    for (const { topic, partition } of shard.offsets.partitionsOfGroup(groupId)) {
      tombstones.push(offsetTombstone(groupId, topic, partition))
    }
    tombstones.push({ kind: 'group', groupId, value: null })
    return this.#store(shard, tombstones)
  }

  /** An error for the commit as a whole, or one code per offset in order. */
  commitOffsets(request: CommitRequest): number | readonly number[] {
    const { groupId, memberId, groupInstanceId, generationId } = request
    const shard = this.#shardOf(groupId, { allowsEmptyId: true })
    if (typeof shard === 'number') return shard
    const coordinated = this.#groups.get(groupId)
    if (coordinated === undefined) {
      // Without a generation it is a consumer that assigns partitions to itself, or an administrator. Clients of before
      // version 9 would not understand the error that is meant.
      if (generationId >= 0) return request.apiVersion >= 9 ? ErrorCode.groupIdNotFound : ErrorCode.illegalGeneration
    } else {
      const errorCode = coordinated.group.validateOffsetCommit(memberId, groupInstanceId, generationId)
      this.#carryOut(coordinated)
      if (errorCode !== ErrorCode.none) return errorCode
    }

    const { retentionTimeMs } = request
    const expireTimestampMs = retentionTimeMs === -1 ? -1 : this.#clock.nowMs() + retentionTimeMs
    const { records, errorCodes } = this.#offsetRecords(groupId, request.offsets, expireTimestampMs)
    const errorCode = this.#store(shard, records)
    return errorCode === ErrorCode.none ? errorCodes : errorCode
  }

  /**
   * Offsets of a transaction, which nobody sees before it is committed. That the partition of the group takes part in the
   * transaction was seen to. An error for the commit as a whole, or one code per offset in order.
   */
  commitTransactionalOffsets(request: TransactionalCommitRequest): number | readonly number[] {
    const { groupId, memberId, groupInstanceId, generationId } = request
    const shard = this.#shardOf(groupId, { allowsEmptyId: false })
    if (typeof shard === 'number') return shard
    const coordinated = this.#groups.get(groupId)
    if (coordinated === undefined) {
      if (generationId >= 0) return ErrorCode.illegalGeneration
    } else {
      const errorCode = coordinated.group.validateTransactionalCommit(memberId, groupInstanceId, generationId)
      if (errorCode !== ErrorCode.none) return errorCode
    }
    const { records, errorCodes } = this.#offsetRecords(groupId, request.offsets, -1)
    if (records.length === 0) return errorCodes
    const { producerId, producerEpoch } = request
    assert(producerId >= 0, 'the caller checked it')
    const { errorCode, baseOffset } = this.#append(shard, records, { producerId, producerEpoch, isTransactional: true })
    if (errorCode !== ErrorCode.none) return errorCode
    this.#ensureGroup(groupId)
    for (const [index, { topic, partition, value }] of records.entries()) {
      shard.offsets.setPending(producerId, groupId, topic, partition, { ...value, recordOffset: baseOffset + index })
    }
    return errorCodes
  }

  /** Those that may be stored become records; there is a code for each. */
  #offsetRecords(groupId: string, offsets: readonly OffsetToCommit[], expireTimestampMs: number) {
    const commitTimestampMs = this.#clock.nowMs()
    const metadataLengthMax = this.#config.int('offset.metadata.max.bytes')
    const records: OffsetRecord[] = []
    const errorCodes = offsets.map(({ topic, topicId, partition, offset, leaderEpoch, metadata }) => {
      if (metadata !== null && metadata.length > metadataLengthMax) return ErrorCode.offsetMetadataTooLarge
      const value: CommittedOffset = {
        offset,
        leaderEpoch,
        metadata: metadata ?? '',
        commitTimestampMs,
        expireTimestampMs,
        topicId,
        recordOffset: -1,
      }
      records.push({ kind: 'offset', groupId, topic, partition, value })
      return ErrorCode.none
    })
    return { records, errorCodes }
  }

  /** The partition of __consumer_offsets that holds a group; null while there is none. */
  partitionOf(groupId: string): number | null {
    return this.#shardHolding(groupId)?.partition ?? null
  }

  /**
   * The end of a transaction is in the log of the partition: what it committed counts now, or never. While the partition
   * is still being read, the end waits for what is read before it.
   */
  transactionEnded(partition: number, producerId: number, isCommit: boolean): void {
    const shard = this.#shards[partition]
    if (shard === undefined || shard.state === 'failed') return
    if (shard.state === 'loading') {
      shard.endsWhileLoading.push({ producerId, isCommit })
      return
    }
    this.#endTransaction(shard, producerId, isCommit)
  }

  #endTransaction({ offsets }: Shard, producerId: number, isCommit: boolean): void {
    for (const groupId of offsets.endTransaction(producerId, isCommit)) this.#changed(groupId)
  }

  /**
   * The offsets of the partitions asked for, or with null of all that have one. `requireStable`: an open transaction on
   * a partition is an error for it, because its end may change the offset (KIP-447).
   */
  fetchOffsets(
    groupId: string,
    topics:
      | readonly { readonly name: string; readonly topicId: string; readonly partitions: readonly number[] }[]
      | null,
    requireStable: boolean,
  ): number | { readonly name: string; readonly partitions: FetchedOffset[] }[] {
    const shard = this.#shardOf(groupId, { allowsEmptyId: true })
    if (typeof shard === 'number') return shard
    const { offsets } = shard
    const stored = offsets.ofGroup(groupId)
    const fetched = (topic: string, partition: number, committed: CommittedOffset | undefined): FetchedOffset =>
      requireStable && offsets.isPending(groupId, topic, partition)
        ? { partitionIndex: partition, ...NO_OFFSET, errorCode: ErrorCode.unstableOffsetCommit }
        : asFetched(partition, committed)
    if (topics === null) {
      return Array.from(stored, ([name, partitions]) => ({
        name,
        partitions: Array.from(partitions, ([partition, committed]) => fetched(name, partition, committed)),
      }))
    }
    return topics.map(({ name, topicId, partitions }) => ({
      name,
      partitions: partitions.map((partition) => {
        const committed = stored.get(name)?.get(partition)
        // Committed for a topic of the same name that was deleted since.
        const isOutdated = committed !== undefined && areDifferent(committed.topicId, topicId)
        return fetched(name, partition, isOutdated ? undefined : committed)
      }),
    }))
  }

  /** An error for the request as a whole, or one code per topic in order, which holds for all its partitions. */
  deleteOffsets(
    groupId: string,
    topics: readonly { readonly name: string; readonly partitions: readonly number[] }[],
  ): number | readonly number[] {
    const shard = this.#shardOf(groupId, { allowsEmptyId: false })
    if (typeof shard === 'number') return shard
    const group = this.#groups.get(groupId)?.group
    if (group === undefined) return ErrorCode.groupIdNotFound
    if (group.state !== 'Empty' && !group.usesConsumerProtocol) return ErrorCode.nonEmptyGroup
    const tombstones: GroupRecord[] = []
    const errorCodes = topics.map(({ name, partitions }) => {
      if (group.isSubscribedTo(name)) return ErrorCode.groupSubscribedToTopic
      for (const partition of partitions) {
        const isThere =
          shard.offsets.get(groupId, name, partition) !== undefined || shard.offsets.isPending(groupId, name, partition)
        if (isThere) tombstones.push(offsetTombstone(groupId, name, partition))
      }
      return ErrorCode.none
    })
    const errorCode = this.#store(shard, tombstones)
    return errorCode === ErrorCode.none ? errorCodes : errorCode
  }

  /** Drops the offsets of a topic that is gone. */
  onTopicDeleted(topic: string): void {
    if (this.#isClosed || this.#topic === null) return
    if (topic === CONSUMER_OFFSETS) {
      this.#unload(ErrorCode.notCoordinator)
      return
    }
    if (this.isLoading) {
      this.#topicsDeletedWhileLoading.push(topic)
      return
    }
    for (const shard of this.#shards) {
      if (shard.state !== 'loaded') continue
      const tombstones: GroupRecord[] = []
      for (const { groupId, partition } of shard.offsets.ofTopic(topic)) {
        tombstones.push(offsetTombstone(groupId, topic, partition))
      }
      const errorCode = this.#store(shard, tombstones)
      if (errorCode === ErrorCode.none) continue
      this.#logger.error('offsets of a deleted topic are left behind', { topic, error: errorName(errorCode) })
    }
  }

  committedOffset(groupId: string, topic: string, partition: number): number | null {
    return this.#shardHolding(groupId)?.offsets.get(groupId, topic, partition)?.offset ?? null
  }

  /** The topics that the group is known to read: what its members subscribe to, and what it has offsets of. */
  topicsOf(groupId: string): string[] {
    const subscribed = this.#groups.get(groupId)?.group.subscribedTopics ?? []
    const committed = this.#shardHolding(groupId)?.offsets.ofGroup(groupId).keys() ?? []
    return [...new Set([...subscribed, ...committed])]
  }

  /** Calls back after the group's offsets or its assignment changed; returns how to stop that. */
  onGroupChange(groupId: string, listener: () => void): () => void {
    let listeners = this.#listeners.get(groupId)
    if (listeners === undefined) this.#listeners.set(groupId, (listeners = new Set()))
    listeners.add(listener)
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0) this.#listeners.delete(groupId)
    }
  }

  #changed(groupId: string): void {
    for (const listener of this.#listeners.get(groupId) ?? []) listener()
  }

  /** The shard of a group, or why no request for the group can be answered now. */
  #shardOf(groupId: string, { allowsEmptyId }: { readonly allowsEmptyId: boolean }): Shard | number {
    if (this.#isClosed) return ErrorCode.coordinatorNotAvailable
    // Offsets without members were always possible for the empty group id, and still are.
    if (groupId === '' && !allowsEmptyId) return ErrorCode.invalidGroupId
    const shard = this.#shardHolding(groupId)
    if (shard === null || shard.state === 'failed') return ErrorCode.notCoordinator
    return shard.state === 'loading' ? ErrorCode.coordinatorLoadInProgress : shard
  }

  #shardHolding(groupId: string): Shard | null {
    return this.#topic === null ? null : this.#shards[partitionOfGroup(groupId, this.#shards.length)]!
  }

  #isSessionTimeoutAllowed(sessionTimeoutMs: number): boolean {
    return (
      sessionTimeoutMs >= this.#config.int('group.min.session.timeout.ms') &&
      sessionTimeoutMs <= this.#config.int('group.max.session.timeout.ms')
    )
  }

  /** A new group is stored before its first member joins; the result is an error code when that fails. */
  #createGroup(shard: Shard, groupId: string): CoordinatedGroup | number {
    const nowMs = this.#clock.nowMs()
    const value = {
      protocolType: null,
      generationId: 0,
      protocolName: null,
      leader: null,
      stateTimestampMs: nowMs,
      members: [],
    }
    const { errorCode } = this.#append(shard, [{ kind: 'group', groupId, value }])
    if (errorCode !== ErrorCode.none) return errorCode
    const coordinated = { group: new ClassicGroup(groupId, this.#settings, nowMs), timers: new Map() }
    this.#groups.set(groupId, coordinated)
    return coordinated
  }

  /** Offsets may be committed for a group that nobody joined: one without members and without a protocol. */
  #ensureGroup(groupId: string): void {
    if (this.#groups.has(groupId)) return
    const group = new ClassicGroup(groupId, this.#settings, this.#clock.nowMs())
    this.#groups.set(groupId, { group, timers: new Map() })
  }

  #removeGroup(groupId: string): void {
    const coordinated = this.#groups.get(groupId)
    if (coordinated === undefined) return
    coordinated.group.close(ErrorCode.unknownMemberId)
    this.#carryOut(coordinated)
    this.#groups.delete(groupId)
  }

  /** Does what a group asks for after an event. */
  #carryOut(coordinated: CoordinatedGroup): void {
    const { group } = coordinated
    for (let effects = group.takeEffects(); effects.length > 0; effects = group.takeEffects()) {
      for (const effect of effects) this.#perform(coordinated, effect)
    }
  }

  #perform(coordinated: CoordinatedGroup, effect: GroupEffect): void {
    const { group, timers } = coordinated
    switch (effect.kind) {
      case 'answer-join':
        takeWaiting(this.#waitingJoins, effect.requestId)(effect.answer)
        break
      case 'answer-sync':
        takeWaiting(this.#waitingSyncs, effect.requestId)(effect.answer)
        break
      case 'set-timer': {
        const { timer, delayMs } = effect
        timers.get(timer)?.cancel()
        const fire = (): void => {
          timers.delete(timer)
          group.timerFired(timer, this.#clock.nowMs())
          this.#carryOut(coordinated)
        }
        timers.set(timer, this.#clock.setTimer(delayMs, fire))
        break
      }
      case 'cancel-timer':
        timers.get(effect.timer)?.cancel()
        timers.delete(effect.timer)
        break
      case 'store': {
        const { groupId } = group
        const shard = this.#shardHolding(groupId)
        assert(shard !== null, 'a group lives while its topic is loaded')
        const { errorCode } = this.#append(shard, [{ kind: 'group', groupId, value: effect.write.snapshot }])
        group.stored(effect.write, errorCode, this.#clock.nowMs())
        this.#changed(groupId)
        break
      }
      case 'log':
        this.#logger.info(effect.message, {
          group: group.groupId,
          generation: group.generationId,
          members: group.members.size,
          reason: effect.reason,
        })
        break
    }
  }

  /**
   * Stores offsets, or tombstones of offsets and groups, and then lets them count. Offsets are one batch, so that a
   * commit counts as a whole or not at all; many tombstones are several, and after an error those before it are gone.
   */
  #store(shard: Shard, records: readonly GroupRecord[]): number {
    const isDeletion = records.every(({ value }) => value === null)
    const batchSize = isDeletion ? TOMBSTONES_PER_BATCH : records.length
    for (let at = 0; at < records.length; at += batchSize) {
      const batch = records.slice(at, at + batchSize)
      const { errorCode, baseOffset } = this.#append(shard, batch)
      if (errorCode !== ErrorCode.none) return errorCode
      for (const [index, record] of batch.entries()) this.#apply(shard, record, baseOffset + index)
      for (const groupId of new Set(batch.map((record) => record.groupId))) this.#changed(groupId)
    }
    return ErrorCode.none
  }

  /** The error is the one that clients of a coordinator are to see. */
  #append(
    shard: Shard,
    records: readonly GroupRecord[],
    { producerId, producerEpoch, isTransactional } = NO_PRODUCER,
  ): { readonly errorCode: number; readonly baseOffset: number } {
    assert(this.#topic !== null && shard.state === 'loaded')
    const batch = buildBatch({
      records: records.map(encodeGroupRecord),
      producerId,
      producerEpoch,
      isTransactional,
      nowMs: this.#clock.nowMs(),
    })
    const { errorCode, baseOffset } = this.#topic.append(shard.partition, batch)
    if (errorCode === ErrorCode.none) return { errorCode, baseOffset }
    this.#logger.error('group records not stored', { partition: shard.partition, error: errorName(errorCode) })
    return { errorCode: coordinatorError(errorCode), baseOffset }
  }

  /** What a stored record says becomes true. Members come and go through ClassicGroup, not through here. */
  #apply({ offsets }: Shard, record: GroupRecord, recordOffset: number): void {
    const { groupId } = record
    if (record.kind === 'group') {
      assert(record.value === null)
      this.#removeGroup(groupId)
    } else if (record.value === null) {
      offsets.delete(groupId, record.topic, record.partition)
    } else {
      this.#ensureGroup(groupId)
      offsets.set(groupId, record.topic, record.partition, { ...record.value, recordOffset })
    }
  }

  #onLoaded(): void {
    for (const topic of this.#topicsDeletedWhileLoading.splice(0)) this.onTopicDeleted(topic)
  }

  /** Yields the number of records replayed since it was last resumed. */
  *#replayAll(topic: OffsetsTopic): Generator<number, void> {
    for (const shard of this.#shards) {
      const replay = new GroupReplay({
        offsets: shard.offsets,
        settings: this.#settings,
        clock: this.#clock,
        logger: this.#logger,
      })
      try {
        for (const bytes of topic.batches(shard.partition)) {
          for (const batch of readBatches(bytes)) yield replay.replay(batch)
        }
      } catch (error) {
        // Its groups are answered NOT_COORDINATOR and what is stored is not touched, until the broker starts again.
        shard.state = 'failed'
        shard.offsets.clear()
        const { partition } = shard
        this.#logger.error('groups not loaded', { topic: CONSUMER_OFFSETS, partition, error: String(error) })
        continue
      }
      shard.state = 'loaded'
      for (const { producerId, isCommit } of shard.endsWhileLoading.splice(0)) {
        this.#endTransaction(shard, producerId, isCommit)
      }
      for (const group of replay.groups.values()) {
        // A group that hashes elsewhere is from a time when the topic had another number of partitions.
        if (this.#shardHolding(group.groupId) === shard) this.#adopt(group)
      }
    }
  }

  #adopt(group: ClassicGroup): void {
    const coordinated = { group, timers: new Map() }
    this.#groups.set(group.groupId, coordinated)
    group.resume(this.#clock.nowMs())
    this.#carryOut(coordinated)
  }

  #scheduleCleanUp(): void {
    this.#cleanUpTimer = this.#clock.setTimer(this.#config.int('offsets.retention.check.interval.ms'), () => {
      this.#cleanUp()
      this.#scheduleCleanUp()
    })
  }

  /** Drops expired offsets, and groups that have neither members nor offsets left. Only loaded groups are known here. */
  #cleanUp(): void {
    const times = {
      nowMs: this.#clock.nowMs(),
      retentionMs: this.#config.int('offsets.retention.minutes') * 60_000,
    }
    const byShard = new Map<Shard, GroupRecord[]>()
    for (const [groupId, { group }] of this.#groups) {
      const shard = this.#shardHolding(groupId)!
      const tombstones = byShard.get(shard) ?? []
      byShard.set(shard, tombstones)
      for (const tombstone of this.#expired(shard, group, times)) tombstones.push(tombstone)
    }
    for (const [shard, tombstones] of byShard) {
      if (tombstones.length === 0) continue
      const errorCode = this.#store(shard, tombstones)
      const { partition } = shard
      this.#logger.info('expired offsets and groups dropped', {
        partition,
        records: tombstones.length,
        error: errorName(errorCode),
      })
    }
  }

  #expired({ offsets }: Shard, group: ClassicGroup, times: { readonly nowMs: number; readonly retentionMs: number }) {
    const { groupId } = group
    const tombstones: GroupRecord[] = []
    let isAllGone = !offsets.hasOpenTransaction(groupId)
    for (const [topic, partitions] of offsets.ofGroup(groupId)) {
      for (const [partition, committed] of partitions) {
        if (isExpired(committed, topic, group, times) && !offsets.isPending(groupId, topic, partition)) {
          tombstones.push(offsetTombstone(groupId, topic, partition))
        } else {
          isAllGone = false
        }
      }
    }
    if (isAllGone && group.state === 'Empty' && !group.hasPendingMembers) {
      tombstones.push({ kind: 'group', groupId, value: null })
    }
    return tombstones
  }

  #unload(errorCode: number): void {
    this.#loading.giveUp()
    this.#cleanUpTimer?.cancel()
    this.#cleanUpTimer = null
    // From here on nothing is stored any more.
    this.#topic = null
    this.#shards = []
    for (const coordinated of this.#groups.values()) {
      coordinated.group.close(errorCode)
      this.#carryOut(coordinated)
      assert(coordinated.timers.size === 0, 'a group that is closed has no timer')
    }
    this.#groups.clear()
  }

  /** In the form that Java prints, which is how member ids end in Kafka. */
  #uuid(): string {
    const bytes = this.#random.bytes(16)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    const hex = bytes.toString('hex')
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
  }
}

function describedNothing(groupId: string, errorCode: number, groupState: string) {
  return {
    errorCode,
    errorMessage: null,
    groupId,
    groupState,
    protocolType: '',
    protocolData: '',
    members: [],
  }
}

function asFetched(partitionIndex: number, committed: CommittedOffset | undefined): FetchedOffset {
  if (committed === undefined) return { partitionIndex, ...NO_OFFSET, errorCode: ErrorCode.none }
  return {
    partitionIndex,
    committedOffset: committed.offset,
    committedLeaderEpoch: committed.leaderEpoch,
    metadata: committed.metadata,
    errorCode: ErrorCode.none,
  }
}

function offsetTombstone(groupId: string, topic: string, partition: number): GroupRecord {
  return { kind: 'offset', groupId, topic, partition, value: null }
}

function takeWaiting<A>(waiting: Map<number, (answer: A) => void>, requestId: number): (answer: A) => void {
  const answered = waiting.get(requestId)
  assert(answered !== undefined, 'a request is answered once')
  waiting.delete(requestId)
  return answered
}

/** Whether two topic ids are known and differ. */
function areDifferent(one: string, other: string): boolean {
  return one !== ZERO_UUID && other !== ZERO_UUID && one !== other
}
