export { run } from './run.ts'
export type { ThreadedApp, ThreadedQuery } from './threads/threaded-app.ts'
export {
  StreamsApp,
  type AppState,
  type Metrics,
  type PartitionLag,
  type RunnableTopology,
  type StoreMetrics,
  type TaskMetrics,
} from './app.ts'
export type { Guarantee, RunOptions, StreamsLogger } from './options.ts'
export { prepareSerdes, type PrepareSerdesOptions } from './prepare-serdes.ts'
export { progressLine, restoreLine, showProgress, type ShowProgressOptions } from './progress.ts'
export { resetApplication, type ResetOptions, type ResetReport } from './reset.ts'
export type { RestoreProgress } from './restorer.ts'
export type { RestoreSummary } from './restore-watch.ts'
export type { TaskId } from './task-id.ts'
export { ConnectionError, KafkaError, UnsupportedError } from '../client/errors.ts'
export { StoreQuery, type Answer, type Row, type WindowRow } from '../interactive/store-query.ts'
