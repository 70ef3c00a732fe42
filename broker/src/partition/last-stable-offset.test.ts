import { ErrorCode } from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../base/logger.ts'
import { HeldDisk } from '../testing/held-disk.ts'
import { openLog } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { TransactionModel, valuesBatch } from '../testing/transaction-model.ts'
import { Durability } from './durability.ts'
import { Partition } from './partition.ts'
import { PendingFetch } from './pending-fetch.ts'

const PLAIN = -1
const TRANSACTIONAL = [2, 3, 4] as const

type Step =
  | { readonly do: 'write'; readonly producer: number }
  | { readonly do: 'end'; readonly producer: number; readonly isCommit: boolean }
  | { readonly do: 'hold' | 'release' | 'start' | 'wait' }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('write'), producer: fc.constantFrom(PLAIN, ...TRANSACTIONAL) }),
  fc.record({ do: fc.constant('end'), producer: fc.constantFrom(...TRANSACTIONAL), isCommit: fc.boolean() }),
  fc.record({ do: fc.constantFrom('hold', 'release', 'start', 'wait') }),
)

/** Lets everything that is ready happen; what waits for the disk stays. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

class Scene {
  readonly disk = new HeldDisk()
  readonly clock = new ManualClock()
  readonly model = new TransactionModel()
  readonly partition: Partition
  readonly #isOpen = new Set<number>()
  readonly #sequences = new Map<number, number>()
  /** Fetches that wait, with what is stable and what is replicated when they began. */
  readonly waiting: { isCommitted: boolean; from: number; isDone: boolean }[] = []

  constructor(acksAfter: 'write' | 'fsync') {
    this.partition = new Partition({
      topicPartition: { topic: 'orders', partition: 0 },
      topicId: 'uPdUBjb8T0eSNNzkrlX7Kw',
      log: openLog({ disk: this.disk, clock: this.clock, config: { segmentMs: Number.MAX_SAFE_INTEGER } }),
      leaderEpoch: 0,
      acksAfter,
      durability: new Durability(),
      logger: silentLogger,
    })
  }

  async take(step: Step): Promise<void> {
    const { partition, model, disk } = this
    switch (step.do) {
      case 'write':
        this.#write(step.producer)
        break
      case 'end': {
        const { producer: producerId, isCommit } = step
        const marker = { producerId, producerEpoch: 0, coordinatorEpoch: 0, isCommit, transactionVersion: 1 } as const
        expect(partition.appendMarker(marker)).toMatchObject({ errorCode: 0, baseOffset: model.end })
        this.#isOpen.delete(producerId)
        const { end } = model
        model.batches.push({
          baseOffset: end,
          lastOffset: end,
          producerId,
          kind: isCommit ? 'commit' : 'abort',
          values: [],
        })
        break
      }
      case 'hold':
        disk.hold()
        break
      case 'release':
        disk.release(true)
        break
      case 'start':
        partition.deleteRecordsBefore(partition.offsets.highWatermark)
        break
      case 'wait':
        for (const isCommitted of [true, false]) this.#wait(isCommitted)
    }
    await settled()
  }

  #write(id: number): void {
    const { partition, model } = this
    const inTransaction = id !== PLAIN
    const sequence = this.#sequences.get(id) ?? 0
    if (inTransaction) expect(partition.needsAdmission(id, 0, sequence, false)).toBe(!this.#isOpen.has(id))
    const batch = valuesBatch([`v${model.end}`], { id, epoch: 0, sequence, inTransaction })
    const { errorCode } = partition.append(batch, 0, batch.length, 'client', 11, inTransaction)
    expect(errorCode).toBe(ErrorCode.none)
    this.#sequences.set(id, sequence + 1)
    if (inTransaction) this.#isOpen.add(id)
    const { end } = model
    const kind = inTransaction ? 'transactional' : 'data'
    model.batches.push({ baseOffset: end, lastOffset: end, producerId: id, kind, values: [`v${end}`] })
  }

  #wait(isCommitted: boolean): void {
    const { lastStable, highWatermark } = this.partition.offsets
    const fetch = { isCommitted, from: isCommitted ? lastStable : highWatermark, isDone: false }
    this.waiting.push(fetch)
    new PendingFetch({
      clock: this.clock,
      maxWaitMs: 1_000_000,
      minBytes: 1,
      bytesFound: 0,
      isCommitted,
      watches: [this.partition],
      complete: () => (fetch.isDone = true),
    })
  }

  check(): void {
    const { logStart, lastStable, highWatermark, end } = this.partition.offsets
    expect(logStart).toBeLessThanOrEqual(lastStable)
    expect(lastStable).toBeLessThanOrEqual(highWatermark)
    expect(highWatermark).toBeLessThanOrEqual(end)
    expect(end).toBe(this.model.end)
    expect(lastStable).toBe(this.model.lastStableOffset(logStart, highWatermark))
    for (const { isCommitted, from, isDone } of this.waiting) {
      // A start that moves wakes everybody; without that a fetch ends if and only if there is something new for it.
      if (logStart === 0) expect(isDone).toBe((isCommitted ? lastStable : highWatermark) > from)
    }
  }
}

describe('the last stable offset of a partition', () => {
  it.each(['write', 'fsync'] as const)(
    'with acks.after=%s is what is decided and durable, and wakes who waits for it',
    async (acksAfter) => {
      let behind = 0
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
          const scene = new Scene(acksAfter)
          for (const next of steps) {
            await scene.take(next)
            scene.check()
            if (scene.partition.offsets.highWatermark < scene.model.end) behind++
          }
          scene.disk.release(true)
          await settled()
          scene.check()
          scene.partition.stop()
          scene.partition.log.close()
        }),
        { numRuns: 100 },
      )
      if (acksAfter === 'fsync') expect(behind).toBeGreaterThan(10)
      else expect(behind).toBe(0)
    },
  )
})
