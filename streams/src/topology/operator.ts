import type { StateStore } from '../state/store.ts'
import type { DropReason, Headers, TaskContext } from './task-topology.ts'

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

/** What an operator may use of its task. */
export interface OperatorTask {
  readonly context: TaskContext
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
  schedule(every: number, clock: 'event-time' | 'wall-clock', callback: (timeMs: number) => void): () => void
}
