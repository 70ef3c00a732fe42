// The rules by which a log survives its machine, each named as docs/RELIABILITY.md names it. What is tested elsewhere has
// the name of its rule there.
import { LAST_OFFSET_DELTA, RECORDS, setInt32 } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { CorruptLogError, StorageError } from '../base/errors.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { linesLogger } from '../testing/lines-logger.ts'
import { LOG_PATH, TOPIC_ID, append, batchOf, openLog, producedBatch, valuesOf } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { SeededRandom } from '../testing/simulation/seeded-random.ts'
import { DONE, POWER_CUT_FATES, SimulatedDisk, type PowerCutFate } from '../testing/simulation/simulated-disk.ts'
import type { Disk } from './disk.ts'
import { defaultLogConfig } from './log-config.ts'
import { LogDirectory } from './log-directory.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { PartitionLog } from './partition-log.ts'

const config = { segmentBytes: 300, indexIntervalBytes: 100 }
const orders = { topic: 'orders', partition: 0 }

async function openDirectory(disk: Disk, onCorruption: 'fail' | 'truncate' = 'fail') {
  const { logger, lines } = linesLogger()
  const directory = await LogDirectory.open({
    disk,
    path: '/data',
    nodeId: 1,
    random: new SeededRandom(1),
    clock: new ManualClock(),
    logger,
    producerIdExpirationMs: 60_000,
    onCorruption,
  })
  return { directory, lines, openOrders: () => directory.openLog(orders, TOPIC_ID, { ...defaultLogConfig, ...config }) }
}

/** Thirteen batches of one record and one of several, with a sync behind every third and a checkpoint now and then. */
async function write(disk: Disk, note: (progress: { appended?: number; synced?: number }) => void): Promise<void> {
  const { directory, openOrders } = await openDirectory(disk)
  const log = openOrders()
  for (let i = 0; i < 14; i++) {
    append(log, producedBatch(7, 0, i), { leaderEpoch: i >> 2 })
    note({ appended: log.endOffset })
    if (i % 3 === 2) {
      const end = log.endOffset
      await log.flush()
      note({ synced: end })
    }
    if (i % 5 === 4) await directory.saveRecoveryPoints()
    if (i === 8) await directory.checkpoint()
  }
  await directory.close()
  note({ synced: log.endOffset })
}

async function untilItDies(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
  }
}

/** The script with a power cut at the n-th call to the disk; null when there are not so many. */
async function cutAt(n: number, fate: PowerCutFate, share: number, seed: number) {
  let calls = 0
  let wasCut = false
  const disk = new SimulatedDisk({
    random: new SeededRandom(seed),
    decide: () => {
      if (calls++ !== n) return DONE
      wasCut = true
      return { kind: 'crash', share }
    },
  })
  const seen = { appended: 0, synced: 0 }
  await untilItDies(() => write(disk.mount(), (progress) => Object.assign(seen, progress)))
  if (!wasCut) return null
  disk.powerCut(fate)
  return { ...seen, disk }
}

describe('a power cut at every call to the disk', () => {
  it.each(POWER_CUT_FATES)(
    'S1 S3 S4 S5 S7: leaves what was synced, an index that does not lead, and no false alarm of damage (%s)',
    async (fate) => {
      let cuts = 0
      for (let n = 0; ; n++) {
        const left = await cutAt(n, fate, (n % 3) / 2, n + 1)
        if (left === null) break
        cuts++
        const { directory, openOrders } = await openDirectory(left.disk.mount())
        const log = openOrders()
        const { endOffset } = log
        expect({ n, endOffset, isKept: endOffset >= left.synced }).toMatchObject({ isKept: true })
        expect(endOffset).toBeLessThanOrEqual(Math.max(left.appended + 1, left.synced))
        expect([...valuesOf(log).values()]).toEqual(Array.from({ length: endOffset }, (_, i) => `7/0/${i}`))
        expectSoundIndexes(log)
        // Who sends the last batch again hears that it is there, and the next one follows.
        const again = endOffset === 0 ? null : append(log, producedBatch(7, 0, endOffset - 1))
        expect(again?.isDuplicate).not.toBe(false)
        expect(append(log, producedBatch(7, 0, endOffset)).isDuplicate).toBe(false)
        await directory.close()
      }
      expect(cuts).toBeGreaterThan(100)
    },
    30_000,
  )

  it('S3 S4: leaves it twice in a row, the second time while the first is recovered from', async () => {
    let cuts = 0
    for (let n = 40; n < 200; n += 7) {
      for (let again = 0; ; again += 5) {
        const left = await cutAt(n, 'any subset', 0.5, n)
        if (left === null) break
        let calls = 0
        const dying = left.disk
        let wasCut = false
        const mount = dying.mount()
        const call = mount.call.bind(mount)
        mount.call = (operation, path, part) => {
          if (operation !== 'read' && calls++ === again) {
            wasCut = true
            mount.die()
          }
          call(operation, path, part)
        }
        await untilItDies(async () => {
          const { openOrders } = await openDirectory(mount)
          const log = openOrders()
          append(log, batchOf(['later']))
          await log.flush()
        })
        if (!wasCut) break
        cuts++
        dying.powerCut('any subset')
        const { openOrders } = await openDirectory(dying.mount())
        const log = openOrders()
        expect(log.endOffset).toBeGreaterThanOrEqual(left.synced)
        expectSoundIndexes(log)
      }
    }
    expect(cuts).toBeGreaterThan(50)
  }, 30_000)
})

/** Every entry speaks of a batch that is there: looked up, each offset is found where a walk finds it. */
function expectSoundIndexes(log: PartitionLog): void {
  for (const segment of log.segments) {
    const positions = new Map<number, number>()
    segment.forEachHeader(segment.baseOffset, (buffer, at, position) => {
      positions.set(Number(buffer.readBigInt64BE(at)) + buffer.readInt32BE(at + LAST_OFFSET_DELTA), position)
    })
    for (const [offset, position] of positions) {
      expect(segment.offsetIndex.floor(offset)).toBeLessThanOrEqual(position)
      expect(segment.positionOf(offset)).toBe(position)
    }
    expect(segment.offsetIndex.lastPosition).toBeLessThan(Math.max(1, segment.sizeBytes))
  }
}

describe('S3: damage where the log was durable', () => {
  /** A log of several segments whose end was synced, as a crash leaves it, and the file of its first segment. */
  async function durable() {
    const disk = new MemoryDisk()
    const log = openLog({ disk, config })
    for (let i = 0; i < 14; i++) append(log, batchOf([`v${i}`]))
    await log.flush()
    expect(log.segmentCount).toBeGreaterThan(2)
    const paths = log.segments.map((segment) => segment.path)
    return { disk, recoveryPoint: log.recoveryPoint, first: paths[0]!, last: paths.at(-1)!, log }
  }

  function flip(disk: MemoryDisk, path: string, at: number): void {
    const bytes = disk.readFile(path)!
    bytes[at]! ^= 1
    disk.writeFile(path, bytes)
  }

  it('S3: in the last segment keeps the log closed, with the file, the place and the choice, and touches nothing', async () => {
    const { disk, recoveryPoint, last } = await durable()
    flip(disk, last, RECORDS + 3)
    disk.remove(last.replace('.log', '.index'))
    const before = disk.readFile(last)!
    const open = () => openLog({ disk, config, isCleanShutdown: false, recoveryPoint })
    expect(open).toThrow(CorruptLogError)
    expect(open).toThrow(
      `${last}: at byte 0: the checksum of the batch is wrong; it was durable, so nothing is cut off: restore the file, or ` +
        'set recovery.on.corruption=truncate to end the log before it, at offset',
    )
    expect(disk.readFile(last)).toEqual(before)
    expect(disk.list(LOG_PATH).filter((name) => /cut|corrupt/.test(name))).toEqual([])
    flip(disk, last, RECORDS + 3)
    expect(open().endOffset).toBe(14)
  })

  it('S3: with truncate ends the log before it and keeps all that follows, also beside what an earlier one kept', async () => {
    const { disk, first } = await durable()
    const paths = disk.list(LOG_PATH).filter((name) => name.endsWith('.log'))
    const sizes = paths.map((name) => disk.readFile(`${LOG_PATH}/${name}`)!.length)
    disk.remove(first.replace('.log', '.index'))
    flip(disk, first, sizes[0]! - 1)
    const { logger, lines } = linesLogger()
    const options = {
      disk,
      config,
      isCleanShutdown: false,
      recoveryPoint: 14,
      onCorruption: 'truncate',
      logger,
    } as const
    const log = openLog(options)
    const kept = disk.list(LOG_PATH).filter((name) => name.endsWith('.corrupt'))
    expect(kept).toEqual(paths.map((name) => `${name}.corrupt`))
    const left = disk.readFile(first)!.length
    const keptBytes = kept.map((name) => disk.readFile(`${LOG_PATH}/${name}`)!.length)
    expect(keptBytes).toEqual([sizes[0]! - left, ...sizes.slice(1)])
    expect(lines.find(({ level }) => level === 'warn' && left > 0)).toBeDefined()
    expect([...valuesOf(log).values()]).toEqual(Array.from({ length: log.endOffset }, (_, i) => `v${i}`))
    append(log, batchOf(['more']))
    log.close()

    disk.remove(first.replace('.log', '.index'))
    flip(disk, first, 12)
    disk.writeFile(first, disk.readFile(first)!.subarray(0, 20))
    openLog({ ...options, recoveryPoint: 1 })
    expect(disk.list(LOG_PATH).filter((name) => name.includes('.corrupt')).length).toBe(paths.length + 1)
  })

  it('S3: a log that is shorter than it was when it was synced is damaged, though no batch is bad', async () => {
    const { disk, recoveryPoint, last } = await durable()
    const bytes = disk.readFile(last)!
    disk.writeFile(last, bytes.subarray(0, 0))
    expect(() => openLog({ disk, config, isCleanShutdown: false, recoveryPoint })).toThrow(
      /the log ends at offset \d+, and was durable up to 14/,
    )
  })

  it('S3: a missing segment is damage, and beyond the recovery point it is a torn end', async () => {
    const { disk, recoveryPoint } = await durable()
    const names = disk.list(LOG_PATH).filter((name) => name.endsWith('.log'))
    expect(names.length).toBeGreaterThan(3)
    // In the middle of what is not read again as well.
    const withHole = disk.copy()
    withHole.remove(`${LOG_PATH}/${names[1]}`)
    expect(() => openLog({ disk: withHole, config, isCleanShutdown: false, recoveryPoint })).toThrow(
      `the segment ends at offset ${Number(names[1]!.slice(0, 20))}, and the next one begins at`,
    )
    const missing = names.at(-2)!
    disk.remove(`${LOG_PATH}/${missing}`)
    expect(() => openLog({ disk: disk.copy(), config, isCleanShutdown: false, recoveryPoint })).toThrow(CorruptLogError)
    expect(openLog({ disk, config, isCleanShutdown: false, recoveryPoint: 0 }).endOffset).toBe(
      Number(missing.slice(0, 20)),
    )
  })

  it('S3: after an orderly end everything was durable', async () => {
    const { disk, log, last } = await durable()
    log.close()
    const bytes = disk.readFile(last)!
    disk.writeFile(last, bytes.subarray(0, -1))
    expect(() => openLog({ disk, config })).toThrow(CorruptLogError)
    expect(openLog({ disk, config, onCorruption: 'truncate' }).endOffset).toBe(13)
  })

  it('S3: after an orderly end a log whose end is missing, at a whole batch or with whole segments, is damaged', async () => {
    const { disk, log, first } = await durable()
    const lastBase = log.activeBaseOffset
    log.close()
    const options = { config, recoveryPoint: 14, isCleanShutdown: true } as const
    expect(openLog({ ...options, disk: disk.copy() }).endOffset).toBe(14)

    const without = (isMissing: (name: string) => boolean) => {
      const left = disk.copy()
      for (const name of left.list(LOG_PATH)) if (isMissing(name)) left.remove(`${LOG_PATH}/${name}`)
      return left
    }
    const withoutLast = without((name) => Number.parseInt(name, 10) >= lastBase)
    const refused = `the log ends at offset ${lastBase}, and was durable up to 14`
    expect(() => openLog({ ...options, disk: withoutLast })).toThrow(refused)
    // Nor does the next start think otherwise, which is after no orderly end.
    expect(() => openLog({ ...options, disk: withoutLast, isCleanShutdown: false })).toThrow(refused)
    expect(openLog({ ...options, disk: withoutLast, onCorruption: 'truncate' }).endOffset).toBe(lastBase)

    const withoutAny = without((name) => !Number.isNaN(Number.parseInt(name, 10)))
    expect(withoutAny.exists(first)).toBe(false)
    expect(() => openLog({ ...options, disk: withoutAny })).toThrow('the log ends at offset 0')
  })

  it('S3: what lies before the start of a log that ends there is kept', async () => {
    const { disk, log } = await durable()
    log.close()
    const kept = (left: MemoryDisk, suffix: string) =>
      left.list(LOG_PATH).filter((name) => name.endsWith(suffix)).length
    for (const isCleanShutdown of [true, false]) {
      const options = { config, isCleanShutdown, recoveryPoint: 20, logStartOffset: 20 } as const
      const left = disk.copy()
      const names = left.list(LOG_PATH).filter((name) => name.endsWith('.log'))
      expect(() => openLog({ ...options, disk: left })).toThrow('the log ends at offset 14')
      expect(left.list(LOG_PATH).filter((name) => name.endsWith('.log')).length).toBeGreaterThan(0)
      expect(names.length).toBeGreaterThan(0)
      const again = openLog({ ...options, disk: left, onCorruption: 'truncate' })
      expect([again.logStartOffset, again.endOffset]).toEqual([20, 20])
      expect(kept(left, '.corrupt')).toBeGreaterThan(0)
    }
    // What was not durable may end before the start, which was.
    const torn = disk.copy()
    const again = openLog({ disk: torn, config, isCleanShutdown: false, recoveryPoint: 0, logStartOffset: 20 })
    expect([again.logStartOffset, again.endOffset]).toEqual([20, 20])
    expect(kept(torn, '.cut')).toBeGreaterThan(0)
  })

  it('S3: a partition that is damaged keeps its recovery point, and the directory is not marked as closed in order', async () => {
    const disk = new MemoryDisk()
    const first = await openDirectory(disk)
    const log = first.openOrders()
    for (let i = 0; i < 14; i++) append(log, batchOf([`v${i}`]))
    await log.flush()
    await first.directory.saveRecoveryPoints()
    const left = unlocked(disk)
    const { path } = log.segments[0]!
    left.remove(path.replace('.log', '.index'))
    flip(left, path, RECORDS + 3)
    // Three starts: none of them forgets it.
    for (let i = 0; i < 3; i++) {
      const { directory, openOrders } = await openDirectory(left)
      expect(openOrders).toThrow(CorruptLogError)
      await directory.close()
      expect(String(left.readFile('/data/recovery-point-offset-checkpoint'))).toContain('orders 0 14')
      expect(left.exists('/data/.kafka_cleanshutdown')).toBe(false)
    }
    const { openOrders } = await openDirectory(left, 'truncate')
    expect(openOrders().endOffset).toBe(0)
  })
})

/** The disk as a process leaves it that was killed. */
function unlocked(disk: MemoryDisk): MemoryDisk {
  const left = disk.copy()
  left.remove('/data/.lock')
  return left
}

describe('what a start reads', () => {
  /** How many bytes of segments opening reads. */
  function bytesRead(disk: MemoryDisk, options: Parameters<typeof openLog>[0]): number {
    let count = 0
    const open = disk.open.bind(disk)
    disk.open = (path, how) => {
      const file = open(path, how)
      const read = file.read.bind(file)
      file.read = (into, intoStart, length, position) => {
        const done = read(into, intoStart, length, position)
        if (path.endsWith('.log')) count += done
        return done
      }
      return file
    }
    openLog({ disk, isCleanShutdown: false, ...options })
    return count
  }

  it('S3: is what was not durable, and not what the last segment holds', async () => {
    const disk = new MemoryDisk()
    // An entry per batch, in blocks of 512 that are written when they are full.
    const dense = { indexIntervalBytes: 0 }
    const log = openLog({ disk, config: dense })
    const value = 'x'.repeat(2000)
    for (let i = 0; i < 2000; i++) append(log, batchOf([value]))
    await log.flush()
    const { recoveryPoint } = log
    for (let i = 0; i < 100; i++) append(log, batchOf([value]))
    const all = bytesRead(disk.copy(), { config: dense, recoveryPoint: 0 })
    expect(all).toBeGreaterThan(log.sizeBytes)
    // The headers of all batches are looked at for the producers; bodies only from the last entry that was written.
    const some = bytesRead(disk.copy(), { config: dense, recoveryPoint })
    expect(some).toBeLessThan(all * 0.75)
    const again = openLog({ disk: disk.copy(), config: dense, isCleanShutdown: false, recoveryPoint })
    expect(again.endOffset).toBe(2100)
    expectSoundIndexes(again)
  })

  it('S3: believes no index that lost a block, nor one of another log', async () => {
    const disk = new MemoryDisk()
    const dense = { indexIntervalBytes: 0 }
    const log = openLog({ disk, config: dense })
    for (let i = 0; i < 1500; i++) append(log, batchOf([`v${i}`]))
    await log.flush()
    const path = log.segments[0]!.path.replace('.log', '.index')
    for (const damage of [
      (bytes: Buffer) => bytes.fill(0, 2048, 4096),
      (bytes: Buffer) => bytes.copyWithin(4096, 0, 4096),
      (bytes: Buffer) => setInt32(bytes, 500 * 8 + 4, 0x7000_0000),
      (bytes: Buffer) => setInt32(bytes, bytes.length - 4, 17),
      (bytes: Buffer) => setInt32(bytes, bytes.length - 8, 1499),
    ]) {
      const left = disk.copy()
      const bytes = left.readFile(path)!
      expect(bytes.length).toBe(8192)
      damage(bytes)
      left.writeFile(path, bytes)
      const again = openLog({ disk: left, config: dense, isCleanShutdown: false, recoveryPoint: 1500 })
      expect(again.endOffset).toBe(1500)
      expectSoundIndexes(again)
    }
  })

  it('S3: finds the largest timestamp and the indexes as a full reading would', async () => {
    for (let durable = 1; durable < 1200; durable += 97) {
      const disk = new MemoryDisk()
      const dense = { indexIntervalBytes: 150 }
      const log = openLog({ disk, config: dense })
      const base = new ManualClock().nowMs()
      for (let i = 0; i < 1200; i++) {
        // Timestamps go back now and then, so that the time index knows less than the other.
        append(log, batchOf([`v${i}`], { nowMs: base + ((i * 7919) % 400) + (i > 700 ? 100 : i) }))
        if (i + 1 === durable) await log.flush()
      }
      const read = openLog({ disk: disk.copy(), config: dense, isCleanShutdown: false, recoveryPoint: 0 })
      const kept = openLog({ disk: disk.copy(), config: dense, isCleanShutdown: false, recoveryPoint: durable })
      expect(kept.endOffset).toBe(1200)
      expect(kept.offsetOfMaxTimestamp()).toEqual(read.offsetOfMaxTimestamp())
      for (let ms = 0; ms < 1200; ms += 50) {
        expect(kept.offsetForTimestamp(base + ms)).toEqual(read.offsetForTimestamp(base + ms))
      }
      expectSoundIndexes(kept)
    }
  })
})

describe('the order of a clean end', () => {
  it('S7: marks it when all is synced, and a start takes the mark away, durably, before it writes', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const first = await openDirectory(disk)
    append(first.openOrders(), batchOf(['a']))
    disk.changes.length = 0
    await first.directory.close()
    const mark = disk.changes.findIndex((change) => change.includes('.kafka_cleanshutdown'))
    expect(disk.changes.slice(0, mark)).toContain('sync /data/orders-0/00000000000000000000.log')
    expect(disk.changes.slice(mark)).toEqual([
      'writeFile /data/.kafka_cleanshutdown.tmp',
      'sync /data/.kafka_cleanshutdown.tmp',
      'rename /data/.kafka_cleanshutdown.tmp',
      'sync /data',
    ])
    disk.changes.length = 0
    const second = await openDirectory(disk)
    append(second.openOrders(), batchOf(['b']))
    expect(disk.changes.slice(0, 2)).toEqual(['remove /data/.kafka_cleanshutdown', 'sync /data'])
    await second.directory.close()
  })
})

describe('the order of a recovery point', () => {
  it('S13: passes a segment when the producers at its start are durable', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const log = openLog({ disk, config })
    for (let i = 0; i < 8; i++) append(log, producedBatch(7, 0, i))
    expect(log.segmentCount).toBeGreaterThan(1)
    disk.changes.length = 0
    await log.flush()
    const synced = disk.changes
      .filter((change) => change.startsWith('sync'))
      .map((change) => change.replace(/.*\//, ''))
    for (const segment of log.segments.slice(1)) {
      expect(synced).toContain(`${String(segment.baseOffset).padStart(20, '0')}.snapshot`)
    }
    // The directory is last: the names that the files have are durable too.
    expect(synced.at(-1)).toBe('orders-0')
    expect(log.recoveryPoint).toBe(8)
  })
})

describe('the indexes that a start has built', () => {
  it('S3: are durable before the recovery point moves, or a later start would believe the older ones', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const dense = { indexIntervalBytes: 0 }
    const log = openLog({ disk, config: dense })
    for (let i = 0; i < 600; i++) append(log, batchOf([`v${i}`]))
    for (const recoveryPoint of [0, 300]) {
      const again = openLog({ disk, config: dense, isCleanShutdown: false, recoveryPoint })
      disk.changes.length = 0
      await again.flush()
      const synced = disk.changes
        .filter((change) => change.startsWith('sync'))
        .map((change) => change.replace(/.*\./, ''))
      expect(synced).toEqual(expect.arrayContaining(['log', 'index']))
    }
  })
})

describe('a file that another program cut short', () => {
  it('S11: is an error to whoever reads it, and not the end of the process', async () => {
    const disk = new MemoryDisk()
    const log = openLog({ disk, config: { ...config, segmentBytes: 1 << 20 } })
    for (let i = 0; i < 8; i++) append(log, batchOf([`v${i}`]))
    disk.open(log.segments[0]!.path).truncate(100)
    expect(() => log.read(5, 1000, { maxOffset: 8, atLeastOneBatch: true })).toThrow(CorruptLogError)
  })
})
