import { ErrorCode, buildBatch, isCrcValidAt, readBatch, readBatches, readRecords } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { BrokerError, StorageError } from '../base/errors.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { LOG_PATH, TOPIC_ID, append, batchOf, filesOf, openLog, producedBatch, valuesOf } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { defaultLogConfig } from './log-config.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { PartitionLog } from './partition-log.ts'

const ANY = { maxOffset: Infinity, atLeastOneBatch: true }

function appendValues(log: PartitionLog, ...values: string[]): void {
  for (const value of values) expect(append(log, batchOf([value])).errorCode).toBe(0)
}

function segmentsOf(disk: MemoryDisk): number[] {
  return Object.keys(filesOf(disk))
    .filter((name) => name.endsWith('.log'))
    .map((name) => Number.parseInt(name, 10))
}

describe('appending', () => {
  it('gives records the next offsets and stamps them into the bytes that came', () => {
    const log = openLog()
    const first = batchOf(['a', 'b'])
    expect(append(log, first, { leaderEpoch: 3 })).toEqual({
      errorCode: 0,
      errorMessage: null,
      recordErrors: [],
      baseOffset: 0,
      lastOffset: 1,
      logAppendTimeMs: -1,
      logStartOffset: 0,
      isDuplicate: false,
    })
    const second = batchOf(['c'])
    expect(append(log, second, { leaderEpoch: 4 })).toMatchObject({ baseOffset: 2, lastOffset: 2 })
    expect(log.endOffset).toBe(3)
    expect(readBatch(second)).toMatchObject({ baseOffset: 2, leaderEpoch: 4 })
    expect(isCrcValidAt(second, 0)).toBe(true)
    expect(log.read(0, 1000, ANY)).toEqual(Buffer.concat([first, second]))
    expect(log.leaderEpochs.entries).toEqual([
      { epoch: 3, startOffset: 0 },
      { epoch: 4, startOffset: 2 },
    ])
  })

  it('takes its batch from the middle of a larger buffer', () => {
    const log = openLog()
    const batch = batchOf(['a'])
    const frame = Buffer.concat([Buffer.from('before'), batch, Buffer.from('after')])
    const result = log.append(frame, 6, 6 + batch.length, { origin: 'client', leaderEpoch: 0 })
    expect(result.errorCode).toBe(0)
    expect([...valuesOf(log).values()]).toEqual(['a'])
    expect(frame.subarray(-5).toString()).toBe('after')
  })

  it('leaves no trace of a batch that it refuses', () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk })
    appendValues(log, 'a')
    const before = filesOf(disk)
    const result = append(log, batchOf(['b'], { isControl: true }), { leaderEpoch: 9 })
    expect(result).toMatchObject({ errorCode: ErrorCode.invalidRecord, baseOffset: -1, lastOffset: -1 })
    expect(result.errorMessage).toContain('control')
    expect(append(log, producedBatch(7, 0, 4)).errorCode).toBe(0)
    expect(append(log, producedBatch(7, 0, 9)).errorCode).toBe(ErrorCode.outOfOrderSequenceNumber)
    expect(filesOf(disk)).toEqual({ ...before, '00000000000000000000.log': expect.any(Number) })
    expect(log.endOffset).toBe(2)
    expect(log.leaderEpochs.latestEpoch).toBe(0)
  })

  it('answers a batch that came before with the offsets it has', () => {
    const clock = new ManualClock()
    const log = openLog({ clock })
    appendValues(log, 'a')
    expect(append(log, producedBatch(7, 0, 0, 3))).toMatchObject({ baseOffset: 1, isDuplicate: false })
    appendValues(log, 'b')
    expect(append(log, producedBatch(7, 0, 0, 3))).toMatchObject({
      errorCode: 0,
      baseOffset: 1,
      lastOffset: 3,
      logAppendTimeMs: clock.nowMs(),
      isDuplicate: true,
    })
    expect(log.endOffset).toBe(5)
  })

  it('tells the time that it set', () => {
    const clock = new ManualClock()
    const log = openLog({ clock, config: { messageTimestampType: 'LogAppendTime' } })
    clock.advance(77)
    expect(append(log, batchOf(['a']))).toMatchObject({ logAppendTimeMs: clock.nowMs() })
  })

  it('refuses a batch that fits no segment', () => {
    const log = openLog({ config: { segmentBytes: 100 } })
    expect(append(log, batchOf(['x'.repeat(100)]))).toMatchObject({ errorCode: ErrorCode.recordListTooLarge })
    expect(log.segmentCount).toBe(1)
  })

  it('stores a batch in another codec from other memory', () => {
    const log = openLog({ config: { compressionType: 'zstd' } })
    append(log, batchOf(['a', 'a', 'a']))
    const batch = readBatch(log.read(0, 1000, ANY))
    expect(batch.compression).toBe('zstd')
    expect(readRecords(batch).map(({ offset, value }) => [offset, String(value)])).toEqual([
      [0, 'a'],
      [1, 'a'],
      [2, 'a'],
    ])
  })

  it('obeys settings that change while it is open', () => {
    const log = openLog()
    append(log, batchOf(['a'], { records: [{ key: null, value: Buffer.from('a') }] }))
    log.config = { ...log.config, isCompacted: true }
    const result = append(log, buildBatch({ records: [{ key: null, value: Buffer.from('a') }], nowMs: 0 }))
    expect(result).toMatchObject({
      errorCode: ErrorCode.invalidRecord,
      recordErrors: [{ batchIndex: 0, message: expect.stringContaining('key') }],
    })
  })
})

describe('rolling', () => {
  it('begins a segment rather than let one grow beyond its size', () => {
    const disk = new MemoryDisk()
    const size = batchOf(['a']).length
    const log = openLog({ disk, config: { segmentBytes: 2 * size } })
    appendValues(log, 'a', 'b', 'c', 'd', 'e')
    expect(segmentsOf(disk)).toEqual([0, 2, 4])
    expect(log.segmentCount).toBe(3)
    expect(log.sizeBytes).toBe(5 * size)
  })

  it('begins a segment when a batch is younger than the first by the time of a segment', () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const log = openLog({ disk, clock, config: { segmentMs: 100 } })
    const appendAt = (ms: number) => append(log, batchOf(['a'], { nowMs: clock.nowMs() + ms }))
    appendAt(0)
    appendAt(100)
    // Records of the past do not roll, whatever the clock of the broker says.
    clock.advance(10_000)
    appendAt(-10_000)
    expect(segmentsOf(disk)).toEqual([0])
    appendAt(-10_000 + 101)
    expect(segmentsOf(disk)).toEqual([0, 3])
    appendAt(-10_000 + 201)
    expect(segmentsOf(disk)).toEqual([0, 3])
    appendAt(-10_000 + 202)
    expect(segmentsOf(disk)).toEqual([0, 3, 5])
  })

  it('goes by the clock where records have no time', () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const log = openLog({ disk, clock, config: { segmentMs: 100 } })
    append(log, batchOf(['a'], { nowMs: -1 }))
    clock.advance(100)
    append(log, batchOf(['b'], { nowMs: -1 }))
    clock.advance(1)
    append(log, batchOf(['c'], { nowMs: -1 }))
    expect(segmentsOf(disk)).toEqual([0, 2])
  })

  it('takes the jitter of its own off the time, the same each time and another for each log', () => {
    const rollsAfter = (directory: string) => {
      const clock = new ManualClock()
      const log = openLog({ clock, directory, config: { segmentMs: 1000, segmentJitterMs: 800 } })
      append(log, batchOf(['a'], { nowMs: clock.nowMs() }))
      for (let ms = 0; ; ms++) {
        append(log, batchOf(['a'], { nowMs: clock.nowMs() + ms }))
        if (log.segmentCount > 1) return ms
      }
    }
    const waits = ['/data/orders-0', '/data/orders-1', '/data/orders-2', '/data/orders-0'].map(rollsAfter)
    for (const wait of waits) expect(wait > 200 && wait <= 1001).toBe(true)
    expect(new Set(waits).size).toBe(3)
    expect(waits[0]).toBe(waits[3])
  })

  it('begins a segment when an index is full', () => {
    const log = openLog({ config: { indexIntervalBytes: 1, segmentIndexBytes: 12 * 5 } })
    appendValues(log, ...Array.from({ length: 30 }, (_, i) => `${i}`))
    const single = log.segmentCount
    const clock = new ManualClock()
    const growing = openLog({ config: { indexIntervalBytes: 1, segmentIndexBytes: 12 * 5 } })
    for (let i = 0; i < 30; i++) append(growing, batchOf(['a'], { nowMs: clock.nowMs() + i }))
    // With one timestamp it is the offset index that fills, with growing ones the time index, which keeps a place free.
    expect([single, growing.segmentCount]).toEqual([4, 6])
  })

  it('leaves an empty segment alone', () => {
    const log = openLog()
    log.roll()
    appendValues(log, 'a')
    log.roll()
    log.roll()
    expect(log.segmentCount).toBe(2)
    expect(log.activeBaseOffset).toBe(1)
  })

  it('S10: goes on in the old segment when the new one could not be made', () => {
    const disk = new MemoryDisk()
    const faulty = new FaultyDisk(disk)
    const log = openLog({ disk: faulty, config: { segmentBytes: 200 } })
    appendValues(log, 'a', 'b')
    faulty.fail(['create'], 'EMFILE')
    expect(() => append(log, batchOf(['c']))).toThrow('EMFILE')
    expect([...valuesOf(log).values()]).toEqual(['a', 'b'])
    faulty.fail([])
    appendValues(log, 'c')
    expect([...valuesOf(log).values()]).toEqual(['a', 'b', 'c'])
    log.close()
    expect([...valuesOf(openLog({ disk })).values()]).toEqual(['a', 'b', 'c'])
  })
})

describe('a disk that fails', () => {
  it('S10: leaves the log as it was and can be used again', () => {
    const faulty = new FaultyDisk(new MemoryDisk())
    const log = openLog({ disk: faulty })
    append(log, producedBatch(7, 0, 0))
    faulty.fail(['append'], 'ENOSPC')
    expect(() => append(log, producedBatch(7, 0, 1))).toThrow(StorageError)
    expect([log.endOffset, log.sizeBytes]).toEqual([1, batchSize(log, 0)])
    faulty.fail([])
    // The batch that failed was not noted, so it is new.
    expect(append(log, producedBatch(7, 0, 1))).toMatchObject({ baseOffset: 1, isDuplicate: false })
    expect([...valuesOf(log).values()]).toEqual(['7/0/0', '7/0/1'])
  })

  it('S10: shows readers no part of a batch even if that could not be taken away', () => {
    const disk = new MemoryDisk()
    const faulty = new FaultyDisk(disk)
    const log = openLog({ disk: faulty })
    appendValues(log, 'a')
    faulty.fail(['append', 'truncate'])
    expect(() => append(log, batchOf(['b']))).toThrow('append')
    expect(filesOf(disk)['00000000000000000000.log']).toBeGreaterThan(log.sizeBytes)
    expect([...valuesOf(log).values()]).toEqual(['a'])
    // Still no good: nothing is written behind the rest.
    expect(() => append(log, batchOf(['c']))).toThrow('truncate')
    faulty.fail([])
    appendValues(log, 'd')
    expect([...valuesOf(log).values()]).toEqual(['a', 'd'])
    expect(filesOf(disk)['00000000000000000000.log']).toBe(log.sizeBytes)
  })

  it('can be closed again when the indexes could not be written at first', () => {
    const disk = new MemoryDisk()
    const faulty = new FaultyDisk(disk)
    const log = openLog({ disk: faulty, config: { indexIntervalBytes: 1 } })
    for (let i = 0; i < 20; i++) append(log, batchOf([`${i}`], { nowMs: i }))
    faulty.fail(['append'], 'ENOSPC')
    expect(() => log.close()).toThrow('ENOSPC')
    faulty.fail([])
    log.close()
    const again = openLog({ disk })
    expect(filesOf(disk)['00000000000000000000.index']).toBe(19 * 8)
    expect([...valuesOf(again).keys()].length).toBe(20)
    expect(again.offsetForTimestamp(15)).toMatchObject({ offset: 15 })
  })

  it('makes flush fail and keeps the recovery point', async () => {
    const faulty = new FaultyDisk(new MemoryDisk())
    const log = openLog({ disk: faulty })
    appendValues(log, 'a')
    faulty.fail(['sync'])
    await expect(log.flush()).rejects.toThrow(StorageError)
    expect(log.recoveryPoint).toBe(0)
  })

  it('S9: is believed no more after a sync that failed, though a second one would succeed', async () => {
    const faulty = new FaultyDisk(new MemoryDisk())
    const log = openLog({ disk: faulty })
    appendValues(log, 'a')
    faulty.fail(['sync'])
    await expect(log.flush()).rejects.toThrow(StorageError)
    faulty.fail([])
    await expect(log.flush()).rejects.toThrow(StorageError)
    expect(() => append(log, batchOf(['b']))).toThrow(StorageError)
    expect(log.recoveryPoint).toBe(0)
    expect([...valuesOf(log).values()]).toEqual(['a'])
  })
})

describe('a log that is closed and opened again', () => {
  const config = { segmentBytes: 300, indexIntervalBytes: 100 }

  it('is the same log', async () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk, config })
    for (let i = 0; i < 20; i++) append(log, batchOf([`v${i}`]), { leaderEpoch: i >> 3 })
    append(log, producedBatch(7, 2, 0, 3))
    log.advanceLogStartOffset(5)
    await log.deleteSegmentsBelowStart()
    const values = valuesOf(log)
    const { segmentCount, sizeBytes, leaderEpochs } = log
    log.close()
    expect(disk.openFileCount).toBe(0)

    const again = openLog({ disk, config, logStartOffset: 5 })
    expect(again).toMatchObject({ endOffset: 23, logStartOffset: 5, segmentCount, sizeBytes, recoveryPoint: 23 })
    expect(valuesOf(again)).toEqual(values)
    expect(again.leaderEpochs.entries).toEqual(leaderEpochs.entries)
    expect(append(again, producedBatch(7, 2, 0, 3))).toMatchObject({ baseOffset: 20, isDuplicate: true })
    expect(append(again, producedBatch(7, 2, 4))).toMatchObject({ errorCode: ErrorCode.outOfOrderSequenceNumber })
    expect(append(again, producedBatch(7, 2, 3))).toMatchObject({ baseOffset: 23 })
  })

  it('has the files of Kafka and no others', () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk, config })
    appendValues(log, 'a', 'b', 'c', 'd', 'e')
    log.close()
    const size = batchOf(['a']).length
    expect(filesOf(disk)).toEqual({
      '00000000000000000000.index': 8,
      '00000000000000000000.log': 3 * size,
      '00000000000000000000.timeindex': 12,
      '00000000000000000003.index': 0,
      '00000000000000000003.log': 2 * size,
      '00000000000000000003.snapshot': 10,
      '00000000000000000003.timeindex': 12,
      '00000000000000000005.snapshot': 10,
      'leader-epoch-checkpoint': 8,
      'partition.metadata': 43,
    })
    expect(String(disk.readFile(`${LOG_PATH}/partition.metadata`))).toBe(`version: 0\ntopic_id: ${TOPIC_ID}`)
  })

  it('S13: does not gather snapshots from start to start', () => {
    const disk = new MemoryDisk()
    for (let i = 0; i < 5; i++) {
      const log = openLog({ disk, config })
      appendValues(log, `${i}`)
      log.close()
    }
    const snapshots = Object.keys(filesOf(disk)).filter((name) => name.endsWith('.snapshot'))
    expect(snapshots.map((name) => Number.parseInt(name, 10))).toEqual([3, 4, 5])
  })

  it('reads no batch to find its end: a header and the index tell', () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk })
    for (let i = 0; i < 50; i++) append(log, batchOf(['x'.repeat(10_000)]))
    log.close()
    // A record that is damaged in the middle is none of the business of an orderly start.
    const path = `${LOG_PATH}/00000000000000000000.log`
    const bytes = disk.readFile(path)!
    bytes[5000]! ^= 1
    disk.writeFile(path, bytes)
    expect(openLog({ disk }).endOffset).toBe(50)
  })

  it('builds indexes again that are missing, torn or of another log', () => {
    // An empty index may be right, and then the other one finds the way; so may be any entry of a time index.
    const damages = [
      { bytes: null, isRebuilt: true },
      { bytes: Buffer.alloc(7), isRebuilt: true },
      { bytes: Buffer.alloc(0), isRebuilt: false },
      { bytes: Buffer.alloc(24, 0x11), isRebuilt: false },
    ]
    for (const { bytes, isRebuilt } of damages) {
      for (const suffix of ['index', 'timeindex']) {
        for (const base of ['00000000000000000000', '00000000000000000018']) {
          const disk = new MemoryDisk()
          const log = openLog({ disk, config })
          for (let i = 0; i < 20; i++) append(log, batchOf([`v${i}`], { nowMs: 1000 + i }))
          log.close()
          const whole = disk.readFile(`${LOG_PATH}/${base}.${suffix}`)!
          disk.remove(`${LOG_PATH}/${base}.${suffix}`)
          if (bytes !== null) disk.writeFile(`${LOG_PATH}/${base}.${suffix}`, bytes)
          const again = openLog({ disk, config })
          expect(valuesOf(again).size).toBe(20)
          again.close()
          const isWhole = disk.readFile(`${LOG_PATH}/${base}.${suffix}`)!.equals(whole)
          expect(isWhole || !isRebuilt).toBe(true)
        }
      }
    }
  })

  it('belongs to the topic that made it', () => {
    const disk = new MemoryDisk()
    openLog({ disk }).close()
    expect(() => openLog({ disk, topicId: 'AAAAAAAAAAAAAAAAAAAAAQ' })).toThrow(BrokerError)
    disk.writeFile(`${LOG_PATH}/partition.metadata`, Buffer.from('version: 0\ntopic_'))
    expect(openLog({ disk, topicId: 'AAAAAAAAAAAAAAAAAAAAAQ' }).topicId).toBe('AAAAAAAAAAAAAAAAAAAAAQ')
  })

  it('starts where it is told to when it is new or behind that', () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk, logStartOffset: 100 })
    expect([log.logStartOffset, log.endOffset]).toEqual([100, 100])
    appendValues(log, 'a')
    log.close()
    const again = openLog({ disk, logStartOffset: 500 })
    expect([again.logStartOffset, again.endOffset, again.segmentCount]).toEqual([500, 500, 1])
  })
})

describe('truncating', () => {
  const config = { segmentBytes: 300, indexIntervalBytes: 100 }

  it('drops the batches from an offset on, and what was noted of them', () => {
    for (let offset = 0; offset <= 20; offset++) {
      const disk = new MemoryDisk()
      const log = openLog({ disk, config })
      for (let i = 0; i < 20; i++) append(log, producedBatch(7, 0, i), { leaderEpoch: i >> 2 })
      log.truncateTo(offset)
      expect(log.endOffset).toBe(offset)
      expect([...valuesOf(log).keys()]).toEqual(Array.from({ length: offset }, (_, i) => i))
      expect(log.leaderEpochs.entries.length).toBe(Math.ceil(offset / 4))
      // With nothing left of the producer, any sequence is its first.
      expect(append(log, producedBatch(7, 0, offset + 1)).errorCode === 0).toBe(offset === 0)
      const next = log.endOffset === offset ? offset : offset + 2
      expect(append(log, producedBatch(7, 0, next))).toMatchObject({ errorCode: 0, isDuplicate: false })
      const end = log.endOffset
      log.close()
      expect(openLog({ disk, config }).endOffset).toBe(end)
    }
  })

  it('reads what was written afterwards, not where something else had been', () => {
    const log = openLog()
    appendValues(log, 'a', 'b', 'c', 'd')
    // Each read leaves behind where it ended.
    for (let offset = 0; offset < 4; offset++) log.read(offset, 1, ANY)
    log.truncateTo(1)
    appendValues(log, 'a longer value', 'and another one', 'x', 'y')
    expect(String(readRecords(readBatch(log.read(4, 1, ANY)))[0]!.value)).toBe('y')
  })

  it('drops a batch that holds the offset as a whole', () => {
    const log = openLog()
    append(log, batchOf(['a', 'b', 'c']))
    append(log, batchOf(['d', 'e', 'f']))
    log.truncateTo(4)
    expect(log.endOffset).toBe(4)
    expect([...log.batches()].map((bytes) => readBatch(bytes).lastOffset)).toEqual([2])
    expect(append(log, batchOf(['g']))).toMatchObject({ baseOffset: 4 })
  })

  it('knows the largest timestamp of what is left', () => {
    const clock = new ManualClock()
    const log = openLog({ config: { indexIntervalBytes: 100 } })
    const times = [0, 50, 10, 99, 20, 98, 5, 7]
    for (const ms of times) append(log, batchOf(['a'], { nowMs: clock.nowMs() + ms }))
    for (const offset of [7, 6, 5, 4, 3, 2, 1]) {
      log.truncateTo(offset)
      expect(log.offsetOfMaxTimestamp()?.timestampMs).toBe(clock.nowMs() + Math.max(...times.slice(0, offset)))
    }
  })

  it('begins again anywhere when nothing is to be left', () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk, config })
    for (let i = 0; i < 10; i++) append(log, producedBatch(7, 0, i))
    log.truncateFully(1000)
    expect(log).toMatchObject({
      logStartOffset: 1000,
      endOffset: 1000,
      segmentCount: 1,
      sizeBytes: 0,
      recoveryPoint: 0,
    })
    expect(log.leaderEpochs.entries).toEqual([])
    expect(append(log, producedBatch(7, 0, 5))).toMatchObject({ baseOffset: 1000 })
    log.close()
    expect(Object.keys(filesOf(disk)).filter((name) => name.startsWith('0'))).toEqual([
      '00000000000000001000.index',
      '00000000000000001000.log',
      '00000000000000001000.timeindex',
      '00000000000000001001.snapshot',
    ])
  })
})

describe('moving the start', () => {
  it('deletes the segments that end below it, all but the active one', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const log = openLog({ disk, clock, config: { segmentBytes: 300 } })
    for (let i = 0; i < 8; i++) append(log, batchOf([`v${i}`]), { leaderEpoch: i })
    expect(segmentsOf(disk)).toEqual([0, 3, 6])
    log.advanceLogStartOffset(5)
    expect(segmentsOf(disk)).toEqual([0, 3, 6])
    expect(await log.deleteSegmentsBelowStart()).toBe(1)
    expect(segmentsOf(disk)).toEqual([3, 6])
    expect(log.logStartOffset).toBe(5)
    expect(log.leaderEpochs.entries[0]).toEqual({ epoch: 5, startOffset: 5 })
    log.advanceLogStartOffset(2)
    expect(log.logStartOffset).toBe(5)
    log.advanceLogStartOffset(6)
    await log.deleteSegmentsBelowStart()
    expect(segmentsOf(disk)).toEqual([6])
    log.advanceLogStartOffset(8)
    expect(await log.deleteSegmentsBelowStart()).toBe(0)
    expect(segmentsOf(disk)).toEqual([6])
    expect([log.logStartOffset, log.endOffset]).toEqual([8, 8])
    expect(Object.keys(filesOf(disk)).filter((name) => name < '00000000000000000006')).toEqual(
      [0, 3].flatMap((base) =>
        ['index', 'log', 'timeindex'].map((kind) => `${String(base).padStart(20, '0')}.${kind}.deleted`),
      ),
    )
    clock.advance(defaultLogConfig.fileDeleteDelayMs)
    expect(Object.keys(filesOf(disk)).filter((name) => name < '00000000000000000006')).toEqual([])
  })
})

describe('going through the batches', () => {
  it('gives all of them from an offset on, also those appended on the way', () => {
    const log = openLog({ config: { segmentBytes: 300 } })
    appendValues(log, 'a', 'b', 'c', 'd')
    const seen: string[] = []
    for (const bytes of log.batches(2)) {
      for (const batch of readBatches(bytes)) for (const record of readRecords(batch)) seen.push(String(record.value))
      if (seen.length === 2) appendValues(log, 'e', 'f', 'g', 'h')
    }
    expect(seen).toEqual(['c', 'd', 'e', 'f', 'g', 'h'])
  })
})

describe('making durable', () => {
  it('moves the recovery point to the end, or to the active segment', async () => {
    const log = openLog({ config: { segmentBytes: 300 } })
    appendValues(log, 'a', 'b', 'c', 'd')
    expect(log.recoveryPoint).toBe(0)
    await log.flushClosedSegments()
    expect(log.recoveryPoint).toBe(3)
    await log.flush()
    expect(log.recoveryPoint).toBe(4)
  })

  it('S5: syncs what was appended, and the indexes of a segment when it is closed', async () => {
    const faulty = new FaultyDisk(new MemoryDisk())
    const log = openLog({ disk: faulty, config: { segmentBytes: 300, indexIntervalBytes: 1 } })
    const syncs = async () => {
      faulty.changes.length = 0
      await log.flush()
      return faulty.changes.filter((change) => change.startsWith('sync')).map((change) => change.replace(/.*\//, ''))
    }
    const first = ['log', 'index', 'timeindex'].map((suffix) => `${'0'.repeat(20)}.${suffix}`)
    appendValues(log, 'a', 'b')
    expect(await syncs()).toEqual([first[0], 'leader-epoch-checkpoint', 'partition.metadata', 'data', 'orders-0'])
    expect(await syncs()).toEqual([])
    appendValues(log, 'c')
    expect(await syncs()).toEqual([first[0]])
    appendValues(log, 'd')
    const second = `${'3'.padStart(20, '0')}`
    expect(await syncs()).toEqual([first[1], first[2], `${second}.log`, `${second}.snapshot`, 'orders-0'])
    log.seal()
    expect(await syncs()).toEqual([`${second}.timeindex`, `${'4'.padStart(20, '0')}.snapshot`, 'orders-0'])
    expect(await syncs()).toEqual([])
  })

  it('S5: syncs what a process that died left behind, as nobody knows how much of it is durable', async () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk, config: { segmentBytes: 300 } })
    appendValues(log, 'a', 'b', 'c', 'd')
    const faulty = new FaultyDisk(disk.copy())
    const again = openLog({ disk: faulty, isCleanShutdown: false })
    faulty.changes.length = 0
    await again.flush()
    const synced = faulty.changes.map((change) => change.replace(/.*\//, ''))
    for (const name of [
      '0.log',
      '3.log',
      '0.timeindex',
      '3.snapshot',
      'leader-epoch-checkpoint',
      'partition.metadata',
    ]) {
      expect(synced.filter((path) => path.endsWith(name)).length).toBe(1)
    }
    expect(again.recoveryPoint).toBe(4)
  })

  it('does not move it past a truncation that came in between, at any step', async () => {
    const points: number[] = []
    for (let steps = 0; steps < 20; steps++) {
      const log = openLog()
      appendValues(log, 'a', 'b', 'c')
      const flushed = log.flush()
      for (let step = 0; step < steps; step++) await Promise.resolve()
      log.truncateTo(1)
      await flushed
      points.push(log.recoveryPoint)
    }
    expect(Math.max(...points)).toBe(1)
  })

  it('minds no log that is deleted meanwhile, at any step', async () => {
    for (let steps = 0; steps < 20; steps++) {
      const disk = new MemoryDisk()
      const log = openLog({ disk, config: { segmentBytes: 300 } })
      appendValues(log, 'a', 'b', 'c', 'd')
      const flushed = log.flush()
      for (let step = 0; step < steps; step++) await Promise.resolve()
      log.delete()
      await flushed
      expect(disk.exists(LOG_PATH)).toBe(false)
      expect(disk.openFileCount).toBe(0)
    }
  })
})

function batchSize(log: PartitionLog, offset: number): number {
  return readBatch(log.read(offset, 1, ANY)).sizeBytes
}
