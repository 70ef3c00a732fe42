import {
  RECORDS,
  buildEndTransactionBatch,
  isCrcValidAt,
  readBatches,
  readRecords,
  refreshCrc,
  type Compression,
  type RecordBatch,
} from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CorruptLogError } from '../base/errors.ts'
import { compactNow, keyed, recordsOf, tableOf, type SeenRecord } from '../testing/compaction.ts'
import { LOG_PATH, append, filesOf, openLog } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import type { LogConfig } from './log-config.ts'
import { MemoryDisk } from './memory-disk.ts'
import { SLOT_BYTES } from './offset-map.ts'
import { Pace } from './pace.ts'
import type { PartitionLog } from './partition-log.ts'

const HOUR_MS = 60 * 60 * 1000
const base: Partial<LogConfig> = { isCompacted: true, isDeleted: false, segmentBytes: 300, indexIntervalBytes: 100 }

interface Open {
  readonly disk: MemoryDisk
  readonly clock: ManualClock
  readonly log: PartitionLog
}

function open(config: Partial<LogConfig> = {}, clock = new ManualClock(), disk = new MemoryDisk()): Open {
  return { disk, clock, log: openLog({ disk, clock, config: { ...base, ...config } }) }
}

function reopen({ disk, clock }: Open, isCleanShutdown = false): PartitionLog {
  return openLog({ disk: disk.copy(), clock, config: base, isCleanShutdown })
}

/** Appends batches of `key=value` texts of one moment, then rolls. */
function write(opened: Open, ...batches: string[][]): void {
  for (const texts of batches) {
    expect(append(opened.log, keyed(texts, { nowMs: opened.clock.nowMs() })).errorCode).toBe(0)
  }
}

function texts(log: PartitionLog): string[] {
  return recordsOf(log).map(({ offset, key, value }) => `${offset}:${key}${value === null ? '' : `=${value}`}`)
}

/** `first-last` offsets of the batches, with the number of their records. */
function batchesOf(log: PartitionLog): string[] {
  return [...log.batches()].map((bytes) => {
    expect(isCrcValidAt(bytes, 0)).toBe(true)
    const [batch] = readBatches(bytes)
    return `${batch!.baseOffset}-${batch!.lastOffset} ${batch!.recordCount}`
  })
}

describe('compaction', () => {
  it('leaves the last record of each key, at its offset', async () => {
    const opened = open()
    write(opened, ['a=1', 'b=1', 'c=1'], ['a=2', 'd=1'], ['b=2'])
    opened.log.roll()
    write(opened, ['a=3', 'd=2'])
    expect(await compactNow(opened.log, opened.clock)).toMatchObject({ from: 0, to: 6, keyCount: 4 })
    // What is in the active segment does not count.
    expect(texts(opened.log)).toEqual(['2:c=1', '3:a=2', '4:d=1', '5:b=2', '6:a=3', '7:d=2'])
    expect(batchesOf(opened.log)).toEqual(['0-2 1', '3-4 2', '5-5 1', '6-7 2'])
    expect([opened.log.logStartOffset, opened.log.endOffset, opened.log.cleanedTo]).toEqual([0, 8, 6])
    expect(texts(reopen(opened))).toEqual(texts(opened.log))
  })

  it('shows what a table of the log shows, and keeps offsets, times and everything behind the part it saw', async () => {
    const key = fc.oneof(
      fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      fc.constantFrom('a key of many bytes', 'another key'),
    )
    const value = fc.oneof(
      fc.constant(null),
      fc.string({ maxLength: 60 }).map((text) => text.replaceAll('=', '')),
    )
    const record = fc.tuple(key, value, fc.integer({ min: -5000, max: 5000 }))
    const batch = fc.record({
      records: fc.array(record, { minLength: 1, maxLength: 6 }),
      compression: fc.constantFrom<Compression[]>('none', 'none', 'gzip', 'lz4', 'snappy', 'zstd'),
      producer: fc.boolean(),
    })
    const round = fc.record({
      batches: fc.array(batch, { maxLength: 12 }),
      roll: fc.boolean(),
      pauseMs: fc.constantFrom(0, 1000, HOUR_MS),
      mapSlots: fc.constantFrom(2, 4, 1000),
      bufferBytes: fc.constantFrom(0, 100, 4096),
    })
    const config = fc.record({
      segmentBytes: fc.constantFrom(400, 1000, 3000),
      indexIntervalBytes: fc.constantFrom(0, 100, 4096),
      deleteRetentionMs: fc.constantFrom(0, 5000, 2 * HOUR_MS),
      messageTimestampType: fc.constantFrom<LogConfig['messageTimestampType'][]>('CreateTime', 'LogAppendTime'),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 5 }), config, async (rounds, settings) => {
        const opened = open({ timestampAfterMaxMs: Infinity, ...settings })
        const { log, clock } = opened
        const all = new Map<number, SeenRecord>()
        let sequence = 0
        for (const { batches, roll, pauseMs, mapSlots, bufferBytes } of rounds) {
          for (const { records, compression, producer } of batches) {
            const nowMs = clock.nowMs()
            const bytes = keyed([], {
              records: records.map(([k, v, ms]) => ({
                key: Buffer.from(k),
                value: v === null ? null : Buffer.from(v),
                timestampMs: nowMs + ms,
                headers: [{ key: 'h', value: Buffer.from([records.length]) }],
              })),
              compression,
              ...(producer ? { producerId: 7, producerEpoch: 0, baseSequence: sequence } : {}),
            })
            if (producer) sequence += records.length
            const { errorCode, baseOffset } = append(log, bytes)
            expect(errorCode).toBe(0)
            const isStamped = settings.messageTimestampType === 'LogAppendTime'
            for (const [i, [k, v, ms]] of records.entries()) {
              const timestampMs = isStamped ? nowMs : nowMs + ms
              all.set(baseOffset + i, { offset: baseOffset + i, timestampMs, key: k, value: v })
            }
          }
          if (roll) log.roll()
          const result = await compactNow(log, clock, { mapBytesMax: mapSlots * SLOT_BYTES, bufferBytes })
          const seen = recordsOf(log)

          // Nothing is made up, moved or changed.
          for (const one of seen) expect(one).toEqual(all.get(one.offset))
          // Who starts from the beginning gets the same table.
          expect(tableOf(seen)).toEqual(tableOf([...all.values()]))
          // Nothing behind the part that was compacted is gone, and nothing in it is superseded by something else in it.
          const to = result!.to
          expect(seen.filter(({ offset }) => offset >= to)).toEqual(
            [...all.values()].filter(({ offset }) => offset >= to),
          )
          const compacted = seen.filter(({ offset }) => offset < to).map(({ key: k }) => k)
          expect(new Set(compacted).size).toBe(compacted.length)
          clock.advance(pauseMs)
        }
        // The producer goes on where it was, whatever is left of its records, and however the log is opened.
        for (const again of [
          log,
          reopen(opened),
          openLog({ disk: withoutSnapshots(opened.disk), isCleanShutdown: false, config: base }),
        ]) {
          expect(recordsOf(again)).toEqual(recordsOf(log))
          expect(again.endOffset).toBe(all.size)
          if (sequence === 0) continue
          const [kept] = again.producers.entries()
          expect(kept).toMatchObject({ producerId: 7, epoch: 0, lastSequence: sequence - 1 })
        }
      }),
      { numRuns: 50 },
    )
  }, 60_000)

  it('keeps a batch without records for the sequence of its producer, until that has written another', async () => {
    const opened = open()
    const { log, clock } = opened
    const produced = (text: string, baseSequence: number): Buffer =>
      keyed([text], { producerId: 9, producerEpoch: 3, baseSequence, nowMs: clock.nowMs() })
    append(log, produced('a=1', 0))
    append(log, produced('a=2', 1))
    write(opened, ['a=3'], ['b=1'])
    log.roll()
    await compactNow(log, clock)
    expect(batchesOf(log)).toEqual(['1-1 0', '2-2 1', '3-3 1'])
    const again = openLog({ disk: withoutSnapshots(opened.disk), isCleanShutdown: false, config: base })
    expect(append(again, produced('a=2', 1))).toMatchObject({ isDuplicate: true, baseOffset: 1 })
    expect(append(again, produced('a=4', 2))).toMatchObject({ errorCode: 0, baseOffset: 4 })

    append(log, produced('b=2', 2))
    log.roll()
    await compactNow(log, clock)
    expect(batchesOf(log)).toEqual(['2-2 1', '4-4 1'])
  })

  it('keeps the last batch of the part that it saw, empty if need be, so that the offset is known', async () => {
    const opened = open({ deleteRetentionMs: 0 })
    const { log, clock } = opened
    write(opened, ['a=1'], ['b'])
    log.roll()
    await compactNow(log, clock)
    expect(texts(log)).toEqual(['0:a=1', '1:b'])
    clock.advance(1)
    await compactNow(log, clock)
    expect(batchesOf(log)).toEqual(['0-0 1', '1-1 0'])
    expect([log.endOffset, log.logStartOffset]).toEqual([2, 0])
    expect(reopen(opened).endOffset).toBe(2)

    write(opened, ['c=1'])
    log.roll()
    await compactNow(log, clock)
    expect(batchesOf(log)).toEqual(['0-0 1', '2-2 1'])
  })

  it('leaves a batch that loses nothing as it is, to the byte', async () => {
    const opened = open({ segmentBytes: 10_000 })
    write(opened, ['a=1', 'b=1'], ['c=1'])
    const before = opened.log.read(0, 10_000, { maxOffset: 10, atLeastOneBatch: true })
    opened.log.roll()
    await compactNow(opened.log, opened.clock)
    expect(opened.log.read(0, 10_000, { maxOffset: 10, atLeastOneBatch: true })).toEqual(before)
  })

  it('keeps header bytes that are no text', async () => {
    const opened = open()
    const { log, clock } = opened
    const bytes = keyed([], {
      records: [
        { key: Buffer.from('a'), value: Buffer.from('1') },
        { key: Buffer.from('b'), value: Buffer.from('1'), headers: [{ key: 'xx', value: Buffer.from([255, 0]) }] },
      ],
      nowMs: clock.nowMs(),
    })
    const at = bytes.indexOf('xx')
    bytes[at] = 0xff
    const plain = append(log, bytes).errorCode
    // The checksum is the client's.
    expect(plain).not.toBe(0)
    refreshCrc(bytes, 0)
    expect(append(log, bytes).errorCode).toBe(0)
    write(opened, ['a=2'])
    log.roll()
    await compactNow(log, clock)
    const [first] = log.batches()
    expect(first!.includes(Buffer.from([0xff, 0x78]))).toBe(true)
  })

  it('does not touch a log of which nothing is closed', async () => {
    const opened = open()
    write(opened, ['a=1'], ['a=2'])
    expect(await compactNow(opened.log, opened.clock)).toMatchObject({ from: 0, to: 0, bytesBefore: 0 })
    expect(texts(opened.log)).toEqual(['0:a=1', '1:a=2'])
  })
})

describe('tombstones', () => {
  it('stay for delete.retention.ms after the first compaction that met them, and go with the next after that', async () => {
    const opened = open({ deleteRetentionMs: HOUR_MS })
    const { log, clock } = opened
    write(opened, ['a=1'], ['a', 'b=1'])
    log.roll()
    clock.advance(24 * HOUR_MS)
    await compactNow(log, clock)
    expect(texts(log)).toEqual(['1:a', '2:b=1'])
    const [batch] = readBatches([...log.batches()][0]!)
    expect(batch).toMatchObject({ hasDeleteHorizon: true, baseTimestampMs: clock.nowMs() + HOUR_MS - elapsed(clock) })
    expect(recordsOf(log).map(({ timestampMs }) => timestampMs)).toEqual([0, 0].map(() => new ManualClock().nowMs()))

    clock.advance(HOUR_MS - 1000)
    write(opened, ['c=1'])
    log.roll()
    await compactNow(log, clock)
    expect(texts(log)).toEqual(['1:a', '2:b=1', '3:c=1'])

    clock.advance(1000)
    write(opened, ['d=1'])
    log.roll()
    await compactNow(log, clock)
    expect(texts(log)).toEqual(['2:b=1', '3:c=1', '4:d=1'])
    expect(texts(reopen(opened))).toEqual(texts(log))
  })

  /** What the compaction itself took, by the clock that a test moves for it. */
  function elapsed(clock: ManualClock): number {
    return (clock.nowMs() - new ManualClock().nowMs()) % HOUR_MS
  }

  it('count a deletion that has not come to the reader yet', async () => {
    const opened = open({ deleteRetentionMs: 0 })
    write(opened, ['a=1'])
    opened.log.roll()
    write(opened, ['a'], ['b=1'])
    opened.log.roll()
    await compactNow(opened.log, opened.clock)
    // Without a horizon yet it stays for one more round, even with no time to stay.
    expect(texts(opened.log)).toEqual(['1:a', '2:b=1'])
  })
})

describe('the bounded map of keys', () => {
  it('ends a compaction where it is full, and the next goes on there', async () => {
    const opened = open()
    const { log, clock } = opened
    write(opened, ['a=1', 'b=1', 'c=1'], ['a=2'], ['b=2', 'd=1'], ['c=2', 'e=1'])
    log.roll()
    const mapBytesMax = 4 * SLOT_BYTES
    const ends: number[] = []
    for (;;) {
      const { from, to } = (await compactNow(log, clock, { mapBytesMax }))!
      if (from === to) break
      ends.push(to)
    }
    expect(ends.length).toBeGreaterThan(1)
    expect(ends.at(-1)).toBe(log.endOffset)
    expect(texts(log)).toEqual(['3:a=2', '4:b=2', '5:d=1', '6:c=2', '7:e=1'])
  })

  it('takes no more memory than the keys can need', async () => {
    const opened = open()
    write(opened, ['a=1'], ['a=2'])
    opened.log.roll()
    // 4 PiB are not there to be had.
    expect(await compactNow(opened.log, opened.clock, { mapBytesMax: 2 ** 52 })).toMatchObject({ keyCount: 1 })
  })
})

describe('segments', () => {
  it('that became small are put together, up to segment.bytes', async () => {
    const opened = open({ segmentBytes: 300 })
    const { log, clock } = opened
    for (let i = 0; i < 40; i++) write(opened, [`${i % 4}=${i}`])
    log.roll()
    const before = log.segmentCount
    await compactNow(log, clock)
    // Groups are made by what the segments hold before.
    expect(log.segmentCount).toBe(before)
    await compactNow(log, clock)
    expect(log.segmentCount).toBe(2)
    expect(texts(log)).toEqual(['36:0=36', '37:1=37', '38:2=38', '39:3=39'])
    expect(log.segments.every(({ sizeBytes }) => sizeBytes <= 300)).toBe(true)
    clock.advance(60_000)
    const logs = Object.keys(filesOf(opened.disk)).filter((name) => name.includes('.log'))
    expect(logs).toHaveLength(2)
    expect(texts(reopen(opened, true))).toEqual(texts(log))
  })

  it('become two where one would be larger than its index can tell', async () => {
    const opened = open({ segmentBytes: 1000, deleteRetentionMs: HOUR_MS })
    for (let i = 0; i < 12; i++) write(opened, [`${i}`, `${i}x=1`])
    opened.log.roll()
    await compactNow(opened.log, opened.clock, { segmentBytesMax: 400 })
    expect(opened.log.segments.every(({ sizeBytes }) => sizeBytes <= 400)).toBe(true)
    expect(texts(opened.log)).toHaveLength(24)
    expect(texts(reopen(opened))).toEqual(texts(opened.log))
  })

  it('find every record by offset and by time after it', async () => {
    const opened = open({ segmentBytes: 2000 })
    const { log, clock } = opened
    for (let i = 0; i < 200; i++) {
      write(opened, [`${(i * 7) % 40}=${i}`])
      clock.advance(10)
    }
    log.roll()
    await compactNow(log, clock)
    const seen = recordsOf(log)
    for (let offset = 0; offset < log.endOffset; offset++) {
      const bytes = log.read(offset, 1, { maxOffset: log.endOffset, atLeastOneBatch: true })
      const first = seen.find((record) => record.offset >= offset)!
      expect(readRecords([...readBatches(bytes)][0]!)[0]!.offset).toBe(first.offset)
    }
    for (const { timestampMs, offset } of seen) {
      expect(log.offsetForTimestamp(timestampMs)).toMatchObject({ offset, timestampMs })
    }
    expect(log.offsetOfMaxTimestamp()).toMatchObject({ offset: 199 })
  })
})

describe('a compaction that is given up', () => {
  async function during(action: (opened: Open, pace: Pace) => void): Promise<Open> {
    const opened = open({ segmentBytes: 600 })
    const { log, clock } = opened
    for (let i = 0; i < 60; i++) write(opened, [`${i % 5}=${i}`])
    log.roll()
    const pace = new Pace(clock, () => 2000)
    clock.setTimer(400, () => action(opened, pace))
    sliceEveryBatch(pace)
    expect(await compactNow(log, clock, { pace, stepMs: 20 })).toBeNull()
    expect(opened.disk.list(LOG_PATH).filter((name) => name.endsWith('.cleaned'))).toEqual([])
    return opened
  }

  it('leaves the log as it was, when it was stopped', async () => {
    const { log } = await during((_, pace) => pace.stop())
    expect(log.cleanedTo).toBeNull()
    expect(recordsOf(log)).toHaveLength(60)
  })

  it('leaves a log alone that was cut off, and begins before the cut the next time', async () => {
    const opened = await during(({ log }) => log.truncateTo(17))
    expect(texts(opened.log)).toHaveLength(17)
    write(opened, ['0=again'])
    opened.log.roll()
    await compactNow(opened.log, opened.clock)
    expect(texts(opened.log)).toEqual(['12:2=12', '13:3=13', '14:4=14', '16:1=16', '17:0=again'])
  })

  it('goes on before the cut when a log was cut off that was compacted', async () => {
    const opened = open()
    const { log, clock } = opened
    for (let i = 0; i < 20; i++) write(opened, [`${i % 3}=${i}`])
    log.roll()
    await compactNow(log, clock)
    log.truncateTo(18)
    expect(log.cleanedTo).toBe(18)
    for (let i = 18; i < 30; i++) write(opened, [`${i % 2}=${i}`])
    log.roll()
    expect(await compactNow(log, clock)).toMatchObject({ from: 18, to: 30 })
    expect(texts(log)).toEqual(['17:2=17', '28:0=28', '29:1=29'])
    log.truncateFully(100)
    expect(log.cleanedTo).toBeNull()
  })

  it('touches no file of a log that was closed or deleted', async () => {
    await during(({ log }) => log.close())
    const { disk } = await during(({ log }) => log.delete())
    expect(disk.list(LOG_PATH)).toEqual([])
    expect(disk.openFileCount).toBe(0)
  })

  it('S18: stops at a batch that has rotted, and copies nothing of it', async () => {
    const opened = open()
    const { log, clock, disk } = opened
    write(opened, ['a=1'], ['b=1'], ['a=2'])
    log.roll()
    const path = log.segments[0]!.path
    const bytes = disk.readFile(path)!
    bytes[RECORDS + 8]! ^= 1
    disk.writeFile(path, bytes)
    const failed = await compactNow(log, clock).catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(CorruptLogError)
    expect(failed).toMatchObject({ file: path, position: 0 })
    expect(disk.readFile(path)).toEqual(bytes)
    expect(disk.list(LOG_PATH).filter((name) => /cleaned|swap/.test(name))).toEqual([])
  })
})

describe('who reads while a log is compacted', () => {
  it('goes through all that follows, from old segments and new ones', async () => {
    const opened = open({ segmentBytes: 300, fileDeleteDelayMs: 0 })
    const { log, clock } = opened
    for (let i = 0; i < 30; i++) write(opened, [`${i % 10}=${i}`])
    log.roll()
    const readers = Array.from({ length: 30 }, () => log.batches())
    const seen = readers.map((reader, i) => Array.from({ length: i }, () => offsetOf(reader.next().value as Buffer)))
    await compactNow(log, clock)
    await compactNow(log, clock)
    clock.advance(5000)
    for (const [i, reader] of readers.entries()) {
      for (const bytes of reader) seen[i]!.push(offsetOf(bytes))
      const offsets = seen[i]!
      expect(offsets).toEqual([...new Set(offsets)].sort((a, b) => a - b))
      // The last ten are what is left.
      expect(offsets.filter((offset) => offset >= 20)).toEqual(Array.from({ length: 10 }, (_, n) => 20 + n))
      expect(offsets.slice(0, i)).toEqual(Array.from({ length: i }, (_, n) => n))
    }
    clock.advance(5000)
    expect(opened.disk.list(LOG_PATH).filter((name) => name.endsWith('.deleted'))).toEqual([])
  })

  function offsetOf(bytes: Buffer): number {
    return [...readBatches(bytes)][0]!.baseOffset
  }

  it('may append in every pause', async () => {
    const opened = open({ segmentBytes: 600 })
    const { log, clock } = opened
    for (let i = 0; i < 60; i++) write(opened, [`${i % 5}=${i}`])
    log.roll()
    const pace = new Pace(clock, () => Infinity)
    sliceEveryBatch(pace)
    let extra = 0
    const rest = pace.rest.bind(pace)
    pace.rest = () => {
      write(opened, [`x${extra++ % 3}=${extra}`])
      return rest()
    }
    await compactNow(log, clock, { pace })
    expect(extra).toBeGreaterThan(60)
    expect(log.endOffset).toBe(60 + extra)
    const seen = recordsOf(log)
    expect(seen.slice(0, 5).map(({ offset }) => offset)).toEqual([55, 56, 57, 58, 59])
    expect(seen).toHaveLength(5 + extra)
    expect(texts(reopen(opened))).toEqual(texts(log))
  })
})

describe('transactions', () => {
  const marker = (isCommit: boolean, producerId: number, nowMs: number): Buffer =>
    buildEndTransactionBatch({ isCommit, producerId, producerEpoch: 0, coordinatorEpoch: 0, nowMs })
  const own = { origin: 'coordinator' } as const

  function transaction(opened: Open, producerId: number, isCommit: boolean, ...values: string[]): void {
    const { log, clock } = opened
    const input = { producerId, producerEpoch: 0, isTransactional: true, nowMs: clock.nowMs() }
    const sequence = log.endOffset
    for (const [i, text] of values.entries()) append(log, keyed([text], { ...input, baseSequence: sequence + i }), own)
    append(log, marker(isCommit, producerId, clock.nowMs()), own)
  }

  it('keep their marker while a record is left, and for delete.retention.ms after that', async () => {
    const opened = open({ deleteRetentionMs: HOUR_MS, segmentBytes: 10_000 })
    const { log, clock } = opened
    transaction(opened, 1, true, 'a=1')
    write(opened, ['b=1'])
    log.roll()
    await compactNow(log, clock)
    expect(batchesOf(log)).toEqual(['0-0 1', '1-1 1', '2-2 1'])

    // The data goes; the marker behind it stays for this round.
    write(opened, ['a=2'])
    transaction(opened, 1, true, 'c=1')
    log.roll()
    await compactNow(log, clock)
    expect(batchesOf(log)).toEqual(['1-1 1', '2-2 1', '3-3 1', '4-4 1', '5-5 1'])
    expect(markerOf(log, 1)).toMatchObject({ isControl: true, hasDeleteHorizon: false })

    write(opened, ['d=1'])
    log.roll()
    await compactNow(log, clock)
    expect(markerOf(log, 1)).toMatchObject({ isControl: true, hasDeleteHorizon: true })
    expect(markerOf(log, 5)).toMatchObject({ isControl: true, hasDeleteHorizon: false })

    clock.advance(HOUR_MS)
    write(opened, ['e=1'])
    log.roll()
    await compactNow(log, clock)
    expect(batchesOf(log)).toEqual(['2-2 1', '3-3 1', '4-4 1', '5-5 1', '6-6 1', '7-7 1'])
  })

  function markerOf(log: PartitionLog, offset: number): RecordBatch | undefined {
    return [...log.batches()].flatMap((bytes) => [...readBatches(bytes)]).find((batch) => batch.lastOffset === offset)
  }

  it('that were aborted lose their records at once, and supersede nothing', async () => {
    const opened = open({ segmentBytes: 10_000 })
    const { log, clock } = opened
    write(opened, ['a=1'])
    transaction(opened, 1, false, 'a=2', 'a=3')
    transaction(opened, 1, true, 'b=1')
    write(opened, ['c=1'])
    log.roll()
    await compactNow(log, clock)
    expect(texts(log)).toEqual(['0:a=1', '4:b=1', '6:c=1'])
    // The marker stays for a reader who has the records already.
    expect(batchesOf(log)).toEqual(['0-0 1', '3-3 1', '4-4 1', '5-5 1', '6-6 1'])
  })

  it('that were aborted stay in the index as long as one of their batches does, if only as a place', async () => {
    const opened = open({ segmentBytes: 10_000 })
    const { log, clock } = opened
    write(opened, ['a=1'])
    transaction(opened, 1, false, 'a=2')
    transaction(opened, 2, false, 'a=3')
    transaction(opened, 1, false, 'a=4')
    log.roll()
    await compactNow(log, clock)
    // Of each producer the last batch is there, without its records.
    expect(batchesOf(log)).toEqual(['0-0 1', '2-2 1', '3-3 0', '4-4 1', '5-5 0', '6-6 1'])
    const left = (from: PartitionLog): number[][] =>
      from
        .abortedTransactions(0, from.endOffset)
        .map(({ producerId, firstOffset, lastOffset }) => [producerId, firstOffset, lastOffset])
    const all = [
      [1, 1, 2],
      [2, 3, 4],
      [1, 5, 6],
    ]
    expect(left(log)).toEqual(all)
    // Now there was nothing before the first marker.
    write(opened, ['b=1'])
    log.roll()
    await compactNow(log, clock)
    expect(left(log)).toEqual(all.slice(1))
    for (const isClean of [false, true]) expect(left(reopen(opened, isClean))).toEqual(all.slice(1))
  })
})

function sliceEveryBatch(pace: Pace): void {
  const spend = pace.spend.bind(pace)
  pace.spend = (bytes) => spend(bytes) || true
}

function withoutSnapshots(disk: MemoryDisk): MemoryDisk {
  const copy = disk.copy()
  for (const name of copy.list(LOG_PATH)) if (name.endsWith('.snapshot')) copy.remove(`${LOG_PATH}/${name}`)
  return copy
}
