import type { AppState, Metrics } from '../app.ts'

const EMPTY: Metrics = {
  state: 'starting',
  recordsProcessed: 0,
  recordsPerSecond: 0,
  recordsSent: 0,
  sentPerSecond: 0,
  recordsRestored: 0,
  restoredPerSecond: 0,
  recordsDropped: {},
  lag: [],
  totalLag: 0,
  tasks: { active: [], restoring: [], standby: [] },
  work: [],
  stores: [],
  restore: [],
  commitCount: 0,
  rebalanceCount: 0,
  unsentBytes: 0,
}

/** The metrics of several threads as those of one application. */
export function mergedMetrics(all: readonly Metrics[], state: AppState): Metrics {
  return { ...all.reduce(merged, EMPTY), state }
}

function merged(a: Metrics, b: Metrics): Metrics {
  const recordsDropped = { ...a.recordsDropped }
  for (const [reason, count] of Object.entries(b.recordsDropped)) {
    const known = reason as keyof typeof recordsDropped
    recordsDropped[known] = (recordsDropped[known] ?? 0) + count
  }
  return {
    state: a.state,
    recordsProcessed: a.recordsProcessed + b.recordsProcessed,
    recordsPerSecond: a.recordsPerSecond + b.recordsPerSecond,
    recordsSent: a.recordsSent + b.recordsSent,
    sentPerSecond: a.sentPerSecond + b.sentPerSecond,
    recordsRestored: a.recordsRestored + b.recordsRestored,
    restoredPerSecond: a.restoredPerSecond + b.restoredPerSecond,
    recordsDropped,
    lag: [...a.lag, ...b.lag],
    totalLag: a.totalLag + b.totalLag,
    tasks: {
      active: [...a.tasks.active, ...b.tasks.active],
      restoring: [...a.tasks.restoring, ...b.tasks.restoring],
      standby: [...a.tasks.standby, ...b.tasks.standby],
    },
    work: [...a.work, ...b.work],
    stores: [...a.stores, ...b.stores],
    restore: [...a.restore, ...b.restore],
    commitCount: a.commitCount + b.commitCount,
    rebalanceCount: a.rebalanceCount + b.rebalanceCount,
    unsentBytes: a.unsentBytes + b.unsentBytes,
  }
}

/** The state of an application by those of its threads: as far as the one that is least far. */
export function mergedState(states: readonly AppState[]): AppState {
  return ORDER.find((state) => states.includes(state)) ?? 'starting'
}

const ORDER: readonly AppState[] = ['failed', 'closing', 'closed', 'starting', 'rebalancing', 'running']
