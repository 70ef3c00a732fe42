import { ErrorCode, ZERO_UUID, buildBatch, buildEndTransactionBatch, type JoinGroupRequest } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../base/logger.ts'
import { BrokerConfig } from '../config/broker-config.ts'
import { systemRandom } from '../platform/system-random.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { MemoryOffsetsTopic } from '../testing/memory-offsets-topic.ts'
import { GroupCoordinator, type CommitRequest, type GroupRequestContext } from './coordinator.ts'
import { encodeGroupRecord } from './group-records.ts'
import { partitionOfGroup } from './offsets-topic.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
const TOPIC_ID = 'abcdefghijklmnopqrstug'

interface World {
  readonly clock: ManualClock
  readonly topic: MemoryOffsetsTopic
  readonly groups: GroupCoordinator
}

function start(options: { settings?: string[]; topic?: MemoryOffsetsTopic; clock?: ManualClock } = {}): World {
  const { settings = [], topic = new MemoryOffsetsTopic(3), clock = new ManualClock() } = options
  const config = BrokerConfig.from({ sets: ['group.initial.rebalance.delay.ms=0', ...settings] })
  const groups = new GroupCoordinator({ clock, random: systemRandom, config, logger: silentLogger })
  groups.load(topic)
  return { clock, topic, groups }
}

/** The same coordinator after a crash at this moment: only what is stored is left. */
function restarted({ clock, topic }: World, settings: string[] = []): World {
  return start({ settings, topic: topic.copy(), clock })
}

const context = (apiVersion: number): GroupRequestContext => ({ apiVersion, clientId: 'me', clientHost: '10.0.0.1' })

function joinRequest(groupId: string, more: Partial<JoinGroupRequest> = {}): JoinGroupRequest {
  return {
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: MINUTE_MS,
    memberId: '',
    groupInstanceId: null,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: subscription('a') }],
    reason: null,
    ...more,
  }
}

function subscription(topic: string): Buffer {
  const bytes = Buffer.alloc(8 + topic.length)
  bytes.writeInt32BE(1, 2)
  bytes.writeInt16BE(topic.length, 6)
  bytes.write(topic, 8)
  return Buffer.concat([bytes, Buffer.from([255, 255, 255, 255])])
}

/** A stable group of one member, whose id is returned. */
async function stableGroup(world: World, groupId: string, more: Partial<JoinGroupRequest> = {}): Promise<string> {
  const joining = world.groups.joinGroup(joinRequest(groupId, more), context(3))
  world.clock.advance(0)
  const { memberId, generationId } = await joining
  await world.groups.syncGroup(
    {
      groupId,
      generationId: generationId!,
      memberId,
      groupInstanceId: null,
      protocolType: null,
      protocolName: null,
      assignments: [{ memberId, assignment: Buffer.from('all') }],
    },
    context(3),
  )
  return memberId
}

function commit(groupId: string, offset: number, more: Partial<CommitRequest> = {}): CommitRequest {
  return {
    apiVersion: 8,
    groupId,
    memberId: '',
    groupInstanceId: null,
    generationId: -1,
    retentionTimeMs: -1,
    offsets: [{ topic: 'a', topicId: TOPIC_ID, partition: 0, offset, leaderEpoch: 5, metadata: 'note' }],
    ...more,
  }
}

const heartbeat = (groupId: string, memberId: string, generationId: number) => ({
  groupId,
  memberId,
  generationId,
  groupInstanceId: null,
})

const ALL = { statesFilter: [], typesFilter: [] }
const listed = (
  { groups }: World,
  filter: Partial<typeof ALL> | { statesFilter?: string[]; typesFilter?: string[] } = {},
) => groups.listGroups({ ...ALL, ...filter }).groups.map(({ groupId }) => groupId)
const state = ({ groups }: World, groupId: string): string =>
  groups.describeGroups({ groups: [groupId], includeAuthorizedOperations: false }, context(5)).groups[0]!.groupState

describe('the partition of a group', () => {
  it('is that of the Java hash of its id', () => {
    // Values of String.hashCode() in Java; the third has the smallest int, which Math.abs leaves negative.
    expect(partitionOfGroup('', 50)).toBe(0)
    expect(partitionOfGroup('console-consumer-12345', 50)).toBe(158_455_506 % 50)
    expect(partitionOfGroup('polygenelubricants', 50)).toBe(0)
    expect(partitionOfGroup('gruppe-äöü-€', 50)).toBe(1_795_811_529 % 50)
    expect(partitionOfGroup('test-group', 7)).toBe(627_841_412 % 7)
  })
})

describe('a coordinator without its topic', () => {
  const config = BrokerConfig.from()

  it('answers NOT_COORDINATOR, and lists nothing', async () => {
    const groups = new GroupCoordinator({
      clock: new ManualClock(),
      random: systemRandom,
      config,
      logger: silentLogger,
    })
    expect((await groups.joinGroup(joinRequest('g'), context(5))).errorCode).toBe(ErrorCode.notCoordinator)
    expect(groups.heartbeat(heartbeat('g', 'm', 1)).errorCode).toBe(ErrorCode.notCoordinator)
    expect(groups.commitOffsets(commit('g', 1))).toBe(ErrorCode.notCoordinator)
    expect(groups.fetchOffsets('g', null, false)).toBe(ErrorCode.notCoordinator)
    expect(groups.listGroups(ALL)).toMatchObject({ errorCode: ErrorCode.none, groups: [] })
    expect(groups.committedOffset('g', 'a', 0)).toBeNull()
  })
})

/** A group id that belongs to the partition, of three. */
function groupIn(partition: number): string {
  return ['a', 'b', 'c', 'd'].find((id) => partitionOfGroup(id, 3) === partition)!
}

describe('loading', () => {
  /** A topic whose second partition is large. */
  function largeTopic(): MemoryOffsetsTopic {
    const topic = new MemoryOffsetsTopic(3)
    const groupId = groupIn(1)
    const value = { offset: 7, leaderEpoch: -1, metadata: '', commitTimestampMs: 0, expireTimestampMs: -1 }
    for (let batch = 0; batch < 30; batch++) {
      const records = Array.from({ length: 1000 }, (_, partition) =>
        encodeGroupRecord({
          kind: 'offset',
          groupId,
          topic: `t${batch}`,
          partition,
          value: { ...value, topicId: ZERO_UUID, recordOffset: -1 },
        }),
      )
      topic.append(1, buildBatch({ records, nowMs: 0 }))
    }
    return topic
  }

  it('goes on in slices, answering COORDINATOR_LOAD_IN_PROGRESS for what is not there yet', async () => {
    const world = start({ topic: largeTopic() })
    const { groups, clock } = world
    expect(groups.isLoading).toBe(true)
    let isLoaded = false
    const loaded = groups.whenLoaded().then(() => (isLoaded = true))
    expect(groups.commitOffsets(commit(groupIn(0), 1))).toEqual([ErrorCode.none])
    expect(groups.commitOffsets(commit(groupIn(1), 1))).toBe(ErrorCode.coordinatorLoadInProgress)
    expect(groups.heartbeat(heartbeat(groupIn(1), 'm', 1)).errorCode).toBe(ErrorCode.none)
    expect(groups.leaveGroup({ groupId: groupIn(1), memberId: 'm', members: [] }, context(1)).errorCode).toBe(
      ErrorCode.coordinatorLoadInProgress,
    )
    expect(groups.listGroups(ALL).errorCode).toBe(ErrorCode.coordinatorLoadInProgress)
    groups.onTopicDeleted('t3')
    await Promise.resolve()
    expect(isLoaded).toBe(false)
    clock.advance(0)
    await loaded
    expect(groups.committedOffset(groupIn(1), 't29', 999)).toBe(7)
    expect(groups.committedOffset(groupIn(1), 't3', 0)).toBeNull()
  })

  it('keeps the end of a transaction that comes meanwhile for what is read before it', async () => {
    const topic = largeTopic()
    const pending = (groupId: string, producerId: number) =>
      buildBatch({
        records: [
          encodeGroupRecord({
            kind: 'offset',
            groupId,
            topic: 'pending',
            partition: producerId,
            value: {
              offset: 5,
              leaderEpoch: -1,
              metadata: '',
              commitTimestampMs: 0,
              expireTimestampMs: -1,
              topicId: ZERO_UUID,
              recordOffset: -1,
            },
          }),
        ],
        isTransactional: true,
        producerId,
        producerEpoch: 0,
        nowMs: 0,
      })
    const groupId = groupIn(1)
    for (const producerId of [10, 11, 12]) topic.append(1, pending(groupId, producerId))
    const { groups, clock } = start({ topic })
    groups.transactionEnded(1, 10, true)
    groups.transactionEnded(1, 11, false)
    expect(groups.isLoading).toBe(true)
    clock.advance(0)
    expect(groups.isLoading).toBe(false)
    expect([10, 11, 12].map((partition) => groups.committedOffset(groupId, 'pending', partition))).toEqual([
      5,
      null,
      null,
    ])
    groups.transactionEnded(1, 12, true)
    expect(groups.committedOffset(groupId, 'pending', 12)).toBe(5)
  })

  it('can be stopped by close', async () => {
    const world = start({ topic: largeTopic() })
    const loaded = world.groups.whenLoaded()
    world.groups.close()
    await loaded
    expect(world.clock.timerCount).toBe(0)
  })

  it('leaves out a partition that cannot be read, and takes no request for its groups', () => {
    class TornTopic extends MemoryOffsetsTopic {
      override *batches(partition: number): Iterable<Buffer> {
        yield* super.batches(partition)
        if (partition === 1) throw new RangeError('torn')
      }
    }
    const topic = new TornTopic(3)
    const before = start({ topic: new MemoryOffsetsTopic(3) })
    for (const id of 'abcdef') before.groups.commitOffsets(commit(id, 1))
    for (const partition of [0, 1, 2]) {
      for (const batch of before.topic.batches(partition)) topic.append(partition, Buffer.from(batch))
    }
    const world = start({ topic })
    for (const id of 'abcdef') {
      const isTorn = partitionOfGroup(id, 3) === 1
      expect(world.groups.committedOffset(id, 'a', 0)).toBe(isTorn ? null : 1)
      const refused = isTorn ? ErrorCode.notCoordinator : [ErrorCode.none]
      expect(world.groups.commitOffsets(commit(id, 2))).toEqual(refused)
    }
  })

  it('skips records of other protocols and of versions it does not know', () => {
    const topic = new MemoryOffsetsTopic(1)
    const before = start({ topic })
    before.groups.commitOffsets(commit('g', 1))
    const key = (kind: number) => Buffer.from([0, kind, 0, 1, 0x67])
    topic.append(
      0,
      buildBatch({
        records: [
          { key: key(3), value: Buffer.from('consumer group') },
          { key: null, value: Buffer.from('x') },
          { key: key(2), value: Buffer.from([0, 99]) },
          { key: key(1), value: Buffer.from([0, 4]) },
        ],
        nowMs: 0,
      }),
    )
    const world = restarted({ ...before, topic })
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
  })

  it('knows offsets of transactions when they are committed in the log, and keeps open ones apart', () => {
    const topic = new MemoryOffsetsTopic(1)
    const offsets = (offset: number, producerId: number, partition: number) =>
      buildBatch({
        records: [
          encodeGroupRecord({
            kind: 'offset',
            groupId: 'g',
            topic: 'a',
            partition,
            value: {
              offset,
              leaderEpoch: -1,
              metadata: '',
              commitTimestampMs: 0,
              expireTimestampMs: -1,
              topicId: ZERO_UUID,
              recordOffset: -1,
            },
          }),
        ],
        isTransactional: true,
        producerId,
        producerEpoch: 0,
        nowMs: 0,
      })
    const end = (producerId: number, isCommit: boolean) =>
      buildEndTransactionBatch({ producerId, producerEpoch: 0, isCommit, coordinatorEpoch: 0, nowMs: 0 })
    const batches = [
      offsets(1, 10, 0),
      offsets(2, 11, 1),
      offsets(3, 12, 2),
      offsets(4, 10, 3),
      end(10, true),
      end(11, false),
    ]
    for (const batch of batches) topic.append(0, batch)
    const { groups } = start({ topic })
    const fetched = (requireStable: boolean) =>
      groups.fetchOffsets('g', [{ name: 'a', topicId: ZERO_UUID, partitions: [0, 1, 2, 3] }], requireStable)
    const at = (committedOffset: number, errorCode: number = ErrorCode.none) =>
      expect.objectContaining({ committedOffset, errorCode })
    expect(fetched(false)).toEqual([{ name: 'a', partitions: [at(1), at(-1), at(-1), at(4)] }])
    expect(fetched(true)).toEqual([
      { name: 'a', partitions: [at(1), at(-1), at(-1, ErrorCode.unstableOffsetCommit), at(4)] },
    ])
  })
})

describe('joining', () => {
  it('is refused for an empty group id and for session timeouts out of bounds', async () => {
    const world = start({ settings: ['group.min.session.timeout.ms=6000', 'group.max.session.timeout.ms=8000'] })
    const code = async (groupId: string, sessionTimeoutMs: number) =>
      (await world.groups.joinGroup(joinRequest(groupId, { sessionTimeoutMs }), context(5))).errorCode
    expect(await code('', 7000)).toBe(ErrorCode.invalidGroupId)
    expect(await code('g', 5999)).toBe(ErrorCode.invalidSessionTimeout)
    expect(await code('g', 8001)).toBe(ErrorCode.invalidSessionTimeout)
    expect(await code('g', 8000)).toBe(ErrorCode.memberIdRequired)
  })

  it('creates no group for a member id that nobody was given', async () => {
    const world = start()
    const { errorCode, memberId } = await world.groups.joinGroup(joinRequest('g', { memberId: 'x' }), context(5))
    expect({ errorCode, memberId }).toEqual({ errorCode: ErrorCode.unknownMemberId, memberId: 'x' })
    expect(listed(world)).toEqual([])
  })

  it('gives ids of the client id, or of the instance id, and a UUID', async () => {
    const world = start()
    const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
    const { memberId } = await world.groups.joinGroup(joinRequest('g'), context(5))
    expect(memberId).toMatch(new RegExp(`^me-${uuid}$`))
    const joining = world.groups.joinGroup(joinRequest('h', { groupInstanceId: 'i' }), context(5))
    world.clock.advance(0)
    expect((await joining).memberId).toMatch(new RegExp(`^i-${uuid}$`))
  })

  it('says no protocol as an empty string before version 7 and as null since', async () => {
    const world = start()
    expect((await world.groups.joinGroup(joinRequest('g'), context(6))).protocolName).toBe('')
    expect((await world.groups.joinGroup(joinRequest('g'), context(7))).protocolName).toBeNull()
  })

  it('takes the session timeout for the rebalance timeout in version 0', async () => {
    const world = start()
    const joining = world.groups.joinGroup(joinRequest('g', { rebalanceTimeoutMs: -1 }), context(0))
    world.clock.advance(0)
    const { memberId, generationId } = await joining
    await world.groups.syncGroup(
      { ...heartbeat('g', memberId, generationId!), protocolType: null, protocolName: null, assignments: [] },
      context(0),
    )
    expect(world.topic.records().at(-1)).toMatchObject({
      value: { members: [{ rebalanceTimeoutMs: 10_000, sessionTimeoutMs: 10_000 }] },
    })
  })

  it('needs both protocol fields in SyncGroup from version 5 on', async () => {
    const world = start()
    const memberId = await stableGroup(world, 'g')
    const sync = (protocolName: string | null) =>
      world.groups.syncGroup(
        { ...heartbeat('g', memberId, 1), protocolType: 'consumer', protocolName, assignments: [] },
        context(5),
      )
    expect((await sync(null)).errorCode).toBe(ErrorCode.inconsistentGroupProtocol)
    expect(await sync('range')).toMatchObject({
      errorCode: ErrorCode.none,
      protocolType: 'consumer',
      protocolName: 'range',
      assignment: Buffer.from('all'),
    })
  })
})

describe('leaving', () => {
  it('answers the one member of old versions at the top, and each of a batch for itself', async () => {
    const world = start()
    const { groups } = world
    const leave = (apiVersion: number, memberId: string, groupId = 'g') =>
      groups.leaveGroup(
        { groupId, memberId, members: [{ memberId, groupInstanceId: null, reason: null }] },
        context(apiVersion),
      )
    const memberId = await stableGroup(world, 'g')
    expect(leave(2, 'x').errorCode).toBe(ErrorCode.unknownMemberId)
    expect(leave(2, memberId).errorCode).toBe(ErrorCode.none)
    const another = await stableGroup(world, 'g')
    const result = (of: string, errorCode: number) => ({ memberId: of, groupInstanceId: null, errorCode })
    expect(leave(3, 'x')).toMatchObject({ errorCode: 0, members: [result('x', ErrorCode.unknownMemberId)] })
    expect(leave(3, another)).toMatchObject({ errorCode: 0, members: [result(another, ErrorCode.none)] })
    expect(leave(3, 'x', 'no-group').members).toEqual([result('x', ErrorCode.unknownMemberId)])
    expect(leave(2, 'x', 'no-group').errorCode).toBe(ErrorCode.unknownMemberId)
    expect(leave(2, 'x', '').errorCode).toBe(ErrorCode.invalidGroupId)
  })
})

describe('offsets', () => {
  it('are stored as Kafka stores them and given back', () => {
    const world = start()
    expect(world.groups.commitOffsets(commit('g', 42))).toEqual([ErrorCode.none])
    expect(world.topic.records()).toEqual([
      {
        kind: 'offset',
        groupId: 'g',
        topic: 'a',
        partition: 0,
        value: {
          offset: 42,
          leaderEpoch: 5,
          metadata: 'note',
          commitTimestampMs: world.clock.nowMs(),
          expireTimestampMs: -1,
          topicId: TOPIC_ID,
          recordOffset: 0,
        },
      },
    ])
    const found = {
      partitionIndex: 0,
      committedOffset: 42,
      committedLeaderEpoch: 5,
      metadata: 'note',
      errorCode: ErrorCode.none,
    }
    const none = { partitionIndex: 9, committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode: 0 }
    expect(world.groups.fetchOffsets('g', null, true)).toEqual([{ name: 'a', partitions: [found] }])
    const asked = [{ name: 'a', topicId: ZERO_UUID, partitions: [9, 0] }]
    expect(world.groups.fetchOffsets('g', asked, false)).toEqual([{ name: 'a', partitions: [none, found] }])
    expect(world.groups.fetchOffsets('unknown', null, false)).toEqual([])
    expect(world.groups.fetchOffsets('unknown', [{ ...asked[0]!, partitions: [9] }], false)).toEqual([
      { name: 'a', partitions: [none] },
    ])
  })

  it('of a topic that was deleted since do not count for one of the same name', () => {
    const { groups } = start()
    groups.commitOffsets(commit('g', 42))
    const fetch = (topicId: string) => groups.fetchOffsets('g', [{ name: 'a', topicId, partitions: [0] }], false)
    expect(fetch(TOPIC_ID)).toMatchObject([{ partitions: [{ committedOffset: 42 }] }])
    expect(fetch('bbbbbbbbbbbbbbbbbbbbbg')).toMatchObject([{ partitions: [{ committedOffset: -1 }] }])
  })

  it('with metadata that is too long are refused one by one', () => {
    const world = start({ settings: ['offset.metadata.max.bytes=5'] })
    const offset = (partition: number, metadata: string | null) => ({
      ...commit('g', 1).offsets[0]!,
      partition,
      metadata,
    })
    const offsets = [offset(0, '123456'), offset(1, '12345'), offset(2, null)]
    expect(world.groups.commitOffsets(commit('g', 1, { offsets }))).toEqual([
      ErrorCode.offsetMetadataTooLarge,
      ErrorCode.none,
      ErrorCode.none,
    ])
    expect(world.groups.fetchOffsets('g', null, false)).toMatchObject([
      {
        partitions: [
          { partitionIndex: 1, metadata: '12345' },
          { partitionIndex: 2, metadata: '' },
        ],
      },
    ])
  })

  it('of members need their generation; of nobody, a group without members', async () => {
    const world = start()
    const memberId = await stableGroup(world, 'g')
    const { groups } = world
    expect(groups.commitOffsets(commit('g', 1))).toBe(ErrorCode.unknownMemberId)
    expect(groups.commitOffsets(commit('g', 1, { memberId, generationId: 1 }))).toEqual([ErrorCode.none])
    expect(groups.commitOffsets(commit('g', 1, { memberId, generationId: 2 }))).toBe(ErrorCode.illegalGeneration)
    expect(groups.commitOffsets(commit('h', 1, { memberId, generationId: 2 }))).toBe(ErrorCode.illegalGeneration)
    expect(groups.commitOffsets(commit('h', 1, { memberId, generationId: 2, apiVersion: 9 }))).toBe(
      ErrorCode.groupIdNotFound,
    )
    expect(listed(world)).toEqual(['g'])
    expect(groups.commitOffsets(commit('h', 1))).toEqual([ErrorCode.none])
    expect(groups.commitOffsets(commit('', 1))).toEqual([ErrorCode.none])
    expect(listed(world)).toEqual(['g', 'h', ''])
  })

  it('that are not stored are not there', () => {
    const world = start()
    world.groups.commitOffsets(commit('g', 1))
    for (const [appendError, told] of [
      [ErrorCode.kafkaStorageError, ErrorCode.notCoordinator],
      [ErrorCode.notEnoughReplicas, ErrorCode.coordinatorNotAvailable],
      [ErrorCode.messageTooLarge, ErrorCode.unknownServerError],
    ] as const) {
      world.topic.appendError = appendError
      expect(world.groups.commitOffsets(commit('g', 2))).toBe(told)
      expect(world.groups.commitOffsets(commit('h', 2))).toBe(told)
    }
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
    expect(listed(world)).toEqual(['g'])
  })

  it('go when their topic goes', () => {
    const world = start()
    const other = commit('g', 3).offsets.map((offset) => ({ ...offset, topic: 'b' }))
    for (const groupId of ['g', 'h']) {
      world.groups.commitOffsets(commit(groupId, 1))
      world.groups.commitOffsets(commit(groupId, 1, { offsets: other }))
    }
    world.groups.onTopicDeleted('a')
    for (const { groups } of [world, restarted(world)]) {
      expect(groups.fetchOffsets('g', null, false)).toMatchObject([{ name: 'b' }])
      expect(groups.fetchOffsets('h', null, false)).toMatchObject([{ name: 'b' }])
    }
  })

  it('are given up together with their own topic', async () => {
    const world = start()
    const memberId = await stableGroup(world, 'g')
    const joining = world.groups.joinGroup(joinRequest('g'), context(3))
    world.groups.onTopicDeleted('__consumer_offsets')
    expect((await joining).errorCode).toBe(ErrorCode.notCoordinator)
    expect(world.groups.heartbeat(heartbeat('g', memberId, 1)).errorCode).toBe(ErrorCode.notCoordinator)
    expect(world.clock.timerCount).toBe(0)
    world.groups.load(new MemoryOffsetsTopic(1))
    expect(listed(world)).toEqual([])
  })
})

describe('deleting', () => {
  const names = (...groupsNames: string[]) => ({ groupsNames })

  it('forgets a group without members, with its offsets, for good', async () => {
    const world = start()
    const memberId = await stableGroup(world, 'busy')
    world.groups.commitOffsets(commit('busy', 1, { memberId, generationId: 1 }))
    world.groups.commitOffsets(commit('idle', 1))
    expect(world.groups.deleteGroups(names('busy', 'idle', 'none', 'idle')).results).toEqual([
      { groupId: 'busy', errorCode: ErrorCode.nonEmptyGroup },
      { groupId: 'idle', errorCode: ErrorCode.none },
      { groupId: 'none', errorCode: ErrorCode.groupIdNotFound },
    ])
    for (const after of [world, restarted(world)]) {
      expect(listed(after)).toEqual(['busy'])
      expect(after.groups.committedOffset('idle', 'a', 0)).toBeNull()
      expect(after.groups.committedOffset('busy', 'a', 0)).toBe(1)
    }
  })

  it('keeps a group when that is not stored', () => {
    const world = start()
    world.groups.commitOffsets(commit('g', 1))
    world.topic.appendError = ErrorCode.kafkaStorageError
    expect(world.groups.deleteGroups(names('g')).results).toEqual([
      { groupId: 'g', errorCode: ErrorCode.notCoordinator },
    ])
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
    expect(listed(world)).toEqual(['g'])
  })

  it('takes back the ids it gave out', async () => {
    const world = start()
    const { memberId } = await world.groups.joinGroup(joinRequest('g'), context(5))
    world.groups.deleteGroups(names('g'))
    const { errorCode } = await world.groups.joinGroup(joinRequest('g', { memberId }), context(5))
    expect(errorCode).toBe(ErrorCode.unknownMemberId)
  })

  it('deletes many offsets', () => {
    const world = start()
    const offsets = Array.from({ length: 1200 }, (_, partition) => ({ ...commit('g', 1).offsets[0]!, partition }))
    world.groups.commitOffsets(commit('g', 1, { offsets }))
    expect(world.groups.deleteGroups(names('g')).results).toEqual([{ groupId: 'g', errorCode: ErrorCode.none }])
    expect(restarted(world).groups.fetchOffsets('g', null, false)).toEqual([])
  })

  it('of single offsets spares topics that a member subscribes to', async () => {
    const world = start()
    const memberId = await stableGroup(world, 'g')
    const both = ['a', 'b'].map((topic) => ({ ...commit('g', 1).offsets[0]!, topic }))
    world.groups.commitOffsets(commit('g', 1, { memberId, generationId: 1, offsets: both }))
    const topics = [
      { name: 'a', partitions: [0] },
      { name: 'b', partitions: [0, 1] },
    ]
    expect(world.groups.deleteOffsets('g', topics)).toEqual([ErrorCode.groupSubscribedToTopic, ErrorCode.none])
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
    expect(world.groups.committedOffset('g', 'b', 0)).toBeNull()
    expect(restarted(world).groups.committedOffset('g', 'b', 0)).toBeNull()
  })

  it('of single offsets needs a group, of consumers or without members', async () => {
    const world = start()
    await stableGroup(world, 'connect', { protocolType: 'connect' })
    const topics = [{ name: 'a', partitions: [0] }]
    expect(world.groups.deleteOffsets('', topics)).toBe(ErrorCode.invalidGroupId)
    expect(world.groups.deleteOffsets('none', topics)).toBe(ErrorCode.groupIdNotFound)
    expect(world.groups.deleteOffsets('connect', topics)).toBe(ErrorCode.nonEmptyGroup)
    world.groups.commitOffsets(commit('simple', 1))
    expect(world.groups.deleteOffsets('simple', topics)).toEqual([ErrorCode.none])
  })
})

describe('describing', () => {
  it('shows members with what they sent and got in a stable group', async () => {
    const world = start()
    const memberId = await stableGroup(world, 'g')
    const described = world.groups.describeGroups({ groups: ['g'], includeAuthorizedOperations: false }, context(5))
    expect(described.groups).toEqual([
      {
        errorCode: ErrorCode.none,
        errorMessage: null,
        groupId: 'g',
        groupState: 'Stable',
        protocolType: 'consumer',
        protocolData: 'range',
        members: [
          {
            memberId,
            groupInstanceId: null,
            clientId: 'me',
            clientHost: '/10.0.0.1',
            memberMetadata: subscription('a'),
            memberAssignment: Buffer.from('all'),
          },
        ],
      },
    ])
    void world.groups.joinGroup(joinRequest('g'), context(3))
    const [rebalancing] = world.groups.describeGroups(
      { groups: ['g'], includeAuthorizedOperations: false },
      context(5),
    ).groups
    expect(rebalancing).toMatchObject({
      groupState: 'PreparingRebalance',
      protocolData: '',
    })
    expect(rebalancing!.members[0]!.memberMetadata).toHaveLength(0)
  })

  it('shows a group that is not there as dead, and from version 6 on as an error', () => {
    const { groups } = start()
    const describe = (apiVersion: number) =>
      groups.describeGroups({ groups: ['x'], includeAuthorizedOperations: false }, context(apiVersion)).groups[0]
    expect(describe(5)).toMatchObject({ errorCode: ErrorCode.none, groupState: 'Dead' })
    expect(describe(6)).toMatchObject({
      errorCode: ErrorCode.groupIdNotFound,
      groupState: 'Dead',
      errorMessage: 'Group x not found.',
    })
  })

  it('lists by state and type, in any case of letters', async () => {
    const world = start()
    await stableGroup(world, 'stable')
    world.groups.commitOffsets(commit('empty', 1))
    expect(world.groups.listGroups(ALL).groups).toEqual([
      { groupId: 'stable', protocolType: 'consumer', groupState: 'Stable', groupType: 'classic' },
      { groupId: 'empty', protocolType: '', groupState: 'Empty', groupType: 'classic' },
    ])
    expect(listed(world, { statesFilter: ['sTABLE'] })).toEqual(['stable'])
    expect(listed(world, { statesFilter: [' empty ', 'Stable'] })).toEqual(['stable', 'empty'])
    expect(listed(world, { typesFilter: ['CLASSIC'] })).toEqual(['stable', 'empty'])
    expect(listed(world, { typesFilter: ['consumer'] })).toEqual([])
  })
})

describe('expiry (KIP-211)', () => {
  const settings = ['offsets.retention.minutes=60', `offsets.retention.check.interval.ms=${MINUTE_MS}`]

  it('drops offsets of a consumer without a group one by one, and the group with the last', () => {
    const world = start({ settings })
    world.groups.commitOffsets(commit('g', 1))
    world.clock.advance(30 * MINUTE_MS)
    const later = commit('g', 1).offsets.map((offset) => ({ ...offset, topic: 'b' }))
    world.groups.commitOffsets(commit('g', 1, { offsets: later }))
    world.clock.advance(29 * MINUTE_MS)
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
    world.clock.advance(MINUTE_MS)
    expect(world.groups.committedOffset('g', 'a', 0)).toBeNull()
    expect(world.groups.committedOffset('g', 'b', 0)).toBe(1)
    world.clock.advance(30 * MINUTE_MS)
    for (const after of [world, restarted(world, settings)]) expect(listed(after)).toEqual([])
    expect(world.topic.records().at(-1)).toEqual({ kind: 'group', groupId: 'g', value: null })
  })

  it('counts a group that lost its members from then on, also over a restart', async () => {
    let world = start({ settings })
    const memberId = await stableGroup(world, 'g')
    world.groups.commitOffsets(commit('g', 1, { memberId, generationId: 1 }))
    for (let second = 0; second < 7200; second += 5) {
      world.clock.advance(5000)
      world.groups.heartbeat(heartbeat('g', memberId, 1))
    }
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
    world.groups.leaveGroup({ groupId: 'g', memberId, members: [] }, context(1))
    world.clock.advance(59 * MINUTE_MS)
    world = restarted(world, settings)
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
    world.clock.advance(MINUTE_MS)
    expect(world.groups.committedOffset('g', 'a', 0)).toBeNull()
    expect(listed(world)).toEqual([])
  })

  it('drops offsets of topics that nobody in a group with members reads any more', async () => {
    const world = start({ settings })
    const memberId = await stableGroup(world, 'g')
    const both = ['a', 'b'].map((topic) => ({ ...commit('g', 1).offsets[0]!, topic }))
    world.groups.commitOffsets(commit('g', 1, { memberId, generationId: 1, offsets: both }))
    for (let second = 0; second < 3600; second += 5) {
      world.clock.advance(5000)
      world.groups.heartbeat(heartbeat('g', memberId, 1))
    }
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
    expect(world.groups.committedOffset('g', 'b', 0)).toBeNull()
  })

  it('obeys a retention that an old client chose', () => {
    const world = start({ settings })
    world.groups.commitOffsets(commit('g', 1, { apiVersion: 4, retentionTimeMs: 5 * MINUTE_MS }))
    expect(world.topic.records()[0]).toMatchObject({
      value: { expireTimestampMs: world.clock.nowMs() + 5 * MINUTE_MS, leaderEpoch: -1, topicId: ZERO_UUID },
    })
    world.clock.advance(4 * MINUTE_MS)
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
    world.clock.advance(MINUTE_MS)
    expect(world.groups.committedOffset('g', 'a', 0)).toBeNull()
  })

  it('waits for a member that was told its id', async () => {
    const world = start({ settings })
    const asked = joinRequest('g', { sessionTimeoutMs: 3 * MINUTE_MS })
    const { memberId } = await world.groups.joinGroup(asked, context(5))
    world.clock.advance(2 * MINUTE_MS)
    const joining = world.groups.joinGroup({ ...asked, memberId }, context(5))
    world.clock.advance(0)
    expect((await joining).errorCode).toBe(ErrorCode.none)
  })

  it('tries again when the tombstones are not stored', () => {
    const world = start({ settings })
    world.groups.commitOffsets(commit('g', 1))
    world.topic.appendError = ErrorCode.kafkaStorageError
    world.clock.advance(DAY_MS)
    expect(world.groups.committedOffset('g', 'a', 0)).toBe(1)
    world.topic.appendError = ErrorCode.none
    world.clock.advance(MINUTE_MS)
    expect(world.groups.committedOffset('g', 'a', 0)).toBeNull()
  })
})

describe('storage failures', () => {
  it('let nobody into a group that cannot be stored', async () => {
    const world = start()
    world.topic.appendError = ErrorCode.kafkaStorageError
    const { errorCode } = await world.groups.joinGroup(joinRequest('g'), context(5))
    expect(errorCode).toBe(ErrorCode.notCoordinator)
    expect(listed(world)).toEqual([])
  })

  it('keep the last generation, and send the members back to join', async () => {
    const world = start()
    const memberId = await stableGroup(world, 'g')
    const joining = world.groups.joinGroup(joinRequest('g', { memberId }), context(5))
    const { generationId } = await joining
    world.topic.appendError = ErrorCode.kafkaStorageError
    const answer = await world.groups.syncGroup(
      {
        ...heartbeat('g', memberId, generationId!),
        protocolType: null,
        protocolName: null,
        assignments: [{ memberId, assignment: Buffer.from('other') }],
      },
      context(3),
    )
    expect(answer).toMatchObject({ errorCode: ErrorCode.notCoordinator })
    expect(state(world, 'g')).toBe('PreparingRebalance')
    const after = restarted(world)
    expect(state(after, 'g')).toBe('Stable')
    expect(after.groups.heartbeat(heartbeat('g', memberId, 1)).errorCode).toBe(ErrorCode.none)
  })
})

describe('a restart', () => {
  it('brings back a stable group, whose members go on and have one session timeout to be heard from', async () => {
    const world = start()
    const memberId = await stableGroup(world, 'g', { sessionTimeoutMs: 10_000 })
    world.clock.advance(9999)
    const after = restarted(world)
    expect(state(after, 'g')).toBe('Stable')
    after.clock.advance(9999)
    expect(after.groups.heartbeat(heartbeat('g', memberId, 1)).errorCode).toBe(ErrorCode.none)
    const assignment = await after.groups.syncGroup(
      { ...heartbeat('g', memberId, 1), protocolType: null, protocolName: null, assignments: [] },
      context(3),
    )
    expect(assignment.assignment).toEqual(Buffer.from('all'))
    after.clock.advance(10_000)
    expect(state(after, 'g')).toBe('Empty')
    expect(after.groups.heartbeat(heartbeat('g', memberId, 2)).errorCode).toBe(ErrorCode.unknownMemberId)
  })
})

describe('watching a group', () => {
  it('calls back after commits, new assignments and deletions of this group alone', async () => {
    const world = start()
    let calls = 0
    const stop = world.groups.onGroupChange('g', () => calls++)
    world.groups.commitOffsets(commit('h', 1))
    expect(calls).toBe(0)
    world.groups.commitOffsets(commit('g', 1))
    expect(calls).toBe(1)
    world.groups.deleteGroups({ groupsNames: ['g'] })
    expect(calls).toBe(2)
    await stableGroup(world, 'g')
    expect(calls).toBe(3)
    expect(world.groups.topicsOf('g')).toEqual(['a'])
    stop()
    world.groups.onTopicDeleted('a')
    expect(calls).toBe(3)
  })
})

describe('closing', () => {
  it('answers who waits, stops all timers, and refuses from then on', async () => {
    const world = start()
    const memberId = await stableGroup(world, 'g')
    await world.groups.joinGroup(joinRequest('h'), context(5))
    const joining = world.groups.joinGroup(joinRequest('g'), context(3))
    world.groups.close()
    world.groups.close()
    expect((await joining).errorCode).toBe(ErrorCode.coordinatorNotAvailable)
    expect(world.clock.timerCount).toBe(0)
    expect(world.groups.heartbeat(heartbeat('g', memberId, 1)).errorCode).toBe(ErrorCode.coordinatorNotAvailable)
    expect((await world.groups.joinGroup(joinRequest('g'), context(3))).errorCode).toBe(
      ErrorCode.coordinatorNotAvailable,
    )
    expect(world.groups.commitOffsets(commit('g', 1))).toBe(ErrorCode.coordinatorNotAvailable)
    expect(world.groups.listGroups(ALL).errorCode).toBe(ErrorCode.coordinatorNotAvailable)
  })
})
