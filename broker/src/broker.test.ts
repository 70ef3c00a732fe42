import { apis, buildBatch, ErrorCode, readBatches, readRecords, setInt32, ZERO_UUID } from '@millrace/protocol'
import assert from 'node:assert/strict'
import { describe, expect, it } from 'vitest'
import { StorageError } from './base/errors.ts'
import type { DiskFile } from './log/disk.ts'
import { MemoryDisk } from './log/memory-disk.ts'
import { FaultyDisk } from './testing/faulty-disk.ts'
import { ManualClock } from './testing/manual-clock.ts'
import { MemoryNetwork } from './testing/memory-network.ts'
import { aBatch, startTestBroker, topicIdOf, versionsOf, type TestBroker } from './testing/test-broker.ts'
import { requestFrame, WireClient } from './testing/wire-client.ts'

const TOPIC = 'orders'

async function withTopic(settings: Record<string, string> = {}, partitions = 1) {
  const test = await startTestBroker({ settings })
  await test.broker.createTopic(TOPIC, { partitions })
  const client = test.connect()
  return { ...test, client, topicId: await topicIdOf(client, TOPIC) }
}

async function produce(
  client: WireClient,
  topicId: string,
  records: Buffer | null,
  options: { version?: number; acks?: number; topic?: string; index?: number } = {},
) {
  const { version = 13, acks = -1, topic = TOPIC, index = 0 } = options
  const response = await client.request(apis.produce, version, {
    acks,
    timeoutMs: 1000,
    topicData: [{ name: topic, topicId, partitionData: [{ index, records }] }],
  })
  return response.responses[0]!.partitionResponses[0]!
}

interface FetchOptions {
  version?: number
  offset?: number
  maxWaitMs?: number
  minBytes?: number
  maxBytes?: number
  partitionMaxBytes?: number
  sessionId?: number
  sessionEpoch?: number
  partitions?: number[]
  isolationLevel?: number
  leaderEpoch?: number
  lastEpoch?: number
}

function fetch(client: WireClient, topicId: string, options: FetchOptions = {}) {
  const { version = 18, offset = 0, partitions = [0] } = options
  return client.request(apis.fetch, version, {
    maxWaitMs: options.maxWaitMs ?? 0,
    minBytes: options.minBytes ?? 1,
    maxBytes: options.maxBytes ?? 1 << 20,
    isolationLevel: options.isolationLevel ?? 0,
    sessionId: options.sessionId ?? 0,
    sessionEpoch: options.sessionEpoch ?? -1,
    topics:
      partitions.length === 0
        ? []
        : [
            {
              topic: TOPIC,
              topicId,
              partitions: partitions.map((partition) => ({
                partition,
                fetchOffset: offset,
                currentLeaderEpoch: options.leaderEpoch ?? -1,
                lastFetchedEpoch: options.lastEpoch ?? -1,
                partitionMaxBytes: options.partitionMaxBytes ?? 1 << 20,
              })),
            },
          ],
    forgottenTopicsData: [],
  })
}

async function fetchOne(client: WireClient, topicId: string, options: FetchOptions = {}) {
  const { responses } = await fetch(client, topicId, options)
  return responses[0]!.partitions[0]!
}

function values(records: Buffer | null): string[] {
  return [...readBatches(records!)].flatMap((batch) =>
    [...readRecords(batch)].map((record) => record.value!.toString()),
  )
}

async function closing(test: TestBroker, ...clients: WireClient[]) {
  for (const client of clients) client.close()
  await test.broker.close()
  expect(test.clock.timerCount).toBe(0)
}

describe('the hot path', () => {
  it.each(versionsOf(apis.produce))('answers produce version %i as its table says', async (version) => {
    const test = await withTopic()
    for (const baseOffset of [0, 3]) {
      const answer = await produce(test.client, test.topicId, aBatch(3), { version })
      expect(answer).toMatchObject({ index: 0, errorCode: ErrorCode.none, baseOffset, logAppendTimeMs: -1 })
    }
    const wrong = await produce(test.client, 'AAAAAAAAAAAAAAAAAAAADw', aBatch(1), { version, topic: 'nope' })
    expect(wrong.errorCode).toBe(version >= 13 ? ErrorCode.unknownTopicId : ErrorCode.unknownTopicOrPartition)
    await closing(test, test.client)
  })

  it.each(versionsOf(apis.fetch))('answers fetch version %i as its table says', async (version) => {
    const test = await withTopic()
    await produce(test.client, test.topicId, aBatch(2))
    await produce(test.client, test.topicId, aBatch(400))
    for (const isolationLevel of [0, 1]) {
      const answer = await fetchOne(test.client, test.topicId, { version, isolationLevel })
      expect(answer).toMatchObject({
        errorCode: ErrorCode.none,
        highWatermark: 402,
        lastStableOffset: 402,
        preferredReadReplica: -1,
      })
      expect(answer.abortedTransactions).toEqual(isolationLevel === 1 ? [] : null)
      expect(values(answer.records).length).toBe(402)
    }
    const above = await fetchOne(test.client, test.topicId, { version, offset: 403 })
    expect(above).toMatchObject({ errorCode: ErrorCode.offsetOutOfRange, highWatermark: -1 })
    await closing(test, test.client)
  })

  it('answers requests that arrive in one piece, and in pieces of one byte, in their order', async () => {
    const test = await withTopic()
    const frames = [1, 2, 3].map((id) =>
      requestFrame(apis.produce, 9, id, {
        acks: 1,
        timeoutMs: 0,
        topicData: [{ name: TOPIC, partitionData: [{ index: 0, records: aBatch(id) }] }],
      }),
    )
    test.client.send(Buffer.concat(frames))
    test.client.send(Buffer.concat(frames), 1)
    const answer = await fetchOne(test.client, test.topicId)
    expect([...readBatches(answer.records!)].map((batch) => [batch.baseOffset, batch.recordCount])).toEqual([
      [0, 1],
      [1, 2],
      [3, 3],
      [6, 1],
      [7, 2],
      [9, 3],
    ])
    await closing(test, test.client)
  })

  it('takes the next request of a connection that was idle after a large one', async () => {
    const test = await withTopic()
    await produce(test.client, test.topicId, aBatch(3000))
    for (let sweeps = 0; sweeps < 3; sweeps++) test.clock.advance(10_000)
    expect(await produce(test.client, test.topicId, aBatch(1))).toMatchObject({ errorCode: 0, baseOffset: 3000 })
    await closing(test, test.client)
  })

  it('stores what was sent but for the base offset and the leader epoch', async () => {
    const test = await withTopic()
    const sent = aBatch(5)
    const copy = Buffer.from(sent)
    await produce(test.client, test.topicId, sent)
    const { records } = await fetchOne(test.client, test.topicId)
    setInt32(copy, 12, records!.readInt32BE(12))
    expect(records).toEqual(copy)
    await closing(test, test.client)
  })

  it('answers nothing to acks=0 and closes the connection when such a request fails', async () => {
    const test = await withTopic()
    const quiet = (topic: string, correlationId: number) =>
      requestFrame(apis.produce, 9, correlationId, {
        acks: 0,
        timeoutMs: 0,
        topicData: [{ name: topic, partitionData: [{ index: 0, records: aBatch(1) }] }],
      })
    test.client.send(quiet(TOPIC, 1))
    expect(values((await fetchOne(test.client, test.topicId)).records)).toEqual(['v0'])
    expect(test.client.isClosed).toBe(false)
    test.client.send(quiet('nope', 2))
    expect(test.client.isClosed).toBe(true)
    await closing(test)
  })

  it.each([
    ['acks that do not exist', { acks: 2 }, ErrorCode.invalidRequiredAcks],
    ['an unknown partition', { index: 7 }, ErrorCode.unknownTopicOrPartition],
  ])('refuses %s', async (_what, options, errorCode) => {
    const test = await withTopic()
    expect((await produce(test.client, test.topicId, aBatch(1), options)).errorCode).toBe(errorCode)
    expect((await fetchOne(test.client, test.topicId)).highWatermark).toBe(0)
    await closing(test, test.client)
  })

  it.each([
    ['no batch', () => null, ErrorCode.invalidRecord],
    ['two batches', () => Buffer.concat([aBatch(1), aBatch(1)]), ErrorCode.invalidRecord],
    ['a wrong checksum', () => flipped(aBatch(1), 66), ErrorCode.corruptMessage],
    ['an old magic', () => withMagic(aBatch(1), 1), ErrorCode.invalidRecord],
    ['an unknown magic', () => withMagic(aBatch(1), 3), ErrorCode.corruptMessage],
    ['a length beyond the bytes', () => aBatch(3).subarray(0, 80), ErrorCode.invalidRecord],
    ['a batch above max.message.bytes', () => aBatch(1000), ErrorCode.messageTooLarge],
    [
      'a control batch',
      () => buildBatch({ records: [], isControl: true, nowMs: 0, lastOffsetDelta: 0 }),
      ErrorCode.invalidRecord,
    ],
  ])('refuses %s and stores nothing of it', async (_what, records, errorCode) => {
    const test = await withTopic({ 'message.max.bytes': '5000' })
    expect((await produce(test.client, test.topicId, records())).errorCode).toBe(errorCode)
    expect((await fetchOne(test.client, test.topicId)).highWatermark).toBe(0)
    await closing(test, test.client)
  })

  it('gives an idempotent producer the offset of the first time, and refuses gaps and old epochs', async () => {
    const test = await withTopic()
    const { producerId } = await test.client.request(apis.initProducerId, 5, {
      transactionalId: null,
      transactionTimeoutMs: 0,
      producerId: -1,
      producerEpoch: -1,
    })
    const send = (baseSequence: number, producerEpoch = 1) =>
      produce(test.client, test.topicId, aBatch(2, { producerId, producerEpoch, baseSequence }))
    expect(await send(0)).toMatchObject({ errorCode: ErrorCode.none, baseOffset: 0 })
    expect(await send(2)).toMatchObject({ errorCode: ErrorCode.none, baseOffset: 2 })
    expect(await send(0)).toMatchObject({ errorCode: ErrorCode.none, baseOffset: 0 })
    expect((await send(8)).errorCode).toBe(ErrorCode.outOfOrderSequenceNumber)
    expect((await send(4, 0)).errorCode).toBe(ErrorCode.invalidProducerEpoch)
    expect((await fetchOne(test.client, test.topicId)).highWatermark).toBe(4)
    await closing(test, test.client)
  })
})

function flipped(bytes: Buffer, at: number): Buffer {
  bytes[at]! ^= 1
  return bytes
}

function withMagic(bytes: Buffer, magic: number): Buffer {
  bytes[16] = magic
  return bytes
}

describe('a fetch that waits', () => {
  it('is answered by the append that brings enough bytes', async () => {
    const test = await withTopic()
    const consumer = test.connect()
    const batch = aBatch(1)
    const waiting = fetchOne(consumer, test.topicId, { maxWaitMs: 60_000, minBytes: batch.length * 2 })
    await produce(test.client, test.topicId, aBatch(1))
    await produce(test.client, test.topicId, aBatch(1))
    expect(values((await waiting).records)).toEqual(['v0', 'v0'])
    await closing(test, test.client, consumer)
  })

  it('is answered with what there is when its time is up', async () => {
    const test = await withTopic()
    const waiting = fetchOne(test.client, test.topicId, { maxWaitMs: 500, minBytes: 1000 })
    test.clock.advance(500)
    expect((await waiting).records!.length).toBe(0)
    await closing(test, test.client)
  })

  it('is answered with an error when the topic is deleted', async () => {
    const test = await withTopic()
    const consumer = test.connect()
    const waiting = fetchOne(consumer, test.topicId, { maxWaitMs: 60_000 })
    await test.client.request(apis.deleteTopics, 6, { topics: [{ name: TOPIC, topicId: ZERO_UUID }], timeoutMs: 1000 })
    expect((await waiting).errorCode).toBe(ErrorCode.unknownTopicId)
    await closing(test, test.client, consumer)
  })

  it('leaves nothing behind when its client goes away', async () => {
    const test = await withTopic()
    const consumer = test.connect()
    const timers = test.clock.timerCount
    const gone = fetchOne(consumer, test.topicId, { maxWaitMs: 60_000 })
    expect(test.clock.timerCount).toBe(timers + 1)
    consumer.close()
    await expect(gone).rejects.toThrow('closed')
    expect(test.clock.timerCount).toBe(timers)
    await closing(test, test.client)
  })
})

describe('offsets and ids that are special', () => {
  it('are refused by a version of ListOffsets that does not know them, whether there is such a partition or not', async () => {
    const test = await withTopic()
    const { topics } = await test.client.request(apis.listOffsets, 6, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [TOPIC, 'nope'].map((name) => ({
        name,
        partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -3 }],
      })),
    })
    expect(topics.map(({ partitions }) => partitions[0]!.errorCode)).toEqual([
      ErrorCode.unsupportedVersion,
      ErrorCode.unsupportedVersion,
    ])
    await closing(test, test.client)
  })

  it('below the log start are out of range, also for a client whose log has parted from this one', async () => {
    const disk = new MemoryDisk()
    const first = await startTestBroker({ disk })
    await first.broker.createTopic(TOPIC)
    const writer = first.connect()
    await produce(writer, await topicIdOf(writer, TOPIC), aBatch(3))
    // Each crash begins an epoch, and nothing was written in that of the first.
    const afterOne = disk.copy()
    const second = await startTestBroker({ disk: afterOne })
    const third = await startTestBroker({ disk: afterOne.copy() })
    const client = third.connect()
    const topicId = await topicIdOf(client, TOPIC)
    await produce(client, topicId, aBatch(3))
    expect(await fetchOne(client, topicId, { offset: 2, lastEpoch: 1 })).toMatchObject({
      errorCode: ErrorCode.none,
      divergingEpoch: { epoch: 0, endOffset: 3 },
    })
    await client.request(apis.deleteRecords, 2, {
      topics: [{ name: TOPIC, partitions: [{ partitionIndex: 0, offset: 2 }] }],
      timeoutMs: 0,
    })
    expect((await fetchOne(client, topicId, { offset: 1, lastEpoch: 1 })).errorCode).toBe(ErrorCode.offsetOutOfRange)
    await closing(third, client)
    await closing(second)
    await closing(first, writer)
  })

  it('a producer has an id and an epoch, or neither', async () => {
    const test = await withTopic()
    const ask = (producerId: number, producerEpoch: number) =>
      test.client.request(apis.initProducerId, 4, {
        transactionalId: null,
        transactionTimeoutMs: 0,
        producerId,
        producerEpoch,
      })
    expect((await ask(3, -1)).errorCode).toBe(ErrorCode.invalidRequest)
    expect((await ask(-1, 3)).errorCode).toBe(ErrorCode.invalidRequest)
    expect((await ask(3, 3)).errorCode).toBe(ErrorCode.none)
    await closing(test, test.client)
  })
})

describe('fetch limits', () => {
  it('return at least one batch, and the next partition none when the bytes are used up', async () => {
    const test = await withTopic({}, 2)
    for (const index of [0, 0, 1]) await produce(test.client, test.topicId, aBatch(10), { index })
    const { responses } = await fetch(test.client, test.topicId, { partitions: [0, 1], maxBytes: 1 })
    expect(responses[0]!.partitions.map((partition) => values(partition.records).length)).toEqual([10, 0])
    await closing(test, test.client)
  })

  it('return whole batches from the one that holds the offset', async () => {
    const test = await withTopic()
    for (let n = 0; n < 3; n++) await produce(test.client, test.topicId, aBatch(10))
    const { records } = await fetchOne(test.client, test.topicId, { offset: 15 })
    expect([...readBatches(records!)].map((batch) => batch.baseOffset)).toEqual([10, 20])
    await closing(test, test.client)
  })

  it('fence a client that believes in another leader epoch', async () => {
    const test = await withTopic()
    expect((await fetchOne(test.client, test.topicId, { leaderEpoch: 99 })).errorCode).toBe(
      ErrorCode.unknownLeaderEpoch,
    )
    await closing(test, test.client)
  })
})

describe('fetch sessions', () => {
  it('answer only what changed since the fetch before', async () => {
    const test = await withTopic({}, 3)
    const first = await fetch(test.client, test.topicId, { partitions: [0, 1, 2], sessionEpoch: 0 })
    expect(first.sessionId).toBeGreaterThan(0)
    expect(first.responses[0]!.partitions.length).toBe(3)
    const { sessionId } = first
    const nothing = await fetch(test.client, test.topicId, { partitions: [], sessionId, sessionEpoch: 1 })
    expect(nothing.responses).toEqual([])
    await produce(test.client, test.topicId, aBatch(1), { index: 1 })
    const news = await fetch(test.client, test.topicId, { partitions: [], sessionId, sessionEpoch: 2 })
    expect(news.responses[0]!.partitions.map((partition) => partition.partitionIndex)).toEqual([1])
    await closing(test, test.client)
  })

  it('refuse an unknown session, a wrong epoch and a change between names and ids', async () => {
    const test = await withTopic()
    const { sessionId } = await fetch(test.client, test.topicId, { sessionEpoch: 0 })
    const errorOf = async (options: FetchOptions) => (await fetch(test.client, test.topicId, options)).errorCode
    expect(await errorOf({ sessionId: sessionId ^ 1, sessionEpoch: 1 })).toBe(ErrorCode.fetchSessionIdNotFound)
    expect(await errorOf({ sessionId, sessionEpoch: 5 })).toBe(ErrorCode.invalidFetchSessionEpoch)
    expect(await errorOf({ sessionId, sessionEpoch: 1, version: 12 })).toBe(ErrorCode.fetchSessionTopicIdError)
    await closing(test, test.client)
  })
})

describe('listeners', () => {
  it('send clients where they are advertised, and others back to the address they dialled', async () => {
    const test = await startTestBroker({
      settings: {
        listeners: 'INSIDE://127.0.0.1:7001,OUTSIDE://127.0.0.1:7002',
        'listener.security.protocol.map': 'INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT',
        'advertised.listeners': 'OUTSIDE://kafka.example:9999',
      },
    })
    const addressAt = async (port: number) => {
      const client = new WireClient(test.network, port)
      const { brokers } = await client.request(apis.metadata, 12, { topics: [] })
      client.close()
      return brokers.map(({ host, port: told }) => `${host}:${told}`)
    }
    expect(await addressAt(7001)).toEqual(['127.0.0.1:7001'])
    expect(await addressAt(7002)).toEqual(['kafka.example:9999'])
    await closing(test)
  })
})

describe('connections', () => {
  it('are closed above max.connections, which holds for all listeners together and may change', async () => {
    const test = await startTestBroker({
      settings: {
        listeners: 'ONE://127.0.0.1:7001,TWO://127.0.0.1:7002',
        'listener.security.protocol.map': 'ONE:PLAINTEXT,TWO:PLAINTEXT',
        'max.connections': '2',
      },
    })
    const connect = (port: number) => new WireClient(test.network, port)
    const clients = [connect(7001), connect(7002), connect(7001), connect(7002)]
    expect(clients.map(({ isClosed }) => isClosed)).toEqual([false, false, true, true])
    await clients[0]!.request(apis.incrementalAlterConfigs, 1, {
      resources: [
        {
          resourceType: 4,
          resourceName: '',
          configs: [{ name: 'max.connections', configOperation: 0, value: '3' }],
        },
      ],
      validateOnly: false,
    })
    expect([connect(7001), connect(7001)].map(({ isClosed }) => isClosed)).toEqual([false, true])
    await test.broker.close()
  })

  it('are closed when nothing came for connections.max.idle.ms, also in the middle of a request', async () => {
    const test = await withTopic({ 'connections.max.idle.ms': '60000' })
    const stalled = test.connect()
    stalled.send(Buffer.from([0, 0, 0, 100, 0]))
    const fetching = test.connect()
    const answer = fetchOne(fetching, test.topicId, { maxWaitMs: 100_000 })
    for (let at = 0; at < 90_000; at += 10_000) test.clock.advance(10_000)
    expect([test.client, stalled, fetching].map(({ isClosed }) => isClosed)).toEqual([true, true, false])
    test.clock.advance(10_000)
    expect((await answer).errorCode).toBe(ErrorCode.none)
    await closing(test, fetching)
  })
})

describe('a broker that cannot start', () => {
  it('leaves neither timer nor lock behind, and says what was first in its way', async () => {
    const disk = new MemoryDisk()
    const network = new MemoryNetwork()
    const before = await startTestBroker({ disk, network })
    const client = before.connect()
    await client.request(apis.findCoordinator, 5, { keyType: 0, coordinatorKeys: ['g'] })
    client.close()
    await before.broker.close()
    await network.listen({ host: '127.0.0.1', port: 7001 }, () => assert.fail('nobody connects'))
    const clock = new ManualClock()
    const settings = { listeners: 'PLAINTEXT://127.0.0.1:7001' }
    await expect(startTestBroker({ disk, network, clock, settings })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' })
    expect(clock.timerCount).toBe(0)
    const after = await startTestBroker({ disk, network })
    await after.broker.close()
  })
})

describe('a disk that fails', () => {
  it('costs a consumer the partitions on it and no others', async () => {
    const disk = new UnreadableDisk()
    const test = await startTestBroker({ disk })
    await test.broker.createTopic(TOPIC, { partitions: 2 })
    const client = test.connect()
    const topicId = await topicIdOf(client, TOPIC)
    for (const index of [0, 1]) await produce(client, topicId, aBatch(1), { index })
    disk.unreadable = `/data/${TOPIC}-0/`
    const byTimestamp = (timestamp: number) =>
      client.request(apis.listOffsets, 7, {
        replicaId: -1,
        isolationLevel: 0,
        topics: [{ name: TOPIC, partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp }] }],
      })
    expect((await byTimestamp(0)).topics[0]!.partitions[0]!.errorCode).toBe(ErrorCode.kafkaStorageError)
    const { responses } = await fetch(client, topicId, { partitions: [0, 1] })
    expect(responses[0]!.partitions.map(({ errorCode, records }) => [errorCode, values(records).length])).toEqual([
      [ErrorCode.kafkaStorageError, 0],
      [ErrorCode.none, 1],
    ])
    expect((await produce(client, topicId, aBatch(1))).errorCode).toBe(ErrorCode.kafkaStorageError)
    disk.unreadable = ''
    await closing(test, client)
  })

  it('answers a read of damaged batches with their error, and takes new ones', async () => {
    const disk = new MemoryDisk()
    const test = await startTestBroker({ disk })
    await test.broker.createTopic(TOPIC)
    const client = test.connect()
    const topicId = await topicIdOf(client, TOPIC)
    for (let n = 0; n < 2; n++) await produce(client, topicId, aBatch(1))
    const path = `/data/${TOPIC}-0/00000000000000000000.log`
    const bytes = disk.readFile(path)!
    bytes.writeInt32BE(-7, 8)
    disk.writeFile(path, bytes)
    expect((await fetchOne(client, topicId)).errorCode).toBe(ErrorCode.corruptMessage)
    expect((await produce(client, topicId, aBatch(1))).baseOffset).toBe(2)
    await closing(test, client)
  })

  it('keeps nobody from the topics that are there when a new one has no room', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const test = await startTestBroker({ disk })
    await test.broker.createTopic(TOPIC)
    const client = test.connect()
    const topicId = await topicIdOf(client, TOPIC)
    disk.fail(['create'], 'ENOSPC')
    await test.broker.createTopic('roomless')
    disk.fail([])
    const roomlessId = await topicIdOf(client, 'roomless')
    expect((await produce(client, roomlessId, aBatch(1))).errorCode).toBe(ErrorCode.kafkaStorageError)
    expect((await produce(client, topicId, aBatch(1))).errorCode).toBe(ErrorCode.none)
    await test.broker.createTopic('next')
    await closing(test, client)
    const after = await startTestBroker({ disk })
    expect((await produce(after.connect(), roomlessId, aBatch(1))).errorCode).toBe(ErrorCode.none)
    await after.broker.close()
  })

  it('answers DeleteRecords with its error', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const test = await startTestBroker({ disk })
    await test.broker.createTopic(TOPIC)
    const client = test.connect()
    const topicId = await topicIdOf(client, TOPIC)
    await produce(client, topicId, aBatch(3))
    disk.fail(['writeFile', 'create', 'append', 'rename'], 'ENOSPC')
    const { topics } = await client.request(apis.deleteRecords, 2, {
      topics: [{ name: TOPIC, partitions: [{ partitionIndex: 0, offset: 1 }] }],
      timeoutMs: 0,
    })
    expect(topics[0]!.partitions[0]!.errorCode).toBe(ErrorCode.kafkaStorageError)
    disk.fail([])
    await closing(test, client)
  })
})

/** A disk whose files below a path cannot be read any more. */
class UnreadableDisk extends MemoryDisk {
  unreadable = ''

  override open(path: string, options?: { readonly create?: boolean }): DiskFile {
    const file = super.open(path, options)
    const read = file.read.bind(file)
    file.read = (...args) => {
      if (this.unreadable !== '' && path.startsWith(this.unreadable)) {
        throw new StorageError('read', path, { code: 'EIO' })
      }
      return read(...args)
    }
    return file
  }
}

describe('requests that cannot be read', () => {
  const apiVersions = () =>
    requestFrame(apis.apiVersions, 3, 1, { clientSoftwareName: 'a', clientSoftwareVersion: '1' })

  it.each([
    ['an unknown API', () => patched(apiVersions(), 4, 999)],
    ['an unknown version', () => patched(requestFrame(apis.metadata, 12, 1, { topics: null }), 6, 99)],
    [
      'produce version 2',
      () => patched(requestFrame(apis.produce, 3, 1, { acks: 1, timeoutMs: 0, topicData: [] }), 6, 2),
    ],
    ['a negative frame size', () => Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ['a frame size of 2 GB', () => Buffer.from([0x7f, 0xff, 0xff, 0xff])],
    ['a truncated body', () => truncated(requestFrame(apis.createTopics, 7, 1, { topics: [], timeoutMs: 1 }))],
    ['an array of two billion elements', () => hugeArray()],
  ])('close that connection and no other: %s', async (_what, bytes) => {
    const test = await withTopic()
    const other = test.connect()
    other.send(bytes())
    expect(other.isClosed).toBe(true)
    expect(test.client.isClosed).toBe(false)
    expect((await produce(test.client, test.topicId, aBatch(1))).errorCode).toBe(ErrorCode.none)
    await closing(test, test.client)
  })

  it('answer an unknown version of ApiVersions in version 0, with the versions that there are', async () => {
    const test = await withTopic()
    const answer = await test.client.raw(patched(apiVersions(), 6, 77), 1)
    expect([...answer.subarray(4)]).toEqual([0, ErrorCode.unsupportedVersion, 0, 0, 0, 1, 0, 18, 0, 0, 0, 5])
    await closing(test, test.client)
  })

  it('leave the requests before them their answers', async () => {
    const test = await withTopic()
    const good = requestFrame(apis.metadata, 12, 1, { topics: null })
    const answer = test.client.raw(Buffer.concat([good, Buffer.from('GET / HTTP/1.1\r\n\r\n')]), 1)
    expect((await answer).length).toBeGreaterThan(20)
    expect(test.client.isClosed).toBe(true)
    await closing(test)
  })

  it('tolerate bytes behind a request', async () => {
    const test = await withTopic()
    const frame = requestFrame(apis.metadata, 12, 1, { topics: null })
    const longer = Buffer.concat([frame, Buffer.from([1, 0, 0])])
    longer.writeInt32BE(longer.length - 4)
    expect((await test.client.raw(longer, 1)).length).toBeGreaterThan(20)
    await closing(test, test.client)
  })
})

function patched(frame: Buffer, at: number, int16: number): Buffer {
  frame.writeInt16BE(int16, at)
  return frame
}

function truncated(frame: Buffer): Buffer {
  const shorter = frame.subarray(0, frame.length - 3)
  shorter.writeInt32BE(shorter.length - 4)
  return shorter
}

function hugeArray(): Buffer {
  const frame = requestFrame(apis.metadata, 1, 1, { topics: [] })
  frame.writeInt32BE(0x7fff_fff0, frame.length - 4)
  return frame
}

describe('ApiVersions', () => {
  it('shows what there is: produce from 0, no telemetry, nothing that is for brokers alone', async () => {
    const test = await withTopic()
    for (const version of versionsOf(apis.apiVersions)) {
      const answer = await test.client.request(apis.apiVersions, version, {
        clientSoftwareName: 'a',
        clientSoftwareVersion: '1',
      })
      expect(answer.errorCode).toBe(ErrorCode.none)
      const ranges = new Map(answer.apiKeys.map((api) => [api.apiKey, [api.minVersion, api.maxVersion]]))
      expect(ranges.get(0)).toEqual([0, 13])
      expect(ranges.get(1)).toEqual([4, 18])
      expect(ranges.get(10)).toEqual([0, 5])
      expect(ranges.has(71) || ranges.has(72)).toBe(false)
      expect(ranges.get(24)).toEqual([0, 3])
    }
    await closing(test, test.client)
  })

  it('refuses a software name that Kafka would refuse', async () => {
    const test = await withTopic()
    const answer = await test.client.request(apis.apiVersions, 3, {
      clientSoftwareName: '-a',
      clientSoftwareVersion: '1',
    })
    expect(answer.errorCode).toBe(ErrorCode.invalidRequest)
    await closing(test, test.client)
  })
})
