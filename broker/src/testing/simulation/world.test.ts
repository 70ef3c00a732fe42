import { expect, it } from 'vitest'
import { failuresOf } from './run-seeds.ts'
import { simulate } from './world.ts'

const nextTurn = (callback: () => void): void => process.nextTick(callback)

it('does the same again for the same seed, and something else for another', { timeout: 60_000 }, async () => {
  const once = await simulate({ seed: 7, nextTurn })
  expect(await simulate({ seed: 7, nextTurn })).toEqual(once)
  expect((await simulate({ seed: 8, nextTurn })).traceHash).not.toBe(once.traceHash)
})

it('lets a seed be looked into line by line, by which nothing changes', { timeout: 60_000 }, async () => {
  const lines: string[] = []
  const told = await simulate({ seed: 3, nextTurn, operations: 200, trace: (line) => lines.push(line) })
  expect(lines.length).toBeGreaterThan(10)
  expect((await simulate({ seed: 3, nextTurn, operations: 200 })).traceHash).toBe(told.traceHash)
})

it('lets every kind of misfortune happen', { timeout: 60_000 }, async () => {
  const { results } = await failuresOf(1, 12, nextTurn)
  const kinds = new Set(results.flatMap(({ incidents }) => Object.keys(incidents)))
  expect([...kinds]).toEqual(expect.arrayContaining(['kill', 'power cut', 'restart', 'cut', 'silence']))
  expect([...kinds].some((kind) => kind.endsWith(' fails'))).toBe(true)
})
