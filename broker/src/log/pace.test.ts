import { describe, expect, it } from 'vitest'
import { whileTimePasses } from '../testing/compaction.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { Pace } from './pace.ts'

const MIB = 1024 * 1024

describe('Pace', () => {
  it('ends a slice by time, or by bytes where the clock stands still', () => {
    const clock = new ManualClock()
    const pace = new Pace(clock, () => Infinity)
    expect(pace.spend(1000)).toBe(false)
    clock.advance(2)
    expect(pace.spend(0)).toBe(true)
    expect(new Pace(clock, () => Infinity).spend(MIB)).toBe(true)
  })

  it('rests as long as the slice took', async () => {
    const clock = new ManualClock()
    const pace = new Pace(clock, () => Infinity)
    clock.advance(7)
    let isResting = true
    const rest = pace.rest().then(() => (isResting = false))
    clock.advance(6)
    await new Promise((resolve) => setImmediate(resolve))
    expect(isResting).toBe(true)
    clock.advance(1)
    await rest
    expect(pace.spend(0)).toBe(false)
  })

  it('spends no more bytes a second than it is given, and saves none up', async () => {
    const clock = new ManualClock()
    let bytesPerSecond = 10 * MIB
    const pace = new Pace(clock, () => bytesPerSecond)
    // Idle time is no credit.
    clock.advance(60_000)
    await whileTimePasses(clock, pace.rest(), 1000)
    const spend = async (bytes: number): Promise<number> => {
      const startMs = clock.monoMs()
      for (let left = bytes; left > 0; left -= MIB / 4)
        if (pace.spend(MIB / 4)) await whileTimePasses(clock, pace.rest())
      return clock.monoMs() - startMs
    }
    expect(await spend(20 * MIB)).toBeGreaterThanOrEqual(1999)
    bytesPerSecond = 40 * MIB
    const elapsedMs = await spend(20 * MIB)
    expect(elapsedMs).toBeGreaterThanOrEqual(499)
    expect(elapsedMs).toBeLessThan(700)
  })

  it('rests no more once it is stopped, and leaves no timer', async () => {
    const clock = new ManualClock()
    const pace = new Pace(clock, () => 1)
    pace.spend(MIB)
    const rest = pace.rest()
    expect(clock.timerCount).toBe(1)
    pace.stop()
    await rest
    await pace.rest()
    expect(clock.timerCount).toBe(0)
    expect(pace.isStopped).toBe(true)
  })
})
