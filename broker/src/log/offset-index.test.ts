import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MemoryDisk } from './memory-disk.ts'
import { OffsetIndex } from './offset-index.ts'
import { TimeIndex } from './time-index.ts'

const BASE = 4711

function fileOf(bytes?: Buffer) {
  const disk = new MemoryDisk()
  disk.writeFile('/index', bytes ?? Buffer.alloc(0))
  return { disk, open: () => disk.open('/index') }
}

/** Entries that grow in both numbers, in any steps; enough of them to fill several blocks. */
const growing = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 1000 })), { maxLength: 1500 })
  .map((steps) => {
    let offset = BASE - 1
    let position = -1
    return steps.map(([offsetStep, positionStep]) => ({
      offset: (offset += offsetStep),
      position: (position += positionStep),
    }))
  })

describe('OffsetIndex', () => {
  it('has the bytes of Kafka: two int32 per entry, the offset relative to the segment', () => {
    const { disk, open } = fileOf()
    const index = new OffsetIndex(BASE, open())
    index.makeRoom()
    index.append(BASE + 258, 4096)
    index.flush()
    expect(disk.readFile('/index')!.toString('hex')).toBe('0000010200001000')
  })

  it('finds the last entry at or before any offset, in memory, in the file and after it was opened again', () => {
    fc.assert(
      fc.property(growing, fc.array(fc.nat({ max: 1600 })), fc.nat(), (entries, flushes, wanted) => {
        const { open } = fileOf()
        const index = new OffsetIndex(BASE, open())
        const flushAt = new Set(flushes)
        for (const [i, { offset, position }] of entries.entries()) {
          index.makeRoom()
          index.append(offset, position)
          if (flushAt.has(i)) index.flush()
        }
        const offset = BASE + (wanted % ((entries.at(-1)?.offset ?? BASE) - BASE + 10))
        const expected = entries.findLast((entry) => entry.offset <= offset)?.position ?? 0
        expect(index.floor(offset)).toBe(expected)
        expect(index.count).toBe(entries.length)
        index.seal()
        expect(index.floor(offset)).toBe(expected)
        const again = new OffsetIndex(BASE, open())
        expect(again.floor(offset)).toBe(expected)
        expect(again.lastOffset).toBe(entries.at(-1)?.offset ?? BASE)
        expect(again.lastPosition).toBe(entries.at(-1)?.position ?? 0)
      }),
      { numRuns: 60 },
    )
  })

  it('forgets exactly the entries from an offset on, and goes on growing', () => {
    fc.assert(
      fc.property(growing, fc.boolean(), fc.nat(), (entries, isFlushed, wanted) => {
        const { open } = fileOf()
        const index = new OffsetIndex(BASE, open())
        for (const [i, { offset, position }] of entries.entries()) {
          index.makeRoom()
          index.append(offset, position)
          if (isFlushed && i === entries.length >> 1) index.flush()
        }
        const end = BASE + (wanted % ((entries.at(-1)?.offset ?? BASE) - BASE + 10))
        const kept = entries.filter((entry) => entry.offset < end)
        index.truncateTo(end)
        expect(index.count).toBe(kept.length)
        expect(index.lastOffset).toBe(kept.at(-1)?.offset ?? BASE)
        index.makeRoom()
        index.append(end + 5, 0x7fff_fff0)
        index.seal()
        const again = new OffsetIndex(BASE, open())
        expect(again.count).toBe(kept.length + 1)
        expect(again.floor(end + 5)).toBe(0x7fff_fff0)
        expect(again.floor(end + 4)).toBe(kept.at(-1)?.position ?? 0)
      }),
      { numRuns: 60 },
    )
  })

  it('holds offsets up to 2^31 - 1 from its base and no others', () => {
    const index = new OffsetIndex(BASE, fileOf().open())
    expect([BASE - 1, BASE, BASE + 2 ** 31 - 1, BASE + 2 ** 31].map((offset) => index.holds(offset))).toEqual([
      false,
      true,
      true,
      false,
    ])
  })

  it('is full at the size it may have, of which an incomplete entry counts nothing', () => {
    const index = new OffsetIndex(BASE, fileOf().open())
    index.makeRoom()
    index.append(BASE, 0)
    expect([index.isFull(15), index.isFull(16), index.isFull(7)]).toEqual([true, false, true])
  })

  it('sees that its file ends within an entry, or with zeros', () => {
    const entries = Buffer.from('0000000100000000' + '0000000500000100', 'hex')
    const isSound = (bytes: Buffer) => new OffsetIndex(BASE, fileOf(bytes).open()).isSound
    expect([entries, entries.subarray(0, 8), Buffer.alloc(0)].map(isSound)).toEqual([true, true, true])
    expect([entries.subarray(0, 12), Buffer.concat([entries, Buffer.alloc(8)])].map(isSound)).toEqual([false, false])
  })
})

describe('TimeIndex', () => {
  it('has the bytes of Kafka: an int64 timestamp and an int32 offset relative to the segment', () => {
    const { disk, open } = fileOf()
    const index = new TimeIndex(BASE, open())
    index.makeRoom()
    index.append(1_767_225_600_000, BASE + 3)
    index.flush()
    expect(disk.readFile('/index')!.toString('hex')).toBe('0000019b76daa800' + '00000003')
  })

  it('takes an entry only if it is younger than the last', () => {
    const index = new TimeIndex(BASE, fileOf().open())
    for (const [timestampMs, offset] of [
      [-1, BASE],
      [0, BASE + 1],
      [0, BASE + 2],
      [5, BASE + 3],
      [4, BASE + 4],
      [2 ** 52, BASE + 5],
    ] as const) {
      index.makeRoom()
      index.append(timestampMs, offset)
    }
    expect(index.count).toBe(3)
    expect(index.lastTimestampMs).toBe(2 ** 52)
    expect([-5, 0, 4, 5, 6, 2 ** 53].map((timestampMs) => index.floor(timestampMs))).toEqual([
      BASE,
      BASE + 1,
      BASE + 1,
      BASE + 3,
      BASE + 3,
      BASE + 5,
    ])
  })

  it('finds the last entry at or before any time, also after it was opened again and truncated', () => {
    const entries = fc.array(fc.tuple(fc.integer({ min: 1, max: 2 ** 34 }), fc.integer({ min: 0, max: 9 })), {
      maxLength: 1300,
    })
    fc.assert(
      fc.property(entries, fc.double({ min: -0.1, max: 1.1, noNaN: true }), (steps, part) => {
        const { open } = fileOf()
        const index = new TimeIndex(BASE, open())
        let timestampMs = -1
        let offset = BASE
        const model = steps.map(([timeStep, offsetStep]) => {
          timestampMs += timeStep
          offset += offsetStep
          index.makeRoom()
          index.append(timestampMs, offset)
          return { timestampMs, offset }
        })
        const wanted = Math.floor(timestampMs * part)
        const expected = model.findLast((entry) => entry.timestampMs <= wanted)?.offset ?? BASE
        expect(index.floor(wanted)).toBe(expected)
        index.seal()
        const again = new TimeIndex(BASE, open())
        expect(again.floor(wanted)).toBe(expected)
        expect(again.lastTimestampMs).toBe(timestampMs)
        again.truncateTo(expected)
        expect(again.count).toBe(model.filter((entry) => entry.offset < expected).length)
      }),
      { numRuns: 60 },
    )
  })

  it('keeps the last place for the entry that a roll adds', () => {
    const index = new TimeIndex(BASE, fileOf().open())
    expect([index.isFull(12), index.isFull(23), index.isFull(24)]).toEqual([true, true, false])
  })
})
