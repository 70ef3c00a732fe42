import { expect, it } from 'vitest'
import { silentLogger } from '../../base/logger.ts'
import { LogDirectory } from '../../log/log-directory.ts'
import { defaultLogConfig } from '../../log/log-config.ts'
import { append, batchOf, valuesOf } from '../logs.ts'
import { ManualClock } from '../manual-clock.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimulatedDisk } from './simulated-disk.ts'

const ORDERS = { topic: 'orders', partition: 0 }

// Found by a seed: a topic was deleted and made again, and the machine lost power before the checkpoints were written
// again. They said where the first topic's log began, by the name that both have, and the second one's records were gone.
it.each([false, true])(
  'a topic that is made again is not taken for the one of that name before',
  async (isRestarted) => {
    const disk = new SimulatedDisk({ random: new SeededRandom(1) })
    disk.prepare('/data')
    const open = (): Promise<LogDirectory> =>
      LogDirectory.open({
        disk: disk.mount(),
        path: '/data',
        nodeId: 1,
        random: new SeededRandom(2),
        clock: new ManualClock(),
        logger: silentLogger,
        producerIdExpirationMs: 1000,
      })
    let directory = await open()
    const first = directory.openLog(ORDERS, 'uPdUBjb8T0eSNNzkrlX7Kw', defaultLogConfig)
    for (const value of ['a', 'b', 'c']) append(first, batchOf([value]))
    await first.flush()
    first.advanceLogStartOffset(2)
    await directory.saveOffsets()
    directory.deleteLog(ORDERS)
    if (isRestarted) {
      disk.powerCut('everything')
      directory = await open()
    }

    const second = directory.openLog(ORDERS, 'LKb5dBBVIW-3CtsyAgcFrg', defaultLogConfig)
    for (const value of ['d', 'e', 'f', 'g']) append(second, batchOf([value]))
    await second.flush()
    disk.powerCut('nothing')

    const found = (await open()).openLog(ORDERS, 'LKb5dBBVIW-3CtsyAgcFrg', defaultLogConfig)
    expect(found.logStartOffset).toBe(0)
    expect([...valuesOf(found).values()]).toEqual(['d', 'e', 'f', 'g'])
  },
)
