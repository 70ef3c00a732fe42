import { describe, expect, it } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import { PendingFetch, type FetchWatch } from './pending-fetch.ts'

function waiting(options: { minBytes: number; bytesFound?: number }) {
  const clock = new ManualClock()
  const watches: FetchWatch[] = [{ pendingFetches: new Set() }, { pendingFetches: new Set() }]
  let completed = 0
  const fetch = new PendingFetch({
    clock,
    maxWaitMs: 500,
    minBytes: options.minBytes,
    bytesFound: options.bytesFound ?? 0,
    watches,
    complete: () => completed++,
  })
  return { clock, watches, fetch, completed: () => completed }
}

describe('PendingFetch', () => {
  it('completes as soon as the bytes found and those that came reach the wanted number', () => {
    const { fetch, completed } = waiting({ minBytes: 100, bytesFound: 40 })
    fetch.grown(59)
    expect(completed()).toBe(0)
    fetch.grown(1)
    expect(completed()).toBe(1)
  })

  it('completes when its time is up, and only once', () => {
    const { clock, fetch, completed } = waiting({ minBytes: 100 })
    clock.advance(499)
    expect(completed()).toBe(0)
    clock.advance(1)
    fetch.grown(1000)
    clock.advance(1000)
    expect(completed()).toBe(1)
  })

  it('is watched by no partition and no timer once it is done or cancelled', () => {
    const { clock, watches, fetch, completed } = waiting({ minBytes: 100 })
    fetch.cancel()
    expect(watches.map((watch) => watch.pendingFetches.size)).toEqual([0, 0])
    clock.advance(1000)
    expect(completed()).toBe(0)
  })
})
