import {
  apis,
  buildBatch,
  ErrorCode,
  errorName,
  type AddPartitionsToTxnResponse,
  type RequestInput,
  ZERO_UUID,
} from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../base/logger.ts'
import { addPartitionsToTxn } from '../handlers/24-add-partitions-to-txn.ts'
import type { RequestContext } from '../handlers/handler.ts'
import { MemoryDisk } from '../log/memory-disk.ts'
import { committedRecords } from '../testing/committed-records.ts'
import { HeldDisk } from '../testing/held-disk.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { startTestBroker, topicIdOf, versionsOf, type TestBroker } from '../testing/test-broker.ts'
import { TransactionalProducer } from '../testing/transactional-producer.ts'
import type { WireClient } from '../testing/wire-client.ts'
import { abortOrphans } from './orphans.ts'

const settings = {
  'transaction.state.log.num.partitions': '2',
  'offsets.topic.num.partitions': '2',
  // Clocks are moved by more.
  'connections.max.idle.ms': '1000000000',
}
/** Between two looks for transactions that are open for too long. */
const TIMEOUT_CHECK_MS = 10_000
const GENERATIONS = [1, 2] as const
const NOTHING_ASKED = {
  v3AndBelowTransactionalId: '',
  v3AndBelowProducerId: -1,
  v3AndBelowProducerEpoch: -1,
  v3AndBelowTopics: [],
}

interface World extends TestBroker {
  readonly client: WireClient
  readonly producer: (transactionalId: string, generation?: 1 | 2) => Promise<TransactionalProducer>
}

async function start(options: Partial<Parameters<typeof startTestBroker>[0]> = {}): Promise<World> {
  const test = await startTestBroker({ ...options, settings: { ...settings, ...options?.settings } })
  if (!(await hasTopic(test))) {
    await test.broker.createTopic('t', { partitions: 2, configs: { 'retention.ms': '-1' } })
  }
  return {
    ...test,
    client: test.connect(),
    producer: async (transactionalId, generation = 2) => {
      const producer = new TransactionalProducer(test.connect(), transactionalId, generation)
      await producer.begin()
      return producer
    },
  }
}

async function hasTopic(test: TestBroker): Promise<boolean> {
  const { topics } = await test.connect().request(apis.metadata, 12, {
    topics: [{ topicId: ZERO_UUID, name: 't' }],
    allowAutoTopicCreation: false,
    includeTopicAuthorizedOperations: false,
  })
  return topics[0]!.errorCode === ErrorCode.none
}

const committed = async (client: WireClient, partition = 0): Promise<string[]> =>
  (await committedRecords(client, 't', partition)).values

async function offsetOf(client: WireClient, groupId: string, requireStable = false): Promise<number | string> {
  const { groups } = await client.request(apis.offsetFetch, 8, {
    groups: [{ groupId, topics: [{ name: 't', partitionIndexes: [0] }] }],
    requireStable,
  })
  const { errorCode, committedOffset } = groups[0]!.topics[0]!.partitions[0]!
  return errorCode === ErrorCode.none ? committedOffset : errorName(errorCode)
}

async function commitPlainly(client: WireClient, groupId: string, offset: number): Promise<string> {
  const { topics } = await client.request(apis.offsetCommit, 8, {
    groupId,
    generationIdOrMemberEpoch: -1,
    memberId: '',
    topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset: offset, committedMetadata: null }] }],
  })
  return errorName(topics[0]!.partitions[0]!.errorCode)
}

async function stateOf(client: WireClient, transactionalId: string): Promise<string> {
  const { transactionStates } = await client.request(apis.describeTransactions, 0, {
    transactionalIds: [transactionalId],
  })
  const { errorCode, transactionState } = transactionStates[0]!
  return errorCode === ErrorCode.none ? transactionState : errorName(errorCode)
}

/** Of the logs of __transaction_state, by their paths. */
function stateLogSizes(disk: MemoryDisk): Map<string, number> {
  const names = disk.list('/data').filter((directory) => directory.startsWith('__transaction_state-'))
  const paths = names.map((name) => `/data/${name}/00000000000000000000.log`)
  return new Map(paths.map((path) => [path, disk.readFile(path)!.length]))
}

/** Lets everything that is ready happen; what waits for the disk or the clock stays. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

describe('a broker with transactions', () => {
  it('has the topic of transactions before it says that it coordinates them', async () => {
    const { broker, client } = await start()
    expect(await stateOf(client, 'x')).toBe('NOT_COORDINATOR')
    const found = await client.request(apis.findCoordinator, 4, { keyType: 1, coordinatorKeys: ['x'] })
    expect(found.coordinators[0]).toMatchObject({ errorCode: 0, nodeId: 1, port: broker.port })
    expect(await stateOf(client, 'x')).toBe('TRANSACTIONAL_ID_NOT_FOUND')
    await broker.close()
  })

  it('says by a feature that each transaction has an epoch, unless it is set otherwise', async () => {
    for (const [setting, level] of [
      ['2', 2],
      ['1', 1],
      ['0', null],
    ] as const) {
      const { broker, client } = await start({ settings: { 'transaction.version': setting } })
      for (const version of versionsOf(apis.apiVersions, 3)) {
        const { finalizedFeatures, supportedFeatures, finalizedFeaturesEpoch } = await client.request(
          apis.apiVersions,
          version,
          { clientSoftwareName: 'test', clientSoftwareVersion: '1' },
        )
        const finalized = finalizedFeatures.find(({ name }) => name === 'transaction.version')
        expect(finalized?.maxVersionLevel ?? null).toBe(level)
        expect(finalizedFeaturesEpoch).toBeGreaterThan(0)
        // What begins with 0 is left out for those who cannot read it.
        expect(supportedFeatures.some(({ name }) => name === 'transaction.version')).toBe(version >= 4)
      }
      await broker.close()
    }
  })

  it('remembers the level that it was given last', async () => {
    const disk = new MemoryDisk()
    for (const level of ['2', '1', '2']) {
      const { broker, client } = await start({ disk, settings: { 'transaction.version': level } })
      const { finalizedFeatures } = await client.request(apis.apiVersions, 4, {
        clientSoftwareName: 'test',
        clientSoftwareVersion: '1',
      })
      expect(finalizedFeatures.find(({ name }) => name === 'transaction.version')?.maxVersionLevel).toBe(Number(level))
      await broker.close()
    }
  })

  it.each(GENERATIONS)(
    'shows all of a transaction at its commit and nothing of one aborted, generation %i',
    async (g) => {
      const { broker, client, producer } = await start()
      const own = await producer('x', g)
      for (const [index, isCommit] of [true, false, true].entries()) {
        for (const partition of [0, 1]) await own.write('t', partition, `v${index}`)
        const before = await committed(client)
        expect(before).not.toContain(`v${index}`)
        expect(await stateOf(client, 'x')).toBe('Ongoing')
        await own.end(isCommit)
        expect(await committed(client)).toEqual(isCommit ? [...before, `v${index}`] : before)
        expect(await stateOf(client, 'x')).toBe(isCommit ? 'CompleteCommit' : 'CompleteAbort')
      }
      expect(await committed(client, 1)).toEqual(['v0', 'v2'])
      await broker.close()
    },
  )

  it('raises the epoch with each transaction of the second generation alone', async () => {
    const { broker, producer } = await start()
    for (const g of GENERATIONS) {
      const own = await producer(`x${g}`, g)
      const epochs = [own.producerEpoch]
      for (let index = 0; index < 3; index++) {
        await own.write('t', 0, 'v')
        await own.end(true)
        epochs.push(own.producerEpoch)
      }
      expect(epochs).toEqual(g === 1 ? [0, 0, 0, 0] : [0, 1, 2, 3])
    }
    await broker.close()
  })

  it.each(GENERATIONS)('fences a producer when another one of its name begins, generation %i', async (g) => {
    const { broker, client, producer } = await start()
    const zombie = await producer('x', g)
    await zombie.write('t', 0, 'zombie')
    const successor = await producer('x', g)
    expect(await committed(client)).toEqual([])
    await successor.write('t', 0, 'successor')
    expect(errorName(await zombie.tryEnd(true))).toBe('PRODUCER_FENCED')
    expect(errorName(await zombie.produce('t', 0, 'late'))).toBe('INVALID_PRODUCER_EPOCH')
    // Where it has not written before as well.
    expect(errorName(await zombie.produce('t', 1, 'late'))).toBe('INVALID_PRODUCER_EPOCH')
    await expect(zombie.commitOffset('g', 't', 0, 5)).rejects.toThrow(/PRODUCER_FENCED|INVALID_PRODUCER_EPOCH/)
    await successor.end(true)
    expect(await committed(client)).toEqual(['successor'])
    await broker.close()
  })

  it('tells clients that do not know PRODUCER_FENCED of an invalid epoch', async () => {
    const { broker, client, producer } = await start()
    const zombie = await producer('x', 1)
    await producer('x', 1)
    const asked = { transactionalId: 'x', ...zombie.identity }
    for (const version of versionsOf(apis.endTxn)) {
      const { errorCode } = await client.request(apis.endTxn, version, { ...asked, committed: true })
      expect([version, errorName(errorCode)]).toEqual([
        version,
        version < 2 ? 'INVALID_PRODUCER_EPOCH' : 'PRODUCER_FENCED',
      ])
    }
    for (const version of versionsOf(apis.addOffsetsToTxn)) {
      const { errorCode } = await client.request(apis.addOffsetsToTxn, version, { ...asked, groupId: 'g' })
      expect([version, errorName(errorCode)]).toEqual([
        version,
        version < 2 ? 'INVALID_PRODUCER_EPOCH' : 'PRODUCER_FENCED',
      ])
    }
    for (const version of [0, 1, 2, 3]) {
      const { resultsByTopicV3AndBelow } = await client.request(apis.addPartitionsToTxn, version, {
        v3AndBelowTransactionalId: 'x',
        v3AndBelowProducerId: zombie.producerId,
        v3AndBelowProducerEpoch: zombie.producerEpoch,
        v3AndBelowTopics: [{ name: 't', partitions: [0] }],
      })
      const { partitionErrorCode } = resultsByTopicV3AndBelow[0]!.resultsByPartition[0]!
      expect(errorName(partitionErrorCode)).toBe(version < 2 ? 'INVALID_PRODUCER_EPOCH' : 'PRODUCER_FENCED')
    }
    for (const version of [3, 4, 5]) {
      const { errorCode } = await client.request(apis.initProducerId, version, {
        ...asked,
        transactionTimeoutMs: 1000,
      })
      expect(errorName(errorCode)).toBe(version < 4 ? 'INVALID_PRODUCER_EPOCH' : 'PRODUCER_FENCED')
    }
    await broker.close()
  })

  it('refuses a timeout beyond what it allows, and an id without a name', async () => {
    const { broker, client, producer } = await start({ settings: { 'transaction.max.timeout.ms': '5000000' } })
    await producer('x')
    const ask = async (transactionalId: string, transactionTimeoutMs: number): Promise<string> =>
      errorName((await client.request(apis.initProducerId, 5, { transactionalId, transactionTimeoutMs })).errorCode)
    expect(await ask('x', 5_000_001)).toBe('INVALID_TRANSACTION_TIMEOUT')
    expect(await ask('x', 0)).toBe('INVALID_TRANSACTION_TIMEOUT')
    expect(await ask('x', -1)).toBe('INVALID_TRANSACTION_TIMEOUT')
    expect(await ask('x', 5_000_000)).toBe('NONE')
    expect(await ask('', 1000)).toBe('INVALID_REQUEST')
    await broker.close()
  })

  it('adds partitions together or not at all', async () => {
    const { broker, client, producer } = await start()
    const own = await producer('x', 1)
    const { resultsByTopicV3AndBelow } = await client.request(apis.addPartitionsToTxn, 3, {
      v3AndBelowTransactionalId: 'x',
      v3AndBelowProducerId: own.producerId,
      v3AndBelowProducerEpoch: own.producerEpoch,
      v3AndBelowTopics: [
        { name: 't', partitions: [0, 2] },
        { name: 'absent', partitions: [0] },
      ],
    })
    const codes = resultsByTopicV3AndBelow.flatMap(({ resultsByPartition }) =>
      resultsByPartition.map(({ partitionErrorCode }) => errorName(partitionErrorCode)),
    )
    expect(codes).toEqual(['OPERATION_NOT_ATTEMPTED', 'UNKNOWN_TOPIC_OR_PARTITION', 'UNKNOWN_TOPIC_OR_PARTITION'])
    expect(await stateOf(client, 'x')).toBe('Empty')
    await broker.close()
  })

  it('verifies and adds partitions of several transactions for other brokers', async () => {
    const { broker, services, producer } = await start()
    const one = await producer('x', 1)
    await one.add('t', 0)
    const two = await producer('y', 1)
    const asked = (own: TransactionalProducer, verifyOnly: boolean) => ({
      transactionalId: own.transactionalId,
      ...own.identity,
      verifyOnly,
      topics: [{ name: 't', partitions: [0, 1] }],
    })
    // No listener is for brokers yet, so these versions are not taken from a connection.
    const answer = await addPartitionsToTxn.handle(
      { ...NOTHING_ASKED, transactions: [asked(one, true), asked(two, false)] },
      { services, apiVersion: 5 } as RequestContext,
    )
    const { errorCode, resultsByTransaction } = answer as AddPartitionsToTxnResponse
    expect(errorCode).toBe(ErrorCode.none)
    const codes = resultsByTransaction.map(({ transactionalId, topicResults }) => [
      transactionalId,
      topicResults[0]!.resultsByPartition.map(({ partitionErrorCode }) => errorName(partitionErrorCode)),
    ])
    expect(codes).toEqual([
      ['x', ['NONE', 'TRANSACTION_ABORTABLE']],
      ['y', ['NONE', 'NONE']],
    ])
    await broker.close()
  })

  it.each(GENERATIONS)(
    'aborts a transaction that is open for too long, and shuts its producer out, generation %i',
    async (g) => {
      const clock = new ManualClock()
      const { broker, client, producer } = await start({ clock })
      const slow = await producer('slow', g)
      await slow.write('t', 0, 'slow')
      clock.advance(60_000)
      expect(await stateOf(client, 'slow')).toBe('Ongoing')
      // A jump of the wall clock makes nothing late.
      clock.wallOffsetMs += 1_000_000
      clock.advance(1)
      expect(await stateOf(client, 'slow')).toBe('Ongoing')
      clock.advance(TIMEOUT_CHECK_MS)
      expect(await stateOf(client, 'slow')).toBe('CompleteAbort')
      expect(await committedRecords(client, 't', 0)).toMatchObject({
        values: [],
        lastStableOffset: 2,
        highWatermark: 2,
      })
      // With an epoch for each transaction it looks like a commit that comes twice, of what was not committed.
      expect(errorName(await slow.tryEnd(true))).toBe(g === 1 ? 'PRODUCER_FENCED' : 'INVALID_TXN_STATE')
      expect(errorName(await slow.produce('t', 0, 'late'))).toBe('INVALID_PRODUCER_EPOCH')
      await broker.close()
    },
  )

  it('forgets a transactional id that nobody uses, and says so to who comes with it', async () => {
    const clock = new ManualClock()
    const { broker, client, producer } = await start({
      clock,
      settings: {
        'transactional.id.expiration.ms': '1000000',
        'transaction.remove.expired.transaction.cleanup.interval.ms': '1000',
      },
    })
    const own = await producer('x', 1)
    await own.write('t', 0, 'v')
    await own.end(true)
    clock.advance(999_000)
    expect(await stateOf(client, 'x')).toBe('CompleteCommit')
    clock.advance(2000)
    expect(await stateOf(client, 'x')).toBe('TRANSACTIONAL_ID_NOT_FOUND')
    expect(errorName(await own.tryEnd(true))).toBe('INVALID_PRODUCER_ID_MAPPING')
    await expect(own.add('t', 0)).rejects.toThrow('INVALID_PRODUCER_ID_MAPPING')
    await broker.close()
  })

  it('goes on after a restart: with an open transaction, and without a forgotten id', async () => {
    const disk = new MemoryDisk()
    const before = await start({ disk })
    const own = await before.producer('x')
    await own.write('t', 0, 'one')
    await own.commitOffset('g', 't', 0, 7)
    const { identity } = own
    await before.broker.close()

    const after = await start({ disk })
    expect(await stateOf(after.client, 'x')).toBe('Ongoing')
    expect(await offsetOf(after.client, 'g')).toBe(-1)
    const { errorCode } = await after.client.request(apis.endTxn, 5, {
      transactionalId: 'x',
      ...identity,
      committed: true,
    })
    expect(errorName(errorCode)).toBe('NONE')
    expect(await committed(after.client)).toEqual(['one'])
    expect(await offsetOf(after.client, 'g', true)).toBe(7)
    await after.broker.close()
  })

  it('describes and lists transactions', async () => {
    const clock = new ManualClock()
    const { broker, client, producer } = await start({ clock })
    const open = await producer('open')
    await open.write('t', 0, 'v')
    await open.write('t', 1, 'v')
    const done = await producer('done')
    await done.write('t', 0, 'v')
    await done.end(true)
    await producer('new')
    const { transactionStates } = await client.request(apis.describeTransactions, 0, {
      transactionalIds: ['open', 'absent', ''],
    })
    expect(transactionStates).toMatchObject([
      {
        errorCode: 0,
        transactionState: 'Ongoing',
        transactionTimeoutMs: 60_000,
        transactionStartTimeMs: clock.nowMs(),
        ...open.identity,
        topics: [{ topic: 't', partitions: [0, 1] }],
      },
      { errorCode: ErrorCode.transactionalIdNotFound, transactionalId: 'absent' },
      { errorCode: ErrorCode.invalidRequest },
    ])

    const list = async (filter: Partial<RequestInput<typeof apis.listTransactions>>): Promise<string[]> => {
      const listed = await client.request(apis.listTransactions, 2, {
        stateFilters: [],
        producerIdFilters: [],
        ...filter,
      })
      return listed.transactionStates.map(({ transactionalId }) => transactionalId).sort()
    }
    expect(await list({})).toEqual(['done', 'new', 'open'])
    expect(await list({ stateFilters: ['Ongoing', 'Empty'] })).toEqual(['new', 'open'])
    expect(await list({ producerIdFilters: [done.producerId] })).toEqual(['done'])
    expect(await list({ transactionalIdPattern: '.*n.*' })).toEqual(['done', 'new', 'open'])
    expect(await list({ transactionalIdPattern: 'n' })).toEqual([])
    clock.advance(500)
    expect(await list({ durationFilter: 499, stateFilters: ['Ongoing'] })).toEqual(['open'])
    expect(await list({ durationFilter: 500, stateFilters: ['Ongoing'] })).toEqual([])
    const odd = await client.request(apis.listTransactions, 2, {
      stateFilters: ['Odd'],
      producerIdFilters: [],
      transactionalIdPattern: null,
    })
    expect(odd).toMatchObject({ errorCode: 0, unknownStateFilters: ['Odd'], transactionStates: [] })
    const bad = await client.request(apis.listTransactions, 2, {
      stateFilters: [],
      producerIdFilters: [],
      transactionalIdPattern: '(',
    })
    expect(errorName(bad.errorCode)).toBe('INVALID_REGULAR_EXPRESSION')
    await broker.close()
  })

  it('aborts what is open on a partition and unknown to the coordinator after a loss of power', async () => {
    const disk = new MemoryDisk()
    const before = await start({ disk })
    const own = await before.producer('x')
    await own.write('t', 0, 'lost')
    const left = disk.copy()
    await before.broker.close()
    // The disk has what the producer wrote, and not that its transaction has begun.
    for (const name of left.list('/data').filter((directory) => directory.startsWith('__transaction_state-'))) {
      left.open(`/data/${name}/00000000000000000000.log`).truncate(0)
    }
    const after = await start({ disk: left })
    await after.client.request(apis.findCoordinator, 4, { keyType: 1, coordinatorKeys: ['x'] })
    expect(await committedRecords(after.client, 't', 0)).toMatchObject({
      values: [],
      lastStableOffset: 2,
      highWatermark: 2,
    })
    await after.broker.close()
  })

  it('refuses what is sent again of a transaction that it aborted so, instead of telling that it is there', async () => {
    const disk = new MemoryDisk()
    const before = await start({ disk })
    const own = await before.producer('x')
    const sizes = stateLogSizes(disk)
    await own.write('t', 0, 'sent')
    const left = disk.copy()
    await before.broker.close()
    // The disk knows the producer, and not its transaction.
    for (const [path, sizeBytes] of sizes) left.open(path).truncate(sizeBytes)

    const after = await start({ disk: left })
    const again = new TransactionalProducer(after.connect(), 'x', 2)
    Object.assign(again, own.identity)
    expect(errorName(await again.produce('t', 0, 'sent'))).toBe('INVALID_PRODUCER_EPOCH')
    await again.end(false)
    await again.write('t', 0, 'sent anew')
    await again.end(true)
    expect(await committedRecords(after.client, 't', 0)).toMatchObject({
      values: ['sent anew'],
      lastStableOffset: 4,
      highWatermark: 4,
    })
    await after.broker.close()
  })

  it('takes no client after a crash before it knows all transactions and has aborted the others', async () => {
    const disk = new MemoryDisk()
    const before = await start({ disk })
    const own = await before.producer('x')
    await own.write('t', 0, 'lost')
    const left = disk.copy()
    await before.broker.close()
    const paths = [...stateLogSizes(left).keys()]
    for (const path of paths) left.open(path).truncate(0)
    const many = Array.from({ length: 20_001 }, () => ({ key: Buffer.alloc(1), value: null }))
    left.open(paths[0]!).append(buildBatch({ records: many, nowMs: 0 }))

    const clock = new ManualClock()
    let isStarted = false
    const starting = startTestBroker({ disk: left, clock, settings }).finally(() => (isStarted = true))
    for (let i = 0; i < 20; i++) await settled()
    expect(isStarted).toBe(false)
    clock.advance(1)
    const after = await starting
    expect(await committedRecords(after.connect(), 't', 0)).toMatchObject({ lastStableOffset: 2, highWatermark: 2 })
    await after.broker.close()
  })

  it('does not let a producer go on unasked where it could not read all transactions after a crash', async () => {
    const { broker, client, services, producer } = await start()
    const own = await producer('x')
    await own.write('t', 0, 'v')
    const partition = services.partitions.get('t', 0)!
    const isAsked = (): boolean => partition.needsAdmission(own.producerId, own.producerEpoch, 1, true)
    expect(isAsked()).toBe(false)
    const unread = { openPartitions: () => null }
    const noMarkers = { write: () => expect.fail('nothing is aborted'), whenSafe: () => {} }
    abortOrphans(services.partitions.all(), unread, noMarkers, silentLogger)
    expect([isAsked(), isAsked()]).toEqual([true, true])
    await own.write('t', 0, 'w')
    await own.end(true)
    expect(await committed(client)).toEqual(['v', 'w'])
    await broker.close()
  })

  it('lets old clients in unasked where that is set, and their transactions hang if they never end them', async () => {
    const { broker, client, producer } = await start({
      settings: { 'transaction.partition.verification.enable': 'false' },
    })
    const own = await producer('x', 1)
    expect(errorName(await own.produce('t', 0, 'unasked'))).toBe('NONE')
    expect(await stateOf(client, 'x')).toBe('Empty')
    expect(await committedRecords(client, 't', 0)).toMatchObject({ lastStableOffset: 0, highWatermark: 1 })
    const { markers } = await client.request(apis.writeTxnMarkers, 1, {
      markers: [
        {
          ...own.identity,
          transactionResult: false,
          topics: [{ name: 't', partitionIndexes: [0] }],
          coordinatorEpoch: 0,
        },
      ],
    })
    expect(errorName(markers[0]!.topics[0]!.partitions[0]!.errorCode)).toBe('NONE')
    expect(await committedRecords(client, 't', 0)).toMatchObject({
      values: [],
      lastStableOffset: 2,
      highWatermark: 2,
    })
    await broker.close()
  })

  it('ends a transaction without the topics that are gone', async () => {
    const { broker, client, producer } = await start()
    const own = await producer('x')
    await own.write('t', 0, 'v')
    await client.request(apis.deleteTopics, 5, { topicNames: ['t'], timeoutMs: 0 })
    await own.end(true)
    expect(await stateOf(client, 'x')).toBe('CompleteCommit')
    await broker.close()
  })
})

describe('with acks.after=fsync', () => {
  it('a partition hears of a commit when that is on the disk, and the answer comes when the partition has it too', async () => {
    const disk = new HeldDisk()
    const { broker, client, producer } = await start({ disk, settings: { 'acks.after': 'fsync' } })
    const own = await producer('x')
    await own.write('t', 0, 'v')
    disk.hold()
    let isAnswered = false
    const end = own.end(true).then(() => (isAnswered = true))
    await settled()
    expect(disk.heldPaths.every((path) => path.includes('__transaction_state'))).toBe(true)
    expect(disk.heldPaths).toHaveLength(1)
    expect(await stateOf(client, 'x')).toBe('PrepareCommit')
    disk.release()
    await settled()
    expect(disk.heldPaths).toEqual(['/data/t-0/00000000000000000000.log'])
    expect(await stateOf(client, 'x')).toBe('PrepareCommit')
    expect(isAnswered).toBe(false)
    disk.release(true)
    await end
    expect(await stateOf(client, 'x')).toBe('CompleteCommit')
    expect(await committed(client)).toEqual(['v'])
    await broker.close()
  })

  it('what is repeated is acknowledged when it is on the disk that the transaction has begun', async () => {
    for (const g of GENERATIONS) {
      const disk = new HeldDisk()
      const { broker, connect, producer } = await start({ disk, settings: { 'acks.after': 'fsync' } })
      const own = await producer('x', g)
      const repeating = new TransactionalProducer(connect(), 'x', g)
      Object.assign(repeating, own.identity)
      const ask = (of: TransactionalProducer) => (g === 1 ? of.add('t', 0) : of.write('t', 0, 'v'))
      disk.hold()
      let answers = 0
      const first = ask(own).then(() => answers++)
      await settled()
      const again = ask(repeating).then(() => answers++)
      await settled()
      // Not enough for either: the batch itself.
      disk.releaseIn('t-0')
      await settled()
      expect(disk.heldPaths.map((path) => path.includes('__transaction_state'))).toEqual([true])
      expect([g, answers]).toEqual([g, 0])
      disk.release(true)
      await Promise.all([first, again])
      await broker.close()
    }
  })
})

describe('offsets of a transaction', () => {
  it('are refused without a producer, also where nobody verifies partitions', async () => {
    const { broker, client, producer } = await start({
      settings: { 'transaction.partition.verification.enable': 'false' },
    })
    await producer('x', 1)
    const { topics } = await client.request(apis.txnOffsetCommit, 3, {
      transactionalId: 'x',
      groupId: 'g',
      producerId: -1,
      producerEpoch: -1,
      topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: null }] }],
    })
    expect(errorName(topics[0]!.partitions[0]!.errorCode)).toBe('INVALID_PRODUCER_ID_MAPPING')
    expect(await offsetOf(client, 'g', true)).toBe(-1)
    await broker.close()
  })

  it.each(GENERATIONS)('count from the commit on, and never after an abort, generation %i', async (g) => {
    const { broker, client, producer } = await start()
    const own = await producer('x', g)
    await own.commitOffset('g', 't', 0, 5)
    expect(await offsetOf(client, 'g')).toBe(-1)
    expect(await offsetOf(client, 'g', true)).toBe('UNSTABLE_OFFSET_COMMIT')
    await own.end(true)
    expect(await offsetOf(client, 'g', true)).toBe(5)
    await own.commitOffset('g', 't', 0, 9)
    expect(await offsetOf(client, 'g')).toBe(5)
    expect(await offsetOf(client, 'g', true)).toBe('UNSTABLE_OFFSET_COMMIT')
    await own.end(false)
    expect(await offsetOf(client, 'g', true)).toBe(5)
    await broker.close()
  })

  it('are the same after a restart in between and after one behind the end', async () => {
    const disk = new MemoryDisk()
    const first = await start({ disk })
    const one = await first.producer('one')
    await one.commitOffset('g', 't', 0, 5)
    await one.end(true)
    await one.commitOffset('g', 't', 0, 6)
    await first.broker.close()
    const second = await start({ disk })
    expect(await offsetOf(second.client, 'g')).toBe(5)
    expect(await offsetOf(second.client, 'g', true)).toBe('UNSTABLE_OFFSET_COMMIT')
    // Its successor aborts it.
    await second.producer('one')
    expect(await offsetOf(second.client, 'g', true)).toBe(5)
    await second.broker.close()
    const third = await start({ disk })
    expect(await offsetOf(third.client, 'g', true)).toBe(5)
    await third.broker.close()
  })

  it('give way to what was committed after them', async () => {
    const { broker, client, producer } = await start()
    const own = await producer('x')
    await own.commitOffset('g', 't', 0, 5)
    expect(await commitPlainly(client, 'g', 8)).toBe('NONE')
    await own.end(true)
    expect(await offsetOf(client, 'g', true)).toBe(8)
    await broker.close()
  })

  it('go with their group, and with a deletion', async () => {
    const disk = new MemoryDisk()
    const { broker, client, producer } = await start({ disk })
    const own = await producer('x')
    await own.commitOffset('deleted', 't', 0, 5)
    await own.commitOffset('cleared', 't', 0, 5)
    const { results } = await client.request(apis.deleteGroups, 2, { groupsNames: ['deleted'] })
    expect(errorName(results[0]!.errorCode)).toBe('NONE')
    const cleared = await client.request(apis.offsetDelete, 0, {
      groupId: 'cleared',
      topics: [{ name: 't', partitions: [{ partitionIndex: 0 }] }],
    })
    expect(errorName(cleared.errorCode)).toBe('NONE')
    await own.end(true)
    expect(await offsetOf(client, 'deleted', true)).toBe(-1)
    expect(await offsetOf(client, 'cleared', true)).toBe(-1)
    await broker.close()
    const after = await start({ disk })
    expect(await offsetOf(after.client, 'deleted', true)).toBe(-1)
    expect(await offsetOf(after.client, 'cleared', true)).toBe(-1)
    await after.broker.close()
  })

  it('keep their group, and do not expire, while the transaction is open', async () => {
    const clock = new ManualClock()
    const { broker, client, producer } = await start({
      clock,
      settings: {
        'offsets.retention.minutes': '1',
        'offsets.retention.check.interval.ms': '1000',
        'transaction.max.timeout.ms': '900000',
        'transaction.abort.timed.out.transaction.cleanup.interval.ms': '800000',
      },
    })
    const own = await producer('x')
    expect(await commitPlainly(client, 'g', 3)).toBe('NONE')
    await own.commitOffset('g', 't', 0, 5)
    await own.commitOffset('other', 't', 0, 5)
    clock.advance(10 * 60_000)
    expect(await offsetOf(client, 'g')).toBe(3)
    const { groups } = await client.request(apis.listGroups, 4, { statesFilter: [] })
    expect(groups.map(({ groupId }) => groupId).sort()).toEqual(['g', 'other'])
    await own.end(false)
    clock.advance(10 * 60_000)
    expect(await offsetOf(client, 'g')).toBe(-1)
    await broker.close()
  })

  it('may name their topic by its id', async () => {
    const { broker, client, producer } = await start()
    const own = await producer('x')
    const topicId = await topicIdOf(client, 't')
    const commit = async (id: string) => {
      const { topics } = await client.request(apis.txnOffsetCommit, 6, {
        transactionalId: 'x',
        groupId: 'g',
        ...own.identity,
        topics: [{ topicId: id, partitions: [{ partitionIndex: 0, committedOffset: 4, committedMetadata: null }] }],
      })
      return [topics[0]!.topicId, errorName(topics[0]!.partitions[0]!.errorCode)]
    }
    expect(await commit(topicId)).toEqual([topicId, 'NONE'])
    expect(await commit(ZERO_UUID)).toEqual([ZERO_UUID, 'UNKNOWN_TOPIC_ID'])
    await own.end(true)
    expect(await offsetOf(client, 'g', true)).toBe(4)
    await broker.close()
  })

  it('are refused from a member of another generation, and from a producer without the partition', async () => {
    const { broker, client, producer } = await start()
    const own = await producer('x', 1)
    const commit = async (version: number, body: object): Promise<string> => {
      const { topics } = await client.request(apis.txnOffsetCommit, version, {
        transactionalId: 'x',
        groupId: 'g',
        ...own.identity,
        topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: null }] }],
        ...body,
      })
      return errorName(topics[0]!.partitions[0]!.errorCode)
    }
    expect(await commit(3, {})).toBe('INVALID_TXN_STATE')
    expect(await commit(4, {})).toBe('TRANSACTION_ABORTABLE')
    await client.request(apis.addOffsetsToTxn, 3, { transactionalId: 'x', ...own.identity, groupId: 'g' })
    expect(await commit(3, { generationIdOrMemberEpoch: 7, memberId: 'nobody' })).toBe('ILLEGAL_GENERATION')
    expect(await commit(3, {})).toBe('NONE')
    expect(await commit(3, { generationIdOrMemberEpoch: 7, memberId: 'nobody' })).toBe('UNKNOWN_MEMBER_ID')
    expect(
      await commit(3, {
        topics: [{ name: 't', partitions: [{ partitionIndex: 9, committedOffset: 1, committedMetadata: null }] }],
      }),
    ).toBe('UNKNOWN_TOPIC_OR_PARTITION')
    await broker.close()
  })
})

describe('requests that come late, as Jepsen found them', () => {
  it('an old commit or abort does not end a later transaction', async () => {
    for (const isCommit of [true, false]) {
      const { broker, client, producer } = await start()
      const own = await producer('x')
      await own.write('t', 0, 'first')
      const { identity } = own
      await own.end(isCommit)
      await own.write('t', 0, 'second')
      expect(errorName(await own.tryEnd(isCommit, identity))).toBe('PRODUCER_FENCED')
      expect(await stateOf(client, 'x')).toBe('Ongoing')
      await own.end(!isCommit)
      expect(await committed(client)).toEqual(isCommit ? ['first'] : ['second'])
      await broker.close()
    }
  })

  it('an old commit that is only a repetition is answered again, and changes nothing', async () => {
    const { broker, client, producer } = await start()
    const own = await producer('x')
    await own.write('t', 0, 'first')
    const { identity } = own
    await own.end(true)
    const next = own.identity
    expect(errorName(await own.tryEnd(true, identity))).toBe('NONE')
    expect(own.identity).toEqual(next)
    expect(errorName(await own.tryEnd(false, identity))).toBe('INVALID_TXN_STATE')
    await own.write('t', 0, 'second')
    await own.end(true)
    expect(await committed(client)).toEqual(['first', 'second'])
    await broker.close()
  })

  it('an old write does not get into a later transaction, on no partition', async () => {
    const { broker, client, producer } = await start()
    const own = await producer('x')
    await own.write('t', 0, 'first')
    const { identity } = own
    await own.end(false)
    expect(errorName(await own.produce('t', 0, 'late', identity))).toBe('INVALID_PRODUCER_EPOCH')
    expect(errorName(await own.produce('t', 1, 'late', identity))).toBe('INVALID_PRODUCER_EPOCH')
    await own.write('t', 0, 'second')
    expect(errorName(await own.produce('t', 1, 'late', identity))).toBe('INVALID_PRODUCER_EPOCH')
    await own.end(true)
    expect(await committed(client)).toEqual(['second'])
    expect(await committedRecords(client, 't', 1)).toMatchObject({ values: [], highWatermark: 0 })
    await broker.close()
  })

  it('an old write does not begin a transaction that nobody ends', async () => {
    for (const g of GENERATIONS) {
      const { broker, client, producer } = await start()
      const own = await producer('x', g)
      await own.write('t', 0, 'first')
      const { identity } = own
      await own.end(true)
      // Of the first generation it has the epoch of now, and still the partition is not in a transaction.
      const late = errorName(await own.produce('t', 0, 'late', identity))
      expect(late).toBe(g === 1 ? 'TRANSACTION_ABORTABLE' : 'INVALID_PRODUCER_EPOCH')
      const { lastStableOffset, highWatermark } = await committedRecords(client, 't', 0)
      expect(lastStableOffset).toBe(highWatermark)
      await broker.close()
    }
  })
})
