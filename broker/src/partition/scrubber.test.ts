import { RECORDS } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { StorageError } from '../base/errors.ts'
import { BrokerConfig } from '../config/broker-config.ts'
import { MemoryDisk } from '../log/memory-disk.ts'
import { linesLogger } from '../testing/lines-logger.ts'
import { batchOf, openLog } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { Durability } from './durability.ts'
import { Partition } from './partition.ts'
import { Scrubber } from './scrubber.ts'

const SEGMENT_BYTES = 4000

async function world(sets: readonly string[] = []) {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const { logger, lines } = linesLogger()
  const log = openLog({ disk, clock, config: { segmentBytes: SEGMENT_BYTES } })
  const partition = new Partition({
    topicPartition: log.topicPartition,
    topicId: log.topicId,
    log,
    leaderEpoch: 0,
    acksAfter: 'write',
    durability: new Durability(),
    logger,
  })
  const write = () => {
    const bytes = batchOf(['x'.repeat(1000)])
    return partition.append(bytes, 0, bytes.length, 'client').errorCode
  }
  for (let i = 0; i < 32; i++) write()
  const config = BrokerConfig.from({ sets: ['scrub.max.bytes.per.second=10000', ...sets] })
  const scrubber = new Scrubber({ partitions: { all: () => [partition].values() }, config, clock, logger })
  /** Lets the scrubber work until the clock has gone on so far. */
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 10) {
      clock.advance(10)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const damage = (segment: number) => {
    const { path } = log.segments[segment]!
    const bytes = disk.readFile(path)!
    bytes[RECORDS + 3]! ^= 1
    disk.writeFile(path, bytes)
    return path
  }
  return { log, partition, scrubber, lines, write, pass, damage, clock }
}

describe('Scrubber', () => {
  it('S17: reads every closed segment that is durable, and the others not', async () => {
    const { log, scrubber, lines, pass } = await world()
    await log.flushClosedSegments()
    const closed = log.segments.slice(0, -1)
    const done = scrubber.scrub()
    await pass(10_000)
    await done
    expect(scrubber.totals).toEqual({
      rounds: 1,
      segments: closed.length,
      bytes: closed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      faults: 0,
    })
    expect(lines.map(({ message, fields }) => [message, fields['segments'], fields['faults']])).toEqual([
      ['closed segments were read again', closed.length, 0],
    ])
  })

  it('S17: reads nothing that is not durable yet', async () => {
    const { scrubber } = await world()
    await scrubber.scrub()
    expect(scrubber.totals).toMatchObject({ segments: 0, bytes: 0 })
  })

  it('S17: reads no faster than it may', async () => {
    const { log, scrubber, pass } = await world()
    await log.flushClosedSegments()
    const done = scrubber.scrub()
    await pass(1000)
    // It counts a segment when it has read all of it.
    expect(scrubber.totals.bytes).toBeLessThanOrEqual(10_000 + SEGMENT_BYTES)
    await pass(10_000)
    await done
  })

  it('S17: leaves a partition with a damaged segment to readers, and says where and what to choose', async () => {
    const { log, partition, scrubber, lines, write, pass, damage } = await world()
    await log.flushClosedSegments()
    const path = damage(2)
    const done = scrubber.scrub()
    await pass(10_000)
    await done
    expect(scrubber.totals).toMatchObject({ segments: 2, faults: 1 })
    expect(partition.isReadOnly).toBe(true)
    expect(write()).not.toBe(0)
    expect(partition.isOffline).toBe(false)
    expect(partition.read(0, 100, { maxOffset: 32, atLeastOneBatch: true })).toBeInstanceOf(Buffer)
    expect(lines[0]).toMatchObject({
      level: 'error',
      fields: {
        error:
          `${path}: at byte 0: the checksum of the batch is wrong; a closed segment is damaged: restore the file from a ` +
          'copy, or set recovery.on.corruption=truncate to go on with the damage where it is',
      },
    })
  })

  it('S16: takes no segment for damaged that it had no descriptor for', async () => {
    const { log, partition, scrubber, pass } = await world()
    await log.flushClosedSegments()
    const { file } = log.segments[1]!
    file.read = () => {
      throw new StorageError('read', file.path, { code: 'EMFILE' })
    }
    const done = scrubber.scrub()
    await pass(10_000)
    await done
    expect(scrubber.totals).toMatchObject({ segments: log.segmentCount - 2, faults: 0 })
    expect(partition.isReadOnly).toBe(false)
  })

  it('S17: with truncate says so and goes on', async () => {
    const { log, partition, scrubber, lines, write, pass, damage } = await world(['recovery.on.corruption=truncate'])
    await log.flushClosedSegments()
    damage(0)
    const done = scrubber.scrub()
    await pass(10_000)
    await done
    expect(scrubber.totals.faults).toBe(1)
    expect(lines[0]).toMatchObject({ level: 'error', message: 'a closed segment is damaged' })
    expect(partition.isReadOnly).toBe(false)
    expect(write()).toBe(0)
  })

  it('S17: begins by itself, once a day, unless the rate is 0', async () => {
    const { log, scrubber, pass, clock } = await world()
    await log.flushClosedSegments()
    scrubber.start()
    clock.advance(60_000)
    await pass(10_000)
    expect(scrubber.totals.rounds).toBe(1)
    clock.advance(24 * 60 * 60 * 1000)
    await pass(10_000)
    expect(scrubber.totals.rounds).toBe(2)
    await scrubber.close()

    const off = await world(['scrub.max.bytes.per.second=0'])
    off.scrubber.start()
    expect(off.clock.timerCount).toBe(0)
  })

  it('S17: minds no segment that is deleted while it reads, and ends at once when it is closed', async () => {
    const { log, scrubber, pass } = await world()
    await log.flushClosedSegments()
    const done = scrubber.scrub()
    await pass(200)
    log.advanceLogStartOffset(20)
    await log.deleteSegmentsBelowStart()
    await pass(500)
    await scrubber.close()
    await done
    expect(scrubber.totals.faults).toBe(0)
  })
})
