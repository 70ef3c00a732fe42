import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StorageError } from '../base/errors.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import type { AbortedTransaction } from './aborted-transaction.ts'
import { MemoryDisk } from './memory-disk.ts'
import { TRANSACTION_ENTRY_BYTES, TransactionIndex } from './transaction-index.ts'

const PATH = '/data/orders-0/00000000000000000000.txnindex'

function aDisk(): MemoryDisk {
  const disk = new MemoryDisk()
  disk.makeDirectory('/data/orders-0')
  return disk
}

function collected(index: TransactionIndex, from: number, to: number): AbortedTransaction[] {
  const found: AbortedTransaction[] = []
  index.collect(from, to, found)
  return found
}

const entry: AbortedTransaction = { producerId: 7, firstOffset: 3, lastOffset: 9, lastStableOffset: 5 }

describe('a transaction index', () => {
  it('has no file until a transaction was aborted', () => {
    const disk = aDisk()
    const index = new TransactionIndex(disk, PATH)
    expect([index.count, collected(index, 0, 100), index.isSoundFor(0, 100)]).toEqual([0, [], true])
    index.truncateTo(0)
    index.replace([])
    expect(disk.exists(PATH)).toBe(false)
    index.append(entry)
    expect(disk.exists(PATH)).toBe(true)
  })

  it('has the bytes of Apache Kafka', () => {
    const disk = aDisk()
    new TransactionIndex(disk, PATH).append({ ...entry, producerId: 2 ** 33 + 7 })
    expect(disk.readFile(PATH)?.toString('hex')).toBe(
      // version, producer id, first offset, last offset, last stable offset
      `0000${'0000000200000007'}${'0000000000000003'}${'0000000000000009'}${'0000000000000005'}`,
    )
  })

  it('is believed only if it can be that of the segment', () => {
    const disk = aDisk()
    const index = new TransactionIndex(disk, PATH)
    index.append(entry)
    index.append({ ...entry, firstOffset: 10, lastOffset: 12, lastStableOffset: 13 })
    const good = disk.readFile(PATH)!
    const isSound = (bytes: Buffer, base = 0, next = 20): boolean => {
      disk.writeFile(PATH, bytes)
      return new TransactionIndex(disk, PATH).isSoundFor(base, next)
    }
    expect(isSound(good)).toBe(true)
    expect(isSound(good, 9)).toBe(true)
    expect(isSound(good, 10)).toBe(false)
    expect(isSound(good, 0, 12)).toBe(false)
    expect(isSound(good.subarray(0, good.length - 1))).toBe(false)
    expect(isSound(Buffer.concat([good.subarray(TRANSACTION_ENTRY_BYTES), good]))).toBe(false)
    expect(isSound(Buffer.alloc(TRANSACTION_ENTRY_BYTES))).toBe(false)
    expect(isSound(Buffer.alloc(TRANSACTION_ENTRY_BYTES, 0x7f))).toBe(false)
  })

  it('finds what overlaps a range, over appends, truncations and reopening', () => {
    const transaction = fc.record({
      producerId: fc.integer({ min: 0, max: 5 }),
      length: fc.integer({ min: 1, max: 20 }),
      gap: fc.integer({ min: 1, max: 10 }),
      open: fc.integer({ min: 0, max: 15 }),
    })
    const step = fc.oneof(
      { weight: 5, arbitrary: transaction },
      { weight: 1, arbitrary: fc.record({ truncateTo: fc.integer({ min: 0, max: 200 }) }) },
      { weight: 1, arbitrary: fc.constant('reopen' as const) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.nat(250), fc.nat(40), (steps, from, size) => {
        const disk = aDisk()
        let index = new TransactionIndex(disk, PATH)
        let model: AbortedTransaction[] = []
        let end = 0
        let stable = 0
        for (const next of steps) {
          if (next === 'reopen') {
            index.close()
            index = new TransactionIndex(disk, PATH)
          } else if ('truncateTo' in next) {
            index.truncateTo(next.truncateTo)
            model = model.filter(({ lastOffset }) => lastOffset < next.truncateTo)
          } else {
            const lastOffset = end + next.gap
            end = lastOffset + 1
            const firstOffset = Math.max(stable, lastOffset - next.length)
            if (firstOffset >= lastOffset) continue
            stable = Math.max(stable, end - next.open)
            const added = { producerId: next.producerId, firstOffset, lastOffset, lastStableOffset: stable }
            index.append(added)
            model.push(added)
          }
        }
        expect(index.count).toBe(model.length)
        expect(index.isSoundFor(0, Infinity)).toBe(true)
        const to = from + size
        expect(collected(index, from, to)).toEqual(
          model.filter(({ firstOffset, lastOffset }) => lastOffset >= from && firstOffset < to),
        )
        expect(disk.readFile(PATH)?.length ?? 0).toBe(model.length * TRANSACTION_ENTRY_BYTES)
      }),
    )
  })

  it('is replaced as a whole', () => {
    const memory = aDisk()
    const index = new TransactionIndex(memory, PATH)
    index.append(entry)
    const next = { ...entry, firstOffset: 10, lastOffset: 12, lastStableOffset: 13 }
    index.replace([entry, next])
    expect([index.count, collected(index, 0, 100)]).toEqual([2, [entry, next]])
    index.append({ ...entry, firstOffset: 20, lastOffset: 22, lastStableOffset: 23 })
    expect(new TransactionIndex(memory, PATH).count).toBe(3)

    const disk = new FaultyDisk(memory)
    disk.fail(['writeFile', 'rename', 'truncate'])
    expect(() => new TransactionIndex(disk, PATH).replace([next])).toThrow(StorageError)
    expect(new TransactionIndex(memory, PATH).count).toBe(3)
    index.replace([])
    expect([index.count, memory.exists(PATH), index.isUnsynced]).toEqual([0, false, false])
  })

  it('leaves no part of an entry that could not be written behind', () => {
    const memory = aDisk()
    const disk = new FaultyDisk(memory)
    const index = new TransactionIndex(disk, PATH)
    index.append(entry)
    disk.fail(['append'])
    const next = { ...entry, firstOffset: 10, lastOffset: 12, lastStableOffset: 13 }
    expect(() => index.append(next)).toThrow(StorageError)
    expect([index.count, collected(index, 0, 100)]).toEqual([1, [entry]])
    disk.fail([])
    index.append(next)
    expect(memory.readFile(PATH)!.length).toBe(2 * TRANSACTION_ENTRY_BYTES)
    expect(collected(new TransactionIndex(memory, PATH), 0, 100)).toEqual([entry, next])
  })
})
