export { topology, Topology } from './dsl/topology.ts'
export { topic, type Serializer, type Topic, type WritableTopic } from './dsl/topic.ts'
export type { StoreOptions } from './dsl/builder.ts'
export {
  Stream,
  type AsyncOptions,
  type Branches,
  type GlobalJoinOptions,
  type Guard,
  type OnError,
  type ProcessOptions,
  type StreamJoinOptions,
  type StreamTableJoinOptions,
} from './dsl/stream.ts'
export { Table, type ForeignKeyOptions } from './dsl/table.ts'
export { GlobalTable } from './dsl/global-table.ts'
export { GroupedStream } from './dsl/grouped-stream.ts'
export { GroupedTable } from './dsl/grouped-table.ts'
export { CogroupedStream } from './dsl/cogrouped-stream.ts'
export { WindowedStream } from './dsl/windowed-stream.ts'
export { SessionWindowedStream } from './dsl/session-windowed-stream.ts'
export type { Late, WindowedOptions, WindowedResult } from './dsl/windowed-result.ts'
export {
  hopping,
  session,
  sliding,
  tumbling,
  type Session,
  type Sliding,
  type TumblingOrHopping,
  type Windows,
} from './dsl/windows.ts'
export { untilTimeLimit, untilWindowCloses, type Suppression } from './dsl/suppression.ts'
export { keyValueStore, type StateStoreHandle } from './dsl/state-store.ts'
export { idempotentSink, type IdempotentSinkOptions, type Sink } from './dsl/sink.ts'
export type { CallContext } from './operators/async-call.ts'
export type { SinkRow, WriteBatch } from './operators/idempotent-sink.ts'
export type { AsyncOrder } from './topology/async-work.ts'
export type { Duration } from './duration.ts'
export type { Windowed } from './windowed.ts'
export type { KeyValue } from './operators/map.ts'
export type { Processor, ProcessorContext } from './operators/process.ts'
export type { Timers } from './operators/timers.ts'
export type { Clock } from './topology/operator.ts'
export type { KeyValueEntry, ReadableKeyValueStore, WritableKeyValueStore } from './state/key-value-store.ts'
export { windowReader, type ReadableWindowStore, type StoredWindow } from './state/window-reader.ts'
export { StateStorageError, StreamsError, TopologyError, type StreamsErrorCode } from './errors.ts'
export { deadLetter, fail, retry, skip, type ErrorHandler } from './topology/error-handler.ts'
export type { RemoteSerde, Serde, SerdeType, SerdeUse } from './serdes/serde.ts'
export { bytes, double, int32, int64, json, string } from './serdes/primitives.ts'
export { msgpack } from './serdes/msgpack.ts'
export { validated, type StandardSchema } from './serdes/validated.ts'
export { windowed } from './serdes/windowed.ts'
export {
  testDriver,
  type TestDriver,
  type TestDriverOptions,
  type TestInput,
  type TestOutput,
  type TestRecord,
} from './testing/test-driver.ts'
export type { Header, Headers, RecordMetadata } from './topology/task-topology.ts'
export * from './runtime/index.ts'
