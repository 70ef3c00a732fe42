import { expect, it, vi } from 'vitest'
import type { Metrics, StreamsApp } from './app.ts'
import { progressLine, restoreLine, showProgress } from './progress.ts'
import type { RestoreSummary } from './restore-watch.ts'

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
  sentPerSecond: 0,
  restoredPerSecond: 0,
  totalLag: 42,
  work: [],
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

const summary: RestoreSummary = {
  restored: 1_200,
  total: 2_400,
  share: 0.5,
  storesToGo: 2,
  changesPerSecond: 600,
  remainingMs: 2_000,
  isDone: false,
}

it('says how long a restore will take, once that is known', () => {
  const bar = 'restoring [############............] 50 %  1_200 of 2_400 changes, 2 stores to go'
  expect(restoreLine(summary)).toBe(`${bar}, 2 s at 600/s`)
  expect(restoreLine({ ...summary, remainingMs: null })).toBe(bar)
  expect(restoreLine({ ...summary, remainingMs: 360_000 })).toBe(`${bar}, 6 min at 600/s`)
  expect(restoreLine({ ...summary, restored: 0, total: 0 })).toMatch(/^waiting {3}for tasks/)
  expect(restoreLine({ ...summary, restored: 2_400, isDone: true })).toBe('restored  2_400 changes')
})

interface FakeApp {
  metrics: () => Metrics
  watchRestore: () => () => RestoreSummary
  closed: Promise<void>
}

it('draws a line over and over on a terminal, and says elsewhere what has changed', () => {
  let metrics: Metrics = { ...idle, state: 'rebalancing' }
  let restore = summary
  const app: FakeApp = {
    metrics: () => metrics,
    watchRestore: () => () => restore,
    closed: new Promise(() => {}),
  }
  const shown = (isTTY: boolean): string => {
    metrics = { ...idle, state: 'rebalancing' }
    restore = summary
    let text = ''
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      using _progress = showProgress(app as unknown as StreamsApp, {
        stream: { isTTY, columns: 40, write: (more) => (text += more) },
      })
      vi.advanceTimersByTime(250)
      restore = { ...summary, isDone: true }
      vi.advanceTimersByTime(250)
      metrics = idle
      vi.advanceTimersByTime(500)
      metrics = { ...idle, state: 'closed' }
    } finally {
      vi.useRealTimers()
    }
    return text
  }
  expect(shown(false).split('\n')).toEqual([
    'restoring [############............] 50 %  1_200 of 2_400 changes, 2 stores to go, 2 s at 600/s',
    'restored  1_200 changes',
    'running   3 tasks  12_000 records/s  lag 42',
    'closed    3 tasks  12_000 records/s  lag 42',
    '',
  ])
  expect(
    shown(true)
      .split('\r\x1b[K')
      .map((line) => line.trimEnd()),
  ).toEqual([
    '',
    'restoring [############............] 50',
    'restoring [############............] 50',
    'restored  1_200 changes',
    'running   3 tasks  12_000 records/s  la',
    'running   3 tasks  12_000 records/s  la',
    'closed    3 tasks  12_000 records/s  la',
  ])
})
