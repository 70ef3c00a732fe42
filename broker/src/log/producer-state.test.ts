import { ErrorCode, buildBatch, buildEndTransactionBatch, setBaseOffset } from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { batchOf, producedBatch } from '../testing/logs.ts'
import { decodeProducerSnapshot, encodeProducerSnapshot } from './producer-snapshot.ts'
import { ProducerStates, type ProducerCheckOptions } from './producer-state.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const LARGEST_SEQUENCE = 2 ** 31 - 1

/** A partition's end of it: checks, and records with the next offset what is new. */
class Driver {
  readonly states = new ProducerStates(DAY_MS)
  nextOffset = 0

  send(producerId: number, epoch: number, baseSequence: number, count = 1): string {
    const batch = producedBatch(producerId, epoch, baseSequence, count)
    const verdict = this.states.check(batch, 0, { origin: 'client' })
    if (verdict.kind === 'refused') return String(verdict.errorCode)
    if (verdict.kind === 'duplicate') return `again ${verdict.of.lastOffset - verdict.of.offsetDelta}`
    setBaseOffset(batch, 0, this.nextOffset)
    this.states.record(batch, 0, 0)
    this.nextOffset += count
    return `new ${this.nextOffset - count}`
  }
}

const GAP = String(ErrorCode.outOfOrderSequenceNumber)
const FENCED = String(ErrorCode.invalidProducerEpoch)

describe('ProducerStates', () => {
  it('recognises each of the last five batches and no older one', () => {
    const driver = new Driver()
    for (let i = 0; i < 6; i++) expect(driver.send(7, 0, i * 2, 2)).toBe(`new ${i * 2}`)
    for (let i = 1; i < 6; i++) expect(driver.send(7, 0, i * 2, 2)).toBe(`again ${i * 2}`)
    expect(driver.send(7, 0, 0, 2)).toBe(GAP)
    expect(driver.send(7, 0, 12)).toBe('new 12')
  })

  it('takes only a batch with the same sequences for the same', () => {
    const driver = new Driver()
    driver.send(7, 0, 0, 3)
    expect(driver.send(7, 0, 0, 2)).toBe(GAP)
    expect(driver.send(7, 0, 1, 2)).toBe(GAP)
    expect(driver.send(7, 0, 0, 4)).toBe(GAP)
    expect(driver.send(7, 0, 0, 3)).toBe('again 0')
  })

  it('refuses gaps, and knows each producer by itself', () => {
    const driver = new Driver()
    expect(driver.send(7, 0, 0)).toBe('new 0')
    expect(driver.send(7, 0, 2)).toBe(GAP)
    expect(driver.send(8, 0, 5)).toBe('new 1')
    expect(driver.send(8, 0, 6)).toBe('new 2')
    expect(driver.send(7, 0, 1)).toBe('new 3')
  })

  it('refuses an old epoch, and begins a new one with sequence 0', () => {
    const driver = new Driver()
    driver.send(7, 3, 0, 5)
    expect(driver.send(7, 2, 5)).toBe(FENCED)
    expect(driver.send(7, 4, 5)).toBe(GAP)
    expect(driver.send(7, 4, 0)).toBe('new 5')
    expect(driver.send(7, 4, 0, 5)).toBe(GAP)
    expect(driver.send(7, 3, 5)).toBe(FENCED)
    expect(driver.send(7, 3, 0, 5)).toBe(FENCED)
    expect(driver.send(7, 4, 0)).toBe('again 5')
  })

  it('counts sequences to 2^31 - 1 and goes on with 0', () => {
    const driver = new Driver()
    expect(driver.send(7, 0, LARGEST_SEQUENCE - 1, 2)).toBe('new 0')
    expect(driver.send(7, 0, 0)).toBe('new 2')
    expect(driver.send(7, 0, LARGEST_SEQUENCE - 1, 2)).toBe('again 0')

    const across = new Driver()
    expect(across.send(7, 0, LARGEST_SEQUENCE - 1, 5)).toBe('new 0')
    expect(across.send(7, 0, LARGEST_SEQUENCE - 1, 5)).toBe('again 0')
    expect(across.send(7, 0, 4)).toBe(GAP)
    expect(across.send(7, 0, 3)).toBe('new 5')
  })

  it('forgets a producer that was silent for the expiration time, and then takes any sequence', () => {
    const driver = new Driver()
    driver.send(7, 0, 0)
    driver.states.expire(DAY_MS - 1)
    expect(driver.send(7, 0, 9)).toBe(GAP)
    driver.states.expire(DAY_MS)
    expect(driver.states.count).toBe(0)
    expect(driver.send(7, 0, 9)).toBe('new 1')
  })

  it('knows no transaction that a client could write in', () => {
    const batch = batchOf(['a'], { isTransactional: true, producerId: 7, producerEpoch: 0, baseSequence: 0 })
    const states = new ProducerStates(DAY_MS)
    expect(states.check(batch, 0, { origin: 'client' })).toMatchObject({
      kind: 'refused',
      errorCode: ErrorCode.invalidTxnState,
    })
    expect(states.check(batch, 0, { origin: 'coordinator' })).toEqual({ kind: 'new' })
  })

  it('is not interested in batches without a producer', () => {
    const states = new ProducerStates(DAY_MS)
    const batch = batchOf(['a'])
    expect(states.check(batch, 0, { origin: 'client' })).toEqual({ kind: 'new' })
    states.record(batch, 0, 0)
    expect(states.count).toBe(0)
  })

  it('takes from a coordinator any sequence of a current epoch', () => {
    const driver = new Driver()
    driver.send(7, 3, 0)
    const batch = (producerEpoch: number) => batchOf(['a'], { producerId: 7, producerEpoch, baseSequence: -1 })
    expect(driver.states.check(batch(3), 0, { origin: 'coordinator' })).toEqual({ kind: 'new' })
    expect(driver.states.check(batch(2), 0, { origin: 'coordinator' })).toMatchObject({
      errorCode: ErrorCode.invalidProducerEpoch,
    })
  })

  it('knows the last batch of each producer after a restore', () => {
    const driver = new Driver()
    driver.send(7, 0, 0, 2)
    driver.send(7, 0, 2, 3)
    driver.send(8, 1, 4)
    const restored = new Driver()
    restored.states.restore(decodeProducerSnapshot(encodeProducerSnapshot(driver.states.entries()))!, 0)
    restored.nextOffset = driver.nextOffset
    expect(restored.send(7, 0, 2, 3)).toBe('again 2')
    expect(restored.send(7, 0, 0, 2)).toBe(GAP)
    expect(restored.send(8, 0, 0)).toBe(FENCED)
    expect(restored.send(8, 1, 5)).toBe('new 6')
  })

  it('never stores a sequence twice nor skips one, whatever a producer sends again', () => {
    const attempts = fc.array(fc.tuple(fc.nat({ max: 9 }), fc.integer({ min: 1, max: 4 })), { maxLength: 60 })
    fc.assert(
      fc.property(attempts, fc.integer({ min: 0, max: LARGEST_SEQUENCE }), (sends, first) => {
        const driver = new Driver()
        const stored: { base: number; count: number; offset: number }[] = []
        let next = first
        for (const [back, count] of sends) {
          // Either the next batch, or one of the earlier ones once more.
          const earlier = back > 0 ? stored.at(-back) : undefined
          const { base, ...rest } = earlier ?? { base: next, count, offset: driver.nextOffset }
          const answer = earlier === undefined ? `new ${rest.offset}` : back <= 5 ? `again ${rest.offset}` : GAP
          expect(driver.send(7, 0, base, rest.count)).toBe(answer)
          if (earlier !== undefined) continue
          stored.push({ base, ...rest })
          next = (next + count) % 2 ** 31
        }
      }),
    )
  })
})

describe('a producer snapshot', () => {
  it('has the bytes of Kafka', () => {
    const bytes = encodeProducerSnapshot([
      {
        producerId: 1000,
        epoch: 2,
        lastSequence: 5,
        lastOffset: 17,
        offsetDelta: 1,
        timestamp: 1_767_225_600_000,
        coordinatorEpoch: -1,
        currentTxnFirstOffset: -1,
      },
    ])
    expect(bytes.toString('hex')).toBe(
      '0001' +
        'e575e373' +
        '00000001' +
        '00000000000003e8' +
        '0002' +
        '00000005' +
        '0000000000000011' +
        '00000001' +
        '0000019b76daa800' +
        'ffffffff' +
        'ffffffffffffffff',
    )
  })

  it('is not read if a bit of it is wrong or it is cut off', () => {
    const states = new ProducerStates(DAY_MS)
    states.record(
      buildBatch({ records: [], lastOffsetDelta: 0, producerId: 1, producerEpoch: 0, baseSequence: 0 }),
      0,
      0,
    )
    const bytes = encodeProducerSnapshot(states.entries())
    expect(decodeProducerSnapshot(bytes)).toEqual(states.entries())
    fc.assert(
      fc.property(fc.nat({ max: bytes.length * 8 - 1 }), fc.nat({ max: bytes.length - 1 }), (bit, length) => {
        const flipped = Buffer.from(bytes)
        flipped[bit >> 3]! ^= 1 << (bit & 7)
        expect(decodeProducerSnapshot(flipped)).toBeNull()
        expect(decodeProducerSnapshot(bytes.subarray(0, length))).toBeNull()
      }),
    )
  })
})

describe('the transactions of producers', () => {
  interface Sent {
    readonly epoch?: number
    readonly sequence?: number
    readonly isAdmitted?: boolean
    readonly inTransaction?: boolean
    readonly origin?: 'client' | 'coordinator'
  }

  class TransactionDriver {
    readonly states = new ProducerStates(DAY_MS)
    nextOffset = 0

    /** Answers the offset, or `error 48`. */
    send(producerId: number, options: Sent = {}): string {
      const { epoch = 0, sequence = 0, isAdmitted = false, inTransaction = true, origin = 'client' } = options
      const producer = { producerId, producerEpoch: epoch, baseSequence: sequence, isTransactional: inTransaction }
      return this.#take(batchOf(['v'], producer), { origin, isAdmitted })
    }

    end(producerId: number, epoch: number, marker: { version?: 1 | 2; coordinator?: number; isCommit?: boolean } = {}) {
      const { version = 1, coordinator = 0, isCommit = true } = marker
      const fields = { producerId, producerEpoch: epoch, coordinatorEpoch: coordinator, isCommit, nowMs: 5 }
      return this.#take(buildEndTransactionBatch(fields), { origin: 'coordinator', transactionVersion: version })
    }

    #take(batch: Buffer, options: ProducerCheckOptions): string {
      const verdict = this.states.check(batch, 0, options)
      if (verdict.kind === 'refused') return `error ${verdict.errorCode}`
      if (verdict.kind === 'duplicate') return `again ${verdict.of.lastOffset}`
      setBaseOffset(batch, 0, this.nextOffset)
      this.states.record(batch, 0, 0)
      return String(this.nextOffset++)
    }
  }

  const noTransaction = `error ${ErrorCode.invalidTxnState}`
  const fenced = `error ${ErrorCode.invalidProducerEpoch}`
  const gap = `error ${ErrorCode.outOfOrderSequenceNumber}`

  it('begin with a batch that the coordinator let in, and take the next ones without it', () => {
    const driver = new TransactionDriver()
    expect(driver.send(7)).toBe(noTransaction)
    expect(driver.send(7, { isAdmitted: true })).toBe('0')
    expect(driver.send(7, { sequence: 1 })).toBe('1')
    expect(driver.send(7, { sequence: 1 })).toBe('again 1')
    expect(driver.end(7, 0)).toBe('2')
    expect(driver.send(7, { sequence: 2 })).toBe(noTransaction)
    // Also then a batch that comes again is the one that is there.
    expect(driver.send(7, { sequence: 1 })).toBe('again 1')
  })

  it('take nothing else of their producer meanwhile', () => {
    const driver = new TransactionDriver()
    driver.send(7, { isAdmitted: true })
    expect(driver.send(7, { sequence: 1, inTransaction: false })).toBe(noTransaction)
    driver.end(7, 0)
    expect(driver.send(7, { sequence: 1, inTransaction: false })).toBe('2')
  })

  it('of the broker itself need nobody to let them in', () => {
    const driver = new TransactionDriver()
    expect(driver.send(7, { sequence: -1, origin: 'coordinator' })).toBe('0')
    expect(driver.states.stableUpTo(1)).toBe(0)
  })

  it('hold back what is stable until they end and the marker is replicated', () => {
    const driver = new TransactionDriver()
    driver.send(1, { inTransaction: false })
    expect(driver.states.stableUpTo(1)).toBe(1)
    driver.send(7, { isAdmitted: true })
    driver.send(8, { isAdmitted: true })
    expect(driver.states.stableUpTo(3)).toBe(1)
    driver.end(7, 0)
    expect(driver.states.stableUpTo(3)).toBe(1)
    expect(driver.states.stableUpTo(4)).toBe(2)
    driver.end(8, 0, { isCommit: false })
    expect(driver.states.stableUpTo(4)).toBe(2)
    expect(driver.states.stableUpTo(5)).toBe(5)
    expect(driver.states.ongoingCount).toBe(0)
  })

  it('are ended by a coordinator of the newest epoch alone, and by one who speaks of their epoch or a later one', () => {
    const driver = new TransactionDriver()
    driver.send(7, { epoch: 3, isAdmitted: true })
    expect(driver.end(7, 2, { coordinator: 5 })).toBe(fenced)
    expect(driver.end(7, 3, { coordinator: 5 })).toBe('1')
    driver.send(7, { epoch: 3, sequence: 1, isAdmitted: true })
    expect(driver.end(7, 3, { coordinator: 4 })).toBe(`error ${ErrorCode.transactionCoordinatorFenced}`)
    // An epoch that was raised fences the producer.
    expect(driver.end(7, 4, { coordinator: 5 })).toBe('3')
    expect(driver.send(7, { epoch: 3, sequence: 2, isAdmitted: true })).toBe(fenced)
    expect(driver.send(7, { epoch: 4, sequence: 2, isAdmitted: true })).toBe(gap)
    expect(driver.send(7, { epoch: 4, isAdmitted: true })).toBe('4')
  })

  it('of version 2 are not ended by the marker of an earlier one that comes late', () => {
    const driver = new TransactionDriver()
    driver.send(7, { isAdmitted: true })
    expect(driver.end(7, 0, { version: 2 })).toBe(fenced)
    expect(driver.end(7, 1, { version: 2 })).toBe('1')
    // Again, as the answer was lost: nothing is open that it could end.
    expect(driver.end(7, 1, { version: 2 })).toBe('2')
    driver.send(7, { epoch: 1, isAdmitted: true })
    expect(driver.end(7, 1, { version: 2, isCommit: false })).toBe(fenced)
    expect(driver.states.stableUpTo(4)).toBe(3)
    // Version 1 cannot tell them apart.
    expect(driver.end(7, 1, { version: 1, isCommit: false })).toBe('4')
  })

  it('of version 2 can end in the largest epoch, which nothing can follow', () => {
    const driver = new TransactionDriver()
    driver.send(7, { epoch: 32767, isAdmitted: true })
    expect(driver.end(7, 32767, { version: 2 })).toBe('1')
  })

  it('ask the coordinator for the first batch alone, and not about a producer that was replaced', () => {
    const driver = new TransactionDriver()
    const asks = (epoch: number, baseSequence = 0) =>
      driver.states.needsAdmission({ producerId: 7, epoch, baseSequence, bumpsEpoch: false }, 0)
    expect(asks(2)).toBe(true)
    driver.send(7, { epoch: 2, isAdmitted: true })
    expect([asks(2, 1), asks(3), asks(1)]).toEqual([false, true, false])
    driver.end(7, 2)
    expect([asks(2, 1), asks(1)]).toEqual([true, false])
  })

  it('ask for every batch of one that the coordinator may not know of', () => {
    const driver = new TransactionDriver()
    const asks = (epoch: number, baseSequence: number) =>
      driver.states.needsAdmission({ producerId: 7, epoch, baseSequence, bumpsEpoch: true }, 0)
    driver.send(7, { isAdmitted: true })
    driver.states.doubtOngoing()
    expect([asks(0, 1), asks(0, 2)]).toEqual([true, true])
    expect(driver.send(7, { sequence: 1, isAdmitted: true })).toBe('1')
    expect(driver.send(7, { sequence: 2, isAdmitted: true })).toBe('2')
    driver.end(7, 1, { version: 2 })
    driver.send(7, { epoch: 1, isAdmitted: true })
    expect(asks(1, 1)).toBe(false)
  })

  it('let no batch overtake one that was not let in', () => {
    const driver = new TransactionDriver()
    const asks = (baseSequence: number, epoch = 0) =>
      driver.states.needsAdmission({ producerId: 7, epoch, baseSequence, bumpsEpoch: false }, 0)
    // The partition does not know the producer, which has written elsewhere.
    expect(asks(5)).toBe(true)
    expect(asks(6)).toBe(true)
    expect(driver.send(7, { sequence: 6, isAdmitted: true })).toBe(gap)
    expect(driver.send(7, { sequence: 5, isAdmitted: true })).toBe('0')
    expect(driver.send(7, { sequence: 6 })).toBe('1')
    driver.end(7, 0)
    asks(9, 1)
    asks(0, 1)
    expect(driver.send(7, { sequence: 9, epoch: 1, isAdmitted: true })).toBe(gap)
    expect(driver.send(7, { sequence: 0, epoch: 1, isAdmitted: true })).toBe('3')
  })

  it('of version 2 begin with sequence 0 on every partition', () => {
    const driver = new TransactionDriver()
    driver.states.needsAdmission({ producerId: 7, epoch: 3, baseSequence: 1, bumpsEpoch: true }, 0)
    expect(driver.send(7, { epoch: 3, sequence: 1, isAdmitted: true })).toBe(gap)
    expect(driver.send(7, { epoch: 3, sequence: 0, isAdmitted: true })).toBe('0')
  })

  it('are in a snapshot, and keep their producer from being forgotten', () => {
    const driver = new TransactionDriver()
    driver.send(8, { isAdmitted: true })
    driver.send(7, { epoch: 2, isAdmitted: true })
    driver.send(9, { isAdmitted: true })
    driver.end(9, 0, { coordinator: 4 })
    const entries = decodeProducerSnapshot(encodeProducerSnapshot(driver.states.entries()))!
    expect(entries).toMatchObject([
      { producerId: 8, currentTxnFirstOffset: 0, coordinatorEpoch: -1 },
      { producerId: 7, epoch: 2, currentTxnFirstOffset: 1 },
      { producerId: 9, currentTxnFirstOffset: -1, coordinatorEpoch: 4 },
    ])
    const states = new ProducerStates(DAY_MS)
    states.restore([...entries].reverse(), 0)
    expect(states.stableUpTo(10)).toBe(0)
    states.expire(DAY_MS)
    expect([states.count, states.ongoingCount]).toEqual([2, 2])
    expect(states.hasOngoingTransaction(7, 2)).toBe(true)
    expect(states.hasOngoingTransaction(9, 0)).toBe(false)
  })
})
