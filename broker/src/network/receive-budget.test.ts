import { describe, expect, it } from 'vitest'
import { ReceiveBudget, type BudgetHolder } from './receive-budget.ts'

function aHolder(onReclaim: (holder: BudgetHolder) => void = () => {}) {
  const holder = {
    grants: 0,
    granted: () => {
      holder.grants += 1
    },
    reclaim: () => onReclaim(holder),
  }
  return holder
}

describe('ReceiveBudget', () => {
  it('lets one connection exceed the limit, and makes the next wait until that one is done', () => {
    const budget = new ReceiveBudget(100)
    const [first, second, third] = [aHolder(), aHolder(), aHolder()]
    expect(budget.take(80, first)).toBe(true)
    expect(budget.take(80, second)).toBe(true)
    expect(budget.take(80, third)).toBe(false)
    budget.release(first)
    expect(third.grants).toBe(0)
    budget.release(second)
    expect(third.grants).toBe(1)
    expect(budget.usedBytes).toBe(80)
  })

  it('lets the connection that exceeds take what it needs to the end', () => {
    const budget = new ReceiveBudget(100)
    const [large, other] = [aHolder(), aHolder()]
    budget.take(150, large)
    expect(budget.take(10, other)).toBe(false)
    expect(budget.take(1000, large)).toBe(true)
  })

  it('takes back what a connection holds without need before it makes another wait', () => {
    const budget = new ReceiveBudget(100)
    const idle = aHolder((holder) => budget.release(holder))
    expect(budget.take(90, idle)).toBe(true)
    const busy = aHolder()
    expect(budget.take(60, busy)).toBe(true)
    expect(budget.usedBytes).toBe(60)
  })

  it('forgets a connection that closed while it waited', () => {
    const budget = new ReceiveBudget(100)
    const [first, second, gone] = [aHolder(), aHolder(), aHolder()]
    budget.take(100, first)
    budget.take(100, second)
    expect(budget.take(100, gone)).toBe(false)
    budget.release(gone)
    budget.release(first)
    budget.release(second)
    expect(gone.grants).toBe(0)
    expect(budget.usedBytes).toBe(0)
  })
})
