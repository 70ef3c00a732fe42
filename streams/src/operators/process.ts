import type { Duration } from '../duration.ts'
import { durationMs } from '../duration.ts'
import { StreamsError, TopologyError } from '../errors.ts'
import { runTimer } from '../topology/handle-error.ts'
import type { Clock, Operator, OperatorTask, StreamEmit } from '../topology/operator.ts'
import type { Headers, RecordMetadata } from '../topology/task-topology.ts'
import type { WritableKeyValueStore } from '../state/key-value-store.ts'
import { openTimers, type Timers, type TimerStores } from './timers.ts'

/** What a processor may do. Valid for the life of the task; `record` and `headers` are those of the current record. */
export interface ProcessorContext<KOut, VOut, K = unknown> {
  /** Hands a record to what comes after `process`, before the call returns. */
  forward(key: KOut, value: VOut, timestampMs: number): void
  store<K, V>(name: string): WritableKeyValueStore<K, V>
  /**
   * Calls back at an interval: of event time, aligned to 0 and driven by records, or of the wall clock. Missed
   * intervals are skipped. Returns what cancels it.
   */
  schedule(every: Duration, clock: Clock, callback: (timeMs: number) => void): () => void
  /** Timers for single keys, which survive a restart; the processor must name their clocks in its option `timers`. */
  readonly timers: Timers<K>
  readonly streamTimeMs: number
  wallClockMs(): number
  /** Null inside a scheduled callback. */
  readonly record: RecordMetadata | null
  headers: Headers
}

/** One per task. `process` runs for every record, `onTimer` for every timer, `close` when the task ends. */
export interface Processor<K, V> {
  process(key: K, value: V, timestampMs: number): void
  onTimer?(key: K, timeMs: number, clock: Clock): void
  close?(): void
}

export function processor<K, V, KOut, VOut>(
  node: string,
  create: (context: ProcessorContext<KOut, VOut, K>) => Processor<K, V>,
  stores: readonly string[],
  timers: readonly TimerStores[],
): Operator<StreamEmit<K, V>, StreamEmit<KOut, VOut>> {
  return (task, next) => {
    let created: Processor<K, V> | null = null
    const ring = (key: K, timeMs: number, clock: Clock): void =>
      runTimer(task, node, () => created!.onTimer!(key, timeMs, clock))
    const context = new TaskProcessorContext(task, node, next, stores, openTimers(task, node, timers, ring))
    task.onInitialize(() => {
      created = create(context)
      if (timers.length > 0 && created.onTimer === undefined) {
        throw new TopologyError(`${node} has timers, and no onTimer to call for them`)
      }
    })
    task.onClose(() => created?.close?.())
    return (key, value, timestampMs) => created!.process(key, value, timestampMs)
  }
}

class TaskProcessorContext<KOut, VOut, K> implements ProcessorContext<KOut, VOut, K> {
  readonly forward: StreamEmit<KOut, VOut>
  readonly timers: Timers<K>
  readonly #task: OperatorTask
  readonly #node: string
  readonly #stores: readonly string[]

  constructor(
    task: OperatorTask,
    node: string,
    next: StreamEmit<KOut, VOut>,
    stores: readonly string[],
    timers: Timers<K>,
  ) {
    this.#task = task
    this.#node = node
    this.timers = timers
    this.#stores = stores
    this.forward = next
  }

  get streamTimeMs(): number {
    return this.#task.context.streamTimeMs
  }

  get record(): RecordMetadata | null {
    return this.#task.record
  }

  get headers(): Headers {
    return this.#task.headers
  }

  set headers(headers: Headers) {
    this.#task.headers = headers
  }

  wallClockMs(): number {
    return this.#task.context.wallClockMs()
  }

  store<K, V>(name: string): WritableKeyValueStore<K, V> {
    if (!this.#stores.includes(name)) {
      const known = this.#stores.length === 0 ? 'none' : this.#stores.join(', ')
      throw new StreamsError('unknown-store', `this processor was not given the store ${name} (it has ${known})`)
    }
    return this.#task.store(name) as unknown as WritableKeyValueStore<K, V>
  }

  schedule(every: Duration, clock: Clock, callback: (timeMs: number) => void): () => void {
    const ring = (timeMs: number): void => runTimer(this.#task, this.#node, () => callback(timeMs))
    return this.#task.schedule(durationMs(every), clock, ring)
  }
}
