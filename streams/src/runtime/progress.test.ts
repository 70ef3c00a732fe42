import { expect, it } from 'vitest'
import type { Metrics } from './app.ts'
import { progressLine } from './progress.ts'

const idle: Metrics = {
  state: 'running',
  recordsProcessed: 0,
  recordsSent: 0,
  recordsRestored: 0,
  recordsPerSecond: 12_000.4,
  recordsDropped: {},
  lag: [
    { topic: 't', partition: 0, lag: 40 },
    { topic: 't', partition: 1, lag: null },
    { topic: 't', partition: 2, lag: 2 },
  ],
  tasks: { active: ['0_0', '0_1', '0_2'], restoring: [], standby: [] },
  stores: [],
  restore: [],
  commitCount: 0,
  rebalanceCount: 0,
  unsentBytes: 0,
}
const restore = (store: string, offset: number, isStandby = false) =>
  ({ taskId: '0_0', store, changelogTopic: store, startOffset: 100, offset, endOffset: 1_300, isStandby }) as const

it('says how fast an application is and how far behind', () => {
  expect(progressLine(idle)).toBe('running   3 tasks  12_000 records/s  lag 42')
})

it('draws a bar over all stores that are being restored, and leaves standbys out of it', () => {
  const metrics: Metrics = {
    ...idle,
    state: 'rebalancing',
    restore: [restore('a', 1_300), restore('b', 100), restore('c', 100, true)],
  }
  expect(progressLine(metrics)).toBe('restoring [############............] 50 %  1_200 of 2_400 changes, 1 store to go')
})
