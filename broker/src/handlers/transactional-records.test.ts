import { apis, ErrorCode, ZERO_UUID, type BatchInput } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { MemoryDisk } from '../log/memory-disk.ts'
import { aBatch, startTestBroker, topicIdOf, versionsOf, type TestBroker } from '../testing/test-broker.ts'
import { readAsClient } from '../testing/transaction-model.ts'
import type { WireClient } from '../testing/wire-client.ts'

const READ_COMMITTED = 1
/** The last produce version of clients that say at the coordinator what their transaction writes to. */
const TV1 = 11

interface Producer {
  readonly transactionalId: string
  readonly producerId: number
  producerEpoch: number
  sequence: number
}

class Scene {
  readonly test: TestBroker
  readonly client: WireClient
  readonly topicId: string

  private constructor(test: TestBroker, client: WireClient, topicId: string) {
    this.test = test
    this.client = client
    this.topicId = topicId
  }

  static async open(options: Parameters<typeof startTestBroker>[0] = {}): Promise<Scene> {
    const test = await startTestBroker(options)
    await test.broker.createTopic('t', { partitions: 2 }).catch(() => undefined)
    const client = test.connect()
    // Its answer says that the coordinator is ready.
    await client.request(apis.findCoordinator, 3, { key: 'x', keyType: 1 })
    return new Scene(test, client, await topicIdOf(client, 't'))
  }

  async producer(transactionalId: string): Promise<Producer> {
    const answer = await this.client.request(apis.initProducerId, 4, { transactionalId, transactionTimeoutMs: 60_000 })
    expect(answer.errorCode).toBe(ErrorCode.none)
    return { transactionalId, producerId: answer.producerId, producerEpoch: answer.producerEpoch, sequence: 0 }
  }

  async add({ transactionalId, producerId, producerEpoch }: Producer, partition = 0): Promise<void> {
    const { resultsByTopicV3AndBelow } = await this.client.request(apis.addPartitionsToTxn, 3, {
      v3AndBelowTransactionalId: transactionalId,
      v3AndBelowProducerId: producerId,
      v3AndBelowProducerEpoch: producerEpoch,
      v3AndBelowTopics: [{ name: 't', partitions: [partition] }],
    })
    expect(resultsByTopicV3AndBelow[0]!.resultsByPartition[0]!.partitionErrorCode).toBe(ErrorCode.none)
  }

  async produce(
    records: Buffer,
    transactionalId: string | null = null,
    version: number = TV1,
    partition = 0,
  ): Promise<{ errorCode: number; baseOffset: number }> {
    const name = version >= 13 ? { topicId: this.topicId } : { name: 't' }
    const { responses } = await this.client.request(apis.produce, version, {
      transactionalId,
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ ...name, partitionData: [{ index: partition, records }] }],
    })
    return responses[0]!.partitionResponses[0]!
  }

  /** One record; answers its offset, or `error 48`. */
  async write(producer: Producer, options: { version?: number; batch?: Partial<BatchInput> } = {}): Promise<string> {
    const { transactionalId, producerId, producerEpoch, sequence } = producer
    const batch = aBatch(1, {
      producerId,
      producerEpoch,
      baseSequence: sequence,
      isTransactional: true,
      ...options.batch,
    })
    const { errorCode, baseOffset } = await this.produce(batch, transactionalId, options.version)
    if (errorCode !== ErrorCode.none) return `error ${errorCode}`
    producer.sequence++
    return String(baseOffset)
  }

  async end(producer: Producer, committed: boolean, version = 4): Promise<number> {
    const { transactionalId, producerId, producerEpoch } = producer
    const answer = await this.client.request(apis.endTxn, version, {
      transactionalId,
      producerId,
      producerEpoch,
      committed,
    })
    if (version >= 5 && answer.errorCode === ErrorCode.none) {
      expect(answer.producerId).toBe(producerId)
      producer.producerEpoch = answer.producerEpoch
      producer.sequence = 0
    }
    return answer.errorCode
  }

  async fetch(
    options: { version?: number; offset?: number; isolation?: number; maxWaitMs?: number; client?: WireClient } = {},
  ) {
    const { version = 12, offset = 0, isolation = READ_COMMITTED, maxWaitMs = 0, client = this.client } = options
    const name = version >= 13 ? { topicId: this.topicId } : { topic: 't', topicId: ZERO_UUID }
    const { responses } = await client.request(apis.fetch, version, {
      maxWaitMs,
      minBytes: 1,
      maxBytes: 1_000_000,
      isolationLevel: isolation,
      topics: [{ ...name, partitions: [{ partition: 0, fetchOffset: offset, partitionMaxBytes: 1_000_000 }] }],
    })
    const { records, ...rest } = responses[0]!.partitions[0]!
    return { ...rest, records: records ?? Buffer.alloc(0) }
  }

  /** How many records a reader of committed data keeps. */
  async seen(): Promise<number> {
    let count = 0
    for (let offset = 0; ;) {
      const { records, abortedTransactions, lastStableOffset } = await this.fetch({ offset })
      const { values, next } = readAsClient(records, offset, abortedTransactions ?? [])
      count += values.length
      if (next >= lastStableOffset) return count
      expect(next).toBeGreaterThan(offset)
      offset = next
    }
  }

  async latest(isolationLevel: number): Promise<number> {
    const { topics } = await this.client.request(apis.listOffsets, 7, {
      replicaId: -1,
      isolationLevel,
      topics: [{ name: 't', partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
    })
    return topics[0]!.partitions[0]!.offset
  }

  async close(): Promise<void> {
    await this.test.broker.close()
  }
}

describe('reading what is committed', () => {
  it.each(versionsOf(apis.fetch))(
    'names aborted transactions in fetch version %i, to who asks for it',
    async (version) => {
      const scene = await Scene.open()
      const [one, two] = [await scene.producer('one'), await scene.producer('two')]
      for (const producer of [one, two]) await scene.add(producer)
      await scene.write(one)
      await scene.write(two)
      await scene.write(one)
      await scene.end(two, true)
      await scene.end(one, false)

      const committed = await scene.fetch({ version })
      expect(committed).toMatchObject({ errorCode: 0, highWatermark: 5, lastStableOffset: 5 })
      expect(committed.abortedTransactions).toEqual([{ producerId: one.producerId, firstOffset: 0 }])
      const all = await scene.fetch({ version, isolation: 0 })
      expect(all.abortedTransactions).toBe(null)
      expect(all.records).toEqual(committed.records)
      const behind = await scene.fetch({ version, offset: 5 })
      expect(behind.abortedTransactions).toEqual([])
      expect(await scene.seen()).toBe(1)
      await scene.close()
    },
  )

  it('ends before the first open transaction, for a fetch and for the latest offset', async () => {
    const scene = await Scene.open()
    await scene.produce(aBatch(2))
    const producer = await scene.producer('one')
    await scene.add(producer)
    expect(await scene.write(producer)).toBe('2')
    await scene.produce(aBatch(1))
    expect([await scene.latest(0), await scene.latest(READ_COMMITTED)]).toEqual([4, 2])
    expect(await scene.fetch()).toMatchObject({ highWatermark: 4, lastStableOffset: 2 })
    expect(await scene.seen()).toBe(2)
    expect((await scene.fetch({ offset: 2 })).records).toHaveLength(0)
    await scene.end(producer, true)
    expect([await scene.latest(0), await scene.latest(READ_COMMITTED)]).toEqual([5, 5])
    expect(await scene.seen()).toBe(4)
    await scene.close()
  })

  it('waits until something is decided, and not until something is written', async () => {
    const scene = await Scene.open()
    const producer = await scene.producer('one')
    await scene.add(producer)
    const answered: string[] = []
    const waiting = (isolation: number) =>
      scene.fetch({ isolation, maxWaitMs: 60_000, client: scene.test.connect() }).then((answer) => {
        answered.push(`${isolation}: ${answer.records.length > 0}`)
      })
    const committed = waiting(READ_COMMITTED)
    const all = waiting(0)
    await scene.write(producer)
    await all
    expect(answered).toEqual(['0: true'])
    await scene.write(producer)
    expect(answered).toEqual(['0: true'])
    await scene.end(producer, true)
    await committed
    expect(answered).toEqual(['0: true', '1: true'])
    await scene.close()
  })

  it('is the same after a restart, in order or not', async () => {
    for (const isClean of [true, false]) {
      const disk = new MemoryDisk()
      let scene = await Scene.open({ disk })
      const [one, two] = [await scene.producer('one'), await scene.producer('two')]
      for (const producer of [one, two]) await scene.add(producer)
      await scene.write(one)
      await scene.end(one, false)
      await scene.write(two)
      const before = await scene.fetch()
      if (isClean) await scene.close()
      const left = isClean ? disk : disk.copy()
      scene = await Scene.open({ disk: left })
      expect(await scene.fetch()).toEqual(before)
      // The transaction that was open goes on.
      expect(await scene.write(two)).toBe('3')
      expect(await scene.end(two, true)).toBe(ErrorCode.none)
      expect(await scene.seen()).toBe(2)
      await scene.close()
    }
  })
})

describe('producing in a transaction', () => {
  it.each(versionsOf(apis.produce, 3))(
    'is refused in produce version %i when the coordinator knows nothing of it',
    async (version) => {
      const scene = await Scene.open()
      const producer = await scene.producer('one')
      // From 12 on the batch itself adds the partition.
      if (version >= 12) {
        expect(await scene.write(producer, { version })).toBe('0')
        expect(await scene.end(producer, true, 5)).toBe(ErrorCode.none)
        expect(await scene.latest(READ_COMMITTED)).toBe(2)
      } else {
        const code = version >= 11 ? ErrorCode.transactionAbortable : ErrorCode.invalidTxnState
        expect(await scene.write(producer, { version })).toBe(`error ${code}`)
        expect(await scene.latest(0)).toBe(0)
        await scene.add(producer)
        expect(await scene.write(producer, { version })).toBe('0')
      }
      await scene.close()
    },
  )

  it('takes the transactional id of the producer, and only that', async () => {
    const scene = await Scene.open()
    const [one, two] = [await scene.producer('one'), await scene.producer('two')]
    for (const producer of [one, two]) await scene.add(producer)
    const batch = (producer: Producer, baseSequence = 0) =>
      aBatch(1, { ...producer, baseSequence, isTransactional: true })
    expect(await scene.produce(batch(one), null)).toMatchObject({
      errorCode: ErrorCode.transactionalIdAuthorizationFailed,
    })
    expect(await scene.produce(batch(one), 'two')).toMatchObject({ errorCode: ErrorCode.invalidProducerIdMapping })
    expect(await scene.produce(batch(one), 'nobody')).toMatchObject({ errorCode: ErrorCode.invalidProducerIdMapping })
    expect(await scene.produce(batch(one), 'one')).toMatchObject({ errorCode: ErrorCode.none, baseOffset: 0 })
    // What has no part in a transaction may come with an id all the same.
    expect(await scene.produce(aBatch(1), 'two')).toMatchObject({ errorCode: ErrorCode.none, baseOffset: 1 })
    await scene.close()
  })

  it('needs no word of the coordinator where the settings say so, and may hang then', async () => {
    const scene = await Scene.open({ settings: { 'transaction.partition.verification.enable': 'false' } })
    const producer = await scene.producer('one')
    expect(await scene.write(producer)).toBe('0')
    // The coordinator, which knows of no partition, has nothing to end.
    expect(await scene.end(producer, true)).toBe(ErrorCode.invalidTxnState)
    expect([await scene.latest(0), await scene.latest(READ_COMMITTED)]).toEqual([1, 0])
    // With version 2 the batch is the word to the coordinator.
    const other = await scene.producer('two')
    expect(await scene.write(other, { version: 12 })).toBe('1')
    expect(await scene.end(other, true, 5)).toBe(ErrorCode.none)
    await scene.close()
  })

  it('is over for a producer that was replaced', async () => {
    const scene = await Scene.open()
    const zombie = await scene.producer('one')
    await scene.add(zombie)
    await scene.write(zombie)
    // The first call aborts what is open, and is to be made again.
    const identity = { transactionalId: 'one', transactionTimeoutMs: 60_000 }
    expect((await scene.client.request(apis.initProducerId, 4, identity)).errorCode).toBe(
      ErrorCode.concurrentTransactions,
    )
    const successor = await scene.producer('one')
    expect(successor.producerId).toBe(zombie.producerId)
    expect(successor.producerEpoch).toBeGreaterThan(zombie.producerEpoch)
    expect(await scene.write(zombie)).toBe(`error ${ErrorCode.invalidProducerEpoch}`)
    await scene.add(successor)
    expect(await scene.write(successor)).toBe('2')
    expect(await scene.write(zombie)).toBe(`error ${ErrorCode.invalidProducerEpoch}`)
    await scene.end(successor, true)
    expect(await scene.seen()).toBe(1)
    await scene.close()
  })

  it('of version 2 does not let a request of the last transaction into the next (KIP-890)', async () => {
    const scene = await Scene.open()
    const producer = await scene.producer('one')
    await scene.write(producer, { version: 12 })
    const late = { ...producer }
    const first = { ...producer }
    expect(await scene.end(producer, true, 5)).toBe(ErrorCode.none)
    expect(await scene.write(producer, { version: 12 })).toBe('2')
    // Its batch, and its end, were on the way for too long.
    expect(await scene.write(late, { version: 12 })).toBe(`error ${ErrorCode.invalidProducerEpoch}`)
    expect(await scene.end(first, false, 5)).toBe(ErrorCode.producerFenced)
    expect(await scene.latest(READ_COMMITTED)).toBe(2)
    expect(await scene.end(producer, true, 5)).toBe(ErrorCode.none)
    expect(await scene.seen()).toBe(2)
    await scene.close()
  })
})

describe('WriteTxnMarkers and DescribeProducers', () => {
  it('show an open transaction and end it', async () => {
    const scene = await Scene.open()
    const producer = await scene.producer('one')
    await scene.add(producer)
    await scene.write(producer)
    const describeProducers = async () => {
      const { topics } = await scene.client.request(apis.describeProducers, 0, {
        topics: [
          { name: 't', partitionIndexes: [0, 5] },
          { name: 'nowhere', partitionIndexes: [0] },
        ],
      })
      const absent = { errorCode: ErrorCode.unknownTopicOrPartition, activeProducers: [] }
      expect(topics[0]!.partitions[1]).toMatchObject(absent)
      expect(topics[1]!.partitions[0]).toMatchObject(absent)
      return topics[0]!.partitions[0]!.activeProducers
    }
    const { producerId, producerEpoch } = producer
    const active = { producerId, producerEpoch, lastSequence: 0, lastTimestamp: 1_700_000_000_000 }
    expect(await describeProducers()).toEqual([{ ...active, coordinatorEpoch: -1, currentTxnStartOffset: 0 }])

    for (const [version, more] of [
      [1, {}],
      [2, { transactionVersion: 1 }],
    ] as const) {
      const { markers } = await scene.client.request(apis.writeTxnMarkers, version, {
        markers: [
          {
            producerId,
            producerEpoch,
            transactionResult: false,
            coordinatorEpoch: 3,
            topics: [
              { name: 't', partitionIndexes: [0, 5] },
              { name: 'nowhere', partitionIndexes: [0] },
            ],
            ...more,
          },
        ],
      })
      expect(markers).toEqual([
        {
          producerId,
          topics: [
            {
              name: 't',
              partitions: [
                { partitionIndex: 0, errorCode: ErrorCode.none },
                { partitionIndex: 5, errorCode: ErrorCode.unknownTopicOrPartition },
              ],
            },
            { name: 'nowhere', partitions: [{ partitionIndex: 0, errorCode: ErrorCode.unknownTopicOrPartition }] },
          ],
        },
      ])
    }
    expect(await describeProducers()).toMatchObject([{ coordinatorEpoch: 3, currentTxnStartOffset: -1 }])
    expect(await scene.latest(READ_COMMITTED)).toBe(3)
    expect(await scene.seen()).toBe(0)
    await scene.close()
  })
})
