import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { LogFields, Logger } from '../base/logger.ts'
import { BrokerConfig } from '../config/broker-config.ts'
import type { Disk } from '../log/disk.ts'
import { defaultLogConfig, type LogConfig } from '../log/log-config.ts'
import { LogDirectory } from '../log/log-directory.ts'
import { MemoryDisk } from '../log/memory-disk.ts'
import { compactNow, keyed, recordsOf, tableOf, whileTimePasses } from '../testing/compaction.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { TOPIC_ID, filesOf } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { NameJournal } from '../testing/name-journal.ts'
import { SeededRandom } from '../testing/simulation/seeded-random.ts'
import { SimulatedDisk } from '../testing/simulation/simulated-disk.ts'
import { Durability } from './durability.ts'
import { Housekeeping } from './housekeeping.ts'
import { Partition } from './partition.ts'

const HOUR_MS = 60 * 60 * 1000
const PATH = '/data/orders-0'
const settings = [
  'log.retention.check.interval.ms=60000',
  'log.cleaner.backoff.ms=15000',
  'log.initial.task.delay.ms=1000',
]

class House {
  readonly clock: ManualClock
  readonly disk: Disk
  readonly directory: LogDirectory
  readonly partitions: Partition[] = []
  readonly lines: { readonly level: string; readonly message: string; readonly fields: LogFields }[] = []
  readonly housekeeping: Housekeeping
  readonly #logger: Logger

  static async open(
    config: Partial<LogConfig>,
    options: { readonly disk?: Disk; readonly sets?: readonly string[]; readonly clock?: ManualClock } = {},
  ): Promise<House> {
    const disk = options.disk ?? new MemoryDisk()
    const clock = options.clock ?? new ManualClock()
    let seed = 0
    const random = { u32: () => ++seed, bytes: (count: number) => Buffer.alloc(count, ++seed), uuid: () => TOPIC_ID }
    const logger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
    const producerIdExpirationMs = 24 * HOUR_MS
    const directory = await LogDirectory.open({
      disk,
      path: '/data',
      nodeId: 1,
      random,
      clock,
      logger,
      producerIdExpirationMs,
    })
    return new House({ disk, clock, directory }, config, options.sets ?? [])
  }

  private constructor(
    world: { readonly disk: Disk; readonly clock: ManualClock; readonly directory: LogDirectory },
    config: Partial<LogConfig>,
    sets: readonly string[],
  ) {
    this.disk = world.disk
    this.clock = world.clock
    this.directory = world.directory
    const line =
      (level: string) =>
      (message: string, fields: LogFields = {}): void =>
        void this.lines.push({ level, message, fields })
    this.#logger = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
    this.add('orders', config)
    this.housekeeping = new Housekeeping({
      partitions: { all: () => this.partitions.values() },
      directory: { checkpoint: () => this.directory.checkpoint(), directoryOf: () => this.directory },
      config: BrokerConfig.from({ sets: [...settings, ...sets] }),
      clock: this.clock,
      logger: this.#logger,
    })
    onTestFinished(() => this.housekeeping.close())
  }

  add(topic: string, config: Partial<LogConfig>): Partition {
    const topicPartition = { topic, partition: 0 }
    const partition = new Partition({
      topicPartition,
      topicId: TOPIC_ID,
      log: this.directory.openLog(topicPartition, TOPIC_ID, { ...defaultLogConfig, ...config }),
      leaderEpoch: 0,
      acksAfter: 'write',
      durability: new Durability(),
      logger: this.#logger,
    })
    this.partitions.push(partition)
    return partition
  }

  get partition(): Partition {
    return this.partitions[0]!
  }

  write(...batches: (readonly string[])[]): void {
    for (const texts of batches) {
      const bytes = keyed(texts, { nowMs: this.clock.nowMs() })
      expect(this.partition.append(bytes, 0, bytes.length, 'client').errorCode).toBe(0)
    }
  }

  /** A record in a transaction of producer 7. */
  writeOpen(text: string): void {
    const producer = { producerId: 7, producerEpoch: 0, baseSequence: 0, isTransactional: true }
    const bytes = keyed([text], { nowMs: this.clock.nowMs(), ...producer })
    expect(this.partition.append(bytes, 0, bytes.length, 'client', 11, true).errorCode).toBe(0)
  }

  end(isCommit: boolean): void {
    const marker = { producerId: 7, producerEpoch: 0, coordinatorEpoch: 0, isCommit, transactionVersion: 1 } as const
    expect(this.partition.appendMarker(marker).errorCode).toBe(0)
  }

  bases(): number[] {
    return this.partition.log.segments.map(({ baseOffset }) => baseOffset)
  }

  /** Lets so much time pass, and what it starts come to an end. */
  async pass(ms: number): Promise<void> {
    const stepMs = Math.max(1, Math.ceil(ms / 200))
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(stepMs, left))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

const small: Partial<LogConfig> = { segmentBytes: 300, indexIntervalBytes: 100 }

describe('retention', () => {
  it('deletes what is too old when its time has come, and says from where on there are records', async () => {
    const house = await House.open({ ...small, retentionMs: HOUR_MS })
    house.housekeeping.start()
    for (let i = 0; i < 11; i++) house.write([`a=${i}`])
    const before = house.bases()
    expect(before.length).toBeGreaterThan(2)
    await house.pass(HOUR_MS / 2)
    house.write(['b=1'])
    const last = house.partition.log.activeBaseOffset
    await house.pass(HOUR_MS / 2)
    expect(house.bases()).toEqual(before)
    await house.pass(61_000)
    // The young record shares its segment with old ones.
    expect(house.bases()).toEqual([last])
    expect(house.partition.offsets.logStart).toBe(last)
    expect(checkpoint(house, 'log-start-offset-checkpoint')).toBe(`0\n1\norders 0 ${last}\n`)

    expect(Object.keys(filesOf(house.disk, PATH)).filter((name) => name.endsWith('.deleted')).length).toBe(
      3 * (before.length - 1),
    )
    await house.pass(60_000)
    expect(Object.keys(filesOf(house.disk, PATH)).filter((name) => name.endsWith('.deleted'))).toEqual([])
    expect(house.lines.map(({ message }) => message)).toContain('segments deleted')
  })

  it('empties a log whose records are all too old, and goes on at its end', async () => {
    const house = await House.open({ retentionMs: HOUR_MS })
    house.write(['a=1'], ['a=2'])
    await house.pass(HOUR_MS + 1)
    await house.housekeeping.retain()
    const { log, offsets } = house.partition
    expect([log.logStartOffset, log.endOffset, log.sizeBytes, log.segmentCount]).toEqual([2, 2, 0, 1])
    expect(offsets.logStart).toBe(2)
    house.write(['a=3'])
    expect(recordsOf(log).map(({ offset }) => offset)).toEqual([2])
    // Nothing to do is nothing done.
    await house.housekeeping.retain()
    expect(log.segmentCount).toBe(1)
  })

  it('S15: keeps what is younger than a clock that jumps, and loses nothing when that jumps back', async () => {
    const house = await House.open({ ...small, retentionMs: 24 * HOUR_MS })
    house.housekeeping.start()
    for (let i = 0; i < 8; i++) house.write([`a=${i}`])
    const before = house.bases()
    for (const jumpMs of [HOUR_MS, -2 * HOUR_MS, HOUR_MS]) {
      house.clock.wallOffsetMs += jumpMs
      await house.pass(120_000)
      expect(house.bases()).toEqual(before)
    }
  })

  it('S15: keeps segments of the future until their time has come, and takes them by size before', async () => {
    const future = { timestampAfterMaxMs: Infinity, retentionMs: HOUR_MS }
    const house = await House.open({ ...small, ...future })
    const day = 24 * HOUR_MS
    for (let i = 0; i < 12; i++) {
      const bytes = keyed([`a=${i}`], { nowMs: house.clock.nowMs() + day })
      house.partition.append(bytes, 0, bytes.length, 'client')
    }
    const before = house.bases()
    await house.pass(day + HOUR_MS)
    await house.housekeeping.retain()
    expect(house.bases()).toEqual(before)
    house.partition.log.config = { ...house.partition.log.config, retentionBytes: 300 }
    await house.housekeeping.retain()
    expect(house.bases().length).toBeLessThan(before.length)
    expect(house.partition.log.sizeBytes).toBeGreaterThanOrEqual(300)
    await house.pass(1)
    await house.housekeeping.retain()
    expect(house.partition.log.sizeBytes).toBe(0)
  })

  it('takes records without timestamps by when they were written', async () => {
    const house = await House.open({ retentionMs: HOUR_MS })
    const bytes = keyed(['a=1'], { nowMs: -1 })
    house.partition.append(bytes, 0, bytes.length, 'client')
    await house.pass(HOUR_MS)
    await house.housekeeping.retain()
    expect(house.partition.log.sizeBytes).toBeGreaterThan(0)
    await house.pass(1)
    await house.housekeeping.retain()
    expect(house.partition.log.sizeBytes).toBe(0)
  })

  it('does not take a segment away from a reader who is in it', async () => {
    const house = await House.open({ ...small, retentionMs: HOUR_MS, fileDeleteDelayMs: 1000 })
    for (let i = 0; i < 12; i++) house.write([`a=${i}`])
    const { log } = house.partition
    const reader = log.batches()
    const seen = [reader.next(), reader.next()].map(({ value }) => (value as Buffer).readInt32BE(4))
    // A fetch that has its bytes keeps them.
    const fetched = log.read(0, 200, { maxOffset: 12, atLeastOneBatch: true })
    const copy = Buffer.from(fetched)
    await house.pass(HOUR_MS + 1)
    await house.housekeeping.retain()
    await house.pass(10_000)
    expect(fetched).toEqual(copy)
    expect(log.logStartOffset).toBe(12)
    // The first segment is still there, the others are gone.
    const left = (): string[] => Object.keys(filesOf(house.disk, PATH)).filter((name) => name.endsWith('.log.deleted'))
    expect(left()).toEqual(['00000000000000000000.log.deleted'])
    house.write(['b=1'])
    for (const bytes of reader) seen.push(bytes.readInt32BE(4))
    expect(seen).toEqual([0, 1, 2, 3, 12])
    await house.pass(10_000)
    expect(left()).toEqual([])
  })

  it('does not wait for the end of a transaction, which may never come', async () => {
    const house = await House.open({ ...small, retentionMs: HOUR_MS })
    const { partition } = house
    house.writeOpen('a=0')
    for (let i = 1; i < 8; i++) house.write([`a=${i}`])
    expect(partition.offsets.lastStable).toBe(0)
    house.clock.advance(2 * HOUR_MS)
    house.write(['b=1'])
    await house.housekeeping.retain()
    // The transaction is still open; what is left of it would begin before the log.
    const { logStart, lastStable, highWatermark } = partition.offsets
    expect([logStart, lastStable, highWatermark]).toEqual([house.bases()[0], logStart, 9])
    expect(logStart).toBeGreaterThan(0)
    house.end(false)
    expect(partition.offsets.lastStable).toBe(10)
  })

  it('frees what lies below the start that a client set', async () => {
    const house = await House.open({ ...small, retentionMs: -1 })
    for (let i = 0; i < 12; i++) house.write([`a=${i}`])
    house.partition.deleteRecordsBefore(7)
    await house.housekeeping.retain()
    expect(house.bases()[0]).toBe(4)
    expect(house.partition.offsets.logStart).toBe(7)
    expect(recordsOf(house.partition.log)[0]).toMatchObject({ offset: 7 })
  })

  it('deletes nothing that the checkpoint does not know of', async () => {
    const memory = new MemoryDisk()
    const disk = new FaultyDisk(memory)
    const house = await House.open({ ...small, retentionBytes: 0 }, { disk })
    for (let i = 0; i < 12; i++) house.write([`a=${i}`])
    disk.fail(['sync'], 'EMFILE')
    await house.housekeeping.retain()
    disk.fail([])
    expect(memory.list(PATH).filter((name) => name.endsWith('.deleted'))).toEqual([])
    expect(house.lines.map(({ level }) => level)).toEqual(['error'])
    await house.housekeeping.retain()
    expect(memory.list(PATH).filter((name) => name.endsWith('.deleted'))).not.toEqual([])
  })

  it('S10: frees a disk that has no room for the checkpoint, one segment after the other', async () => {
    const memory = new MemoryDisk()
    const disk = new FaultyDisk(memory)
    const house = await House.open({ ...small, retentionBytes: 0 }, { disk })
    for (let i = 0; i < 20; i++) house.write([`a=${i}`])
    const bases = house.bases()
    expect(bases.length).toBeGreaterThan(3)
    const changes = disk.changes.length
    disk.fail(['writeFile', 'append', 'create'], 'ENOSPC')
    await house.housekeeping.retain()
    // What is closed is gone, and each before the next.
    expect(house.bases()).toEqual(bases.slice(-1))
    const order = disk.changes.slice(changes).filter((change) => change.endsWith('.log') || change === `sync ${PATH}`)
    const renames = order.filter((change) => change.startsWith('rename'))
    expect(renames.length).toBe(bases.length - 1)
    expect(order).toEqual(renames.flatMap((rename) => [rename, `sync ${PATH}`]))
    await house.pass(1000)
    expect(memory.list(PATH).filter((name) => name.endsWith('.deleted'))).toEqual([])
    // With room again it is as with any other.
    disk.fail([])
    await house.housekeeping.retain()
    house.write(['b=1'])
    expect(recordsOf(house.partition.log)).toMatchObject([{ offset: 20 }])
  })

  it('S14: leaves a log without a gap, wherever a crash comes', async () => {
    let crashes = 0
    for (let changes = 0; ; changes++) {
      const memory = new MemoryDisk()
      const disk = new FaultyDisk(memory)
      const house = await House.open({ ...small, retentionBytes: 400 }, { disk })
      for (let i = 0; i < 24; i++) house.write([`a=${i}`])
      disk.dieAfter(changes)
      await house.housekeeping.retain()
      house.clock.advance(60_000)
      if (disk.changesLeft >= 0) break
      crashes++
      const again = await House.open({ ...small, retentionBytes: 400 }, { disk: unlocked(memory) })
      const { log } = again.partition
      expect(log.endOffset).toBe(24)
      const offsets = recordsOf(log).map(({ offset }) => offset)
      expect(offsets).toEqual(Array.from({ length: 24 - log.logStartOffset }, (_, i) => log.logStartOffset + i))
      expect(log.sizeBytes).toBeGreaterThanOrEqual(400)
      await again.housekeeping.retain()
      expect(again.partition.log.logStartOffset).toBe(house.partition.log.logStartOffset)
    }
    expect(crashes).toBeGreaterThan(20)
  }, 30_000)

  it('leaves a log without a gap if the power goes and any of the renames were not durable', async () => {
    const memory = new MemoryDisk()
    const first = await House.open({ ...small, retentionBytes: 400 }, { disk: memory })
    for (let i = 0; i < 24; i++) first.write([`a=${i}`])
    await first.partition.log.flush()
    // The recovery point of the checkpoint is 0, so that a start reads all of it again and finds a gap wherever one is.
    const journal = new NameJournal(unlocked(memory))
    const house = await House.open({ ...small, retentionBytes: 400 }, { disk: journal })
    await house.housekeeping.retain()
    const cuts = journal.cuts.filter(({ changes }) => changes.some(({ to }) => to?.endsWith('.deleted')))
    expect(cuts).toHaveLength(1)
    const { length } = cuts[0]!.changes
    expect(length).toBeGreaterThan(9)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: length, maxLength: length }), async (done) => {
        const torn = NameJournal.after(cuts[0]!, done)
        const again = await House.open({ ...small, retentionBytes: 400 }, { disk: torn })
        const { log } = again.partition
        expect([log.logStartOffset, log.endOffset]).toEqual([house.partition.log.logStartOffset, 24])
        expect(recordsOf(log)).toEqual(recordsOf(house.partition.log))
      }),
      { numRuns: 50 },
    )
  })
})

describe('compaction', () => {
  const compacted: Partial<LogConfig> = { ...small, isCompacted: true, isDeleted: false, fileDeleteDelayMs: 1000 }

  it('compacts a log when enough of it is dirty, and not before', async () => {
    const house = await House.open({ ...compacted, minCleanableDirtyRatio: 0.5 })
    house.housekeeping.start()
    for (let i = 0; i < 20; i++) house.write([`${i % 3}=${i}`])
    const { log } = house.partition
    const firstBase = log.activeBaseOffset
    await house.pass(16_000)
    expect(recordsOf(log).filter(({ offset }) => offset < firstBase)).toHaveLength(3)
    expect(log.cleanedTo).toBe(firstBase)
    expect(checkpoint(house, 'cleaner-offset-checkpoint')).toBe(`0\n1\norders 0 ${firstBase}\n`)
    expect(house.lines.map(({ message }) => message)).toEqual(['log compacted'])

    // Less than half of the log: some distinct keys make it large first.
    for (let i = 0; i < 40; i++) house.write([`key ${i}=${i}`])
    await house.pass(16_000)
    const secondBase = log.cleanedTo!
    house.write(['0=new'], ['0=newer'], ['0=newest'], ['0=last'])
    await house.pass(60_000)
    expect(log.activeBaseOffset).toBeGreaterThan(secondBase)
    expect(log.cleanedTo).toBe(secondBase)

    // The settings may change at any time.
    log.config = { ...log.config, minCleanableDirtyRatio: 0 }
    await house.pass(16_000)
    expect(log.cleanedTo).toBe(log.activeBaseOffset)
  })

  it('goes on where it was after a restart', async () => {
    const house = await House.open(compacted)
    for (let i = 0; i < 20; i++) house.write([`${i % 3}=${i}`])
    await whileTimePasses(house.clock, house.housekeeping.compact())
    const { cleanedTo } = house.partition.log
    await house.housekeeping.close()
    await house.directory.close()
    const again = await House.open(compacted, { disk: house.disk })
    expect(again.partition.log.cleanedTo).toBe(cleanedTo)
    await whileTimePasses(again.clock, again.housekeeping.compact())
    expect(again.lines).toEqual([])
  })

  it('leaves alone what is younger than min.compaction.lag.ms, and does at once what is older than the maximum', async () => {
    const lag = await House.open({ ...compacted, minCompactionLagMs: HOUR_MS })
    for (let i = 0; i < 10; i++) lag.write([`a=${i}`])
    await lag.pass(HOUR_MS / 2)
    for (let i = 0; i < 10; i++) lag.write([`a=${10 + i}`])
    await whileTimePasses(lag.clock, lag.housekeeping.compact())
    expect(lag.partition.log.cleanedTo).toBeNull()
    await lag.pass(HOUR_MS / 2 + 1)
    await whileTimePasses(lag.clock, lag.housekeeping.compact())
    const { cleanedTo } = lag.partition.log
    expect(cleanedTo).toBeGreaterThan(5)
    expect(cleanedTo).toBeLessThanOrEqual(10)
    expect(recordsOf(lag.partition.log).filter(({ offset }) => offset < cleanedTo!)).toHaveLength(1)

    const due = await House.open({ ...compacted, minCleanableDirtyRatio: 1, maxCompactionLagMs: HOUR_MS })
    for (let i = 0; i < 10; i++) due.write([`a=${i}`])
    await whileTimePasses(due.clock, due.housekeeping.compact())
    expect(due.partition.log.cleanedTo).toBeNull()
    await due.pass(HOUR_MS + 1)
    await whileTimePasses(due.clock, due.housekeeping.compact())
    expect(due.partition.log.cleanedTo).toBe(due.partition.log.activeBaseOffset)
  })

  it('rolls the active segment when a record in it must be compacted by some time', async () => {
    const house = await House.open({ isCompacted: true, maxCompactionLagMs: HOUR_MS })
    house.write(['a=1'])
    await house.pass(HOUR_MS)
    house.write(['a=2'])
    expect(house.partition.log.segmentCount).toBe(1)
    await house.pass(1)
    house.write(['a=3'])
    expect(house.partition.log.segmentCount).toBe(2)
  })

  it('takes the dirtiest log first, and compacts all that are dirty enough', async () => {
    const house = await House.open(compacted)
    const other = house.add('cleaner', compacted)
    for (let i = 0; i < 12; i++) house.write([`${i % 3}=${i}`])
    const [orders] = house.partitions
    for (let i = 0; i < 12; i++) {
      const bytes = keyed([`${i}=x`], { nowMs: house.clock.nowMs() })
      other.append(bytes, 0, bytes.length, 'client')
    }
    await compactNow(other.log, house.clock)
    for (let i = 0; i < 14; i++) {
      const bytes = keyed([`${i}=y`], { nowMs: house.clock.nowMs() })
      other.append(bytes, 0, bytes.length, 'client')
    }
    await whileTimePasses(house.clock, house.housekeeping.compact())
    expect(house.lines.map(({ fields }) => fields['partition'])).toEqual(['orders-0', 'cleaner-0'])
    expect(orders!.log.cleanedTo).toBe(orders!.log.activeBaseOffset)
    expect(other.log.cleanedTo).toBe(other.log.activeBaseOffset)
  })

  it('goes on while the map of keys is too small for all of them', async () => {
    const house = await House.open(
      { ...compacted, minCleanableDirtyRatio: 0 },
      { sets: ['log.cleaner.dedupe.buffer.size=240'] },
    )
    for (let i = 0; i < 60; i++) house.write([`${i % 30}=${i}`])
    const { log } = house.partition
    await whileTimePasses(house.clock, house.housekeeping.compact())
    expect(log.cleanedTo).toBe(log.activeBaseOffset)
    const keys = recordsOf(log).filter(({ offset }) => offset < log.activeBaseOffset)
    expect(new Set(keys.map(({ key }) => key)).size).toBe(keys.length)
    expect(house.lines.length).toBeGreaterThan(3)
  })

  it('reads and writes no faster than log.cleaner.io.max.bytes.per.second', async () => {
    const house = await House.open(
      { ...compacted, segmentBytes: 10_000 },
      { sets: ['log.cleaner.io.max.bytes.per.second=1048576'] },
    )
    for (let i = 0; i < 100; i++) house.write([`${i}=${'x'.repeat(100_000)}`.slice(0, 9000)])
    const startMs = house.clock.monoMs()
    await whileTimePasses(house.clock, house.housekeeping.compact(), 10)
    // Each of 0.9 MB is read twice and written once.
    expect(house.clock.monoMs() - startMs).toBeGreaterThan(2000)
  })

  it('with delete as well, both apply', async () => {
    const house = await House.open({ ...compacted, isDeleted: true, retentionMs: HOUR_MS })
    house.housekeeping.start()
    for (let i = 0; i < 20; i++) house.write([`${i % 3}=${i}`])
    await house.pass(16_000)
    const { log } = house.partition
    expect(recordsOf(log).filter(({ offset }) => offset < log.cleanedTo!)).toHaveLength(3)
    await house.pass(HOUR_MS + 30_000)
    expect([log.logStartOffset, log.sizeBytes]).toEqual([20, 0])
    for (let i = 0; i < 20; i++) house.write([`${i % 3}=${i}`])
    await house.pass(16_000)
    expect(tableOf(recordsOf(log))).toEqual(
      new Map([
        ['0', '18'],
        ['1', '19'],
        ['2', '17'],
      ]),
    )
    expect(house.lines.filter(({ level }) => level !== 'info')).toEqual([])
  })

  it('does not go into a segment that is not decided', async () => {
    const house = await House.open(compacted)
    const texts = () => recordsOf(house.partition.log).map(({ offset, key, value }) => `${offset}:${key}=${value}`)
    house.write(['a=1'], ['a=2'])
    house.partition.log.roll()
    house.writeOpen('a=3')
    house.partition.log.roll()
    house.write(['a=4'], ['a=5'])
    house.partition.log.roll()
    house.write(['b=1'])
    await whileTimePasses(house.clock, house.housekeeping.compact())
    expect(texts()).toEqual(['1:a=2', '2:a=3', '3:a=4', '4:a=5', '5:b=1'])
    house.end(false)
    house.partition.log.roll()
    house.write(['c=1'])
    await whileTimePasses(house.clock, house.housekeeping.compact())
    expect(texts()).toEqual(['4:a=5', '5:b=1', '7:c=1'])
  })

  it('takes nothing away for a record that a loss of power would take back with the marker of its transaction', async () => {
    const disk = new SimulatedDisk({ random: new SeededRandom(1) })
    disk.prepare('/data')
    const house = await House.open(compacted, { disk: disk.mount() })
    house.write(['a=1'])
    house.partition.log.roll()
    house.writeOpen('a=2')
    house.partition.log.roll()
    house.end(true)
    await whileTimePasses(house.clock, house.housekeeping.compact())
    expect(recordsOf(house.partition.log).map(({ value }) => value)).toEqual(['2'])
    disk.powerCut('nothing')
    const { log } = (await House.open(compacted, { disk: disk.mount() })).partition
    expect(recordsOf(log).map(({ value }) => value)).toEqual(['2'])
    expect([log.endOffset, log.lastStableOffset(log.endOffset)]).toEqual([3, 3])
  })

  it('compacts nothing that is not replicated and durable yet', async () => {
    const house = await House.open(compacted)
    for (let i = 0; i < 20; i++) house.write([`a=${i}`])
    const { log } = house.partition
    Object.defineProperty(house.partition.offsets, 'lastStable', { get: () => 7 })
    await whileTimePasses(house.clock, house.housekeeping.compact())
    const { cleanedTo } = log
    expect(cleanedTo).toBeGreaterThan(0)
    expect(cleanedTo).toBeLessThanOrEqual(7)
    expect(log.recoveryPoint).toBeGreaterThanOrEqual(log.activeBaseOffset)
    expect(recordsOf(log).filter(({ offset }) => offset >= cleanedTo!)).toHaveLength(20 - cleanedTo!)
  })

  it('leaves a log alone that has rotted, and says so once', async () => {
    const memory = new MemoryDisk()
    const house = await House.open(compacted, { disk: memory })
    for (let i = 0; i < 20; i++) house.write([`a=${i}`])
    const { path } = house.partition.log.segments[1]!
    const bytes = memory.readFile(path)!
    bytes[66]! ^= 1
    memory.writeFile(path, bytes)
    house.housekeeping.start()
    await house.pass(60_000)
    expect(house.lines).toEqual([
      {
        level: 'error',
        message: 'retention and compaction leave a log alone until restart: it failed',
        fields: { partition: 'orders-0', error: `${path}: at byte 0: the checksum of the batch is wrong` },
      },
    ])
    house.write(['b=1'])
  })

  it('S10: is tried again when there was no room for it', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const house = await House.open(compacted, { disk })
    for (let i = 0; i < 20; i++) house.write([`a=${i}`])
    await house.directory.checkpoint()
    disk.fail(['append'], 'ENOSPC')
    house.housekeeping.start()
    await house.pass(60_000)
    expect(new Set(house.lines.map(({ message }) => message))).toEqual(
      new Set(['retention and compaction try again later: there was no room']),
    )
    expect(house.partition.log.cleanedTo).toBeNull()
    disk.fail([])
    await house.pass(60_000)
    expect(house.partition.log.cleanedTo).toBeGreaterThan(0)
    expect(recordsOf(house.partition.log).at(-1)).toMatchObject({ offset: 19 })
    house.write(['b=1'])
  })

  it('is off with log.cleaner.enable=false', async () => {
    const house = await House.open(compacted, { sets: ['log.cleaner.enable=false'] })
    house.housekeeping.start()
    for (let i = 0; i < 20; i++) house.write([`a=${i}`])
    await house.pass(60_000)
    expect(recordsOf(house.partition.log)).toHaveLength(20)
  })
})

describe('closing', () => {
  it('leaves no timer, and gives up what is under way without harm', async () => {
    const config = { ...small, isCompacted: true, isDeleted: false, minCleanableDirtyRatio: 0 }
    const house = await House.open(config, { sets: ['log.cleaner.io.max.bytes.per.second=100'] })
    const { clock, partition, housekeeping } = house
    const quiet = clock.timerCount
    for (let i = 0; i < 30; i++) house.write([`${i % 3}=${i}`])
    housekeeping.start()
    await house.pass(20_000)
    const before = recordsOf(partition.log)
    expect(before).toHaveLength(30)
    await housekeeping.close()
    expect(clock.timerCount).toBe(quiet)
    expect(recordsOf(partition.log)).toEqual(before)
    await house.directory.close()
    expect(clock.timerCount).toBe(0)
    expect((house.disk as MemoryDisk).openFileCount).toBe(0)
    expect(house.disk.list(PATH).filter((name) => /cleaned|swap/.test(name))).toEqual([])
  })

  it('minds no partition that is deleted meanwhile', async () => {
    const config = { ...small, isCompacted: true, isDeleted: false, fileDeleteDelayMs: 0 }
    for (let step = 0; step < 40; step++) {
      const house = await House.open(config)
      for (let i = 0; i < 30; i++) house.write([`${i % 3}=${i}`])
      const work = house.housekeeping.compact()
      for (let i = 0; i < step; i++) await Promise.resolve()
      house.directory.deleteLog(house.partition.topicPartition)
      await whileTimePasses(house.clock, work)
      expect(house.lines.filter(({ level }) => level === 'error')).toEqual([])
      await house.pass(1000)
      expect(house.disk.list('/data').filter((name) => name.startsWith('orders'))).toEqual([])
      expect((house.disk as MemoryDisk).openFileCount).toBe(0)
    }
  }, 30_000)
})

function checkpoint(house: House, name: string): string {
  return String(house.disk.readFile(`/data/${name}`))
}

/** The disk as it is found after the process died, which releases its locks. */
function unlocked(memory: MemoryDisk): MemoryDisk {
  return memory.copy()
}
