import { describe, expect, it } from 'vitest'
import { knee, type Step } from './capacity-result.ts'

function aStep(offered: number, achieved: number): Step {
  const none = { p50: 1, p99: 1, p999: 1, brokerCores: 1, loadCores: 0.1, busiest: { name: 'loop', share: 1 } }
  return { offered, achieved, ...none }
}

describe('the knee', () => {
  it('is the last step before the first that was not held', () => {
    const steps = [aStep(100, 100), aStep(150, 149), aStep(225, 180), aStep(338, 338), aStep(506, 180)]
    expect(knee(steps)?.offered).toBe(150)
  })

  it('is not there where the first step breaks, and the last where none does', () => {
    expect(knee([aStep(100, 50)])).toBeNull()
    expect(knee([aStep(100, 100), aStep(150, 150)])?.offered).toBe(150)
  })
})
