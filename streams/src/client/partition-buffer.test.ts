import { buildBatch, buildEndTransactionBatch, setBaseOffset, setInt32 } from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PartitionBuffer, type AbortedTransaction } from './partition-buffer.ts'

interface BatchShape {
  readonly count: number
  readonly producerId?: number
  readonly isTransactional?: boolean
}

/** Batches one behind the other from `baseOffset` on; the value of each record is its offset. */
function aLog(baseOffset: number, ...shapes: readonly (BatchShape | Buffer)[]): Buffer {
  let offset = baseOffset
  return Buffer.concat(
    shapes.map((shape) => {
      if (Buffer.isBuffer(shape)) {
        setBaseOffset(shape, 0, offset++)
        return shape
      }
      const { count, producerId = -1, isTransactional = false } = shape
      const records = Array.from({ length: count }, (_, i) => ({
        key: null,
        value: Buffer.from(String(offset + i)),
        timestampMs: offset + i,
      }))
      const batch = buildBatch({
        records,
        baseOffset: offset,
        producerId,
        producerEpoch: 0,
        baseSequence: 0,
        isTransactional,
      })
      offset += count
      return batch
    }),
  )
}

const marker = (producerId: number, isCommit: boolean): Buffer =>
  buildEndTransactionBatch({ isCommit, coordinatorEpoch: 0, producerId, producerEpoch: 0, nowMs: 0 })

function fetched(records: Buffer | null, aborted: AbortedTransaction[] | null = null) {
  return { records, highWatermark: 1_000, lastStableOffset: 900, logStartOffset: 0, aborted }
}

function drain(buffer: PartitionBuffer, limit = Infinity): number[] {
  const offsets: number[] = []
  while (offsets.length < limit && buffer.peek()) {
    expect(Number(buffer.value)).toBe(buffer.offset)
    expect(buffer.timestampMs).toBe(buffer.offset)
    offsets.push(buffer.offset)
    buffer.take()
  }
  return offsets
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

describe('a partition buffer', () => {
  it('gives every record from its position on, once and in order, however it was batched and fetched', () => {
    const counts = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(counts, fc.nat(), fc.nat(), (sizes, startAt, drainAt) => {
        const total = sizes.reduce((sum, size) => sum + size)
        const position = 100 + (startAt % total)
        const buffer = new PartitionBuffer('t', 0, { position })
        const seen: number[] = []
        let offset = 100
        for (const [index, count] of sizes.entries()) {
          buffer.add(fetched(aLog(offset, { count })))
          offset += count
          if (index % ((drainAt % 4) + 1) === 0) seen.push(...drain(buffer, (drainAt % 5) + 1))
        }
        seen.push(...drain(buffer))
        expect(seen).toEqual(range(position, 100 + total))
        expect(buffer.position).toBe(100 + total)
        expect(buffer.fetchOffset).toBe(100 + total)
        expect(buffer.bufferedBytes).toBe(0)
      }),
    )
  })

  it('has nothing before a fetch, and does not know how far it is behind', () => {
    const buffer = new PartitionBuffer('t', 0, { position: 5 })
    expect(buffer.peek()).toBe(false)
    expect(buffer.lag('read-uncommitted')).toBeNull()
    buffer.add(fetched(null))
    expect(buffer.peek()).toBe(false)
    expect(buffer.lag('read-uncommitted')).toBe(995)
    expect(buffer.lag('read-committed')).toBe(895)
  })

  it('leaves out the last batch when the broker cut it off, and fetches from there', () => {
    const log = aLog(0, { count: 3 }, { count: 3 })
    const buffer = new PartitionBuffer('t', 0, { position: 0 })
    buffer.add(fetched(log.subarray(0, log.length - 5)))
    expect(drain(buffer)).toEqual([0, 1, 2])
    expect(buffer.fetchOffset).toBe(3)
  })

  it('skips aborted records and all markers, and its position passes them', () => {
    const log = aLog(
      0,
      { count: 2, producerId: 1, isTransactional: true },
      { count: 2, producerId: 2, isTransactional: true },
      { count: 1 },
      marker(1, false),
      { count: 1, producerId: 1, isTransactional: true },
      marker(2, true),
      marker(1, true),
    )
    const buffer = new PartitionBuffer('t', 0, { position: 0 })
    buffer.add(fetched(log, [{ producerId: 1, firstOffset: 0 }]))
    expect(drain(buffer)).toEqual([2, 3, 4, 6])
    expect(buffer.position).toBe(9)
  })

  it('is past what it has seen when there was nothing in it for a reader', () => {
    const buffer = new PartitionBuffer('t', 0, { position: 0 })
    buffer.add(
      fetched(aLog(0, { count: 2, producerId: 1, isTransactional: true }, marker(1, false)), [
        { producerId: 1, firstOffset: 0 },
      ]),
    )
    expect(buffer.peek()).toBe(false)
    expect(buffer.position).toBe(3)
  })

  it('starts over where it is sought', () => {
    const buffer = new PartitionBuffer('t', 0, { position: 0 })
    buffer.add(fetched(aLog(0, { count: 5 })))
    expect(drain(buffer, 2)).toEqual([0, 1])
    buffer.seek(3)
    expect(buffer.peek()).toBe(false)
    buffer.add(fetched(aLog(0, { count: 5 })))
    expect(drain(buffer)).toEqual([3, 4])
    expect(buffer.bufferedBytes).toBe(0)
  })

  it('keeps its place in a batch when a fetch brings nothing for a reader', () => {
    const buffer = new PartitionBuffer('t', 0, { position: 0 })
    buffer.add(fetched(aLog(0, { count: 5 })))
    expect(drain(buffer, 2)).toEqual([0, 1])
    buffer.add(
      fetched(aLog(5, { count: 1, producerId: 1, isTransactional: true }, marker(1, false)), [
        { producerId: 1, firstOffset: 5 },
      ]),
    )
    expect(buffer.position).toBe(2)
    expect(drain(buffer)).toEqual([2, 3, 4])
    expect(buffer.position).toBe(7)
  })

  it('refuses bytes that are not what was written, and says where', () => {
    const flipped = aLog(40, { count: 3 })
    flipped[flipped.length - 2]! ^= 1
    const buffer = new PartitionBuffer('t', 3, { position: 40 })
    expect(() => buffer.add(fetched(flipped))).toThrow('t-3 from offset 40: the checksum of a batch does not fit')
    const absurd = aLog(40, { count: 3 })
    setInt32(absurd, 8, 10)
    expect(() => buffer.add(fetched(absurd))).toThrow('t-3 from offset 40')
  })
})
