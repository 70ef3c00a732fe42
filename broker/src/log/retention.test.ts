import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultLogConfig, type LogConfig } from './log-config.ts'
import { retainedFrom, type RetainedSegment } from './retention.ts'

const NOW_MS = 1_000_000

/** Segments one after the other, each told by its number of records, its size and how old its youngest record is. */
function view(segments: readonly [records: number, sizeBytes: number, ageMs: number][], logStartOffset = 0) {
  let endOffset = 0
  const row: RetainedSegment[] = segments.map(([records, sizeBytes, ageMs]) => {
    const baseOffset = endOffset
    endOffset += records
    return { baseOffset, sizeBytes, newestMs: NOW_MS - ageMs }
  })
  return { segments: row, logStartOffset, endOffset }
}

function start(
  segments: Parameters<typeof view>[0],
  config: Partial<LogConfig>,
  options: { readonly upTo?: number; readonly logStartOffset?: number } = {},
): number {
  const log = view(segments, options.logStartOffset)
  return retainedFrom(
    log,
    { ...defaultLogConfig, retentionMs: -1, ...config },
    { upTo: options.upTo ?? log.endOffset, nowMs: NOW_MS },
  )
}

describe('retention by time', () => {
  it('takes segments whose youngest record is older than retention.ms, not those that are as old', () => {
    const segments: Parameters<typeof view>[0] = [
      [10, 100, 5001],
      [10, 100, 5000],
      [10, 100, 9000],
      [10, 100, 0],
    ]
    expect(start(segments, { retentionMs: 5000 })).toBe(10)
    expect(start(segments, { retentionMs: 4999 })).toBe(30)
    expect(start(segments, { retentionMs: -1 })).toBe(0)
    expect(start(segments, { retentionMs: 4999, isDeleted: false, isCompacted: true })).toBe(0)
    expect(start(segments, { retentionMs: 4999, isDeleted: true, isCompacted: true })).toBe(30)
  })

  it('takes the active segment too, unless it is empty', () => {
    expect(start([[10, 100, 9000]], { retentionMs: 5000 })).toBe(10)
    expect(start([[0, 0, 9000]], { retentionMs: 5000 })).toBe(0)
    const withEmptyEnd: Parameters<typeof view>[0] = [
      [10, 100, 9000],
      [0, 0, 9000],
    ]
    expect(start(withEmptyEnd, { retentionMs: 5000 })).toBe(10)
  })

  it('lets a record of the far future keep its segment and those behind it, but not from the size', () => {
    const segments: Parameters<typeof view>[0] = [
      [10, 100, -1_000_000],
      [10, 100, 9000],
      [10, 100, 0],
    ]
    expect(start(segments, { retentionMs: 5000 })).toBe(0)
    expect(start(segments, { retentionMs: 5000, retentionBytes: 200 })).toBe(20)
  })
})

describe('retention by size', () => {
  it('leaves at least retention.bytes, and takes what is not needed for that', () => {
    const segments: Parameters<typeof view>[0] = [
      [10, 100, 0],
      [10, 100, 0],
      [10, 50, 0],
    ]
    expect(start(segments, { retentionBytes: 250 })).toBe(0)
    expect(start(segments, { retentionBytes: 151 })).toBe(0)
    expect(start(segments, { retentionBytes: 150 })).toBe(10)
    expect(start(segments, { retentionBytes: 50 })).toBe(20)
    expect(start(segments, { retentionBytes: 0 })).toBe(30)
    expect(start(segments, { retentionBytes: -1 })).toBe(0)
  })
})

describe('the start of the log', () => {
  it('takes what ends below it, whatever the policy is, but not the active segment', () => {
    const segments: Parameters<typeof view>[0] = [
      [10, 100, 0],
      [10, 100, 0],
      [10, 100, 0],
    ]
    for (const isDeleted of [true, false]) {
      expect(start(segments, { isDeleted }, { logStartOffset: 9 })).toBe(0)
      expect(start(segments, { isDeleted }, { logStartOffset: 10 })).toBe(10)
      expect(start(segments, { isDeleted }, { logStartOffset: 29 })).toBe(20)
      expect(start(segments, { isDeleted }, { logStartOffset: 30 })).toBe(20)
    }
  })
})

describe('whatever the settings are', () => {
  it('whole segments go from the front, none with a record at or above the limit, and what stays is due no more', () => {
    const segment = fc.tuple(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: -50, max: 100 }),
    )
    fc.assert(
      fc.property(
        fc.array(segment, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: -1, max: 60 }),
        fc.integer({ min: -1, max: 300 }),
        fc.nat(40),
        (segments, retentionMs, retentionBytes, limit) => {
          const log = view(segments)
          const upTo = Math.min(limit, log.endOffset)
          const from = start(segments, { retentionMs, retentionBytes }, { upTo })
          const index = log.segments.findIndex(({ baseOffset }) => baseOffset === from)
          expect(from <= upTo || from === 0).toBe(true)
          expect(index >= 0 || from === log.endOffset).toBe(true)
          const kept = index < 0 ? [] : log.segments.slice(index)
          const keptBytes = kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
          const [first, second] = kept
          // The next one could not have gone by size or by time.
          const isHeld = first !== undefined && (second?.baseOffset ?? log.endOffset) > upTo
          if (first === undefined || isHeld) return
          const isDueBySize = retentionBytes >= 0 && keptBytes - first.sizeBytes >= retentionBytes
          const isDueByTime = retentionMs >= 0 && NOW_MS - first.newestMs > retentionMs
          expect([isDueBySize, isDueByTime]).toEqual([false, false])
        },
      ),
    )
  })
})
