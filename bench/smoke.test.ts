import { describe, expect, it } from 'vitest'
import { loadMissing } from './measure/load.ts'
import { collapsed, committedCosts, costNames, type Costs, costsOf, least, measure } from './smoke.ts'

// Every attempt but the best is noise: only a broker that is slow in all of them has become slow.
const ATTEMPTS = 4
const SECONDS = 1

const missing = loadMissing()

describe('a collapse', () => {
  const committed: Costs = { batchedRecords: 1, singleRecords: 2, fetchedRecords: 3 }

  it('is a cost beyond twice what is committed', () => {
    expect(collapsed({ batchedRecords: 2, singleRecords: 1, fetchedRecords: 6 }, committed)).toEqual([])
    expect(collapsed({ batchedRecords: 2.1, singleRecords: 1, fetchedRecords: 6 }, committed)).toEqual([
      'batchedRecords: 2.10, and 1.00 is committed',
    ])
  })

  it('is also a cost that was not seen', () => {
    expect(collapsed({ batchedRecords: NaN, singleRecords: 1, fetchedRecords: 6 }, committed)).toHaveLength(1)
  })
})

describe.skipIf(missing !== null)(
  `the benchmark of this broker alone${missing === null ? '' : ` (${missing})`}`,
  () => {
    it('finds that records cost no more than twice what they did when the figures were committed', async () => {
      const committed = committedCosts()
      expect(Object.keys(committed)).toEqual([...costNames])
      let micros = await measure(SECONDS)
      for (let attempt = 1; attempt < ATTEMPTS && collapsed(costsOf(micros), committed).length > 0; attempt += 1) {
        micros = least(micros, await measure(SECONDS))
      }
      expect(collapsed(costsOf(micros), committed)).toEqual([])
    }, 180_000)
  },
)
