import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StorageError } from '../base/errors.ts'
import { compactNow, keyed, recordsOf, tableOf, type SeenRecord } from '../testing/compaction.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { LOG_PATH, append, openLog } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { NameJournal } from '../testing/name-journal.ts'
import type { Disk } from './disk.ts'
import type { LogConfig } from './log-config.ts'
import { MemoryDisk } from './memory-disk.ts'
import type { PartitionLog } from './partition-log.ts'
import { finishSwap } from './segment-swap.ts'

const config: Partial<LogConfig> = {
  isCompacted: true,
  isDeleted: false,
  segmentBytes: 400,
  indexIntervalBytes: 100,
  fileDeleteDelayMs: 1000,
}

/** A log with segments that shrink a lot, a little, and to nothing, and one active segment. */
function written(disk: Disk, clock: ManualClock): PartitionLog {
  const log = openLog({ disk, clock, config })
  for (let i = 0; i < 48; i++) {
    const texts = i < 20 ? [`${i % 3}=${i}`] : i < 28 ? ['0'] : [`${i}=${i}`, `${i % 7}=${i}`]
    append(log, keyed(texts, { nowMs: clock.nowMs(), ...producerOf(i) }))
  }
  log.config = { ...log.config, segmentBytes: 1500 }
  return log
}

/** Several segments become one, and some of those are more than is to be in one. */
function compactAll(log: PartitionLog, clock: ManualClock): Promise<unknown> {
  return compactNow(log, clock, { segmentBytesMax: 400 })
}

function producerOf(i: number): object {
  return i % 5 === 0 ? { producerId: 77, producerEpoch: 1, baseSequence: i === 0 ? 0 : sequenceOf(i) } : {}
}

/** Of every fifth batch, with one record each up to the 28th and two from then on. */
function sequenceOf(i: number): number {
  let sequence = 0
  for (let before = 0; before < i; before += 5) sequence += before < 28 ? 1 : 2
  return sequence
}

function reopen(disk: Disk, clock: ManualClock, recoveryPoint: number): PartitionLog {
  const log = openLog({ disk, clock, config, isCleanShutdown: false, recoveryPoint })
  log.config = { ...log.config, segmentBytes: 1500 }
  return log
}

/** Fails unless the log is between the two: everything that compaction keeps is there, and nothing that was not there. */
function checkBetween(log: PartitionLog, before: readonly SeenRecord[], after: readonly SeenRecord[]): void {
  const found = recordsOf(log)
  const old = new Map(before.map((record) => [record.offset, record]))
  const offsets = new Set(found.map(({ offset }) => offset))
  for (const record of found) expect(record).toEqual(old.get(record.offset))
  for (const { offset } of after) expect(offsets.has(offset)).toBe(true)
  expect(tableOf(found)).toEqual(tableOf(before))
}

/** Lets the start after a crash die at every change that it makes, and of the names in any way. */
async function crashAgain(
  left: MemoryDisk,
  clock: ManualClock,
  recoveryPoint: number,
  { before, after }: { readonly before: readonly SeenRecord[]; readonly after: readonly SeenRecord[] },
): Promise<void> {
  for (let changes = 0; ; changes++) {
    const memory = left.copy()
    const disk = new FaultyDisk(memory)
    disk.dieAfter(changes)
    const failure = await finishSwap(disk, LOG_PATH)
      .then(() => reopen(disk, clock, recoveryPoint))
      .then(
        () => null,
        (error: unknown) => error,
      )
    checkBetween(reopen(memory, clock, recoveryPoint), before, after)
    if (failure === null) break
    expect(failure).toBeInstanceOf(StorageError)
  }
  const journal = new NameJournal(left.copy())
  await finishSwap(journal, LOG_PATH)
  for (const cut of journal.cuts) {
    for (const isDone of [
      (i: number) => i % 2 === 0,
      (i: number) => i % 2 === 1,
      (i: number) => i > 1,
      (i: number) => i < 2,
    ]) {
      const torn = NameJournal.after(
        cut,
        cut.changes.map((_, i) => isDone(i)),
      )
      checkBetween(reopen(torn, clock, recoveryPoint), before, after)
    }
  }
}

describe('a crash in a compaction', () => {
  it('S14: leaves the old records or the new ones, wherever it comes, and the next compaction ends as this would have', async () => {
    const whole = written(new MemoryDisk(), new ManualClock())
    const before = recordsOf(whole)
    await compactAll(whole, new ManualClock())
    const after = recordsOf(whole)
    expect(after.length).toBeLessThan(before.length - 20)

    let crashes = 0
    let olds = 0
    for (let changes = 0; ; changes++) {
      const memory = new MemoryDisk()
      const disk = new FaultyDisk(memory)
      const clock = new ManualClock()
      const log = written(disk, clock)
      await log.flushClosedSegments()
      const { recoveryPoint } = log
      disk.dieAfter(changes)
      const failure = await compactAll(log, clock).then(
        () => null,
        (error: unknown) => error,
      )
      // The old files go later, and a crash may come there too.
      clock.advance(1000)
      if (failure === null && disk.changesLeft >= 0) break
      crashes++
      if (failure !== null) {
        expect(failure).toBeInstanceOf(StorageError)
        // Who reads until the process ends sees one or the other too.
        checkBetween(log, before, after)
      }

      // From where on the log is read again makes no difference to what is found.
      for (const point of changes % 4 === 0 ? [recoveryPoint, 0] : [recoveryPoint]) {
        const left = memory.copy()
        const again = reopen(left, clock, point)
        checkBetween(again, before, after)
        expect(again.endOffset).toBe(whole.endOffset)
        expect(again.producers.entries()).toMatchObject([
          { producerId: 77, epoch: 1, lastSequence: sequenceOf(50) - 1 },
        ])
        expect(left.list(LOG_PATH).filter((name) => /cleaned|swap|deleted/.test(name))).toEqual([])
        if (recordsOf(again).length === before.length) olds++
        await compactAll(again, clock)
        expect(recordsOf(again)).toEqual(after)
        // And nothing of it is lost when the log is opened once more.
        expect(recordsOf(reopen(left.copy(), clock, 0))).toEqual(after)
      }
      if (changes % 9 === 0) await crashAgain(memory, clock, recoveryPoint, { before, after })
    }
    expect(crashes).toBeGreaterThan(60)
    expect(olds).toBeGreaterThan(3)
    expect(olds).toBeLessThan(crashes)
  }, 60_000)

  it('S14: leaves the old records or the new ones if the power goes and any of the renames were not durable', async () => {
    const memory = new MemoryDisk()
    const clock = new ManualClock()
    const log = written(memory, clock)
    await log.flushClosedSegments()
    const before = recordsOf(log)
    const { recoveryPoint } = log
    // From here on the names count.
    const journal = new NameJournal(memory.copy())
    const journaled = reopen(journal, clock, recoveryPoint)
    await journaled.flush()
    await compactAll(journaled, clock)
    const after = recordsOf(journaled)
    const swaps = journal.cuts.filter(({ changes }) => changes.length >= 3)
    expect(swaps.length).toBeGreaterThanOrEqual(9)

    for (const cut of swaps) {
      fc.assert(
        fc.property(
          fc.array(fc.boolean(), { minLength: cut.changes.length, maxLength: cut.changes.length }),
          (done) => {
            const again = reopen(NameJournal.after(cut, done), clock, recoveryPoint)
            checkBetween(again, before, after)
            expect(again.endOffset).toBe(log.endOffset)
          },
        ),
        { numRuns: 60, examples: [[cut.changes.map(() => true)], [cut.changes.map((_, i) => i % 2 === 0)]] },
      )
    }
  }, 60_000)

  it('S14: cannot come before what a rename promises is durable', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const clock = new ManualClock()
    const log = written(disk, clock)
    await log.flushClosedSegments()
    const start = disk.changes.length
    await compactAll(log, clock)
    clock.advance(1000)
    for (let i = 0; i < 200; i++) clock.advance(1)
    const changes = disk.changes.slice(start)
    const drafts = changes.filter((change) => /^rename .*\.cleaned$/.test(change)).map((change) => change.slice(7))
    expect(drafts.length).toBeGreaterThan(8)
    for (const path of drafts) {
      const renamed = changes.indexOf(`rename ${path}`)
      const written = changes.lastIndexOf(`append ${path}`)
      expect(written).toBeLessThan(renamed)
      // An index may have no entry.
      if (written >= 0) expect(changes.slice(written, renamed)).toContain(`sync ${path}`)
    }
    // And the old files go after the new names are durable.
    const named = changes.findLastIndex((change) => /^rename .*\.swap$/.test(change))
    const removed = changes.findIndex((change) => /^remove .*\.deleted$/.test(change))
    expect(changes.slice(named, removed)).toContain(`sync ${LOG_PATH}`)
  })

  it('S14: takes no append after a rename that failed, and finds its way at the next start', async () => {
    const memory = new MemoryDisk()
    const disk = new FaultyDisk(memory)
    const clock = new ManualClock()
    const log = written(disk, clock)
    const before = recordsOf(log)
    await log.flushClosedSegments()
    disk.fail(['rename'])
    await expect(compactAll(log, clock)).rejects.toBeInstanceOf(StorageError)
    disk.fail([])
    expect(() => append(log, keyed(['x=1']))).toThrow(StorageError)
    await expect(compactAll(log, clock)).rejects.toBeInstanceOf(StorageError)
    expect(recordsOf(log)).toEqual(before)
    const again = reopen(memory, clock, 0)
    expect(recordsOf(again)).toEqual(before)
    expect(append(again, keyed(['x=1'])).errorCode).toBe(0)
  })

  it('is not told of drafts that an earlier compaction could not remove', async () => {
    const memory = new MemoryDisk()
    const disk = new FaultyDisk(memory)
    const clock = new ManualClock()
    const log = written(disk, clock)
    // A draft of the first segment: after a crash it would say that a swap had not begun.
    memory.writeFile(`${LOG_PATH}/00000000000000000000.timeindex.cleaned`, Buffer.alloc(0))
    memory.writeFile(`${LOG_PATH}/00000000000000000001.log.cleaned`, Buffer.alloc(0))
    await compactAll(log, clock)
    expect(memory.list(LOG_PATH).filter((name) => name.endsWith('.cleaned'))).toEqual([])
  })
})
