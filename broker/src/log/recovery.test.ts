import {
  BATCH_LENGTH,
  LAST_OFFSET_DELTA,
  MAGIC,
  RECORDS,
  buildBatch,
  readBatch,
  readBatches,
  refreshCrc,
  setInt32,
} from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StorageError } from '../base/errors.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { LOG_PATH, append, batchOf, filesOf, openLog, producedBatch, valuesOf } from '../testing/logs.ts'
import { fileName, offsetOfFile } from './log-files.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { PartitionLog } from './partition-log.ts'

const config = { segmentBytes: 1000, indexIntervalBytes: 200 }

interface Extent {
  readonly path: string
  /** Positions of the batch in the file. */
  readonly start: number
  readonly end: number
  readonly baseOffset: number
  readonly nextOffset: number
}

/** A log with a batch per entry of `counts`, and where each batch is. */
function written(counts: readonly number[], disk = new MemoryDisk()) {
  const log = openLog({ disk, config })
  for (const [i, count] of counts.entries()) {
    append(log, batchOf(Array.from({ length: count }, (_, k) => `${i}.${k}`)), { leaderEpoch: Math.floor(i / 5) })
  }
  return { disk, log, extents: extentsOf(disk) }
}

function extentsOf(disk: MemoryDisk): Extent[] {
  const extents: Extent[] = []
  for (const name of disk.list(LOG_PATH).filter((file) => file.endsWith('.log'))) {
    const path = `${LOG_PATH}/${name}`
    for (const batch of readBatches(disk.readFile(path)!)) {
      const { start, sizeBytes, baseOffset, lastOffset } = batch
      extents.push({ path, start, end: start + sizeBytes, baseOffset, nextOffset: lastOffset + 1 })
    }
  }
  return extents
}

function edit(disk: MemoryDisk, path: string, change: (bytes: Buffer) => unknown): void {
  const bytes = disk.readFile(path)!
  const result = change(bytes)
  disk.writeFile(path, Buffer.isBuffer(result) ? result : bytes)
}

function reopen(disk: MemoryDisk, options: Parameters<typeof openLog>[0] = {}): PartitionLog {
  return openLog({ disk, config, isCleanShutdown: false, ...options })
}

/** Whether the indexes and every file but the log are what a log that only ever had these batches would have. */
function expectSound(log: PartitionLog, disk: MemoryDisk): void {
  log.close()
  for (const name of disk.list(LOG_PATH)) {
    const base = offsetOfFile(name, '.index')
    if (base === null) continue
    const bytes = disk.readFile(`${LOG_PATH}/${name}`)!
    const batches = disk.readFile(`${LOG_PATH}/${fileName(base, '.log')}`)!
    for (let at = 0; at < bytes.length; at += 8) {
      const batch = readBatch(batches, bytes.readInt32BE(at + 4))
      expect(batch.lastOffset - base).toBe(bytes.readInt32BE(at))
    }
    const times = disk.readFile(`${LOG_PATH}/${fileName(base, '.timeindex')}`)!
    for (let at = 0; at < times.length; at += 12) {
      const found = [...readBatches(batches)].find((batch) => batch.lastOffset - base === times.readInt32BE(at + 8))
      expect(found?.maxTimestampMs).toBe(Number(times.readBigInt64BE(at)))
    }
  }
}

const counts = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 30 })

describe('after an unclean shutdown', () => {
  it('S1: a log that nothing happened to is the same, with the same indexes as after a clean one', () => {
    fc.assert(
      fc.property(counts, (sizes) => {
        const { disk, log } = written(sizes)
        const crashed = disk.copy()
        const values = valuesOf(log)
        const epochs = log.leaderEpochs.entries
        log.close()
        const again = reopen(crashed)
        expect(valuesOf(again)).toEqual(values)
        expect(again.leaderEpochs.entries).toEqual(epochs)
        again.close()
        for (const name of disk.list(LOG_PATH)) {
          expect(crashed.readFile(`${LOG_PATH}/${name}`)).toEqual(disk.readFile(`${LOG_PATH}/${name}`))
        }
      }),
      { numRuns: 60 },
    )
  })

  it('S3: ends with the last batch that is whole, wherever the last segment was torn', () => {
    fc.assert(
      fc.property(counts, fc.nat(), (sizes, cut) => {
        const { disk, log, extents } = written(sizes)
        const values = valuesOf(log)
        const { path } = extents.at(-1)!
        const size = disk.readFile(path)!.length
        const kept = cut % (size + 1)
        edit(disk, path, (bytes) => bytes.subarray(0, kept))
        const again = reopen(disk)
        const whole = extents.filter((extent) => extent.path !== path || extent.end <= kept)
        expect(again.endOffset).toBe(whole.at(-1)?.nextOffset ?? 0)
        expect(valuesOf(again)).toEqual(new Map([...values].filter(([offset]) => offset < again.endOffset)))
        expect(again.leaderEpochs.latestEpoch).toBe(Math.floor((whole.length - 1) / 5))
        expectSound(again, disk)
      }),
      { numRuns: 100 },
    )
  })

  it('S3: ends before the first batch with a wrong bit, and keeps what follows aside', () => {
    fc.assert(
      fc.property(counts, fc.nat(), fc.nat(), (sizes, which, bit) => {
        const { disk, log, extents } = written(sizes)
        const values = valuesOf(log)
        const batch = extents[which % extents.length]!
        // Base offset and leader epoch are outside the checksum, as the broker stamps them.
        const covered = [...range(BATCH_LENGTH, BATCH_LENGTH + 4), ...range(MAGIC, batch.end - batch.start)]
        const at = batch.start + covered[(bit >> 3) % covered.length]!
        edit(disk, batch.path, (bytes) => void (bytes[at]! ^= 1 << (bit & 7)))
        const original = new Map(disk.list(LOG_PATH).map((name) => [name, disk.readFile(`${LOG_PATH}/${name}`)!]))
        const again = reopen(disk)
        expect(again.endOffset).toBe(batch.baseOffset)
        expect(valuesOf(again)).toEqual(new Map([...values].filter(([offset]) => offset < again.endOffset)))

        const cut = disk.list(LOG_PATH).filter((name) => name.endsWith('.cut'))
        const later = [...new Set(extents.map(({ path }) => path))].filter((path) => path >= batch.path)
        expect(cut.map((name) => `${LOG_PATH}/${name}`)).toEqual(later.map((path) => `${path}.cut`))
        for (const path of later) {
          const whole = original.get(path.slice(LOG_PATH.length + 1))!
          const start = path === batch.path ? batch.start : 0
          expect(disk.readFile(`${path}.cut`)).toEqual(whole.subarray(start))
        }
        expectSound(again, disk)
      }),
      { numRuns: 100 },
    )
  })

  it('S4: ends before zeros, and before good batches behind a hole of zeros', () => {
    fc.assert(
      fc.property(counts, fc.nat(), fc.integer({ min: 12, max: 5000 }), fc.boolean(), (sizes, which, zeros, isHole) => {
        const { disk, extents } = written(sizes)
        const { path, start, baseOffset } = extents[which % extents.length]!
        edit(disk, path, (bytes) =>
          isHole
            ? void bytes.fill(0, start, Math.min(start + zeros, bytes.length))
            : Buffer.concat([bytes.subarray(0, start), Buffer.alloc(zeros)]),
        )
        const again = reopen(disk)
        expect(again.endOffset).toBe(baseOffset)
        expectSound(again, disk)
      }),
      { numRuns: 100 },
    )
  })

  it('S3: believes no batch that begins below the end of the one before', () => {
    const { disk, extents } = written([1, 1, 1, 1])
    const second = extents[1]!
    edit(disk, second.path, (bytes) => Buffer.concat([bytes, bytes.subarray(second.start, second.end)]))
    const again = reopen(disk)
    expect(again.endOffset).toBe(4)
    expect([...valuesOf(again).keys()]).toEqual([0, 1, 2, 3])
  })

  it('S3: believes no base offset beyond 2^53, nor a batch that ends before it begins', () => {
    const changes = [
      (bytes: Buffer) => void (bytes[0] = 0x7f),
      (bytes: Buffer) => void (bytes[0] = 0xff),
      (bytes: Buffer) => {
        setInt32(bytes, LAST_OFFSET_DELTA, -1)
        refreshCrc(bytes, 0)
      },
    ]
    for (const change of changes) {
      const { disk, extents } = written([1, 1, 1])
      const { start, end, path } = extents[1]!
      edit(disk, path, (bytes) => change(bytes.subarray(start, end)))
      expect(reopen(disk).endOffset).toBe(1)
    }
  })

  it('S3: believes no length that reaches beyond the file, and allocates nothing for it', () => {
    const { disk, extents } = written([1, 1])
    edit(disk, extents[1]!.path, (bytes) => void setInt32(bytes, extents[1]!.start + BATCH_LENGTH, 0x7fff_ff00))
    expect(reopen(disk).endOffset).toBe(1)
  })

  it('S3: takes gaps between batches for what compaction left', () => {
    const disk = new MemoryDisk()
    openLog({ disk, config }).close()
    const gappy = [0, 5, 17].map((baseOffset) =>
      buildBatch({ records: [{ key: Buffer.from('k'), value: null }], nowMs: 0, baseOffset }),
    )
    disk.writeFile(`${LOG_PATH}/${fileName(0, '.log')}`, Buffer.concat(gappy))
    const again = reopen(disk)
    expect(again.endOffset).toBe(18)
    expect([...valuesOf(again).keys()]).toEqual([0, 5, 17])
  })

  it('S3: ends where a segment is missing batches that the next one counts on', () => {
    const { disk, extents } = written(Array.from({ length: 30 }, () => 1))
    const paths = [...new Set(extents.map(({ path }) => path))]
    expect(paths.length).toBeGreaterThan(2)
    const last = extents.findLast(({ path }) => path === paths[0])!
    edit(disk, last.path, (bytes) => bytes.subarray(0, last.start))
    const again = reopen(disk.copy())
    expect(again.endOffset).toBe(last.baseOffset)
    expect(again.segmentCount).toBe(1)
    // With compaction, that is how segments are.
    const compacted = openLog({ disk, config: { ...config, isCompacted: true }, isCleanShutdown: false })
    expect(compacted.endOffset).toBe(30)
    expect(compacted.segmentCount).toBe(paths.length)
  })

  it('S3: keeps the segment that the log starts within', () => {
    const { disk, log } = written([1, 1, 1, 1, 1, 1])
    log.advanceLogStartOffset(3)
    const again = reopen(disk, { logStartOffset: 3 })
    expect([again.logStartOffset, again.endOffset]).toEqual([3, 6])
    expect([...valuesOf(again).values()]).toEqual(['3.0', '4.0', '5.0'])
    expect(disk.list(LOG_PATH).filter((name) => name.endsWith('.cut'))).toEqual([])
  })

  it('S3: reads nothing below the recovery point', async () => {
    const { disk, log, extents } = written(Array.from({ length: 30 }, () => 1))
    const paths = [...new Set(extents.map(({ path }) => path))]
    await log.flushClosedSegments()
    const { recoveryPoint } = log
    expect(recoveryPoint).toBe(extents.find(({ path }) => path === paths.at(-1))!.baseOffset)
    edit(disk, paths[0]!, (bytes) => void (bytes[RECORDS + 3]! ^= 1))
    expect(reopen(disk.copy(), { recoveryPoint }).endOffset).toBe(30)
    expect(reopen(disk.copy(), { recoveryPoint: 0 }).endOffset).toBe(0)
  })

  it('S3: keeps one cut and not all of them', () => {
    const { disk, extents } = written([1, 1, 1])
    const tear = () => edit(disk, extents[0]!.path, (bytes) => bytes.subarray(0, -1))
    tear()
    reopen(disk).close()
    tear()
    const again = reopen(disk)
    expect(again.endOffset).toBe(1)
    const cut = disk.readFile(`${extents[0]!.path}.cut`)!
    expect(cut.length).toBe(extents[1]!.end - extents[1]!.start - 1)
  })

  it('S5: removes what an interrupted change left behind', () => {
    const { disk } = written([1, 1])
    for (const name of [
      'leader-epoch-checkpoint.tmp',
      '00000000000000000000.log.deleted',
      '00000000000000000007.index',
    ]) {
      disk.writeFile(`${LOG_PATH}/${name}`, Buffer.from('rest'))
    }
    reopen(disk).close()
    expect(disk.list(LOG_PATH).filter((name) => /tmp|deleted|0007/.test(name))).toEqual([])
  })

  it('S12: finds the leader epochs again if their file is gone, torn or ahead of the log', () => {
    for (const text of [null, '', '0\n2\n0 0\n', '0\n3\n0 0\n1 5\n9 700\n', '0\n2\n0 0\n8 3\n']) {
      const { disk, log } = written(Array.from({ length: 12 }, () => 1))
      const expected = log.leaderEpochs.entries
      if (text === null) disk.remove(`${LOG_PATH}/leader-epoch-checkpoint`)
      else disk.writeFile(`${LOG_PATH}/leader-epoch-checkpoint`, Buffer.from(text))
      expect(reopen(disk).leaderEpochs.entries).toEqual(expected)
    }
  })
})

describe('producers after a crash', () => {
  it('S13: are known with their last five batches if no snapshot was written', () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk })
    for (let i = 0; i < 8; i++) append(log, producedBatch(7, 0, i))
    const again = reopen(disk.copy())
    for (let i = 3; i < 8; i++)
      expect(append(again, producedBatch(7, 0, i))).toMatchObject({ baseOffset: i, isDuplicate: true })
    expect(append(again, producedBatch(7, 0, 8))).toMatchObject({ baseOffset: 8, isDuplicate: false })
  })

  it('S13: are known from the snapshot of a roll and the batches after it', async () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk })
    append(log, producedBatch(6, 1, 0))
    append(log, producedBatch(7, 0, 0))
    log.roll()
    append(log, producedBatch(7, 0, 1))
    await log.flushClosedSegments()
    const again = reopen(disk.copy(), { recoveryPoint: log.recoveryPoint })
    expect(append(again, producedBatch(6, 1, 0))).toMatchObject({ baseOffset: 0, isDuplicate: true })
    expect(append(again, producedBatch(6, 0, 1)).errorCode).not.toBe(0)
    expect(append(again, producedBatch(7, 0, 0))).toMatchObject({ baseOffset: 1, isDuplicate: true })
    expect(append(again, producedBatch(7, 0, 1))).toMatchObject({ baseOffset: 2, isDuplicate: true })
    expect(append(again, producedBatch(7, 0, 2))).toMatchObject({ baseOffset: 3, isDuplicate: false })
  })

  it('S13: are known without any snapshot that is damaged', () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk })
    append(log, producedBatch(7, 0, 0))
    log.roll()
    append(log, producedBatch(7, 0, 1))
    log.close()
    for (const name of disk.list(LOG_PATH).filter((file) => file.endsWith('.snapshot'))) {
      edit(disk, `${LOG_PATH}/${name}`, (bytes) => void (bytes[9]! ^= 1))
    }
    const again = openLog({ disk })
    expect(append(again, producedBatch(7, 0, 0))).toMatchObject({ baseOffset: 0, isDuplicate: true })
    expect(append(again, producedBatch(7, 0, 2))).toMatchObject({ baseOffset: 2, isDuplicate: false })
  })

  it('S13: do not know batches that were torn off, whatever a newer snapshot says', () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk })
    append(log, producedBatch(7, 0, 0))
    append(log, producedBatch(7, 0, 1))
    log.close()
    edit(disk, `${LOG_PATH}/${fileName(0, '.log')}`, (bytes) => bytes.subarray(0, -1))
    const again = reopen(disk)
    expect(again.endOffset).toBe(1)
    expect(append(again, producedBatch(7, 0, 1))).toMatchObject({ baseOffset: 1, isDuplicate: false })
  })
})

describe('a machine that dies', () => {
  it('S1: at any change of the disk leaves a log with every batch whose append had returned', () => {
    const run = (disk: MemoryDisk, dieAfter: number): { acknowledged: number; changes: number } => {
      const faulty = new FaultyDisk(disk)
      faulty.dieAfter(dieAfter)
      let acknowledged = 0
      try {
        const log = openLog({ disk: faulty, config: { segmentBytes: 400, indexIntervalBytes: 100 } })
        for (let i = 0; i < 12; i++) {
          append(log, producedBatch(7, 0, i), { leaderEpoch: i >> 2 })
          acknowledged = i + 1
        }
        log.close()
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
      }
      return { acknowledged, changes: faulty.changes.length }
    }
    const { changes } = run(new MemoryDisk(), Infinity)
    expect(changes).toBeGreaterThan(40)
    for (let dieAfter = 0; dieAfter < changes; dieAfter++) {
      const disk = new MemoryDisk()
      const { acknowledged } = run(disk, dieAfter)
      const again = reopen(disk)
      const { endOffset } = again
      // One more may be whole: written, but not answered.
      expect([acknowledged, acknowledged + 1]).toContain(endOffset)
      expect([...valuesOf(again).values()]).toEqual(Array.from({ length: endOffset }, (_, i) => `7/0/${i}`))
      const last = endOffset === 0 ? null : append(again, producedBatch(7, 0, endOffset - 1))
      expect(last?.isDuplicate).not.toBe(false)
      expect(append(again, producedBatch(7, 0, endOffset))).toMatchObject({ baseOffset: endOffset, isDuplicate: false })
      expect(filesOf(disk)).not.toHaveProperty('leader-epoch-checkpoint.tmp')
      expectSound(again, disk)
    }
  })
})

function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i)
}
