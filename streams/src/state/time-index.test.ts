import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TimeIndex, type Timed } from './time-index.ts'

class Entry implements Timed {
  readonly timeMs: number
  isLive = true
  nextDue: Timed | null = null
  constructor(timeMs: number) {
    this.timeMs = timeMs
  }
}

describe('entries by time', () => {
  it('come out at their time, whatever died or was swept out in between', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ add: fc.nat(9) }) },
      { weight: 3, arbitrary: fc.record({ kill: fc.nat() }) },
      fc.constant('sweep' as const),
      fc.constant('take' as const),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const index = new TimeIndex<Entry>()
        let waiting: Entry[] = []
        for (const one of steps) {
          const live = waiting.filter(({ isLive }) => isLive)
          if (one === 'sweep') {
            index.sweep()
            waiting = live
          } else if (one === 'take') {
            if (waiting.length === 0) continue
            const { earliestMs } = index
            expect(earliestMs).toBe(Math.min(...waiting.map(({ timeMs }) => timeMs)))
            const taken = index.takeEarliest()
            expect(new Set(taken)).toEqual(new Set(live.filter(({ timeMs }) => timeMs === earliestMs)))
            waiting = waiting.filter(({ timeMs }) => timeMs !== earliestMs)
          } else if ('add' in one) {
            const entry = new Entry(one.add)
            index.add(entry)
            waiting.push(entry)
          } else if (live.length > 0) live[one.kill % live.length]!.isLive = false
          expect(index.size).toBe(waiting.length)
        }
      }),
    )
  })
})
