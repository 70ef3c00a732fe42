import { StreamsError } from '../errors.ts'
import type { Advance, AsyncWork } from '../topology/async-work.ts'
import { lastResort, retryDelayMs, type ErrorHandler } from '../topology/error-handler.ts'
import { giveUp, located } from '../topology/handle-error.ts'
import { isSameOrigin, type Operator, type OperatorTask, type Origin, type StreamEmit } from '../topology/operator.ts'
import type { Headers } from '../topology/task-topology.ts'
import { AsyncCall, type CallContext } from './async-call.ts'

/**
 * A record on its way out, and where it came from. Topic, partition, offset and index are the same whenever the record
 * is processed again, so they tell a row that was written from one that was not.
 */
export interface SinkRow<K, V> {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** 0 for the first row that came of the record at this offset, 1 for the second. */
  readonly index: number
  readonly key: K
  readonly value: V
  readonly timestampMs: number
  readonly headers: Headers
}

export type WriteBatch<K, V> = (batch: readonly SinkRow<K, V>[], context: CallContext) => PromiseLike<void> | void

export interface IdempotentSinkSettings<K, V> {
  readonly node: string
  readonly write: WriteBatch<K, V>
  readonly maxRows: number
  readonly lingerMs: number
  readonly timeoutMs: number
  readonly onError: ErrorHandler | null
  /** Whether the records of the stream may have overtaken each other since they were read. */
  readonly isUnordered: boolean
}

/**
 * Hands the records of a task to user code in batches, one batch at a time, so that rows of a partition are written in
 * its order. The batch under way is kept until it is written or given up; the next one collects meanwhile.
 */
export function idempotentSink<K, V>(
  settings: IdempotentSinkSettings<K, V>,
): Operator<StreamEmit<K, V>, StreamEmit<never, never>> {
  return (task) => {
    const batches = new Batches(settings, task)
    task.addAsyncWork(batches)
    task.onClose(() => batches.close())
    return (key, value, timestampMs) => batches.add(key, value, timestampMs)
  }
}

interface Waiting<K, V> {
  readonly row: SinkRow<K, V>
  readonly origin: Origin
}

interface Batch<K, V> {
  readonly rows: readonly Waiting<K, V>[]
  readonly call: AsyncCall<void>
}

class Batches<K, V> implements AsyncWork {
  readonly #settings: IdempotentSinkSettings<K, V>
  readonly #task: OperatorTask
  #waiting: Waiting<K, V>[] = []
  /** The latest time at which the first of those that wait is written. */
  #dueMs = Number.POSITIVE_INFINITY
  #batch: Batch<K, V> | null = null
  /** So many of those that wait were refused together, and are written one by one. */
  #singles = 0
  #latest: Origin | null = null
  #latestIndex = 0
  #nowMs = 0

  constructor(settings: IdempotentSinkSettings<K, V>, task: OperatorTask) {
    this.#settings = settings
    this.#task = task
  }

  get isFull(): boolean {
    return this.#waiting.length >= this.#settings.maxRows
  }

  get isEmpty(): boolean {
    return this.#batch === null && this.#waiting.length === 0
  }

  get callCount(): number {
    return this.#batch?.call.state === 'running' ? 1 : 0
  }

  get wakeAtMs(): number {
    if (this.#batch !== null) return this.#batch.call.dueMs
    return this.#waiting.length === 0 ? Number.POSITIVE_INFINITY : this.#dueMs
  }

  add(key: K, value: V, timestampMs: number): void {
    const origin = this.#task.origin()
    const { record, headers } = origin
    if (record === null) {
      const { node } = this.#settings
      throw new StreamsError(
        'processing',
        `${node} cannot tell whether it has written what a timer made, which has no offset: send it through a topic`,
      )
    }
    if (origin.hasSiblings && this.#settings.isUnordered) {
      const { node } = this.#settings
      throw new StreamsError(
        'processing',
        `${node} gets several rows of one record in no certain order, and could not tell them apart another time: ` +
          "give mapValuesAsync the order 'input', or split the record behind it",
        record,
      )
    }
    const index = this.#latest !== null && isSameOrigin(this.#latest, origin) ? this.#latestIndex + 1 : 0
    this.#latest = origin
    this.#latestIndex = index
    const { topic, partition, offset } = record
    if (this.#waiting.length === 0) this.#dueMs = this.#nowMs + this.#settings.lingerMs
    this.#waiting.push({ row: { topic, partition, offset, index, key, value, timestampMs, headers }, origin })
    if (this.#batch === null && this.isFull) this.#write(this.#nowMs)
  }

  advance(nowMs: number, how: Advance): void {
    this.#nowMs = nowMs
    if (this.#batch !== null) this.#look(this.#batch, nowMs, how)
    if (this.#batch !== null || this.#waiting.length === 0) return
    if (this.#singles > 0 || this.isFull || how.isDraining || nowMs >= this.#dueMs) this.#write(nowMs)
  }

  close(): void {
    this.#batch?.call.cancel(new StreamsError('closed', 'the task is given up'))
    this.#batch = null
    this.#waiting = []
  }

  #look(batch: Batch<K, V>, nowMs: number, how: Advance): void {
    const { call, rows } = batch
    call.expire(nowMs)
    if (call.state === 'done') this.#batch = null
    else if (call.state === 'waiting' && nowMs >= call.dueMs) call.start(nowMs)
    else if (call.state === 'failed') {
      const handler = this.#settings.onError ?? how.otherwise
      const delayMs = retryDelayMs(handler, call.attempt)
      if (delayMs !== null) call.waitUntil(nowMs + delayMs)
      else this.#refused(rows, handler, call.error)
    }
  }

  #refused(rows: readonly Waiting<K, V>[], handler: ErrorHandler, error: unknown): void {
    const task = this.#task
    const { node } = this.#settings
    const [first] = rows
    if (lastResort(handler).kind === 'fail') {
      task.resume(first!.origin, () => {
        throw located(task, node, 'processing', error)
      })
    }
    this.#batch = null
    if (rows.length > 1) {
      // One bad row must not cost the others their place: alone, each gets what it deserves.
      this.#waiting.unshift(...rows)
      this.#singles = rows.length
      return
    }
    task.resume(first!.origin, () => giveUp(handler, task, node, 'processing', error))
  }

  #write(nowMs: number): void {
    const { write, maxRows, timeoutMs } = this.#settings
    const isSingle = this.#singles > 0
    if (isSingle) this.#singles--
    const rows = this.#waiting.splice(0, isSingle ? 1 : maxRows)
    const batch = rows.map(({ row }) => row)
    const call = new AsyncCall<void>(
      (context) => write(batch, context),
      timeoutMs,
      () => this.#task.progressed(),
    )
    this.#batch = { rows, call }
    this.#dueMs = nowMs + this.#settings.lingerMs
    call.start(nowMs)
  }
}
