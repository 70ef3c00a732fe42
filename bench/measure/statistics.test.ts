import { describe, expect, it } from 'vitest'
import { median, readable, slope } from './statistics.ts'

describe('a median', () => {
  it('is the value in the middle, whatever the order', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([4, 1, 100, 2])).toBe(3)
    expect(median([])).toBeNaN()
  })
})

describe('a slope', () => {
  it('is what one more costs', () => {
    expect(
      slope([
        [1, 50],
        [10, 68],
        [100, 248],
      ]),
    ).toBeCloseTo(2)
  })
})

describe('a readable number', () => {
  it('has three digits that count', () => {
    const texts = [7_012_345, 999_600, 560_400, 10_000, 4512, 150.3, 99.94, 5.604, 0.1278, 0, NaN].map(readable)
    expect(texts).toEqual(['7.01 M', '1.00 M', '560 K', '10.0 K', '4512', '150', '99.9', '5.60', '0.13', '0', '-'])
  })
})
