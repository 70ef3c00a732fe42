import { apis, ErrorCode } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { startTestBroker } from '../testing/test-broker.ts'
import type { WireClient } from '../testing/wire-client.ts'

const HERE = { nodeId: 1, host: '127.0.0.1', port: 50_000 }

describe('FindCoordinator', () => {
  async function heartbeatOf(client: WireClient): Promise<number> {
    const { errorCode } = await client.request(apis.heartbeat, 4, { groupId: 'g', generationId: 1, memberId: 'm' })
    return errorCode
  }

  it.each([0, 1, 2, 3])('makes the offsets topic and has it ready when it answers, in version %i', async (version) => {
    const test = await startTestBroker()
    const client = test.connect()
    const found = await client.request(apis.findCoordinator, version, { key: 'g' })
    const errorMessage = version === 0 ? '' : 'NONE'
    expect(found).toMatchObject({ ...HERE, errorCode: ErrorCode.none, errorMessage })
    expect(await heartbeatOf(client)).toBe(ErrorCode.unknownMemberId)
    await test.broker.close()
  })

  it.each([4, 5])('does so for several groups in version %i', async (version) => {
    const test = await startTestBroker()
    const client = test.connect()
    const { coordinators } = await client.request(apis.findCoordinator, version, { coordinatorKeys: ['g', 'h'] })
    const answer = { ...HERE, errorCode: ErrorCode.none, errorMessage: '' }
    expect(coordinators).toEqual([
      { key: 'g', ...answer },
      { key: 'h', ...answer },
    ])
    expect(await heartbeatOf(client)).toBe(ErrorCode.unknownMemberId)
    await test.broker.close()
  })

  it('knows nobody for what it does not know', async () => {
    const test = await startTestBroker()
    const client = test.connect()
    const find = (keyType: number) => client.request(apis.findCoordinator, 3, { key: 'x', keyType })
    const nobody = { nodeId: -1, host: '', port: -1 }
    expect(await find(2)).toMatchObject({ ...nobody, errorCode: ErrorCode.invalidRequest })
    expect(await find(-1)).toMatchObject({ ...nobody, errorCode: ErrorCode.invalidRequest })
    await test.broker.close()
  })

  it('gives the advertised address', async () => {
    const test = await startTestBroker({
      settings: { 'advertised.listeners': 'PLAINTEXT://broker.example:19092' },
    })
    const found = await test.connect().request(apis.findCoordinator, 3, { key: 'g' })
    expect(found).toMatchObject({ host: 'broker.example', port: 19_092 })
    await test.broker.close()
  })
})
