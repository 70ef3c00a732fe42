import assert from 'node:assert/strict'
import { ErrorCode } from '@millrace/protocol'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { GroupDriver } from '../testing/group-driver.ts'
import { NEW_MEMBER_JOIN_TIMEOUT_MS } from './classic-group.ts'
import type { JoinAnswer } from './group-events.ts'

const CLIENT_COUNT = 5
const SESSION_MS = [6000, 15_000]
const REBALANCE_MS = [10_000, 40_000]
const PROTOCOLS = [['range'], ['range', 'sticky'], ['sticky', 'range'], ['other']]
const LONGEST_WAIT_MS = NEW_MEMBER_JOIN_TIMEOUT_MS + 2 * 40_000 + 15_000

const client = fc.nat(CLIENT_COUNT - 1)
const operation = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('join' as const),
      client,
      forgetsId: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
      mustKnowMemberId: fc.boolean(),
      canSkipAssignment: fc.boolean(),
      session: fc.nat(1),
      rebalance: fc.nat(1),
      protocols: fc.oneof(
        { weight: 8, arbitrary: fc.constant(1) },
        { weight: 1, arbitrary: fc.nat(PROTOCOLS.length - 1) },
      ),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('sync' as const),
      client,
      isLate: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    }),
  },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('heartbeat' as const), client }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('leave' as const), client, byInstance: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('commit' as const), client }) },
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant('advance' as const), ms: fc.constantFrom(0, 1, 1000, 5999, 6000, 20_000) }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('hold' as const), holds: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('finish' as const),
      errorCode: fc.constantFrom(ErrorCode.none, ErrorCode.none, ErrorCode.notCoordinator),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('fail' as const), fails: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('restart' as const) }) },
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

interface Client {
  readonly groupInstanceId: string | null
  memberId: string
  /** The last generation it was let into. */
  generation: JoinAnswer | null
  joins: number[]
}

/** Clients that do whatever they like with one group, and what must hold whatever they do. */
class World {
  readonly driver = new GroupDriver({ initialRebalanceDelayMs: 3000, maxSize: 4 })
  readonly #clients: Client[]
  readonly #joins: number[] = []
  readonly #syncs: number[] = []
  /** By generation: who was told that it leads. Begins anew after a restart, which may take a generation back. */
  readonly #leaders = new Map<number, string>()
  /** By generation: what its leader assigned to whom, under the ids that members have now. */
  readonly #assigned = new Map<number, Map<string, string>>()
  readonly #seenJoins = new Set<number>()
  readonly #syncsOf = new Map<number, { readonly memberId: string; readonly generationId: number }>()
  #generationId = 0
  #nonce = 0

  constructor() {
    this.#clients = Array.from({ length: CLIENT_COUNT }, (_, index) => ({
      // Every other client is a static member; the last two contend for one instance id.
      groupInstanceId: index % 2 === 0 ? null : index === 3 ? 'i1' : `i${index}`,
      memberId: '',
      generation: null,
      joins: [],
    }))
  }

  run(operation: Operation): void {
    this.#perform(operation)
    this.#observe()
    this.#check()
  }

  /** All clients fall silent; whoever waited is answered and whoever was a member is gone. */
  end(): void {
    this.driver.holdsWrites = false
    while (this.driver.heldWrites.length > 0) this.driver.finishWrite()
    this.driver.clock.advance(LONGEST_WAIT_MS)
    this.#observe()
    this.#check()
    assert.equal(this.driver.group.state, 'Empty', 'nobody who is not heard from stays')
    assert.deepEqual(this.driver.timers, [], 'an empty group has no timer')
    for (const join of this.#joins) assert(this.driver.joinAnswers.has(join), 'every join is answered')
    for (const sync of this.#syncs) assert(this.driver.syncAnswers.has(sync), 'every sync is answered')
  }

  #perform(operation: Operation): void {
    const { driver } = this
    const who = 'client' in operation ? this.#clients[operation.client]! : null
    switch (operation.op) {
      case 'join': {
        assert(who !== null)
        if (operation.forgetsId) who.memberId = ''
        const { group } = driver
        const replaced =
          who.memberId === '' && who.groupInstanceId !== null
            ? [...group.members.values()].find(({ groupInstanceId }) => groupInstanceId === who.groupInstanceId)
                ?.memberId
            : undefined
        const newMemberId = `member-${this.#nonce++}`
        if (replaced !== undefined) this.#rename(replaced, newMemberId)
        const join = driver.join({
          memberId: who.memberId,
          newMemberId,
          groupInstanceId: who.groupInstanceId,
          mustKnowMemberId: operation.mustKnowMemberId,
          canSkipAssignment: operation.canSkipAssignment,
          sessionTimeoutMs: SESSION_MS[operation.session]!,
          rebalanceTimeoutMs: REBALANCE_MS[operation.rebalance]!,
          protocols: PROTOCOLS[operation.protocols]!.map((name) => ({ name, metadata: Buffer.from('m') })),
        })
        this.#joins.push(join)
        who.joins.push(join)
        return
      }
      case 'sync': {
        assert(who !== null)
        const { generation } = who
        if (generation === null) return
        const generationId = generation.generationId - (operation.isLate ? 1 : 0)
        const assignments: Record<string, string> = {}
        for (const { memberId } of generation.members) assignments[memberId] = `${memberId} in ${this.#nonce}`
        this.#nonce++
        // The assignment counts if the group takes it: when the sender leads the generation that waits for it.
        const { group } = driver
        const isTaken =
          group.state === 'CompletingRebalance' &&
          group.leaderId === who.memberId &&
          group.generationId === generationId &&
          group.members.has(who.memberId) &&
          !driver.heldWrites.some(({ of, snapshot }) => of === 'assignment' && snapshot.generationId === generationId)
        if (isTaken) this.#assigned.set(generationId, new Map(Object.entries(assignments)))
        const sync = driver.sync({ memberId: who.memberId, generationId, assignments })
        this.#syncs.push(sync)
        this.#syncsOf.set(sync, { memberId: who.memberId, generationId })
        return
      }
      case 'heartbeat':
        assert(who !== null)
        driver.heartbeat(who.memberId, who.generation?.generationId ?? -1, null)
        return
      case 'commit':
        assert(who !== null)
        driver.commit(who.memberId, who.generation?.generationId ?? -1)
        return
      case 'leave':
        assert(who !== null)
        driver.leave({ memberId: operation.byInstance ? '' : who.memberId, groupInstanceId: who.groupInstanceId })
        return
      case 'advance':
        driver.clock.advance(operation.ms)
        return
      case 'hold':
        driver.holdsWrites = operation.holds
        return
      case 'finish':
        if (driver.heldWrites.length > 0) driver.finishWrite(operation.errorCode)
        return
      case 'fail':
        driver.writeError = operation.fails ? ErrorCode.notCoordinator : ErrorCode.none
        return
      case 'restart':
        if (driver.writes.length === 0) return
        this.#observe()
        this.#restart()
        return
    }
  }

  /** The connections break, so nobody waits for an answer any more. */
  #restart(): void {
    const { driver } = this
    driver.heldWrites.length = 0
    driver.restart({ initialRebalanceDelayMs: 3000, maxSize: 4 })
    this.#joins.length = 0
    this.#syncs.length = 0
    this.#leaders.clear()
    this.#assigned.clear()
    const assigned = new Map<string, string>()
    for (const { memberId, assignment } of driver.group.members.values()) assigned.set(memberId, assignment.toString())
    this.#assigned.set(driver.group.generationId, assigned)
    this.#generationId = driver.group.generationId
    for (const one of this.#clients) {
      one.joins.length = 0
      one.generation = null
    }
  }

  /** A static member came back: its assignment is the one its old id had. */
  #rename(from: string, to: string): void {
    for (const assigned of this.#assigned.values()) {
      const assignment = assigned.get(from)
      if (assignment !== undefined) assigned.set(to, assignment)
    }
  }

  /** Takes note of the answers that came in. */
  #observe(): void {
    const { driver } = this
    for (const one of this.#clients) {
      for (const join of one.joins) {
        const answer = driver.joinAnswers.get(join)
        if (answer === undefined || this.#seenJoins.has(join)) continue
        this.#seenJoins.add(join)
        this.#joinAnswered(one, answer)
      }
    }
    for (const [sync, { memberId, generationId }] of this.#syncsOf) {
      const answer = driver.syncAnswers.get(sync)
      if (answer === undefined) continue
      this.#syncsOf.delete(sync)
      if (answer.errorCode !== ErrorCode.none) continue
      const expected = this.#assigned.get(generationId)?.get(memberId) ?? ''
      assert.equal(answer.assignment.toString(), expected, 'a member gets what the leader assigned it')
    }
  }

  #joinAnswered(one: Client, answer: JoinAnswer): void {
    if (answer.errorCode === ErrorCode.memberIdRequired) one.memberId = answer.memberId
    else if (answer.errorCode === ErrorCode.unknownMemberId || answer.errorCode === ErrorCode.fencedInstanceId) {
      one.memberId = ''
      one.generation = null
    }
    if (answer.errorCode !== ErrorCode.none) return
    one.memberId = answer.memberId
    one.generation = answer
    if (answer.members.length === 0) return
    assert.equal(answer.leader, answer.memberId, 'only the leader is shown the members')
    if (answer.skipAssignment) return
    const leader = this.#leaders.get(answer.generationId) ?? answer.memberId
    assert.equal(answer.memberId, leader, 'a generation has one leader')
    this.#leaders.set(answer.generationId, leader)
  }

  #check(): void {
    const { group, timers } = this.driver
    assert(group.generationId >= this.#generationId, 'a generation never comes back')
    this.#generationId = group.generationId
    const members = [...group.members.values()]
    assert.equal(group.state === 'Empty', members.length === 0 && group.state !== 'PreparingRebalance')
    if (members.length > 0) assert(group.members.has(group.leaderId ?? ''), 'the leader is a member')
    for (const { memberId, joinRequestId, syncRequestId } of members) {
      const isWaiting = joinRequestId !== null || syncRequestId !== null
      assert(isWaiting || timers.includes(`session:${memberId}`), 'a member waits or has a session that can end')
    }
    if (group.state === 'PreparingRebalance') assert(timers.includes('join'), 'a rebalance ends')
    if (group.state === 'Stable') {
      const assigned = this.#assigned.get(group.generationId)
      for (const { memberId, assignment, syncRequestId } of members) {
        assert.equal(
          assignment.toString(),
          assigned?.get(memberId) ?? '',
          'a stable group has the assignment of its leader',
        )
        assert.equal(syncRequestId, null, 'nobody waits for an assignment that is there')
      }
    } else {
      const held = this.driver.heldWrites.some(({ of }) => of === 'static-member')
      assert(
        group.state !== 'CompletingRebalance' || held || members.every(({ joinRequestId }) => joinRequestId === null),
      )
    }
  }
}

it('keeps its promises whatever its members do', () => {
  const found = fc.check(
    fc.property(fc.array(operation, { maxLength: 120, size: 'max' }), (operations) => {
      const world = new World()
      for (const one of operations) world.run(one)
      world.end()
    }),
    { numRuns: 3000 },
  )
  expect(fc.defaultReportMessage(found) ?? 'nothing').toBe('nothing')
}, 60_000)

it('reaches every state and answer in those runs, so that they say something', () => {
  const states = new Set<string>()
  const errorCodes = new Set<number>()
  for (const operations of fc.sample(fc.array(operation, { minLength: 60, maxLength: 120, size: 'max' }), {
    numRuns: 300,
    seed: 1,
  })) {
    const world = new World()
    for (const one of operations) {
      world.run(one)
      states.add(world.driver.group.state)
    }
    for (const answer of world.driver.joinAnswers.values()) errorCodes.add(answer.errorCode)
    for (const answer of world.driver.syncAnswers.values()) errorCodes.add(answer.errorCode)
  }
  expect([...states].toSorted()).toEqual(['CompletingRebalance', 'Empty', 'PreparingRebalance', 'Stable'])
  expect([...errorCodes].toSorted((a, b) => a - b)).toEqual([
    ErrorCode.none,
    ErrorCode.notCoordinator,
    ErrorCode.illegalGeneration,
    ErrorCode.inconsistentGroupProtocol,
    ErrorCode.unknownMemberId,
    ErrorCode.rebalanceInProgress,
    ErrorCode.memberIdRequired,
    ErrorCode.groupMaxSizeReached,
    ErrorCode.fencedInstanceId,
  ])
}, 60_000)
