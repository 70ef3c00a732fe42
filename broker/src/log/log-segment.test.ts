import { readBatches } from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { append, batchOf, openLog, valuesOf } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import type { PartitionLog } from './partition-log.ts'

const compressions = ['none', 'gzip', 'lz4'] as const

interface Sent {
  readonly values: readonly string[]
  readonly compression: (typeof compressions)[number]
  /** Against the clock of the log. */
  readonly timeMs: number
}

const batches = fc.array(
  fc.record({
    values: fc.array(fc.string({ maxLength: 30 }), { minLength: 1, maxLength: 8 }),
    compression: fc.constantFrom(...compressions),
    timeMs: fc.integer({ min: -1000, max: 1000 }),
  }),
  { minLength: 1, maxLength: 60 },
)
/** Segments and index intervals small enough for many of both. */
const sizes = fc.record({
  segmentBytes: fc.integer({ min: 700, max: 5000 }),
  indexIntervalBytes: fc.integer({ min: 1, max: 800 }),
})

interface Stored {
  readonly offset: number
  readonly value: string
  readonly timestampMs: number
}

function fill(sent: readonly Sent[], config: { segmentBytes: number; indexIntervalBytes: number }) {
  const clock = new ManualClock()
  const log = openLog({ config, clock })
  const records: Stored[] = []
  const batchStarts: number[] = []
  for (const { values, compression, timeMs } of sent) {
    const nowMs = clock.nowMs() + timeMs
    batchStarts.push(log.endOffset)
    for (const value of values) records.push({ offset: records.length, value, timestampMs: nowMs })
    expect(append(log, batchOf(values, { compression, nowMs })).errorCode).toBe(0)
  }
  return { log, records, batchStarts }
}

function read(log: PartitionLog, offset: number, maxBytes: number, maxOffset = log.endOffset, atLeastOneBatch = true) {
  return [...readBatches(log.read(offset, maxBytes, { maxOffset, atLeastOneBatch }))]
}

describe('reading a log', () => {
  it('begins with the batch of any offset, and gives whole batches up to the bytes asked for', () => {
    fc.assert(
      fc.property(batches, sizes, fc.nat(), fc.integer({ min: 0, max: 3000 }), (sent, config, wanted, maxBytes) => {
        const { log, batchStarts } = fill(sent, config)
        // Twice the same log: what a read leaves for the next one must not show.
        for (const offset of [wanted % log.endOffset, (wanted >> 3) % log.endOffset]) {
          const found = read(log, offset, maxBytes)
          expect(found[0]!.baseOffset).toBe(batchStarts.findLast((start) => start <= offset))
          let next = found[0]!.baseOffset
          let sizeBytes = 0
          for (const batch of found) {
            expect(batch.baseOffset).toBe(next)
            next = batch.lastOffset + 1
            sizeBytes += batch.sizeBytes
          }
          expect(found.length === 1 || sizeBytes <= maxBytes).toBe(true)
          const without = read(log, offset, maxBytes, log.endOffset, false)
          expect(without.length).toBe(found.length === 1 && found[0]!.sizeBytes > maxBytes ? 0 : found.length)
        }
      }),
      { numRuns: 150 },
    )
  })

  it('gives all records, once and in order, however little is read at a time', () => {
    fc.assert(
      fc.property(batches, sizes, fc.integer({ min: 0, max: 2000 }), (sent, config, maxBytes) => {
        const { log, records } = fill(sent, config)
        const values = [...valuesOf(log, maxBytes)]
        expect(values).toEqual(records.map(({ offset, value }) => [offset, value]))
      }),
      { numRuns: 60 },
    )
  })

  it('gives no batch that starts at the largest offset allowed or later', () => {
    fc.assert(
      fc.property(batches, sizes, fc.nat(), fc.nat(), (sent, config, from, to) => {
        const { log, batchStarts } = fill(sent, config)
        const offset = from % log.endOffset
        const maxOffset = to % (log.endOffset + 1)
        const found = read(log, offset, 10_000, maxOffset)
        for (const { baseOffset } of found) expect(baseOffset).toBeLessThan(maxOffset)
        const first = batchStarts.findLast((start) => start <= offset)!
        expect(found.length > 0).toBe(first < maxOffset)
      }),
      { numRuns: 60 },
    )
  })

  it('has nothing at the end, until something is appended', () => {
    const log = openLog()
    expect(read(log, 0, 1000)).toEqual([])
    append(log, batchOf(['a']))
    expect(read(log, 1, 1000)).toEqual([])
    append(log, batchOf(['b']))
    expect(read(log, 1, 1000).map(({ baseOffset }) => baseOffset)).toEqual([1])
  })

  it('reads into the memory of a caller that has some', () => {
    const log = openLog()
    for (const value of ['a', 'b', 'c']) append(log, batchOf([value]))
    const pool = Buffer.alloc(1000)
    const bytes = log.read(1, 1000, { maxOffset: 3, atLeastOneBatch: true, allocate: () => pool })
    expect(bytes.buffer).toBe(pool.buffer)
    expect([...readBatches(bytes)].map(({ baseOffset }) => baseOffset)).toEqual([1, 2])
  })
})

describe('searching a log by time', () => {
  it('finds the first record that is not older, in any codec and segment', () => {
    fc.assert(
      fc.property(batches, sizes, fc.integer({ min: -1100, max: 1100 }), fc.nat(), (sent, config, timeMs, start) => {
        const { log, records } = fill(sent, config)
        log.advanceLogStartOffset(start % (log.endOffset + 1))
        const timestampMs = new ManualClock().nowMs() + timeMs
        const first = records.find((record) => record.offset >= log.logStartOffset && record.timestampMs >= timestampMs)
        const expected = first && { offset: first.offset, timestampMs: first.timestampMs, leaderEpoch: 0 }
        expect(log.offsetForTimestamp(timestampMs)).toEqual(expected ?? null)
      }),
      { numRuns: 150 },
    )
  })

  it('finds the exact record within a batch', () => {
    const log = openLog()
    const base = new ManualClock().nowMs()
    for (const compression of ['none', 'zstd'] as const) {
      append(
        log,
        batchOf([], {
          compression,
          records: [0, 20, 10, 20].map((ms, i) => ({ key: null, value: Buffer.from(`${i}`), timestampMs: base + ms })),
        }),
      )
    }
    expect(log.offsetForTimestamp(base + 1)).toEqual({ offset: 1, timestampMs: base + 20, leaderEpoch: 0 })
    log.advanceLogStartOffset(4)
    expect(log.offsetForTimestamp(base + 1)).toMatchObject({ offset: 5 })
    expect(log.offsetForTimestamp(base + 21)).toBeNull()
  })

  it('finds the first record with the largest timestamp of all', () => {
    fc.assert(
      fc.property(batches, sizes, (sent, config) => {
        const { log, records } = fill(sent, config)
        const newestMs = Math.max(...records.map(({ timestampMs }) => timestampMs))
        const { offset } = records.find(({ timestampMs }) => timestampMs === newestMs)!
        expect(log.offsetOfMaxTimestamp()).toEqual({ offset, timestampMs: newestMs, leaderEpoch: 0 })
      }),
      { numRuns: 60 },
    )
  })

  it('finds nothing in a log that is empty or knows no time', () => {
    const log = openLog()
    expect([log.offsetForTimestamp(0), log.offsetOfMaxTimestamp()]).toEqual([null, null])
    append(log, batchOf(['a'], { nowMs: -1 }))
    expect([log.offsetForTimestamp(0), log.offsetOfMaxTimestamp()]).toEqual([null, null])
  })

  it('takes the time of the append for every record where the log sets it', () => {
    const clock = new ManualClock()
    const log = openLog({ clock, config: { messageTimestampType: 'LogAppendTime' } })
    append(log, batchOf(['a', 'b'], { nowMs: 5 }))
    clock.advance(10)
    append(log, batchOf(['c', 'd'], { nowMs: 5 }))
    expect(log.offsetForTimestamp(clock.nowMs() - 1)).toEqual({ offset: 2, timestampMs: clock.nowMs(), leaderEpoch: 0 })
    expect(log.offsetOfMaxTimestamp()).toMatchObject({ offset: 2 })
  })
})

describe('a slice of a log', () => {
  it('is what a read of the same place gives, from whatever offset and however large', () => {
    const values = fc.array(
      fc.integer({ min: 0, max: 30_000 }).map((sizeBytes) => 'x'.repeat(sizeBytes)),
      { minLength: 1, maxLength: 4 },
    )
    let sliceCount = 0
    fc.assert(
      fc.property(
        fc.array(values, { minLength: 1, maxLength: 25 }),
        fc.record({
          segmentBytes: fc.integer({ min: 150_000, max: 500_000 }),
          indexIntervalBytes: fc.integer({ min: 1, max: 100_000 }),
        }),
        fc.nat(),
        fc.integer({ min: 0, max: 400_000 }),
        fc.nat(),
        (sent, config, wanted, maxBytes, limited) => {
          const log = openLog({ config, clock: new ManualClock() })
          for (const batch of sent) append(log, batchOf(batch))
          let offset = wanted % (log.endOffset + 1)
          // On from there, as a consumer goes.
          for (let step = 0; step < 3 && offset < log.endOffset; step++) {
            const maxOffset = limited % 3 === 0 ? offset + 1 + (limited % (log.endOffset - offset)) : log.endOffset
            const expected = log.read(offset, maxBytes, { maxOffset, atLeastOneBatch: true })
            const slice = log.slice(offset, maxBytes, maxOffset)
            const last = [...readBatches(expected)].at(-1)!
            if (slice !== null) {
              sliceCount += 1
              const bytes = Buffer.alloc(slice.length)
              slice.read(bytes, 0)
              expect(bytes.equals(expected)).toBe(true)
              expect(slice.lastOffset).toBe(last.lastOffset)
            }
            offset = last.lastOffset + 1
          }
        },
      ),
    )
    expect(sliceCount).toBeGreaterThan(50)
  })
})
