// A file system that is full: what FullDisk plays in storage-failure.test.ts, on a real one of 16 MB in memory.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { apis, ErrorCode } from '@millrace/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from './base/logger.ts'
import { Broker } from './broker.ts'
import { BrokerConfig, developmentDefaults } from './config/broker-config.ts'
import { RealDisk } from './platform/real-disk.ts'
import { systemRandom } from './platform/system-random.ts'
import { ManualClock } from './testing/manual-clock.ts'
import { MemoryNetwork } from './testing/memory-network.ts'
import { aBatch, topicIdOf } from './testing/test-broker.ts'
import { WireClient } from './testing/wire-client.ts'

const SIZE_BYTES = 16 * 1024 * 1024
const BALLAST_BYTES = 8 * 1024 * 1024
const RECORD_BYTES = 100_000

let mountPoint: string

function mount(): string | null {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'a file system is mounted by root on Linux alone'
  const trial = fs.mkdtempSync(path.join(os.tmpdir(), 'disk-full-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_BYTES}`, 'tmpfs', trial], { stdio: 'pipe' })
    execFileSync('umount', [trial])
    return null
  } catch (error) {
    return `nothing can be mounted here: ${String(error)}`
  } finally {
    fs.rmdirSync(trial)
  }
}

const obstacle = mount()

async function start(settings: Readonly<Record<string, string>> = {}) {
  const clock = new ManualClock()
  const network = new MemoryNetwork()
  const all = { listeners: 'PLAINTEXT://127.0.0.1:0', 'offsets.topic.num.partitions': '1', ...settings }
  const config = BrokerConfig.from({
    defaults: developmentDefaults,
    sets: Object.entries(all).map(([name, value]) => `${name}=${value}`),
  })
  const broker = await Broker.run({
    config,
    dataDir: path.join(mountPoint, 'data'),
    logger: silentLogger,
    clock,
    random: systemRandom,
    disk: new RealDisk(),
    network,
  })
  return { broker, clock, client: new WireClient(network, broker.port) }
}

async function produce(client: WireClient, topicId: string): Promise<number> {
  const records = aBatch(1, { records: [{ key: null, value: Buffer.alloc(RECORD_BYTES) }] })
  const { responses } = await client.request(apis.produce, 13, {
    acks: -1,
    timeoutMs: 0,
    topicData: [{ topicId, partitionData: [{ index: 0, records }] }],
  })
  return responses[0]!.partitionResponses[0]!.errorCode
}

async function end(client: WireClient): Promise<number> {
  const { topics } = await client.request(apis.listOffsets, 7, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: 't', partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -1 }] }],
  })
  return topics[0]!.partitions[0]!.offset
}

async function commit(client: WireClient, offset: number): Promise<number> {
  const { topics } = await client.request(apis.offsetCommit, 8, {
    groupId: 'g',
    generationIdOrMemberEpoch: -1,
    memberId: '',
    topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset: offset, committedMetadata: '' }] }],
  })
  return topics[0]!.partitions[0]!.errorCode
}

async function committed(client: WireClient): Promise<number> {
  const { groups } = await client.request(apis.offsetFetch, 8, {
    groups: [{ groupId: 'g', topics: [{ name: 't', partitionIndexes: [0] }] }],
  })
  return groups[0]!.topics[0]!.partitions[0]!.committedOffset
}

describe.skipIf(obstacle !== null)(
  `a real disk that is full${obstacle === null ? '' : ` (skipped: ${obstacle})`}`,
  () => {
    beforeEach(() => {
      mountPoint = fs.mkdtempSync(path.join(os.tmpdir(), 'disk-full-'))
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_BYTES}`, 'tmpfs', mountPoint])
      fs.writeFileSync(path.join(mountPoint, 'ballast'), Buffer.alloc(BALLAST_BYTES))
    })
    afterEach(() => {
      execFileSync('umount', [mountPoint])
      fs.rmdirSync(mountPoint)
    })

    it.each<[string, Readonly<Record<string, string>>]>([
      ['with the reserve that it has by itself', {}],
      ['without a reserve', { 'log.dir.reserve.bytes': '0' }],
    ])('S10: %s, refuses producers, loses nothing, and goes on when there is room again', async (_, settings) => {
      const { broker, clock, client } = await start(settings)
      await broker.createTopic('t')
      const topicId = await topicIdOf(client, 't')
      await client.request(apis.findCoordinator, 5, { keyType: 0, coordinatorKeys: ['g'] })
      let taken = 0
      while ((await produce(client, topicId)) === 0) taken++
      expect(taken).toBeGreaterThan(50)
      const hasReserve = settings['log.dir.reserve.bytes'] === undefined
      for (let offset = 1; hasReserve && offset <= 100; offset++) expect(await commit(client, offset)).toBe(0)
      expect(await produce(client, topicId)).toBe(ErrorCode.kafkaStorageError)
      expect(await end(client)).toBe(taken)

      fs.rmSync(path.join(mountPoint, 'ballast'))
      clock.advance(1000)
      expect(await produce(client, topicId)).toBe(0)
      expect(await commit(client, 101)).toBe(0)
      await broker.close()

      const after = await start(settings)
      expect(await end(after.client)).toBe(taken + 1)
      expect(await committed(after.client)).toBe(101)
      await after.broker.close()
    })
  },
)
