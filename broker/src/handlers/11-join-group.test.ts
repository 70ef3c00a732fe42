import { apis, ErrorCode } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { MemoryDisk } from '../log/memory-disk.ts'
import { startTestBroker, type TestBroker } from '../testing/test-broker.ts'
import type { WireClient } from '../testing/wire-client.ts'

const metadata = Buffer.from([0, 0, 0, 0, 0, 0, 255, 255, 255, 255])

async function coordinatorOf(broker: TestBroker): Promise<WireClient> {
  const client = broker.connect()
  await client.request(apis.findCoordinator, 3, { key: 'g' })
  return client
}

function join(client: WireClient, version: number, memberId = '') {
  return client.request(apis.joinGroup, version, {
    groupId: 'g',
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 60_000,
    memberId,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata }],
  })
}

/** Joins, with the round that versions 4 and later need for an id. */
async function joined(broker: TestBroker, client: WireClient, version: number) {
  if (version < 4) {
    const joining = join(client, version)
    broker.clock.advance(0)
    return joining
  }
  const { errorCode, memberId } = await join(client, version)
  expect(errorCode).toBe(ErrorCode.memberIdRequired)
  const joining = join(client, version, memberId)
  broker.clock.advance(0)
  return joining
}

function sync(client: WireClient, version: number, memberId: string, assignment: string) {
  return client.request(apis.syncGroup, version, {
    groupId: 'g',
    generationId: 1,
    memberId,
    protocolType: 'consumer',
    protocolName: 'range',
    assignments: [{ memberId, assignment: Buffer.from(assignment) }],
  })
}

describe('the life of a group over the wire', () => {
  it('is the same in every version of JoinGroup', async () => {
    for (let version = 0; version <= 9; version++) {
      const broker = await startTestBroker()
      const client = await coordinatorOf(broker)
      const answer = await joined(broker, client, version)
      expect(answer).toMatchObject({ errorCode: ErrorCode.none, generationId: 1, protocolName: 'range' })
      expect(answer).toMatchObject({ leader: answer.memberId, members: [{ memberId: answer.memberId, metadata }] })
      expect(answer.protocolType).toBe(version >= 7 ? 'consumer' : null)
      await broker.broker.close()
    }
  })

  it('is the same in every version of SyncGroup, Heartbeat, LeaveGroup, DescribeGroups, ListGroups and DeleteGroups', async () => {
    for (let version = 0; version <= 6; version++) {
      const at = (highest: number) => Math.min(version, highest)
      const broker = await startTestBroker()
      const client = await coordinatorOf(broker)
      const { memberId } = await joined(broker, client, 3)
      const synced = await sync(client, at(5), memberId, 'mine')
      expect(synced).toMatchObject({ errorCode: ErrorCode.none, assignment: Buffer.from('mine') })
      const heartbeat = await client.request(apis.heartbeat, at(4), { groupId: 'g', generationId: 1, memberId })
      expect(heartbeat.errorCode).toBe(ErrorCode.none)

      const described = await client.request(apis.describeGroups, at(6), {
        groups: ['g'],
        includeAuthorizedOperations: version >= 3,
      })
      expect(described.groups).toMatchObject([
        {
          errorCode: ErrorCode.none,
          groupState: 'Stable',
          protocolType: 'consumer',
          protocolData: 'range',
          members: [
            {
              memberId,
              clientId: 'wire-client',
              clientHost: '/127.0.0.1',
              memberMetadata: metadata,
              memberAssignment: Buffer.from('mine'),
            },
          ],
          authorizedOperations: version >= 3 ? 3400 : -2147483648,
        },
      ])
      const { groups } = await client.request(apis.listGroups, at(5), {})
      const shown = { groupState: version >= 4 ? 'Stable' : '', groupType: version >= 5 ? 'classic' : '' }
      expect(groups).toEqual([{ groupId: 'g', protocolType: 'consumer', ...shown }])

      const deleteIt = () => client.request(apis.deleteGroups, at(3), { groupsNames: ['g'] })
      expect((await deleteIt()).results).toMatchObject([{ groupId: 'g', errorCode: ErrorCode.nonEmptyGroup }])
      const left = await client.request(apis.leaveGroup, at(5), { groupId: 'g', memberId, members: [{ memberId }] })
      const members = version >= 3 ? [{ memberId, groupInstanceId: null, errorCode: ErrorCode.none }] : []
      expect(left).toMatchObject({ errorCode: ErrorCode.none, members })
      expect((await deleteIt()).results).toMatchObject([{ groupId: 'g', errorCode: ErrorCode.none }])
      expect((await client.request(apis.listGroups, at(5), {})).groups).toEqual([])
      await broker.broker.close()
    }
  })

  it('goes on after a restart of the broker', async () => {
    const disk = new MemoryDisk()
    const before = await startTestBroker({ disk })
    const client = await coordinatorOf(before)
    const { memberId } = await joined(before, client, 9)
    await sync(client, 5, memberId, 'mine')
    await before.broker.close()

    const after = await startTestBroker({ disk })
    const again = await coordinatorOf(after)
    const heartbeat = await again.request(apis.heartbeat, 4, { groupId: 'g', generationId: 1, memberId })
    expect(heartbeat.errorCode).toBe(ErrorCode.none)
    expect((await sync(again, 5, memberId, 'ignored')).assignment).toEqual(Buffer.from('mine'))
    await after.broker.close()
  })

  it('leaves nothing behind when the broker closes under a member that waits', async () => {
    const broker = await startTestBroker()
    const client = await coordinatorOf(broker)
    await joined(broker, client, 3)
    const waiting = join(broker.connect(), 3).then(
      () => 'answered',
      () => 'connection closed',
    )
    await broker.broker.close()
    expect(await waiting).toBe('connection closed')
    expect(broker.clock.timerCount).toBe(0)
  })
})
