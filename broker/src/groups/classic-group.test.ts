import { ErrorCode } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { GroupDriver } from '../testing/group-driver.ts'
import { NEW_MEMBER_JOIN_TIMEOUT_MS } from './classic-group.ts'

function subscription(...topics: string[]): Buffer {
  const names = topics.map((topic) => {
    const bytes = Buffer.from(topic)
    const length = Buffer.alloc(2)
    length.writeInt16BE(bytes.length)
    return Buffer.concat([length, bytes])
  })
  const head = Buffer.alloc(6)
  head.writeInt32BE(topics.length, 2)
  return Buffer.concat([head, ...names, Buffer.from([255, 255, 255, 255])])
}

const protocol = (name: string, metadata = 'm') => ({ name, metadata: Buffer.from(metadata) })

describe('joining a classic group', () => {
  it('tells a new dynamic member its id first, and lets it in when it comes back with it', () => {
    const driver = new GroupDriver()
    const told = driver.joined({ mustKnowMemberId: true, newMemberId: 'client-1' })
    expect(told).toMatchObject({ errorCode: ErrorCode.memberIdRequired, memberId: 'client-1', generationId: -1 })
    expect(driver.group.state).toBe('Empty')
    const joined = driver.joined({ mustKnowMemberId: true, memberId: 'client-1' })
    expect(joined).toMatchObject({
      errorCode: ErrorCode.none,
      memberId: 'client-1',
      generationId: 1,
      leader: 'client-1',
    })
  })

  it('lets an older client in without that round', () => {
    expect(new GroupDriver().joined()).toMatchObject({ errorCode: ErrorCode.none, generationId: 1 })
  })

  it('forgets an id that nobody joined with when its session timeout is over', () => {
    const driver = new GroupDriver()
    const { memberId } = driver.joined({ mustKnowMemberId: true, sessionTimeoutMs: 5000 })
    driver.clock.advance(5000)
    expect(driver.joined({ memberId }).errorCode).toBe(ErrorCode.unknownMemberId)
  })

  it('waits for a member that was told its id before it completes a rebalance', () => {
    const driver = new GroupDriver()
    const [leader] = driver.stable(1)
    const { memberId } = driver.joined({ mustKnowMemberId: true })
    const rejoin = driver.join({ memberId: leader! })
    expect(driver.group.state).toBe('PreparingRebalance')
    const late = driver.join({ memberId })
    expect(driver.joinAnswer(rejoin).generationId).toBe(2)
    expect(driver.joinAnswer(late).generationId).toBe(2)
  })

  it('gives the leader all members with their metadata, and the others none', () => {
    const driver = new GroupDriver()
    const first = driver.join({ newMemberId: 'a', protocols: [protocol('range', 'of a')] })
    const second = driver.join({ newMemberId: 'b', groupInstanceId: 'i', protocols: [protocol('range', 'of b')] })
    driver.clock.advance(0)
    expect(driver.joinAnswer(first)).toEqual({
      errorCode: ErrorCode.none,
      memberId: 'a',
      generationId: 1,
      protocolType: 'consumer',
      protocolName: 'range',
      leader: 'a',
      skipAssignment: false,
      members: [
        { memberId: 'a', groupInstanceId: null, metadata: Buffer.from('of a') },
        { memberId: 'b', groupInstanceId: 'i', metadata: Buffer.from('of b') },
      ],
    })
    expect(driver.joinAnswer(second)).toMatchObject({ leader: 'a', memberId: 'b', members: [] })
  })

  it('chooses the protocol that most members prefer among those that all support', () => {
    const driver = new GroupDriver()
    driver.join({ protocols: [protocol('x'), protocol('range'), protocol('sticky')] })
    driver.join({ protocols: [protocol('sticky'), protocol('range')] })
    const third = driver.join({ protocols: [protocol('sticky'), protocol('range')] })
    driver.clock.advance(0)
    expect(driver.joinAnswer(third).protocolName).toBe('sticky')
  })

  it('refuses a member that shares no protocol with all others, or has another protocol type, or none', () => {
    const driver = new GroupDriver()
    expect(driver.joined({ protocols: [] }).errorCode).toBe(ErrorCode.inconsistentGroupProtocol)
    expect(driver.joined({ protocolType: '' }).errorCode).toBe(ErrorCode.inconsistentGroupProtocol)
    driver.stable(1)
    expect(driver.joined({ protocols: [protocol('sticky')] })).toMatchObject({
      errorCode: ErrorCode.inconsistentGroupProtocol,
      memberId: '',
    })
    expect(driver.joined({ protocolType: 'connect' }).errorCode).toBe(ErrorCode.inconsistentGroupProtocol)
    const changed = driver.joined({ memberId: 'm0', protocols: [protocol('sticky')] })
    expect(changed).toMatchObject({ errorCode: ErrorCode.inconsistentGroupProtocol, memberId: 'm0' })
    expect(driver.group.state).toBe('Stable')
  })

  it('refuses a member id that it does not know', () => {
    const driver = new GroupDriver()
    expect(driver.joined({ memberId: 'gone' })).toMatchObject({
      errorCode: ErrorCode.unknownMemberId,
      memberId: 'gone',
    })
    driver.stable(1)
    expect(driver.joined({ memberId: 'gone' }).errorCode).toBe(ErrorCode.unknownMemberId)
  })

  it('answers an earlier join of the same member when it joins again', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    const first = driver.join({ memberId: 'm0' })
    const second = driver.join({ memberId: 'm0' })
    expect(driver.joinAnswer(first)).toMatchObject({ errorCode: ErrorCode.rebalanceInProgress, memberId: 'm0' })
    driver.join({ memberId: 'm1' })
    expect(driver.joinAnswer(second)).toMatchObject({ errorCode: ErrorCode.none, generationId: 2 })
  })

  it('ends the join of a new member after five minutes, and that of a known one not at all', () => {
    const driver = new GroupDriver()
    driver.stable(1, { rebalanceTimeoutMs: 600_000, sessionTimeoutMs: 6000 })
    const join = driver.join({ rebalanceTimeoutMs: 600_000 })
    const other = driver.joined({ mustKnowMemberId: true, sessionTimeoutMs: 1_800_000 })
    const known = driver.join({ memberId: 'm0', rebalanceTimeoutMs: 600_000 })
    driver.clock.advance(NEW_MEMBER_JOIN_TIMEOUT_MS)
    expect(driver.joinAnswer(join)).toMatchObject({ errorCode: ErrorCode.unknownMemberId, memberId: '' })
    expect(driver.joinAnswers.has(known)).toBe(false)
    driver.leave(other.memberId)
    expect(driver.joinAnswer(known).generationId).toBe(2)
  })
})

describe('the first rebalance of an empty group', () => {
  it('waits for the initial delay, and as long again while members arrive, up to the rebalance timeout', () => {
    const driver = new GroupDriver({ initialRebalanceDelayMs: 3000 })
    const first = driver.join({ rebalanceTimeoutMs: 10_000 })
    for (let second = 0; second < 10; second++) {
      driver.clock.advance(999)
      driver.join({ rebalanceTimeoutMs: 10_000 })
      expect(driver.joinAnswers.size).toBe(0)
      driver.clock.advance(1)
    }
    expect(driver.joinAnswer(first)).toMatchObject({ errorCode: ErrorCode.none, generationId: 1 })
    expect(driver.joinAnswer(first).members).toHaveLength(11)
  })

  it('ends after one delay when nobody else arrives', () => {
    const driver = new GroupDriver({ initialRebalanceDelayMs: 3000 })
    const join = driver.join()
    driver.clock.advance(2999)
    expect(driver.joinAnswers.has(join)).toBe(false)
    driver.clock.advance(1)
    expect(driver.joinAnswer(join).generationId).toBe(1)
  })

  it('leaves the group empty when all who came have left, and stores that', () => {
    const driver = new GroupDriver({ initialRebalanceDelayMs: 3000 })
    driver.join({ newMemberId: 'a' })
    expect(driver.leave('a')).toEqual([ErrorCode.none])
    driver.clock.advance(3000)
    expect(driver.group).toMatchObject({ state: 'Empty', generationId: 1, protocolName: null, leaderId: null })
    expect(driver.writes.at(-1)).toMatchObject({
      of: 'empty-generation',
      snapshot: { generationId: 1, protocolType: 'consumer', protocolName: null, leader: null, members: [] },
    })
  })
})

describe('a known member that joins again', () => {
  it('is told of the current generation when it follows and nothing changed', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    expect(driver.joined({ memberId: 'm1' })).toMatchObject({ generationId: 1, leader: 'm0', members: [] })
    expect(driver.group.state).toBe('Stable')
  })

  it('starts a rebalance when it leads', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    const join = driver.join({ memberId: 'm0' })
    expect(driver.joinAnswers.has(join)).toBe(false)
    expect(driver.group.state).toBe('PreparingRebalance')
    expect(driver.heartbeat('m1')).toBe(ErrorCode.rebalanceInProgress)
  })

  it('starts a rebalance when its metadata changed', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    driver.join({ memberId: 'm1', protocols: [protocol('range', 'other')] })
    expect(driver.group.state).toBe('PreparingRebalance')
  })

  it('counts as unchanged when only its order of preference changed', () => {
    const driver = new GroupDriver()
    driver.stable(2, { protocols: [protocol('range'), protocol('sticky')] })
    driver.join({ memberId: 'm1', protocols: [protocol('sticky'), protocol('range')] })
    expect(driver.group.state).toBe('Stable')
  })

  it('is told of the generation again, the leader with the members, while the assignment is waited for', () => {
    const driver = new GroupDriver()
    driver.join({ newMemberId: 'a' })
    driver.join({ newMemberId: 'b' })
    driver.clock.advance(0)
    expect(driver.joined({ memberId: 'a' })).toMatchObject({ generationId: 1, leader: 'a' })
    expect(driver.joined({ memberId: 'a' }).members).toHaveLength(2)
    expect(driver.joined({ memberId: 'b' })).toMatchObject({ generationId: 1, members: [] })
    const waiting = driver.sync({ memberId: 'b' })
    driver.join({ memberId: 'a', protocols: [protocol('range', 'other')] })
    expect(driver.group.state).toBe('PreparingRebalance')
    expect(driver.syncAnswer(waiting)).toEqual({
      errorCode: ErrorCode.rebalanceInProgress,
      protocolType: null,
      protocolName: null,
      assignment: Buffer.alloc(0),
    })
  })
})

describe('a rebalance', () => {
  it('ends when all have joined', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    const joins = [driver.join(), driver.join({ memberId: 'm1' }), driver.join({ memberId: 'm0' })]
    for (const join of joins) expect(driver.joinAnswer(join)).toMatchObject({ generationId: 2, leader: 'm0' })
  })

  it('removes those that do not join within the longest rebalance timeout', () => {
    const driver = new GroupDriver()
    driver.join({ newMemberId: 'a', rebalanceTimeoutMs: 20_000 })
    driver.join({ newMemberId: 'b', rebalanceTimeoutMs: 30_000 })
    driver.join({ newMemberId: 'c', rebalanceTimeoutMs: 10_000 })
    driver.clock.advance(0)
    driver.sync({ memberId: 'b' })
    driver.sync({ memberId: 'c' })
    driver.sync({ memberId: 'a', assignments: { a: 'x', b: 'y', c: 'z' } })
    const join = driver.join({ memberId: 'b', protocols: [protocol('range', 'other')], rebalanceTimeoutMs: 30_000 })
    for (let second = 0; second < 29; second++) {
      driver.clock.advance(1000)
      expect(driver.heartbeat('a')).toBe(ErrorCode.rebalanceInProgress)
      expect(driver.heartbeat('c')).toBe(ErrorCode.rebalanceInProgress)
    }
    driver.clock.advance(1000)
    expect(driver.joinAnswer(join)).toMatchObject({ generationId: 2, leader: 'b' })
    expect([...driver.group.members.keys()]).toEqual(['b'])
    expect(driver.heartbeat('a')).toBe(ErrorCode.unknownMemberId)
  })

  it('goes on without a member whose session ends meanwhile', () => {
    const driver = new GroupDriver()
    driver.stable(2, { sessionTimeoutMs: 6000 })
    const join = driver.join({ memberId: 'm0' })
    driver.clock.advance(6000)
    expect(driver.joinAnswer(join)).toMatchObject({ generationId: 2, leader: 'm0' })
    expect(driver.joinAnswer(join).members).toHaveLength(1)
  })

  it('goes on without a member that leaves meanwhile', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    const join = driver.join({ memberId: 'm0' })
    driver.leave('m1')
    expect(driver.joinAnswer(join).members).toHaveLength(1)
  })

  it('gives the lead to who joined when the leader did not', () => {
    const driver = new GroupDriver()
    driver.stable(3)
    const join = driver.join({ memberId: 'm2', protocols: [protocol('range', 'other')] })
    driver.leave('m0', 'm1')
    expect(driver.joinAnswer(join)).toMatchObject({ leader: 'm2', memberId: 'm2' })
  })

  it('removes who sends no SyncGroup within the rebalance timeout, and rebalances the rest', () => {
    const driver = new GroupDriver()
    driver.join({ newMemberId: 'a', rebalanceTimeoutMs: 20_000 })
    driver.join({ newMemberId: 'b', rebalanceTimeoutMs: 20_000 })
    driver.clock.advance(0)
    const sync = driver.sync({ memberId: 'a', assignments: { a: 'x', b: 'y' } })
    expect(driver.syncAnswer(sync).errorCode).toBe(ErrorCode.none)
    for (let second = 0; second < 20; second++) {
      expect(driver.heartbeat('b')).toBe(ErrorCode.none)
      expect(driver.heartbeat('a')).toBe(ErrorCode.none)
      driver.clock.advance(1000)
    }
    expect(driver.heartbeat('b')).toBe(ErrorCode.unknownMemberId)
    expect(driver.heartbeat('a')).toBe(ErrorCode.rebalanceInProgress)
  })

  it('keeps its time when nobody at all joins, until the sessions end', () => {
    const driver = new GroupDriver()
    driver.stable(2, { groupInstanceId: 'static', rebalanceTimeoutMs: 5000, sessionTimeoutMs: 12_000 })
    driver.join({ memberId: 'm0', groupInstanceId: 'i0', rebalanceTimeoutMs: 5000, sessionTimeoutMs: 12_000 })
    driver.leave('m0')
    driver.clock.advance(11_999)
    expect(driver.group).toMatchObject({ state: 'PreparingRebalance', generationId: 1 })
    driver.clock.advance(1)
    expect(driver.group).toMatchObject({ state: 'Empty', generationId: 2 })
  })
})

describe('syncing', () => {
  it('gives each member what the leader assigned it, and nothing to those it forgot', () => {
    const driver = new GroupDriver()
    for (const newMemberId of ['a', 'b', 'c']) driver.join({ newMemberId })
    driver.clock.advance(0)
    const b = driver.sync({ memberId: 'b' })
    expect(driver.syncAnswers.has(b)).toBe(false)
    const a = driver.sync({ memberId: 'a', assignments: { a: 'of a', b: 'of b', stranger: 'x' } })
    const c = driver.sync({ memberId: 'c' })
    const given = { errorCode: ErrorCode.none, protocolType: 'consumer', protocolName: 'range' }
    expect(driver.syncAnswer(a)).toEqual({ ...given, assignment: Buffer.from('of a') })
    expect(driver.syncAnswer(b)).toEqual({ ...given, assignment: Buffer.from('of b') })
    expect(driver.syncAnswer(c)).toEqual({ ...given, assignment: Buffer.alloc(0) })
    expect(driver.group.state).toBe('Stable')
  })

  it('stores the assignment before anybody hears of it', () => {
    const driver = new GroupDriver()
    driver.holdsWrites = true
    driver.join({ newMemberId: 'a', sessionTimeoutMs: 7000 })
    driver.clock.advance(0)
    const sync = driver.sync({ memberId: 'a', assignments: { a: 'x' } })
    expect(driver.syncAnswers.size).toBe(0)
    expect(driver.group.state).toBe('CompletingRebalance')
    expect(driver.heldWrites[0]?.snapshot).toEqual({
      protocolType: 'consumer',
      generationId: 1,
      protocolName: 'range',
      leader: 'a',
      stateTimestampMs: driver.clock.nowMs(),
      members: [
        {
          memberId: 'a',
          groupInstanceId: null,
          clientId: 'client',
          clientHost: '/127.0.0.1',
          rebalanceTimeoutMs: 60_000,
          sessionTimeoutMs: 7000,
          metadata: Buffer.from('m'),
          assignment: Buffer.from('x'),
        },
      ],
    })
    driver.finishWrite()
    expect(driver.syncAnswer(sync).assignment).toEqual(Buffer.from('x'))
    expect(driver.group.state).toBe('Stable')
  })

  it('answers the storage error to all who wait, and rebalances, when the assignment is not stored', () => {
    const driver = new GroupDriver()
    driver.holdsWrites = true
    driver.join({ newMemberId: 'a' })
    driver.join({ newMemberId: 'b' })
    driver.clock.advance(0)
    const syncs = [driver.sync({ memberId: 'b' }), driver.sync({ memberId: 'a', assignments: { a: 'x', b: 'y' } })]
    driver.finishWrite(ErrorCode.notCoordinator)
    for (const sync of syncs) {
      expect(driver.syncAnswer(sync)).toMatchObject({
        errorCode: ErrorCode.notCoordinator,
        assignment: Buffer.alloc(0),
      })
    }
    expect(driver.group.state).toBe('PreparingRebalance')
  })

  it('ignores the outcome of a write that a rebalance has overtaken', () => {
    const driver = new GroupDriver()
    driver.holdsWrites = true
    driver.join({ newMemberId: 'a' })
    driver.clock.advance(0)
    const sync = driver.sync({ memberId: 'a', assignments: { a: 'x' } })
    const join = driver.join()
    expect(driver.syncAnswer(sync).errorCode).toBe(ErrorCode.rebalanceInProgress)
    driver.finishWrite()
    expect(driver.group.state).toBe('PreparingRebalance')
    driver.join({ memberId: 'a' })
    expect(driver.joinAnswer(join).generationId).toBe(2)
    expect(driver.group.state).toBe('CompletingRebalance')
  })

  it('stores the first assignment that the leader sends, when it sends another before that is done', () => {
    const driver = new GroupDriver()
    driver.holdsWrites = true
    driver.join({ newMemberId: 'a' })
    driver.clock.advance(0)
    const first = driver.sync({ memberId: 'a', assignments: { a: 'x' } })
    const second = driver.sync({ memberId: 'a', assignments: { a: 'y' } })
    expect(driver.heldWrites).toHaveLength(1)
    driver.finishWrite()
    expect(driver.syncAnswer(first).errorCode).toBe(ErrorCode.rebalanceInProgress)
    expect(driver.syncAnswer(second).assignment).toEqual(Buffer.from('x'))
  })

  it('answers the current assignment again in a stable group', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    const sync = driver.sync({ memberId: 'm1' })
    expect(driver.syncAnswer(sync).assignment).toEqual(Buffer.from('a1'))
  })

  it('answers an earlier sync of the same member when it syncs again', () => {
    const driver = new GroupDriver()
    driver.join({ newMemberId: 'a' })
    driver.join({ newMemberId: 'b' })
    driver.clock.advance(0)
    const first = driver.sync({ memberId: 'b' })
    const second = driver.sync({ memberId: 'b' })
    expect(driver.syncAnswer(first).errorCode).toBe(ErrorCode.rebalanceInProgress)
    driver.sync({ memberId: 'a', assignments: { b: 'x' } })
    expect(driver.syncAnswer(second).assignment).toEqual(Buffer.from('x'))
  })

  it('refuses strangers, other generations and other protocols, and sends everybody back to join in a rebalance', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    const refused = (input: Parameters<GroupDriver['sync']>[0]) => driver.syncAnswer(driver.sync(input)).errorCode
    expect(refused({ memberId: 'stranger' })).toBe(ErrorCode.unknownMemberId)
    expect(refused({ memberId: 'm1', generationId: 0 })).toBe(ErrorCode.illegalGeneration)
    expect(refused({ memberId: 'm1', generationId: 2 })).toBe(ErrorCode.illegalGeneration)
    expect(refused({ memberId: 'm1', protocolType: 'connect' })).toBe(ErrorCode.inconsistentGroupProtocol)
    expect(refused({ memberId: 'm1', protocolType: 'consumer', protocolName: 'sticky' })).toBe(
      ErrorCode.inconsistentGroupProtocol,
    )
    expect(refused({ memberId: 'm1', protocolType: 'consumer', protocolName: 'range' })).toBe(ErrorCode.none)
    driver.join()
    expect(refused({ memberId: 'm1' })).toBe(ErrorCode.rebalanceInProgress)
  })

  it('answers a waiting sync of a member that leaves', () => {
    const driver = new GroupDriver()
    driver.join({ newMemberId: 'a' })
    driver.join({ newMemberId: 'b' })
    driver.clock.advance(0)
    const sync = driver.sync({ memberId: 'b' })
    driver.leave('b')
    expect(driver.syncAnswer(sync).errorCode).toBe(ErrorCode.unknownMemberId)
  })
})

describe('sessions', () => {
  it('end a session timeout after the last heartbeat, and the rest of the group rebalances', () => {
    const driver = new GroupDriver()
    driver.stable(2, { sessionTimeoutMs: 6000 })
    driver.clock.advance(5999)
    expect(driver.heartbeat('m0')).toBe(ErrorCode.none)
    driver.clock.advance(1)
    expect(driver.group.state).toBe('PreparingRebalance')
    expect(driver.heartbeat('m0')).toBe(ErrorCode.rebalanceInProgress)
    expect(driver.heartbeat('m1')).toBe(ErrorCode.unknownMemberId)
  })

  it('leave an empty group when the last one ends', () => {
    const driver = new GroupDriver()
    driver.stable(1, { sessionTimeoutMs: 6000 })
    driver.clock.advance(6000)
    expect(driver.group).toMatchObject({ state: 'Empty', generationId: 2, leaderId: null })
    expect(driver.writes.at(-1)?.of).toBe('empty-generation')
    expect(driver.timers).toEqual([])
  })

  it('do not end while the member waits for an assignment, and begin anew when it has it', () => {
    const driver = new GroupDriver()
    driver.join({ newMemberId: 'a', sessionTimeoutMs: 6000 })
    driver.join({ newMemberId: 'b', sessionTimeoutMs: 6000 })
    driver.clock.advance(0)
    const sync = driver.sync({ memberId: 'b' })
    for (let second = 0; second < 10; second++) {
      driver.clock.advance(1000)
      driver.heartbeat('a')
    }
    driver.sync({ memberId: 'a' })
    expect(driver.syncAnswer(sync).errorCode).toBe(ErrorCode.none)
    driver.clock.advance(5000)
    driver.heartbeat('a')
    driver.clock.advance(1000)
    expect(driver.group.state).toBe('PreparingRebalance')
  })

  it('check the generation of a heartbeat', () => {
    const driver = new GroupDriver()
    driver.stable(1)
    expect(driver.heartbeat('m0', 0)).toBe(ErrorCode.illegalGeneration)
    expect(driver.heartbeat('m0', 2)).toBe(ErrorCode.illegalGeneration)
    expect(driver.heartbeat('nobody')).toBe(ErrorCode.unknownMemberId)
  })

  it('take heartbeats of members that wait for others to sync', () => {
    const driver = new GroupDriver()
    driver.joined({ newMemberId: 'a' })
    expect(driver.group.state).toBe('CompletingRebalance')
    expect(driver.heartbeat('a')).toBe(ErrorCode.none)
  })
})

describe('leaving', () => {
  it('makes the rest rebalance, and tells the member to join as a new one if it waits', () => {
    const driver = new GroupDriver()
    driver.stable(3)
    const join = driver.join({ memberId: 'm0' })
    expect(driver.leave('m0')).toEqual([ErrorCode.none])
    expect(driver.joinAnswer(join)).toMatchObject({ errorCode: ErrorCode.unknownMemberId, memberId: '' })
    expect(driver.group).toMatchObject({ state: 'PreparingRebalance', leaderId: 'm1' })
  })

  it('answers each of several members for itself', () => {
    const driver = new GroupDriver()
    driver.stable(2, { groupInstanceId: 'static' })
    const answers = driver.leave(
      { memberId: '', groupInstanceId: 'i0' },
      { memberId: '', groupInstanceId: 'i0' },
      { memberId: '', groupInstanceId: null },
      { memberId: 'm0', groupInstanceId: 'i1' },
      { memberId: 'm1', groupInstanceId: 'unknown' },
      'stranger',
      'm1',
    )
    expect(answers).toEqual([
      ErrorCode.none,
      ErrorCode.unknownMemberId,
      ErrorCode.unknownMemberId,
      ErrorCode.fencedInstanceId,
      ErrorCode.unknownMemberId,
      ErrorCode.unknownMemberId,
      ErrorCode.none,
    ])
    expect(driver.group.state).toBe('Empty')
  })

  it('takes an id back that nobody joined with', () => {
    const driver = new GroupDriver()
    const { memberId } = driver.joined({ mustKnowMemberId: true })
    expect(driver.leave(memberId)).toEqual([ErrorCode.none])
    expect(driver.timers).toEqual([])
    expect(driver.joined({ memberId }).errorCode).toBe(ErrorCode.unknownMemberId)
  })

  it('changes nothing when nobody is known', () => {
    const driver = new GroupDriver()
    driver.stable(1)
    expect(driver.leave('stranger')).toEqual([ErrorCode.unknownMemberId])
    expect(driver.group).toMatchObject({ state: 'Stable', generationId: 1 })
  })
})

describe('a static member (KIP-345)', () => {
  it('is let in at once, without being told its id first', () => {
    const driver = new GroupDriver()
    expect(driver.joined({ groupInstanceId: 'i', mustKnowMemberId: true })).toMatchObject({
      errorCode: ErrorCode.none,
      generationId: 1,
    })
  })

  it('comes back under a new id with its assignment, and nobody else notices', () => {
    const driver = new GroupDriver()
    driver.stable(2, { groupInstanceId: 'static' })
    const back = driver.joined({ groupInstanceId: 'i1', newMemberId: 'm1-again' })
    expect(back).toMatchObject({
      errorCode: ErrorCode.none,
      memberId: 'm1-again',
      generationId: 1,
      leader: 'm0',
      members: [],
    })
    expect(back.skipAssignment).toBe(false)
    expect(driver.group.state).toBe('Stable')
    expect(driver.syncAnswer(driver.sync({ memberId: 'm1-again' })).assignment).toEqual(Buffer.from('a1'))
    expect(driver.writes.at(-1)?.snapshot.members.map(({ memberId }) => memberId)).toEqual(['m0', 'm1-again'])
    expect(driver.heartbeat('m1', 1, 'i1')).toBe(ErrorCode.fencedInstanceId)
    expect(driver.heartbeat('m1')).toBe(ErrorCode.unknownMemberId)
  })

  it('that leads is told to keep the assignment, or, as an older client, is not told that it leads', () => {
    const driver = new GroupDriver()
    driver.stable(2, { groupInstanceId: 'static' })
    const older = driver.joined({ groupInstanceId: 'i0', newMemberId: 'x', canSkipAssignment: false })
    expect(older).toMatchObject({ memberId: 'x', leader: 'm0', skipAssignment: false, members: [] })
    const newer = driver.joined({ groupInstanceId: 'i0', newMemberId: 'y' })
    expect(newer).toMatchObject({ memberId: 'y', leader: 'y', skipAssignment: true })
    expect(newer.members).toHaveLength(2)
    expect(driver.group.state).toBe('Stable')
  })

  it('fences whoever has its place, in every request', () => {
    const driver = new GroupDriver()
    driver.stable(1, { groupInstanceId: 'static' })
    const join = driver.join({ memberId: 'm0', groupInstanceId: 'i0' })
    driver.joined({ mustKnowMemberId: true })
    driver.join({ groupInstanceId: 'i0', newMemberId: 'x' })
    expect(driver.joinAnswer(join).generationId).toBe(2)

    expect(driver.heartbeat('m0', 2, 'i0')).toBe(ErrorCode.fencedInstanceId)
    expect(driver.commit('m0', 2, 'i0')).toBe(ErrorCode.fencedInstanceId)
    expect(driver.leave({ memberId: 'm0', groupInstanceId: 'i0' })).toEqual([ErrorCode.fencedInstanceId])
    expect(driver.syncAnswer(driver.sync({ memberId: 'm0', groupInstanceId: 'i0' })).errorCode).toBe(
      ErrorCode.fencedInstanceId,
    )
    expect(driver.joined({ memberId: 'm0', groupInstanceId: 'i0' }).errorCode).toBe(ErrorCode.fencedInstanceId)
    expect(driver.joined({ memberId: 'x', groupInstanceId: 'unknown' }).errorCode).toBe(ErrorCode.unknownMemberId)
  })

  it('fences the waiting requests of the one it replaces', () => {
    const driver = new GroupDriver()
    driver.stable(2, { groupInstanceId: 'static' })
    const join = driver.join({ memberId: 'm0', groupInstanceId: 'i0' })
    driver.join({ groupInstanceId: 'i0', newMemberId: 'x' })
    expect(driver.joinAnswer(join)).toMatchObject({ errorCode: ErrorCode.fencedInstanceId, memberId: 'm0' })

    driver.join({ memberId: 'm1', groupInstanceId: 'i1' })
    const sync = driver.sync({ memberId: 'm1', groupInstanceId: 'i1' })
    driver.join({ groupInstanceId: 'i1', newMemberId: 'y' })
    expect(driver.syncAnswer(sync).errorCode).toBe(ErrorCode.fencedInstanceId)
    expect(driver.group.state).toBe('PreparingRebalance')
  })

  it('makes the group rebalance when the choice of protocol changes with it', () => {
    const driver = new GroupDriver()
    driver.stable(1, { groupInstanceId: 'static', protocols: [protocol('range'), protocol('sticky')] })
    const back = driver.joined({ groupInstanceId: 'i0', protocols: [protocol('sticky'), protocol('range')] })
    expect(back).toMatchObject({ generationId: 2, protocolName: 'sticky' })
  })

  it('keeps its place when it misses a rebalance, until its session ends', () => {
    const driver = new GroupDriver()
    driver.stable(2, { groupInstanceId: 'static', rebalanceTimeoutMs: 5000, sessionTimeoutMs: 8000 })
    const join = driver.join({
      memberId: 'm0',
      groupInstanceId: 'i0',
      rebalanceTimeoutMs: 5000,
      sessionTimeoutMs: 8000,
    })
    driver.clock.advance(5000)
    expect(driver.joinAnswer(join).members.map(({ memberId }) => memberId)).toEqual(['m0', 'm1'])
  })

  it('gets its old id back when the change is not stored', () => {
    const driver = new GroupDriver()
    driver.stable(2, { groupInstanceId: 'static' })
    driver.writeError = ErrorCode.notCoordinator
    const back = driver.joined({ groupInstanceId: 'i0', newMemberId: 'x' })
    expect(back).toMatchObject({ errorCode: ErrorCode.notCoordinator, memberId: '' })
    expect(driver.heartbeat('m0', 1, 'i0')).toBe(ErrorCode.none)
    expect(driver.heartbeat('x')).toBe(ErrorCode.unknownMemberId)
    expect(driver.group.leaderId).toBe('m0')
    driver.writeError = ErrorCode.none
    expect(driver.joined({ memberId: 'm1', groupInstanceId: 'i1' }).generationId).toBe(1)
  })

  it.each([ErrorCode.none, ErrorCode.notCoordinator])(
    'waits for the rebalance that begins before its change is stored, or is not (%i)',
    (outcome) => {
      const driver = new GroupDriver()
      driver.stable(2, { groupInstanceId: 'static' })
      driver.holdsWrites = true
      const back = driver.join({ groupInstanceId: 'i1', newMemberId: 'x' })
      driver.join()
      expect(driver.group.state).toBe('PreparingRebalance')
      driver.finishWrite(outcome)
      expect(driver.joinAnswers.has(back)).toBe(false)
      driver.join({ memberId: 'm0', groupInstanceId: 'i0' })
      expect(driver.joinAnswer(back)).toMatchObject({ errorCode: ErrorCode.none, generationId: 2, memberId: 'x' })
    },
  )

  it('is expected to send the SyncGroup that the one it replaces has not sent', () => {
    const driver = new GroupDriver()
    driver.join({ newMemberId: 'a', rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 30_000 })
    driver.join({ newMemberId: 'b', groupInstanceId: 'i', rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 30_000 })
    driver.clock.advance(0)
    driver.sync({ memberId: 'a', assignments: { a: 'x', b: 'y' } })
    driver.joined({ newMemberId: 'c', groupInstanceId: 'i', rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 30_000 })
    expect(driver.group.state).toBe('Stable')
    expect(driver.timers).toContain('sync')
    driver.sync({ memberId: 'c' })
    expect(driver.timers).not.toContain('sync')
  })
})

describe('group.max.size', () => {
  it('turns away who comes when the group is full', () => {
    const driver = new GroupDriver({ maxSize: 2 })
    const joins = [driver.join(), driver.join(), driver.join()]
    expect(driver.joinAnswer(joins[2]!)).toMatchObject({ errorCode: ErrorCode.groupMaxSizeReached, memberId: '' })
    driver.clock.advance(0)
    expect(driver.group.members.size).toBe(2)
    expect(driver.joined().errorCode).toBe(ErrorCode.groupMaxSizeReached)
    expect(driver.joined({ memberId: 'member-2' }).errorCode).toBe(ErrorCode.none)
  })

  it('makes a group that is over it rebalance after a restart, and drops who comes last', () => {
    const driver = new GroupDriver()
    driver.stable(3)
    driver.restart({ maxSize: 2 })
    expect(driver.group.state).toBe('PreparingRebalance')
    const joins = ['m1', 'm2', 'm0'].map((memberId) => driver.join({ memberId }))
    expect(driver.joinAnswer(joins[0]!)).toMatchObject({ errorCode: ErrorCode.none, leader: 'm1' })
    expect(driver.joinAnswer(joins[2]!).errorCode).toBe(ErrorCode.groupMaxSizeReached)
  })
})

describe('offset commits', () => {
  it('without a member are for groups that have no members', () => {
    const driver = new GroupDriver()
    expect(driver.commit('', -1)).toBe(ErrorCode.none)
    driver.stable(1)
    expect(driver.commit('', -1)).toBe(ErrorCode.unknownMemberId)
    expect(driver.commit('m0', -1)).toBe(ErrorCode.illegalGeneration)
    driver.leave('m0')
    expect(driver.commit('m0', -1)).toBe(ErrorCode.none)
    expect(driver.commit('m0', 1)).toBe(ErrorCode.unknownMemberId)
  })

  it('of a member count in its generation, also while others join, but not before it can have an assignment', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    expect(driver.commit('m0', 1)).toBe(ErrorCode.none)
    expect(driver.commit('m0', 0)).toBe(ErrorCode.illegalGeneration)
    expect(driver.commit('stranger', 1)).toBe(ErrorCode.unknownMemberId)
    driver.join({ memberId: 'm0' })
    expect(driver.commit('m1', 1)).toBe(ErrorCode.none)
    driver.join({ memberId: 'm1' })
    expect(driver.commit('m1', 2)).toBe(ErrorCode.rebalanceInProgress)
    expect(driver.commit('m1', 1)).toBe(ErrorCode.illegalGeneration)
  })

  it('of a member count as heartbeats', () => {
    const driver = new GroupDriver()
    driver.stable(1, { sessionTimeoutMs: 6000 })
    driver.clock.advance(5000)
    expect(driver.commit('m0', 1)).toBe(ErrorCode.none)
    driver.clock.advance(5999)
    expect(driver.group.state).toBe('Stable')
  })
})

describe('subscriptions', () => {
  it('are those of all members together', () => {
    const driver = new GroupDriver()
    expect(driver.group.isSubscribedTo('a')).toBe(false)
    driver.join({ newMemberId: 'x', protocols: [{ name: 'range', metadata: subscription('a', 'b') }] })
    driver.join({ newMemberId: 'y', protocols: [{ name: 'range', metadata: subscription('c') }] })
    driver.clock.advance(0)
    expect([...(driver.group.subscribedTopics ?? [])]).toEqual(['a', 'b', 'c'])
    expect(driver.group.isSubscribedTo('c')).toBe(true)
    expect(driver.group.isSubscribedTo('d')).toBe(false)
    driver.leave('x', 'y')
    expect(driver.group.isSubscribedTo('c')).toBe(false)
  })

  it('that cannot be read count as all topics, those of other protocol types as none', () => {
    const consumers = new GroupDriver()
    consumers.stable(1)
    expect(consumers.group.isSubscribedTo('a')).toBe(true)
    const workers = new GroupDriver()
    workers.stable(1, { protocolType: 'connect' })
    expect(workers.group.isSubscribedTo('a')).toBe(false)
  })
})

describe('a restored group', () => {
  it('has its members, who have one session timeout to be heard from', () => {
    const driver = new GroupDriver()
    driver.stable(2, { sessionTimeoutMs: 6000 })
    driver.restart()
    expect(driver.group).toMatchObject({ state: 'Stable', generationId: 1, protocolName: 'range', leaderId: 'm0' })
    expect(driver.heartbeat('m1')).toBe(ErrorCode.none)
    expect(driver.syncAnswer(driver.sync({ memberId: 'm1' })).assignment).toEqual(Buffer.from('a1'))
    driver.clock.advance(5999)
    driver.heartbeat('m1')
    driver.clock.advance(1)
    expect(driver.group.state).toBe('PreparingRebalance')
    expect([...driver.group.members.keys()]).toEqual(['m1'])
  })

  it('is empty when it was, and remembers since when', () => {
    const driver = new GroupDriver()
    driver.stable(1)
    driver.leave('m0')
    const emptySinceMs = driver.clock.nowMs()
    driver.clock.advance(1000)
    driver.restart()
    expect(driver.group).toMatchObject({ state: 'Empty', generationId: 2, stateTimestampMs: emptySinceMs })
    expect(driver.joined().generationId).toBe(3)
  })
})

describe('the end of a group', () => {
  it('answers everybody who waits and stops every timer', () => {
    const driver = new GroupDriver()
    driver.stable(2)
    const join = driver.join({ memberId: 'm0' })
    driver.joined({ mustKnowMemberId: true })
    driver.close()
    expect(driver.joinAnswer(join)).toMatchObject({ errorCode: ErrorCode.coordinatorNotAvailable, memberId: 'm0' })
    expect(driver.timers).toEqual([])
    expect(driver.joined().errorCode).toBe(ErrorCode.coordinatorNotAvailable)
    expect(driver.heartbeat('m0')).toBe(ErrorCode.coordinatorNotAvailable)
    expect(driver.commit('m0', 1)).toBe(ErrorCode.coordinatorNotAvailable)
    expect(driver.syncAnswer(driver.sync({ memberId: 'm0' })).errorCode).toBe(ErrorCode.coordinatorNotAvailable)
  })
})
