import { StreamsError, type StreamsErrorCode } from '../errors.ts'
import { isNoFaultOfRecord, lastResort, retryDelayMs, RetryLater, type ErrorHandler } from './error-handler.ts'
import type { OperatorTask } from './operator.ts'
import type { DropReason, Headers } from './task-topology.ts'

/** Counts the attempts at the record that a node is failing on; one per task and node with a handler. */
export interface Attempts {
  offset: number
  topic: string
  partition: number
  count: number
}

export function noAttempts(): Attempts {
  return { offset: -1, topic: '', partition: -1, count: 0 }
}

/** Does what the handler says about the current record; returns when the record is to be left out. */
export function handleError(
  handler: ErrorHandler,
  task: OperatorTask,
  attempts: Attempts,
  node: string,
  reason: DropReason & StreamsErrorCode,
  error: unknown,
): void {
  // What a timer does has no record that could be tried again.
  if (handler.kind === 'retry' && task.record !== null) {
    const { topic, partition, offset } = task.record
    const isSame = offset === attempts.offset && topic === attempts.topic && partition === attempts.partition
    attempts.count = isSame ? attempts.count + 1 : 1
    attempts.offset = offset
    attempts.topic = topic
    attempts.partition = partition
    const delayMs = retryDelayMs(handler, attempts.count)
    if (delayMs !== null) throw new RetryLater(delayMs, attempts.count, error)
    attempts.offset = -1
  }
  giveUp(handler, task, node, reason, error)
}

/** Does what the handler says when nothing is tried again; returns when the current record is to be left out. */
export function giveUp(
  handler: ErrorHandler,
  task: OperatorTask,
  node: string,
  reason: DropReason & StreamsErrorCode,
  error: unknown,
): void {
  const decision = lastResort(handler)
  switch (decision.kind) {
    case 'skip':
      task.drop(reason)
      return
    case 'dead-letter':
      task.context.send(decision.topic, null, task.rawKey, task.rawValue, task.timestampMs, [
        ...task.headers,
        ...errorHeaders(task, node, error),
      ])
      task.drop(reason)
      return
    case 'fail':
      throw located(task, node, reason, error)
  }
}

/**
 * Runs what a timer does. Nothing of it can be tried again, and no record is to blame: what the application does about
 * failures when nothing is tried again is done at once, and the record in whose time the timer rang goes on.
 */
export function runTimer(task: OperatorTask, node: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    // The state is rebuilt, with the timer in it; a service that is needed does not answer.
    if (isNoFaultOfRecord(error) || (error instanceof StreamsError && error.code === 'storage')) throw error
    try {
      giveUp(task.context.onProcessingError, task, node, 'processing', error)
    } catch (failure) {
      decided.add(failure as object)
      throw failure
    }
  }
}

/** Failures of timers, on their way through the source of a record that has nothing to do with them. */
const decided = new WeakSet<object>()

/** Whether it has been decided that the error ends the task, so that no handler is asked about it. */
export function isDecided(error: unknown): boolean {
  return typeof error === 'object' && error !== null && decided.has(error)
}

/** The error with the place it happened at: node, topic, partition and offset. */
export function located(task: OperatorTask, node: string, code: StreamsErrorCode, error: unknown): StreamsError {
  if (error instanceof StreamsError && error.topic !== null) return error
  const { record } = task
  const place = record === null ? '' : ` at ${record.topic}-${record.partition} offset ${record.offset}`
  const message = error instanceof Error ? error.message : String(error)
  return new StreamsError(
    error instanceof StreamsError ? error.code : code,
    `${node}${place}: ${message}`,
    record === null ? { cause: error } : { ...record, cause: error },
  )
}

function errorHeaders(task: OperatorTask, node: string, error: unknown): Headers {
  const { record } = task
  const text = (key: string, value: string) => ({ key: `__streams.errors.${key}`, value: Buffer.from(value) })
  // Kafka Streams' names (KIP-1034), so that its tools read our dead letters.
  return [
    text('exception', error instanceof Error ? error.name : typeof error),
    text('message', error instanceof Error ? error.message : String(error)),
    text('stacktrace', error instanceof Error ? (error.stack ?? '') : ''),
    text('processor', node),
    ...(record === null
      ? []
      : [
          text('topic', record.topic),
          text('partition', String(record.partition)),
          text('offset', String(record.offset)),
        ]),
  ]
}
