import assert from 'node:assert/strict'
import { ErrorCode } from '@millrace/protocol'
import { CONSUMER_PROTOCOL_TYPE, subscribedTopicsOf } from './consumer-protocol.ts'
import type {
  GroupEffect,
  GroupSettings,
  GroupSnapshot,
  GroupState,
  GroupTimer,
  GroupWrite,
  JoinAnswer,
  JoinedMember,
  JoinRequest,
  LeavingMember,
  StaticReplacement,
  StoredMember,
  SyncAnswer,
  SyncRequest,
} from './group-events.ts'
import { hasSameProtocols, metadataFor, NO_ASSIGNMENT, type GroupMember } from './group-member.ts'

/**
 * JoinGroup requests of members that have no member id yet end after this long, so that clients which gave up and came
 * back as new members do not pile up in a long rebalance.
 */
export const NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000

const NO_LEADER = ''
const NO_GENERATION = -1

/**
 * One group of the classic rebalance protocol, as Kafka 4.x coordinates it.
 *
 *     Empty ──join──► PreparingRebalance ──all joined, or time over──► CompletingRebalance ──assignment stored──► Stable
 *       ▲                │      ▲                                           │                                       │
 *       └──no members────┘      └─────────join, leave, session over─────────┴───────────────────────────────────────┘
 *
 * A plain state machine: events come in as method calls, effects go out through takeEffects(), which the caller carries
 * out after every event. Timers are named and set anew by setting them again; the caller tells timerFired(). A write is
 * answered with stored(), at once or later; other events may come in between. It knows no clock (`nowMs` is wall time
 * and only stamps the state), no promise and no offset; who may use the group is decided elsewhere.
 *
 * Every request taken by join() or sync() is answered exactly once, also where Kafka forgets one: an earlier request of
 * a member that asks again gets REBALANCE_IN_PROGRESS, the waiting SyncGroup of a member that is removed gets
 * UNKNOWN_MEMBER_ID.
 */
export class ClassicGroup {
  readonly groupId: string
  readonly #settings: GroupSettings
  #state: GroupState = 'Empty'
  #previousState: GroupState = 'Dead'
  #stateTimestampMs: number | null
  #generationId = 0
  #protocolType: string | null = null
  #protocolName: string | null = null
  #leaderId: string | null = null
  readonly #members = new Map<string, GroupMember>()
  /** Member ids by group instance id. */
  readonly #staticMembers = new Map<string, string>()
  /** Ids given out with MEMBER_ID_REQUIRED that have not joined yet. */
  readonly #pendingJoin = new Set<string>()
  /** Members of the current generation that have not sent SyncGroup yet. */
  readonly #pendingSync = new Set<string>()
  /** How many members support a protocol, by its name. */
  readonly #supporters = new Map<string, number>()
  #awaitingJoinCount = 0
  /** Null when it is not known what the members subscribe to. */
  #subscribedTopics: ReadonlySet<string> | null = null
  /** While a group that was empty waits for its first members: the current wait, and what may be added to it. */
  #initialWait: { readonly delayMs: number; readonly remainingMs: number } | null = null
  #hasNewMember = false
  /** Whether the assignment of this generation is being stored: the first one that its leader sent counts. */
  #isStoringAssignment = false
  #nowMs: number
  #effects: GroupEffect[] = []

  constructor(groupId: string, settings: GroupSettings, nowMs: number) {
    this.groupId = groupId
    this.#settings = settings
    this.#nowMs = nowMs
    this.#stateTimestampMs = nowMs
  }

  /** The group as it was stored. Nothing happens until resume(), because a later record may replace it. */
  static restore(groupId: string, settings: GroupSettings, snapshot: GroupSnapshot): ClassicGroup {
    const group = new ClassicGroup(groupId, settings, snapshot.stateTimestampMs ?? 0)
    group.#stateTimestampMs = snapshot.stateTimestampMs
    group.#generationId = snapshot.generationId
    group.#protocolType = snapshot.protocolType
    group.#protocolName = snapshot.protocolName
    group.#leaderId = snapshot.leader
    for (const stored of snapshot.members) {
      const { metadata, ...facts } = stored
      const protocols = [{ name: snapshot.protocolName ?? '', metadata }]
      group.#admit({ ...facts, protocols, joinRequestId: null, syncRequestId: null, isNew: false })
    }
    group.#state = snapshot.members.length === 0 ? 'Empty' : 'Stable'
    group.#subscribedTopics = group.#readSubscriptions()
    return group
  }

  get state(): GroupState {
    return this.#state
  }

  get generationId(): number {
    return this.#generationId
  }

  get protocolType(): string | null {
    return this.#protocolType
  }

  get protocolName(): string | null {
    return this.#protocolName
  }

  get leaderId(): string | null {
    return this.#leaderId
  }

  get members(): ReadonlyMap<string, Readonly<GroupMember>> {
    return this.#members
  }

  get stateTimestampMs(): number | null {
    return this.#stateTimestampMs
  }

  get hasPendingMembers(): boolean {
    return this.#pendingJoin.size > 0
  }

  get usesConsumerProtocol(): boolean {
    return this.#protocolType === CONSUMER_PROTOCOL_TYPE
  }

  /** Null when the members' subscriptions are not known or cannot be read. */
  get subscribedTopics(): ReadonlySet<string> | null {
    return this.#subscribedTopics
  }

  /** A group of consumers whose subscriptions are unknown counts as subscribed to everything. */
  isSubscribedTo(topic: string): boolean {
    return this.#subscribedTopics?.has(topic) ?? this.usesConsumerProtocol
  }

  /** What is to be done since the last call, in order. */
  takeEffects(): readonly GroupEffect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** The restored group begins to live: its members have one session timeout to be heard from. */
  resume(nowMs: number): void {
    this.#nowMs = nowMs
    for (const member of this.#members.values()) this.#expectHeartbeat(member)
    if (this.#members.size > this.#settings.maxSize) {
      this.#prepareRebalance('loaded with more members than group.max.size allows')
    }
  }

  /** Ends the group; whoever waits is answered with the error. */
  close(errorCode: number): void {
    for (const member of this.#members.values()) {
      this.#refuseWaiting(member, errorCode, member.memberId)
      this.#cancelTimer(`session:${member.memberId}`)
    }
    for (const memberId of this.#pendingJoin) this.#cancelTimer(`session:${memberId}`)
    this.#cancelTimer('join')
    this.#cancelTimer('sync')
    this.#state = 'Dead'
  }

  join(request: JoinRequest, nowMs: number): void {
    this.#nowMs = nowMs
    const { memberId } = request
    if (this.#state === 'Dead') {
      this.#refuseJoin(request, ErrorCode.coordinatorNotAvailable, memberId)
    } else if (!this.#hasRoomFor(memberId)) {
      this.#remove(memberId)
      this.#refuseJoin(request, ErrorCode.groupMaxSizeReached, '')
      // Kafka waits for the rebalance timeout here, although nobody is left to wait for.
      this.#completeJoinIfAllJoined()
    } else if (!this.#supports(request)) {
      this.#refuseJoin(request, ErrorCode.inconsistentGroupProtocol, memberId)
    } else if (memberId === '') {
      this.#joinWithoutId(request)
    } else {
      this.#joinWithId(request)
    }
  }

  sync(request: SyncRequest, nowMs: number): void {
    this.#nowMs = nowMs
    const errorCode = this.#validateSync(request)
    if (errorCode !== ErrorCode.none) {
      this.#answerSync(request.requestId, errorCode)
      return
    }
    const member = this.#member(request.memberId)
    if (this.#state === 'CompletingRebalance') {
      if (member.syncRequestId !== null) this.#answerSync(member.syncRequestId, ErrorCode.rebalanceInProgress)
      member.syncRequestId = request.requestId
      this.#syncReceived(member)
      if (member.memberId === this.#leaderId && !this.#isStoringAssignment) this.#storeAssignment(request.assignments)
    } else {
      assert(this.#state === 'Stable')
      this.#syncReceived(member)
      this.#answerSync(request.requestId, ErrorCode.none, member.assignment)
    }
  }

  heartbeat(memberId: string, groupInstanceId: string | null, generationId: number): number {
    if (this.#state === 'Dead') return ErrorCode.coordinatorNotAvailable
    const errorCode = this.#validateMember(memberId, groupInstanceId)
    if (errorCode !== ErrorCode.none) return errorCode
    if (generationId !== this.#generationId) return ErrorCode.illegalGeneration
    this.#expectHeartbeat(this.#member(memberId))
    return this.#state === 'PreparingRebalance' ? ErrorCode.rebalanceInProgress : ErrorCode.none
  }

  /** One error code per leaving member. */
  leave(leaving: readonly LeavingMember[], nowMs: number): number[] {
    this.#nowMs = nowMs
    assert(this.#state !== 'Dead', 'a dead group is no longer known to its coordinator')
    const errorCodes = leaving.map((member) => this.#leaveOne(member))
    if (!errorCodes.includes(ErrorCode.none)) return errorCodes
    if (this.#state === 'Stable' || this.#state === 'CompletingRebalance') {
      this.#prepareRebalance('a member left')
    } else {
      this.#completeJoinIfAllJoined()
    }
    return errorCodes
  }

  /** Whether the offsets of a commit may be stored; a commit of a member also counts as a heartbeat. */
  validateOffsetCommit(memberId: string, groupInstanceId: string | null, generationId: number): number {
    // No generation: an administrator, or a consumer that assigns partitions to itself. Nobody else may use the group.
    const isNobody = generationId < 0 && memberId === '' && groupInstanceId === null
    if (isNobody && this.#state !== 'Empty' && this.#state !== 'Dead') return ErrorCode.unknownMemberId
    const errorCode = this.validateTransactionalCommit(memberId, groupInstanceId, generationId)
    if (errorCode !== ErrorCode.none) return errorCode
    if (generationId < 0) return ErrorCode.none
    // The member knows its generation but cannot have got an assignment in it: it may try again after the rebalance.
    if (this.#state === 'CompletingRebalance') return ErrorCode.rebalanceInProgress
    this.#expectHeartbeat(this.#member(memberId))
    return ErrorCode.none
  }

  /**
   * The same for offsets of a transaction. Producers of before Kafka 2.5 do not say for which member they commit, and a
   * rebalance that is under way does not matter.
   */
  validateTransactionalCommit(memberId: string, groupInstanceId: string | null, generationId: number): number {
    if (this.#state === 'Dead') return ErrorCode.coordinatorNotAvailable
    if (generationId < 0 && this.#state === 'Empty') return ErrorCode.none
    if (generationId < 0 && memberId === '' && groupInstanceId === null) return ErrorCode.none
    const errorCode = this.#validateMember(memberId, groupInstanceId)
    if (errorCode !== ErrorCode.none) return errorCode
    return generationId === this.#generationId ? ErrorCode.none : ErrorCode.illegalGeneration
  }

  timerFired(timer: GroupTimer, nowMs: number): void {
    this.#nowMs = nowMs
    if (timer === 'join') this.#joinTimeOver()
    else if (timer === 'sync') this.#syncTimeOver()
    else this.#sessionOver(timer.slice('session:'.length))
  }

  /** The outcome of a `store` effect: no error, or what the members waiting for it are told. */
  stored(write: GroupWrite, errorCode: number, nowMs: number): void {
    this.#nowMs = nowMs
    if (write.of === 'assignment') this.#assignmentStored(write.snapshot.generationId, write.assignments, errorCode)
    // An empty generation that is not stored does no harm: a restart brings back the last one, whose members time out.
    else if (write.of === 'static-member') this.#staticMemberStored(write.replacement, errorCode)
  }

  #joinWithoutId(request: JoinRequest): void {
    const { groupInstanceId, newMemberId } = request
    if (groupInstanceId !== null) {
      const existing = this.#staticMembers.get(groupInstanceId)
      if (existing === undefined) this.#addMember(newMemberId, request)
      else this.#replaceStaticMember(this.#member(existing), request)
    } else if (request.mustKnowMemberId) {
      this.#pendingJoin.add(newMemberId)
      this.#setTimer(`session:${newMemberId}`, request.sessionTimeoutMs)
      this.#refuseJoin(request, ErrorCode.memberIdRequired, newMemberId)
    } else {
      this.#addMember(newMemberId, request)
    }
  }

  #joinWithId(request: JoinRequest): void {
    const { memberId, groupInstanceId } = request
    if (this.#pendingJoin.has(memberId)) {
      // An id was promised to a dynamic member; no client joins with it as a static one.
      if (groupInstanceId !== null) this.#refuseJoin(request, ErrorCode.unknownServerError, '')
      else this.#addMember(memberId, request)
      return
    }
    const errorCode = this.#validateMember(memberId, groupInstanceId)
    if (errorCode !== ErrorCode.none) {
      this.#refuseJoin(request, errorCode, memberId)
      return
    }
    const member = this.#member(memberId)
    const isUnchanged = hasSameProtocols(member, request.protocols)
    // A client that did not get its answer asks again and is told of the generation it is in. From the leader of a
    // stable group a join means that it wants a new assignment, for reasons that no metadata shows.
    const isRepeated =
      (this.#state === 'CompletingRebalance' && isUnchanged) ||
      (this.#state === 'Stable' && isUnchanged && memberId !== this.#leaderId)
    if (isRepeated) {
      this.#answerJoin(request.requestId, member, this.#leaderId)
      return
    }
    this.#updateMember(member, request)
    this.#rebalance(isUnchanged ? `leader ${memberId} joins again` : `metadata of ${memberId} changed`, request.reason)
  }

  #addMember(memberId: string, request: JoinRequest): void {
    if (this.#state === 'PreparingRebalance' && this.#previousState === 'Empty') this.#hasNewMember = true
    if (this.#members.size === 0) this.#protocolType = request.protocolType
    const member: GroupMember = {
      memberId,
      groupInstanceId: request.groupInstanceId,
      clientId: request.clientId,
      clientHost: request.clientHost,
      rebalanceTimeoutMs: request.rebalanceTimeoutMs,
      sessionTimeoutMs: request.sessionTimeoutMs,
      protocols: request.protocols,
      assignment: NO_ASSIGNMENT,
      joinRequestId: request.requestId,
      syncRequestId: null,
      isNew: true,
    }
    this.#pendingJoin.delete(memberId)
    this.#admit(member)
    this.#leaderId ??= memberId
    this.#setTimer(`session:${memberId}`, NEW_MEMBER_JOIN_TIMEOUT_MS)
    this.#rebalance(`${memberId} joins`, request.reason)
  }

  #admit(member: GroupMember): void {
    assert(!this.#members.has(member.memberId), 'a member id is used once')
    this.#members.set(member.memberId, member)
    if (member.groupInstanceId !== null) this.#staticMembers.set(member.groupInstanceId, member.memberId)
    if (member.joinRequestId !== null) this.#awaitingJoinCount++
    this.#countSupport(member, 1)
  }

  #updateMember(member: GroupMember, request: JoinRequest): void {
    this.#countSupport(member, -1)
    member.protocols = request.protocols
    this.#countSupport(member, 1)
    member.rebalanceTimeoutMs = request.rebalanceTimeoutMs
    member.sessionTimeoutMs = request.sessionTimeoutMs
    this.#refuseWaiting(member, ErrorCode.rebalanceInProgress, member.memberId)
    member.joinRequestId = request.requestId
    this.#awaitingJoinCount++
  }

  /**
   * KIP-345: whoever joins with a known instance id and no member id takes that member's place under a new id. As long
   * as the group is stable and would choose the same protocol, nobody else notices.
   */
  #replaceStaticMember(old: GroupMember, request: JoinRequest): void {
    const oldLeader = this.#leaderId
    const newMemberId = request.newMemberId
    this.#refuseWaiting(old, ErrorCode.fencedInstanceId, old.memberId)
    const member: GroupMember = { ...old, memberId: newMemberId, isNew: false }
    this.#rename(old, member)
    this.#updateMember(member, request)
    this.#expectHeartbeat(member)

    if (this.#state === 'Stable') {
      if (this.#selectProtocol() === this.#protocolName) {
        const snapshot = this.#snapshot(null)
        const replacement = { request, old, newMemberId, oldLeader }
        this.#effects.push({ kind: 'store', write: { of: 'static-member', snapshot, replacement } })
      } else {
        this.#rebalance(`static member ${newMemberId} changes the protocol`, request.reason)
      }
    } else if (this.#state === 'CompletingRebalance') {
      // The leader may be assigning to the old member id right now.
      this.#prepareRebalance(`static member ${newMemberId} replaces ${old.memberId}`)
    } else {
      this.#completeJoinIfAllJoined()
    }
  }

  #staticMemberStored({ request, old, newMemberId, oldLeader }: StaticReplacement, errorCode: number): void {
    const member = this.#members.get(newMemberId)
    if (member === undefined || member.joinRequestId !== request.requestId) return
    // A rebalance that began meanwhile answers, with a generation that is stored in its turn.
    if (this.#state !== 'Stable') return
    if (errorCode === ErrorCode.none) {
      // Its session may have ended while it waited, which was ignored.
      this.#expectHeartbeat(member)
      const isLeader = member.memberId === this.#leaderId
      // An older client must not take itself for the leader, because the answer cannot tell it to keep the assignment:
      // it is shown the leader's former id.
      if (request.canSkipAssignment) this.#answerJoin(this.#takeJoin(member), member, this.#leaderId, isLeader)
      else this.#answerJoin(this.#takeJoin(member), member, oldLeader)
      return
    }
    this.#refuseJoin({ requestId: this.#takeJoin(member) }, errorCode, '')
    this.#countSupport(member, -1)
    this.#countSupport(old, 1)
    this.#rename(member, old)
    this.#expectHeartbeat(old)
  }

  #rename(from: GroupMember, to: GroupMember): void {
    this.#members.delete(from.memberId)
    this.#members.set(to.memberId, to)
    assert(to.groupInstanceId !== null, 'only a static member gets a new member id')
    this.#staticMembers.set(to.groupInstanceId, to.memberId)
    if (this.#leaderId === from.memberId) this.#leaderId = to.memberId
    if (this.#pendingSync.delete(from.memberId)) this.#pendingSync.add(to.memberId)
    this.#cancelTimer(`session:${from.memberId}`)
  }

  #leaveOne({ memberId, groupInstanceId }: LeavingMember): number {
    if (memberId === '') {
      // An administrator removes a static member by its instance id alone.
      const staticMemberId = groupInstanceId === null ? undefined : this.#staticMembers.get(groupInstanceId)
      if (staticMemberId === undefined) return ErrorCode.unknownMemberId
      this.#remove(staticMemberId)
      return ErrorCode.none
    }
    if (!this.#pendingJoin.has(memberId)) {
      const errorCode = this.#validateMember(memberId, groupInstanceId)
      if (errorCode !== ErrorCode.none) return errorCode
    }
    this.#remove(memberId)
    return ErrorCode.none
  }

  #remove(memberId: string): void {
    const member = this.#members.get(memberId)
    if (member !== undefined) {
      // A member that still lives joins again, as a new one.
      this.#refuseWaiting(member, ErrorCode.unknownMemberId, '')
      this.#members.delete(memberId)
      this.#countSupport(member, -1)
      if (member.groupInstanceId !== null) this.#staticMembers.delete(member.groupInstanceId)
      if (this.#leaderId === memberId) this.#leaderId = this.#members.keys().next().value ?? null
      this.#pendingSync.delete(memberId)
      this.#cancelTimer(`session:${memberId}`)
    } else if (this.#pendingJoin.delete(memberId)) {
      this.#cancelTimer(`session:${memberId}`)
    }
  }

  /** Begins a rebalance, or goes on with the one under way. */
  #rebalance(cause: string, clientReason: string | null): void {
    if (this.#state === 'PreparingRebalance') this.#completeJoinIfAllJoined()
    else this.#prepareRebalance(clientReason ? `${cause}: ${clientReason}` : cause)
  }

  #prepareRebalance(reason: string): void {
    if (this.#state === 'CompletingRebalance') this.#dropAssignment(ErrorCode.rebalanceInProgress)
    this.#pendingSync.clear()
    this.#cancelTimer('sync')
    const isInitial = this.#state === 'Empty'
    this.#transitionTo('PreparingRebalance')
    this.#effects.push({ kind: 'log', message: 'group rebalances', reason })

    if (isInitial) {
      const delayMs = this.#settings.initialRebalanceDelayMs
      this.#hasNewMember = false
      this.#initialWait = { delayMs, remainingMs: Math.max(this.#rebalanceTimeoutMs() - delayMs, 0) }
      this.#setTimer('join', delayMs)
    } else {
      this.#initialWait = null
      if (this.#hasEverybodyJoined()) this.#completeJoin()
      else this.#setTimer('join', this.#rebalanceTimeoutMs())
    }
  }

  #joinTimeOver(): void {
    if (this.#state !== 'PreparingRebalance') return
    const wait = this.#initialWait
    if (wait === null || !this.#hasNewMember || wait.remainingMs === 0) {
      this.#completeJoin()
      return
    }
    // Members are still arriving: each extension is a new delay, until the rebalance timeout is used up.
    const delayMs = Math.min(this.#settings.initialRebalanceDelayMs, wait.remainingMs)
    this.#hasNewMember = false
    this.#initialWait = { delayMs, remainingMs: Math.max(wait.remainingMs - wait.delayMs, 0) }
    this.#setTimer('join', delayMs)
  }

  #completeJoinIfAllJoined(): void {
    if (this.#state !== 'PreparingRebalance' || this.#previousState === 'Empty') return
    if (this.#hasEverybodyJoined()) this.#completeJoin()
  }

  #completeJoin(): void {
    this.#cancelTimer('join')
    for (const member of this.#members.values()) {
      // A static member may be restarting; only its session timeout removes it.
      if (member.joinRequestId === null && member.groupInstanceId === null) this.#remove(member.memberId)
    }
    if (this.#members.size > 0 && !this.#electLeader()) {
      // Nobody joined: wait until the session timeouts have removed the rest.
      this.#setTimer('join', this.#rebalanceTimeoutMs())
      return
    }
    this.#beginGeneration()
  }

  /** The leader stays if it joined; else the first who did takes over. */
  #electLeader(): boolean {
    const leader = this.#leaderId === null ? undefined : this.#members.get(this.#leaderId)
    if (leader !== undefined && leader.joinRequestId !== null) return true
    for (const member of this.#members.values()) {
      if (member.joinRequestId === null) continue
      this.#leaderId = member.memberId
      return true
    }
    return false
  }

  #beginGeneration(): void {
    this.#generationId++
    this.#isStoringAssignment = false
    this.#initialWait = null
    this.#pendingSync.clear()
    if (this.#members.size === 0) {
      this.#protocolName = null
      this.#subscribedTopics = this.#readSubscriptions()
      this.#transitionTo('Empty')
      this.#effects.push({ kind: 'store', write: { of: 'empty-generation', snapshot: this.#snapshot(null) } })
      return
    }
    this.#protocolName = this.#selectProtocol()
    this.#subscribedTopics = this.#readSubscriptions()
    this.#transitionTo('CompletingRebalance')
    for (const member of this.#members.values()) {
      if (member.joinRequestId !== null) this.#answerJoin(this.#takeJoin(member), member, this.#leaderId)
      member.isNew = false
      this.#expectHeartbeat(member)
      this.#pendingSync.add(member.memberId)
    }
    this.#setTimer('sync', this.#rebalanceTimeoutMs())
  }

  #validateSync(request: SyncRequest): number {
    if (this.#state === 'Dead') return ErrorCode.coordinatorNotAvailable
    const errorCode = this.#validateMember(request.memberId, request.groupInstanceId)
    if (errorCode !== ErrorCode.none) return errorCode
    if (request.generationId !== this.#generationId) return ErrorCode.illegalGeneration
    if (isOther(request.protocolType, this.#protocolType) || isOther(request.protocolName, this.#protocolName)) {
      return ErrorCode.inconsistentGroupProtocol
    }
    return this.#state === 'PreparingRebalance' ? ErrorCode.rebalanceInProgress : ErrorCode.none
  }

  #syncReceived(member: GroupMember): void {
    this.#pendingSync.delete(member.memberId)
    if (this.#pendingSync.size === 0) this.#cancelTimer('sync')
  }

  #storeAssignment(fromLeader: ReadonlyMap<string, Buffer>): void {
    this.#isStoringAssignment = true
    const assignments = new Map<string, Buffer>()
    for (const memberId of this.#members.keys()) {
      assignments.set(memberId, fromLeader.get(memberId) ?? NO_ASSIGNMENT)
    }
    this.#effects.push({
      kind: 'store',
      write: { of: 'assignment', snapshot: this.#snapshot(assignments), assignments },
    })
  }

  #assignmentStored(generationId: number, assignments: ReadonlyMap<string, Buffer>, errorCode: number): void {
    if (this.#state !== 'CompletingRebalance' || generationId !== this.#generationId) return
    this.#isStoringAssignment = false
    if (errorCode !== ErrorCode.none) {
      this.#dropAssignment(errorCode)
      this.#prepareRebalance('the assignment could not be stored')
      return
    }
    for (const member of this.#members.values()) {
      member.assignment = assignments.get(member.memberId) ?? NO_ASSIGNMENT
    }
    this.#answerWaitingSyncs(ErrorCode.none)
    this.#transitionTo('Stable')
  }

  #dropAssignment(errorCode: number): void {
    for (const member of this.#members.values()) member.assignment = NO_ASSIGNMENT
    this.#answerWaitingSyncs(errorCode)
  }

  #answerWaitingSyncs(errorCode: number): void {
    for (const member of this.#members.values()) {
      if (member.syncRequestId === null) continue
      this.#answerSync(member.syncRequestId, errorCode, member.assignment)
      member.syncRequestId = null
      // A session that ended while its member waited was ignored, and no later one is set.
      this.#expectHeartbeat(member)
    }
  }

  #syncTimeOver(): void {
    if (this.#state !== 'CompletingRebalance' && this.#state !== 'Stable') return
    if (this.#pendingSync.size === 0) return
    const late = [...this.#pendingSync]
    for (const memberId of late) this.#remove(memberId)
    this.#prepareRebalance(`${late.length} members sent no SyncGroup in time`)
  }

  #sessionOver(memberId: string): void {
    const member = this.#members.get(memberId)
    if (member === undefined) {
      if (this.#pendingJoin.delete(memberId)) this.#completeJoinAfterExpiry()
      return
    }
    // Who waits for an answer cannot send heartbeats.
    if (!member.isNew && (member.joinRequestId !== null || member.syncRequestId !== null)) return
    this.#remove(memberId)
    if (this.#state === 'Stable' || this.#state === 'CompletingRebalance') {
      this.#prepareRebalance(`session of ${memberId} ended`)
    } else {
      this.#completeJoinAfterExpiry()
    }
  }

  /** Unlike a leave, an expiry may end the wait of a group that was empty before. */
  #completeJoinAfterExpiry(): void {
    if (this.#state === 'PreparingRebalance' && this.#hasEverybodyJoined()) this.#completeJoin()
  }

  #hasEverybodyJoined(): boolean {
    return this.#members.size === this.#awaitingJoinCount && this.#pendingJoin.size === 0
  }

  #hasRoomFor(memberId: string): boolean {
    const member = this.#members.get(memberId)
    switch (this.#state) {
      case 'Empty':
      case 'Dead':
        return true
      case 'PreparingRebalance':
        // Those who joined already are counted, not the members: so the last to come is turned away when the limit was
        // lowered, whoever it is.
        return (
          (member !== undefined && member.joinRequestId !== null) || this.#awaitingJoinCount < this.#settings.maxSize
        )
      case 'CompletingRebalance':
      case 'Stable':
        return member !== undefined || this.#members.size < this.#settings.maxSize
    }
  }

  #supports({ protocolType, protocols }: JoinRequest): boolean {
    if (this.#state === 'Empty') return protocolType !== '' && protocols.length > 0
    return (
      protocolType === this.#protocolType &&
      protocols.some(({ name }) => (this.#supporters.get(name) ?? 0) === this.#members.size)
    )
  }

  #countSupport(member: GroupMember, by: 1 | -1): void {
    for (const name of new Set(member.protocols.map((protocol) => protocol.name))) {
      const count = (this.#supporters.get(name) ?? 0) + by
      if (count === 0) this.#supporters.delete(name)
      else this.#supporters.set(name, count)
    }
  }

  /** Every member votes for the first of its protocols that all support; the one with the most votes wins. */
  #selectProtocol(): string {
    const votes = new Map<string, number>()
    for (const member of this.#members.values()) {
      const choice = member.protocols.find(({ name }) => this.#supporters.get(name) === this.#members.size)
      assert(choice !== undefined, 'who joins supports a protocol that all others support')
      votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1)
    }
    let winner = ''
    let most = 0
    for (const [name, count] of votes) {
      if (count <= most) continue
      winner = name
      most = count
    }
    return winner
  }

  #readSubscriptions(): ReadonlySet<string> | null {
    if (!this.usesConsumerProtocol) return null
    const topics = new Set<string>()
    for (const member of this.#members.values()) {
      const metadata = metadataFor(member, this.#protocolName)
      const subscribed = metadata === null ? null : subscribedTopicsOf(metadata)
      if (subscribed === null) return null
      for (const topic of subscribed) topics.add(topic)
    }
    return topics
  }

  #rebalanceTimeoutMs(): number {
    let longest = 0
    for (const member of this.#members.values()) longest = Math.max(longest, member.rebalanceTimeoutMs)
    return longest
  }

  #validateMember(memberId: string, groupInstanceId: string | null): number {
    if (groupInstanceId !== null) {
      const owner = this.#staticMembers.get(groupInstanceId)
      if (owner === undefined) return ErrorCode.unknownMemberId
      if (owner !== memberId) return ErrorCode.fencedInstanceId
    }
    return this.#members.has(memberId) ? ErrorCode.none : ErrorCode.unknownMemberId
  }

  #member(memberId: string): GroupMember {
    const member = this.#members.get(memberId)
    assert(member !== undefined, 'the member was validated')
    return member
  }

  #transitionTo(state: GroupState): void {
    this.#previousState = this.#state
    this.#state = state
    this.#stateTimestampMs = this.#nowMs
  }

  /** With the given assignments, or the members' present ones. */
  #snapshot(assignments: ReadonlyMap<string, Buffer> | null): GroupSnapshot {
    const members: StoredMember[] = []
    for (const member of this.#members.values()) {
      const metadata = metadataFor(member, this.#protocolName)
      assert(metadata !== null, 'all members support the protocol of their generation')
      members.push({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        rebalanceTimeoutMs: member.rebalanceTimeoutMs,
        sessionTimeoutMs: member.sessionTimeoutMs,
        metadata,
        assignment: assignments?.get(member.memberId) ?? member.assignment,
      })
    }
    return {
      protocolType: this.#protocolType,
      generationId: this.#generationId,
      protocolName: this.#protocolName,
      leader: this.#leaderId,
      stateTimestampMs: this.#stateTimestampMs,
      members,
    }
  }

  #takeJoin(member: GroupMember): number {
    const requestId = member.joinRequestId
    assert(requestId !== null)
    member.joinRequestId = null
    this.#awaitingJoinCount--
    return requestId
  }

  /** Whoever is shown itself as the leader gets the members' metadata too. */
  #answerJoin(requestId: number, member: GroupMember, leader: string | null, skipAssignment = false): void {
    const members: JoinedMember[] = []
    if (member.memberId === leader) {
      for (const { memberId, groupInstanceId, metadata } of this.#snapshot(null).members) {
        members.push({ memberId, groupInstanceId, metadata })
      }
    }
    const answer: JoinAnswer = {
      errorCode: ErrorCode.none,
      memberId: member.memberId,
      generationId: this.#generationId,
      protocolType: this.#protocolType,
      protocolName: this.#protocolName,
      leader: leader ?? NO_LEADER,
      skipAssignment,
      members,
    }
    this.#effects.push({ kind: 'answer-join', requestId, answer })
  }

  #refuseJoin({ requestId }: Pick<JoinRequest, 'requestId'>, errorCode: number, memberId: string): void {
    this.#effects.push({ kind: 'answer-join', requestId, answer: joinRefusal(errorCode, memberId) })
  }

  #refuseWaiting(member: GroupMember, errorCode: number, memberId: string): void {
    if (member.joinRequestId !== null) this.#refuseJoin({ requestId: this.#takeJoin(member) }, errorCode, memberId)
    if (member.syncRequestId !== null) {
      this.#answerSync(member.syncRequestId, errorCode)
      member.syncRequestId = null
    }
  }

  #answerSync(requestId: number, errorCode: number, assignment: Buffer = NO_ASSIGNMENT): void {
    const isAssigned = errorCode === ErrorCode.none
    const answer: SyncAnswer = {
      errorCode,
      protocolType: isAssigned ? this.#protocolType : null,
      protocolName: isAssigned ? this.#protocolName : null,
      assignment: isAssigned ? assignment : NO_ASSIGNMENT,
    }
    this.#effects.push({ kind: 'answer-sync', requestId, answer })
  }

  #expectHeartbeat(member: GroupMember): void {
    this.#setTimer(`session:${member.memberId}`, member.sessionTimeoutMs)
  }

  #setTimer(timer: GroupTimer, delayMs: number): void {
    this.#effects.push({ kind: 'set-timer', timer, delayMs })
  }

  #cancelTimer(timer: GroupTimer): void {
    this.#effects.push({ kind: 'cancel-timer', timer })
  }
}

/** The answer to a JoinGroup that was not let in. */
export function joinRefusal(errorCode: number, memberId: string): JoinAnswer {
  return {
    errorCode,
    memberId,
    generationId: NO_GENERATION,
    protocolType: null,
    protocolName: null,
    leader: NO_LEADER,
    skipAssignment: false,
    members: [],
  }
}

function isOther(asked: string | null, known: string | null): boolean {
  return asked !== null && known !== null && asked !== known
}
