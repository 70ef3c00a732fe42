import { expect, it } from 'vitest'
import { fileName } from '../../log/log-files.ts'
import { MemoryDisk } from '../../log/memory-disk.ts'
import { append, batchOf, LOG_PATH, openLog, valuesOf } from '../logs.ts'
import { ManualClock } from '../manual-clock.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimulatedDisk } from './simulated-disk.ts'

// Seed 453: everything was synced, then the segment was closed and the power went. Its time index was there, all zeros,
// and was believed, as the segment ended where the recovery point was: by its records' age retention deleted them.
it('does not believe the indexes of a segment that was closed after the last sync', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const disk = new SimulatedDisk({ random: new SeededRandom(seed) })
    disk.prepare('/data')
    const log = openLog({ disk: disk.mount() })
    append(log, batchOf(['a']))
    await log.flush()
    const { recoveryPoint } = log
    log.roll()
    append(log, batchOf(['b']))
    disk.powerCut('zero tail')
    const found = openLog({ disk: disk.mount(), isCleanShutdown: false, recoveryPoint })
    expect(valuesOf(found).get(0)).toBe('a')
    expect(found.segments[0]!.newestMs).toBe(new ManualClock().nowMs())
  }
})

// Seed 37: a segment that a recovery had removed was back after a power cut, beside the one that its offsets had been
// written to again. In a compacted log, where gaps are right, it was taken for the end.
it('ends a compacted log before a segment that begins within the one before', () => {
  const disk = new MemoryDisk()
  const config = { isCompacted: true }
  const log = openLog({ disk, config })
  for (const value of ['a', 'b', 'c']) append(log, batchOf([value]))
  log.roll()
  for (const value of ['d', 'e']) append(log, batchOf([value]))
  log.close()
  const [first, second] = [0, 3].map((base) => `${LOG_PATH}/${fileName(base, '.log')}`)
  disk.writeFile(first!, Buffer.concat([disk.readFile(first!)!, disk.readFile(second!)!]))
  for (const isCleanShutdown of [false, true]) {
    const found = openLog({ disk, config, isCleanShutdown })
    expect(found.endOffset).toBe(5)
    expect([...valuesOf(found).values()]).toEqual(['a', 'b', 'c', 'd', 'e'])
    found.close()
  }
})
