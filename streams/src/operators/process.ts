import type { Duration } from '../duration.ts'
import { durationMs } from '../duration.ts'
import { StreamsError } from '../errors.ts'
import type { Operator, OperatorTask, StreamEmit } from '../topology/operator.ts'
import type { Headers, RecordMetadata } from '../topology/task-topology.ts'
import type { WritableKeyValueStore } from '../state/key-value-store.ts'

/** What a processor may do. Valid for the life of the task; `record` and `headers` are those of the current record. */
export interface ProcessorContext<KOut, VOut> {
  /** Hands a record to what comes after `process`, before the call returns. */
  forward(key: KOut, value: VOut, timestampMs: number): void
  store<K, V>(name: string): WritableKeyValueStore<K, V>
  /**
   * Calls back at an interval: of event time, aligned to 0 and driven by records, or of the wall clock. Missed
   * intervals are skipped. Returns what cancels it.
   */
  schedule(every: Duration, clock: 'event-time' | 'wall-clock', callback: (timeMs: number) => void): () => void
  readonly streamTimeMs: number
  wallClockMs(): number
  /** Null inside a scheduled callback. */
  readonly record: RecordMetadata | null
  headers: Headers
}

/** One per task. `process` runs for every record, `close` when the task ends. */
export interface Processor<K, V> {
  process(key: K, value: V, timestampMs: number): void
  close?(): void
}

export function processor<K, V, KOut, VOut>(
  create: (context: ProcessorContext<KOut, VOut>) => Processor<K, V>,
  stores: readonly string[],
): Operator<StreamEmit<K, V>, StreamEmit<KOut, VOut>> {
  return (task, next) => {
    let created: Processor<K, V> | null = null
    const context = new TaskProcessorContext(task, next, stores)
    task.onInitialize(() => {
      created = create(context)
    })
    task.onClose(() => created?.close?.())
    return (key, value, timestampMs) => created!.process(key, value, timestampMs)
  }
}

class TaskProcessorContext<KOut, VOut> implements ProcessorContext<KOut, VOut> {
  readonly forward: StreamEmit<KOut, VOut>
  readonly #task: OperatorTask
  readonly #stores: readonly string[]

  constructor(task: OperatorTask, next: StreamEmit<KOut, VOut>, stores: readonly string[]) {
    this.#task = task
    this.#stores = stores
    this.forward = next
  }

  get streamTimeMs(): number {
    return this.#task.context.streamTimeMs
  }

  get record(): RecordMetadata | null {
    return this.#task.context.record
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

  schedule(every: Duration, clock: 'event-time' | 'wall-clock', callback: (timeMs: number) => void): () => void {
    return this.#task.schedule(durationMs(every), clock, callback)
  }
}
