import { expect, it } from 'vitest'
import { failuresOf } from './run-seeds.ts'

// One of four files, so that they can run beside each other.
it('keeps every promise in the seeds from 101 on', { timeout: 300_000 }, async () => {
  const { failures, results } = await failuresOf(101, 50, (callback) => process.nextTick(callback))
  expect(failures).toEqual([])
  expect(results.every(({ operations }) => operations >= 1000)).toBe(true)
})
