import assert from 'node:assert/strict'
import { buildBatch, ErrorCode, errorName } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../base/logger.ts'
import { BrokerConfig, developmentDefaults } from '../config/broker-config.ts'
import type { TransactionMarker } from '../partition/transaction-marker.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { MemoryOffsetsTopic } from '../testing/memory-offsets-topic.ts'
import { TransactionCoordinator, type ProducerAnswer } from './coordinator.ts'

const RETRY_MS = 1000

/** __transaction_state in memory, whose log may be said to have failed. */
class MemoryTransactionTopic extends MemoryOffsetsTopic {
  hasFailed = false

  coordinatorEpoch(): number {
    return 3
  }

  answersFor(): void {}

  isOnline(): boolean {
    return !this.hasFailed
  }
}

/** A coordinator with an open transaction on t-0 and t-1, whose partitions and disk do as they are told. */
class World {
  readonly clock = new ManualClock()
  readonly topic: MemoryTransactionTopic
  readonly written: { readonly partition: number; readonly marker: TransactionMarker }[] = []
  /** What a partition answers to a marker. */
  readonly answers = new Map<number, number>()
  /** Null where everything is safe at once. */
  unsafe: ((isSafe: boolean) => void)[] | null = null
  readonly coordinator: TransactionCoordinator
  readonly ended: ProducerAnswer[] = []

  constructor(topic = new MemoryTransactionTopic(1)) {
    this.topic = topic
    this.coordinator = new TransactionCoordinator({
      clock: this.clock,
      config: BrokerConfig.from({ defaults: developmentDefaults, sets: ['transaction.max.timeout.ms=900000'] }),
      logger: silentLogger,
      markers: {
        write: (_topic, partition, marker) => {
          const errorCode = this.answers.get(partition) ?? ErrorCode.none
          if (errorCode === ErrorCode.none) this.written.push({ partition, marker })
          return errorCode
        },
        whenSafe: (done) => {
          if (this.unsafe === null) done(true)
          else this.unsafe.push(done)
        },
      },
      newProducerId: () => 70,
      transactionVersion: () => 2,
    })
    this.coordinator.load(topic)
  }

  static withOpenTransaction(topic = new MemoryTransactionTopic(1), transactionalId = 'x'): World {
    const world = new World(topic)
    world.coordinator.initProducerId({ transactionalId, timeoutMs: 60_000, expected: null })
    for (const partition of [0, 1]) {
      assert.equal(world.coordinator.admit(transactionalId, 70, 0, 't', partition, true), 0)
    }
    return world
  }

  end(isCommit = true): void {
    const identity = { producerId: 70, producerEpoch: 0 }
    this.coordinator.endTxn({ transactionalId: 'x', ...identity, isCommit, clientVersion: 2 }, (answer) =>
      this.ended.push(answer),
    )
  }

  becomeSafe(isSafe = true): void {
    for (const done of this.unsafe!.splice(0)) done(isSafe)
  }

  get state(): string {
    return this.coordinator.describeTransactions({ transactionalIds: ['x'] }).transactionStates[0]!.transactionState
  }

  get outcome(): (string | number)[] {
    return this.ended.flatMap(({ errorCode, producerEpoch }) => [errorName(errorCode), producerEpoch])
  }
}

function openIn(topic: MemoryTransactionTopic, transactionalId = 'x'): void {
  World.withOpenTransaction(topic, transactionalId).coordinator.close()
}

/** More than a coordinator reads in one turn, and nothing that it understands. */
function manyRecords(): Buffer {
  return buildBatch({
    records: Array.from({ length: 20_001 }, () => ({ key: Buffer.alloc(1), value: null })),
    nowMs: 0,
  })
}

describe('the end of a transaction', () => {
  it('is told to every partition, with the epoch of the next transaction', () => {
    for (const isCommit of [true, false]) {
      const world = World.withOpenTransaction()
      world.end(isCommit)
      const marker = { producerId: 70, producerEpoch: 1, coordinatorEpoch: 3, isCommit, transactionVersion: 2 }
      expect(world.written).toEqual([0, 1].map((partition) => ({ partition, marker })))
      expect(world.outcome).toEqual(['NONE', 1])
    }
  })

  it('waits for the disk twice: before the partitions hear of it, and before it is noted that they have', () => {
    const world = World.withOpenTransaction()
    world.unsafe = []
    world.end()
    expect([world.state, world.written.length, world.outcome]).toEqual(['PrepareCommit', 0, []])
    world.becomeSafe()
    expect([world.state, world.written.length, world.outcome]).toEqual(['PrepareCommit', 2, []])
    world.becomeSafe()
    expect([world.state, world.written.length, world.outcome]).toEqual(['CompleteCommit', 2, ['NONE', 1]])
  })

  it('is not acknowledged when the disk may have nothing of it, and comes later if only another log has failed', () => {
    const world = World.withOpenTransaction()
    world.unsafe = []
    world.end()
    world.becomeSafe(false)
    expect([world.state, world.written.length, world.outcome]).toEqual(['PrepareCommit', 0, ['NOT_COORDINATOR', -1]])
    world.unsafe = null
    world.clock.advance(RETRY_MS)
    expect([world.state, world.written.length]).toEqual(['CompleteCommit', 2])
    // Who asks again is told.
    world.end()
    expect(world.outcome.slice(2)).toEqual(['NONE', 1])
  })

  it('is left to the next start when the log of transactions has failed', () => {
    const world = World.withOpenTransaction()
    world.unsafe = []
    world.end()
    world.topic.hasFailed = true
    world.becomeSafe(false)
    world.unsafe = null
    world.clock.advance(10 * RETRY_MS)
    expect([world.state, world.written.length]).toEqual(['PrepareCommit', 0])
    world.topic.hasFailed = false
    const next = new World(world.topic)
    expect([next.state, next.written.length]).toEqual(['CompleteCommit', 2])
  })

  it('is not told to the partitions once the log of transactions takes nothing more, though all is safe', () => {
    const world = World.withOpenTransaction()
    world.unsafe = []
    world.end()
    world.topic.hasFailed = true
    world.becomeSafe()
    expect([world.state, world.written.length, world.outcome]).toEqual(['PrepareCommit', 0, ['NOT_COORDINATOR', -1]])
    world.unsafe = null
    world.clock.advance(10 * RETRY_MS)
    expect([world.state, world.written.length]).toEqual(['PrepareCommit', 0])
  })

  it('is not noted when a partition may have lost its marker, also when nothing is left to wait for', () => {
    const world = World.withOpenTransaction()
    world.unsafe = []
    world.end()
    world.becomeSafe()
    expect(world.written.map(({ partition }) => partition)).toEqual([0, 1])
    // The log of one of them fails, takes nothing any more and keeps nobody waiting.
    world.answers.set(1, ErrorCode.kafkaStorageError)
    world.becomeSafe(false)
    world.unsafe = null
    world.clock.advance(10 * RETRY_MS)
    expect([world.state, world.outcome]).toEqual(['PrepareCommit', ['NONE', 1]])
    // The other one has it for sure from the second time on.
    expect(world.written.map(({ partition }) => partition)).toEqual([0, 1, 0])
    const next = new World(world.topic)
    expect(next.state).toBe('CompleteCommit')
    expect(next.written.map(({ partition }) => partition)).toEqual([0, 1])
  })

  it('is told again to a partition that could not be written to, and to no other', () => {
    const world = World.withOpenTransaction()
    world.answers.set(1, ErrorCode.kafkaStorageError)
    world.end()
    // It is certain by then how the transaction ends.
    expect([world.state, world.outcome]).toEqual(['PrepareCommit', ['NONE', 1]])
    expect(world.coordinator.admit('x', 70, 1, 't', 0, true)).toBe(ErrorCode.concurrentTransactions)
    world.clock.advance(RETRY_MS)
    expect(world.state).toBe('PrepareCommit')
    world.answers.clear()
    world.clock.advance(RETRY_MS)
    expect(world.state).toBe('CompleteCommit')
    expect(world.written.map(({ partition }) => partition)).toEqual([0, 1])
    expect(world.coordinator.admit('x', 70, 1, 't', 0, true)).toBe(ErrorCode.none)
  })

  it('does not depend on a partition that is gone or has gone on', () => {
    for (const refusal of [ErrorCode.unknownTopicOrPartition, ErrorCode.invalidProducerEpoch]) {
      const world = World.withOpenTransaction()
      world.answers.set(0, refusal)
      world.end()
      expect([world.state, world.outcome]).toEqual(['CompleteCommit', ['NONE', 1]])
    }
  })

  it('is noted later when that cannot be stored now', () => {
    const world = World.withOpenTransaction()
    world.unsafe = []
    world.end()
    world.becomeSafe()
    world.topic.appendError = ErrorCode.kafkaStorageError
    world.becomeSafe()
    expect([world.state, world.outcome]).toEqual(['PrepareCommit', ['NONE', 1]])
    world.unsafe = null
    world.topic.appendError = ErrorCode.none
    world.clock.advance(RETRY_MS)
    expect(world.state).toBe('CompleteCommit')
  })

  it('does not begin when it cannot be stored', () => {
    const world = World.withOpenTransaction()
    world.topic.appendError = ErrorCode.notEnoughReplicas
    world.end()
    expect([world.state, world.written.length]).toEqual(['Ongoing', 0])
    expect(world.outcome).toEqual(['COORDINATOR_NOT_AVAILABLE', -1])
  })

  it('has one course, also when it was asked for while others were being loaded', () => {
    const topic = new MemoryTransactionTopic(2)
    openIn(topic)
    topic.append(1, manyRecords())
    const world = new World(topic)
    world.unsafe = []
    world.end()
    expect(world.state).toBe('PrepareCommit')
    world.clock.advance(1)
    world.becomeSafe()
    expect(world.written.map(({ partition }) => partition)).toEqual([0, 1])
    world.becomeSafe()
    expect([world.state, world.outcome]).toEqual(['CompleteCommit', ['NONE', 1]])
  })

  it('has one course, also when the topic was taken away and has come back meanwhile', () => {
    const world = World.withOpenTransaction()
    world.unsafe = []
    world.end()
    world.coordinator.unload()
    world.coordinator.load(world.topic)
    world.becomeSafe()
    expect(world.written.map(({ partition }) => partition)).toEqual([0, 1])
    world.becomeSafe()
    expect(world.state).toBe('CompleteCommit')
  })

  it('comes when time is up also for one that is not where its id belongs, as the topic has grown', () => {
    const before = new MemoryTransactionTopic(1)
    openIn(before, 'y')
    const grown = new MemoryTransactionTopic(2)
    for (const batch of before.batches(0)) grown.append(0, Buffer.from(batch))
    const world = new World(grown)
    expect(world.coordinator.describeTransactions({ transactionalIds: ['y'] }).transactionStates[0]!.errorCode).toBe(
      ErrorCode.transactionalIdNotFound,
    )
    world.clock.advance(120_000)
    expect(world.written.map(({ partition, marker }) => [partition, marker.isCommit])).toEqual([
      [0, false],
      [1, false],
    ])
  })

  it('leaves nothing behind when the coordinator is closed in the middle of it', () => {
    const world = World.withOpenTransaction()
    world.unsafe = []
    world.end()
    world.coordinator.close()
    expect(world.outcome).toEqual(['NOT_COORDINATOR', -1])
    world.becomeSafe()
    expect(world.written).toEqual([])
    expect(world.clock.timerCount).toBe(0)
  })
})
