import { expect, it } from 'vitest'
import { RestoreWatch } from './restore-watch.ts'

const store = (name: string, offset: number, isStandby = false) =>
  ({ taskId: '0_0', store: name, changelogTopic: name, startOffset: 100, offset, endOffset: 300, isStandby }) as const

it('adds up all stores, and counts those that are done when they are not spoken of any more', () => {
  const watch = new RestoreWatch(0)
  expect(watch.look([], false, 0)).toMatchObject({ total: 0, share: 0, isDone: false, remainingMs: null })
  const half = watch.look([store('a', 250), store('b', 150), store('c', 100, true)], false, 1000)
  expect(half).toEqual({
    restored: 200,
    total: 400,
    share: 0.5,
    storesToGo: 2,
    changesPerSecond: 200,
    remainingMs: 1000,
    isDone: false,
  })
  expect(watch.look([store('b', 200)], false, 2000)).toMatchObject({ restored: 300, total: 400, storesToGo: 1 })
  expect(watch.look([], false, 3000)).toMatchObject({ restored: 400, storesToGo: 0, isDone: false })
  expect(watch.look([], true, 3000)).toMatchObject({ share: 1, isDone: true, remainingMs: 0 })
})

it('is done at once where there is no state', () => {
  expect(new RestoreWatch(0).look([], true, 0)).toMatchObject({ share: 1, isDone: true, total: 0 })
})
