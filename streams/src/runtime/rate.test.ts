import { expect, it } from 'vitest'
import { Rate } from './rate.ts'

it('is what came in the last ten seconds, however often it is asked for', () => {
  const rate = new Rate(0)
  expect(rate.perSecond(0, 0)).toBe(0)
  expect(rate.perSecond(500, 100)).toBe(200)
  expect(rate.perSecond(500, 100)).toBe(200)
  for (let second = 1; second <= 30; second++) rate.sample(second * 1000, second <= 20 ? second * 100 : 2_000)
  // At 25 s: the five seconds up to 20 s of the ten since 15 s. Here it is 30 s, and nothing came since 20 s.
  expect(rate.perSecond(30_000, 2_000)).toBe(0)
  rate.sample(31_000, 2_300)
  expect(rate.perSecond(31_000, 2_300)).toBe(30)
})

it('is never negative, when what is counted has gone to another process', () => {
  const rate = new Rate(0, 500)
  expect(rate.perSecond(1000, 200)).toBe(0)
})
