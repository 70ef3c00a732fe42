import { describe, expect, it } from 'vitest'
import { busiestThread, parseThread, threadsOf } from './threads.ts'

describe('threads', () => {
  it('are read with their names, whatever is in these', () => {
    const stat = '9 (kafka (1) io) S 1 9 9 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 12345 1000 200'
    expect(parseThread(stat)).toEqual({ name: 'kafka (1) io', cpuSeconds: 3 })
  })

  it('of this process are there', () => {
    expect(threadsOf(process.pid).size).toBeGreaterThan(1)
  })

  it('are compared by what they ran meanwhile', () => {
    const before = new Map([
      ['1', { name: 'old', cpuSeconds: 100 }],
      ['2', { name: 'loop', cpuSeconds: 1 }],
    ])
    const after = new Map([
      ['1', { name: 'old', cpuSeconds: 101 }],
      ['2', { name: 'loop', cpuSeconds: 10 }],
      ['3', { name: 'new', cpuSeconds: 2 }],
    ])
    expect(busiestThread(before, after, 10)).toEqual({ name: 'loop', share: 0.9 })
  })
})
