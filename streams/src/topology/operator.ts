import type { StateStore } from '../state/store.ts'
import type { AsyncWork } from './async-work.ts'
import type { DropReason, Headers, RecordMetadata, TaskContext } from './task-topology.ts'

/** Hands a record to whatever comes next. Fused: a call runs everything downstream before it returns. */
export type StreamEmit<K, V> = (key: K, value: V, timestampMs: number) => void

/**
 * Hands a change of a table to whatever comes next: the key's value is now `value` (null: gone) and was `old`. `old` is
 * null unless someone downstream asked for old values. `isLatest` is false for a late update of a versioned table,
 * which changes its history but not its present.
 */
export type TableEmit<K, V> = (key: K, value: V | null, timestampMs: number, old: V | null, isLatest: boolean) => void

/** An edge of the graph, whose types only the builder knew: either of the two above. */
export type Emit = (key: unknown, value: unknown, timestampMs: number, old: unknown, isLatest: boolean) => void

/**
 * An operator is a function that is given what comes next and returns its own entry. It runs once per task; what it
 * closes over is the operator's state for that task.
 */
export type Operator<In, Out> = (task: OperatorTask, next: Out) => In

/** By whose time something is due: that of the records, or of the machine. */
export type Clock = 'event-time' | 'wall-clock'

/** Where a record came from, kept by what goes on with it after its source is done with it. */
export interface Origin {
  /** Null for what a timer has made. */
  readonly record: RecordMetadata | null
  readonly headers: Headers
  readonly timestampMs: number
  readonly rawKey: Uint8Array | null
  readonly rawValue: Uint8Array | null
  /** Another number each time that a source is given the record: a retry is another pass. */
  readonly pass: number
  /** Whether several results of the record went different ways on in no certain order. */
  hasSiblings: boolean
}

/** Whether both are of one record, in one pass. */
export function isSameOrigin(left: Origin, right: Origin): boolean {
  return (
    left.pass === right.pass &&
    left.record?.offset === right.record?.offset &&
    left.record?.topic === right.record?.topic &&
    left.record?.partition === right.record?.partition
  )
}

/** What an operator may use of its task. */
export interface OperatorTask {
  readonly context: TaskContext
  /** The record being processed; null inside a timer's callback. */
  readonly record: RecordMetadata | null
  /** Headers of the record being processed; sinks pass them on. */
  headers: Headers
  /** Timestamp of the record being processed. */
  readonly timestampMs: number
  /** The record being processed as it came from its partition, for dead letters; null for decoded input. */
  readonly rawKey: Uint8Array | null
  readonly rawValue: Uint8Array | null
  store(name: string): StateStore
  globalStore(name: string): StateStore
  /** One value per task for operators that are two nodes of the graph, such as both sides of a join. */
  shared<T>(owner: object, create: () => T): T
  drop(reason: DropReason): void
  /** Runs after the stores have been restored, in the order of registration. */
  onInitialize(callback: () => void): void
  onClose(callback: () => void): void
  /** The origin of what is being processed, with copies of its bytes. */
  origin(): Origin
  /** Goes on with a record of before: until `work` returns it is the one being processed. */
  resume(origin: Origin, work: () => void): void
  /** Has the driver of the task look after something that goes on by itself. */
  addAsyncWork(work: AsyncWork): void
  /** Asks the driver for an `advance` of the async work; may be called at any time. */
  progressed(): void
  /**
   * A callback for a time that the function returned sets: event time is looked at after each record, the wall clock
   * now and then.
   */
  alarm(clock: Clock, callback: (timeMs: number) => void): (dueMs: number) => void
  schedule(every: number, clock: Clock, callback: (timeMs: number) => void): () => void
}
