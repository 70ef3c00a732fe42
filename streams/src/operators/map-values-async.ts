import { StreamsError } from '../errors.ts'
import type { Serde } from '../serdes/serde.ts'
import { mapKey, type MapKey } from '../state/map-key.ts'
import type { Advance, AsyncOrder, AsyncWork } from '../topology/async-work.ts'
import { lastResort, retryDelayMs, RetryLater, type ErrorHandler } from '../topology/error-handler.ts'
import { giveUp } from '../topology/handle-error.ts'
import { isSameOrigin, type Operator, type OperatorTask, type Origin, type StreamEmit } from '../topology/operator.ts'
import { AsyncCall, type CallContext } from './async-call.ts'

export interface AsyncMapping<K, V, R> {
  readonly node: string
  readonly mapper: (value: V, key: K, context: CallContext) => PromiseLike<R> | R
  /** How many records may be under way: called for, or answered and waiting for their turn. */
  readonly concurrency: number
  readonly order: AsyncOrder
  readonly timeoutMs: number
  readonly onError: ErrorHandler | null
  readonly keySerde: Serde<K>
}

/** Calls a function that answers later, for several records at a time; results go on in the order that was asked for. */
export function mapValuesAsync<K, V, R>(
  mapping: AsyncMapping<K, V, R>,
): Operator<StreamEmit<K, V>, StreamEmit<K, Awaited<R>>> {
  return (task, next) => {
    const calls = new AsyncCalls(mapping, task, next)
    task.addAsyncWork(calls)
    task.onClose(() => calls.close())
    return (key, value, timestampMs) => calls.add(key, value, timestampMs)
  }
}

interface Pending<K, R> {
  readonly key: K
  /** Null for a record without a key, which is in order with no other. */
  readonly mapKey: MapKey | null
  readonly timestampMs: number
  readonly origin: Origin
  readonly call: AsyncCall<R>
  /** No attempt is left. */
  isGivenUp: boolean
  /** How often what comes next has refused the result, and when it is offered again. */
  refusals: number
  offerAtMs: number
}

class AsyncCalls<K, V, R> implements AsyncWork {
  readonly #mapping: AsyncMapping<K, V, R>
  readonly #task: OperatorTask
  readonly #next: StreamEmit<K, Awaited<R>>
  /** In the order in which they came in. */
  #pending: Pending<K, Awaited<R>>[] = []
  #latest: Origin | null = null
  #callCount = 0
  #nowMs = 0
  #wakeAtMs = Number.POSITIVE_INFINITY
  #hasNews = false

  constructor(mapping: AsyncMapping<K, V, R>, task: OperatorTask, next: StreamEmit<K, Awaited<R>>) {
    this.#mapping = mapping
    this.#task = task
    this.#next = next
  }

  get isFull(): boolean {
    return this.#pending.length >= this.#mapping.concurrency
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0
  }

  get callCount(): number {
    return this.#callCount
  }

  get wakeAtMs(): number {
    return this.#wakeAtMs
  }

  add(key: K, value: V, timestampMs: number): void {
    const { mapper, order, keySerde, timeoutMs } = this.#mapping
    const hasKey = order === 'key' && key !== null && key !== undefined
    const onSettled = (): void => {
      this.#callCount--
      this.#hasNews = true
      this.#task.progressed()
    }
    const call = new AsyncCall<Awaited<R>>(
      (context) => mapper(value, key, context) as PromiseLike<Awaited<R>>,
      timeoutMs,
      onSettled,
    )
    this.#pending.push({
      key,
      mapKey: hasKey ? mapKey(key, keySerde as Serde<unknown>) : null,
      timestampMs,
      origin: this.#origin(),
      call,
      isGivenUp: false,
      refusals: 0,
      offerAtMs: 0,
    })
    // Whatever else waits and is due has found no room.
    if (this.#callCount >= this.#mapping.concurrency) return
    this.#callCount++
    call.start(this.#nowMs)
    this.#wakeAtMs = Math.min(this.#wakeAtMs, call.dueMs)
  }

  advance(nowMs: number, how: Advance): void {
    this.#nowMs = nowMs
    if (!this.#hasNews && nowMs < this.#wakeAtMs) return
    this.#hasNews = false
    for (const one of this.#pending) {
      const { call } = one
      if (call.state === 'running' && nowMs >= call.dueMs) {
        call.expire(nowMs)
        this.#callCount--
      }
      if (call.state !== 'failed' || one.isGivenUp) continue
      const delayMs = retryDelayMs(this.#mapping.onError ?? how.otherwise, call.attempt)
      if (delayMs === null) one.isGivenUp = true
      else call.waitUntil(nowMs + delayMs)
    }
    this.#handOn(nowMs, how)
    this.#start(nowMs)
  }

  close(): void {
    const reason = new StreamsError('closed', 'the task is given up')
    for (const { call } of this.#pending) call.cancel(reason)
    this.#pending = []
    this.#callCount = 0
  }

  #origin(): Origin {
    const origin = this.#task.origin()
    if (this.#latest !== null && isSameOrigin(this.#latest, origin)) {
      this.#latest.hasSiblings = true
      origin.hasSiblings = true
    }
    this.#latest = origin
    return origin
  }

  #handOn(nowMs: number, how: Advance): void {
    const { order } = this.#mapping
    const kept: Pending<K, Awaited<R>>[] = []
    const held = new Set<MapKey>()
    const pending = this.#pending
    let at = 0
    try {
      for (; at < pending.length; at++) {
        const one = pending[at]!
        const { state } = one.call
        const isReady = (state === 'done' || (state === 'failed' && one.isGivenUp)) && one.offerAtMs <= nowMs
        const isHeld = order === 'key' && one.mapKey !== null && held.has(one.mapKey)
        if (isReady && !isHeld && this.#offer(one, nowMs, how)) continue
        if (order === 'input') break
        kept.push(one)
        if (one.mapKey !== null) held.add(one.mapKey)
      }
    } finally {
      this.#pending = [...kept, ...pending.slice(at)]
    }
  }

  /** True when the record has left: its result was taken, or it was left out. */
  #offer(one: Pending<K, Awaited<R>>, nowMs: number, how: Advance): boolean {
    const { call, origin } = one
    const task = this.#task
    const { node, onError } = this.#mapping
    try {
      task.resume(origin, () => {
        if (call.state === 'done') this.#next(one.key, call.result as Awaited<R>, one.timestampMs)
        else giveUp(onError ?? how.otherwise, task, node, 'processing', call.error)
      })
      return true
    } catch (error) {
      if (error instanceof RetryLater) {
        one.offerAtMs = nowMs + error.delayMs
        return false
      }
      if (error instanceof StreamsError && error.code === 'storage') throw error
      // What failed comes after this operator: its result is there, and is offered again.
      const delayMs = call.state === 'done' ? retryDelayMs(how.otherwise, ++one.refusals) : null
      if (delayMs !== null) {
        one.offerAtMs = nowMs + delayMs
        return false
      }
      task.resume(origin, () => giveUp(lastResort(how.otherwise), task, node, 'processing', error))
      return true
    }
  }

  #start(nowMs: number): void {
    let wakeAtMs = Number.POSITIVE_INFINITY
    for (const { call, offerAtMs } of this.#pending) {
      const isDue = call.state === 'waiting' && call.dueMs <= nowMs
      // One that was handed on may have made room for several that had come at once.
      if (isDue && this.#callCount < this.#mapping.concurrency) {
        this.#callCount++
        call.start(nowMs)
      }
      if (call.state === 'running' || (call.state === 'waiting' && call.dueMs > nowMs)) {
        wakeAtMs = Math.min(wakeAtMs, call.dueMs)
      }
      if (offerAtMs > nowMs) wakeAtMs = Math.min(wakeAtMs, offerAtMs)
    }
    this.#wakeAtMs = wakeAtMs
  }
}
