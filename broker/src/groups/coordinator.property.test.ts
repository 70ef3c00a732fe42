import assert from 'node:assert/strict'
import { ErrorCode, ZERO_UUID } from '@millrace/protocol'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { silentLogger } from '../base/logger.ts'
import { BrokerConfig } from '../config/broker-config.ts'
import { systemRandom } from '../platform/system-random.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { MemoryOffsetsTopic } from '../testing/memory-offsets-topic.ts'
import { GroupCoordinator } from './coordinator.ts'

const GROUPS = ['g1', 'g2', 'g3']
const TOPICS = ['a', 'b']
const MINUTE_MS = 60_000
const context = { apiVersion: 3, clientId: 'me', clientHost: '10.0.0.1' }
const config = BrokerConfig.from({
  sets: [
    'group.initial.rebalance.delay.ms=0',
    'offsets.retention.minutes=30',
    `offsets.retention.check.interval.ms=${MINUTE_MS}`,
  ],
})

const groupId = fc.constantFrom(...GROUPS)
const topic = fc.constantFrom(...TOPICS)
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('commit' as const), groupId, topic, offset: fc.nat(100) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('join' as const), groupId }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('leave' as const), groupId }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete group' as const), groupId }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete offsets' as const), groupId, topic }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('topic deleted' as const), topic }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('advance' as const), minutes: fc.constantFrom(1, 10, 31) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('fail' as const), fails: fc.boolean() }) },
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

class World {
  readonly clock = new ManualClock()
  readonly topic = new MemoryOffsetsTopic(2)
  readonly groups: GroupCoordinator
  readonly #members = new Map<string, string>()
  #hasFailed = false

  constructor() {
    this.groups = this.#coordinator(this.topic)
  }

  async run(operation: Operation): Promise<void> {
    const { groups, clock } = this
    switch (operation.op) {
      case 'commit': {
        const { topic: name, offset } = operation
        const memberId = this.#members.get(operation.groupId) ?? ''
        const generationId = memberId === '' ? -1 : 1
        for (const generation of [generationId, generationId + 2]) {
          groups.commitOffsets({
            apiVersion: 8,
            groupId: operation.groupId,
            memberId,
            groupInstanceId: null,
            generationId: generation,
            retentionTimeMs: -1,
            offsets: [
              { topic: name, topicId: ZERO_UUID, partition: offset % 3, offset, leaderEpoch: -1, metadata: null },
            ],
          })
        }
        return
      }
      case 'join':
        await this.#join(operation.groupId)
        return
      case 'leave': {
        const memberId = this.#members.get(operation.groupId) ?? ''
        groups.leaveGroup(
          { groupId: operation.groupId, memberId, members: [{ memberId, groupInstanceId: null, reason: null }] },
          context,
        )
        this.#members.delete(operation.groupId)
        return
      }
      case 'delete group':
        groups.deleteGroups({ groupsNames: [operation.groupId] })
        return
      case 'delete offsets':
        groups.deleteOffsets(operation.groupId, [{ name: operation.topic, partitions: [0, 1, 2] }])
        return
      case 'topic deleted':
        groups.onTopicDeleted(operation.topic)
        return
      case 'advance':
        clock.advance(operation.minutes * MINUTE_MS)
        return
      case 'fail':
        if (operation.fails) this.#hasFailed = true
        this.topic.appendError = operation.fails ? ErrorCode.kafkaStorageError : ErrorCode.none
        return
    }
  }

  /** Another coordinator that knows only what is stored knows the same. */
  checkReplay(): void {
    const replayed = this.#coordinator(this.topic.copy())
    for (const id of GROUPS)
      assert.deepEqual(replayed.fetchOffsets(id, null, false), this.groups.fetchOffsets(id, null, false))
    // A group that could not be stored comes back as it was before, to members that are gone.
    if (!this.#hasFailed) assert.deepEqual(settled(replayed), settled(this.groups))
    replayed.close()
  }

  async #join(id: string): Promise<void> {
    const { groups, clock } = this
    const request = {
      groupId: id,
      sessionTimeoutMs: 20 * MINUTE_MS,
      rebalanceTimeoutMs: MINUTE_MS,
      groupInstanceId: null,
    }
    const protocols = [{ name: 'range', metadata: Buffer.from([0, 0, 0, 0, 0, 1, 0, 1, 0x61]) }]
    if (this.#members.has(id)) return
    const joining = groups.joinGroup(
      { ...request, memberId: '', protocolType: 'consumer', protocols, reason: null },
      context,
    )
    clock.advance(0)
    const { errorCode, memberId, generationId } = await joining
    if (errorCode !== ErrorCode.none) return
    await groups.syncGroup(
      {
        groupId: id,
        generationId: generationId!,
        memberId,
        groupInstanceId: null,
        protocolType: null,
        protocolName: null,
        assignments: [{ memberId, assignment: Buffer.from(`of ${generationId}`) }],
      },
      context,
    )
    this.#members.set(id, memberId)
  }

  #coordinator(stored: MemoryOffsetsTopic): GroupCoordinator {
    const groups = new GroupCoordinator({ clock: this.clock, random: systemRandom, config, logger: silentLogger })
    groups.load(stored)
    return groups
  }
}

function settled(groups: GroupCoordinator): object[] {
  const { groups: described } = groups.describeGroups(
    { groups: GROUPS, includeAuthorizedOperations: false },
    { ...context, apiVersion: 6 },
  )
  return described.filter(
    ({ groupState }) => groupState === 'Stable' || groupState === 'Empty' || groupState === 'Dead',
  )
}

it('has after a crash what it had before, at any moment', async () => {
  const found = await fc.check(
    fc.asyncProperty(fc.array(operation, { maxLength: 40, size: 'max' }), async (operations) => {
      const world = new World()
      for (const one of operations) {
        await world.run(one)
        world.checkReplay()
      }
      world.groups.close()
      expect(world.clock.timerCount).toBe(0)
    }),
    { numRuns: 200 },
  )
  expect(fc.defaultReportMessage(found) ?? 'nothing').toBe('nothing')
}, 60_000)
