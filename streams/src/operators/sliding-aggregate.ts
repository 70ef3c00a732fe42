import assert from 'node:assert/strict'
import type { TimedEntry, TimedStore } from '../state/timed-store.ts'
import type { OperatorTask, StreamEmit, TableEmit } from '../topology/operator.ts'
import type { Windowed } from '../windowed.ts'
import type { Aggregator } from './aggregate.ts'
import { windowedKey } from './window-aggregate.ts'
import type { EmitStrategy } from './window-closing.ts'

export interface SlidingWindows {
  /** Records of one key at most this far apart share a window. */
  readonly sizeMs: number
  readonly graceMs: number
}

export interface SlidingAggregateOptions<K, V, A> {
  readonly store: string
  readonly windows: SlidingWindows
  readonly retentionMs: number
  readonly aggregator: Aggregator<K, V, A>
  readonly emit: EmitStrategy
}

/**
 * One aggregate per key and distinct set of records that some interval of `sizeMs` covers, both ends included.
 *
 * A record at t has a left window [t - size, t], which ends with it, and a right window [t + 1, t + 1 + size], which
 * starts behind it and exists once a later record falls in. Size 10, records A at 20 and B at 25: [10,20] has A,
 * [15,25] has A and B, [21,31] has B. Records before `size` share [0, size] as their left window.
 */
export function slidingAggregate<K, V, A>(options: SlidingAggregateOptions<K, V, A>) {
  return (task: OperatorTask, next: TableEmit<Windowed<K>, A>, late: StreamEmit<Windowed<K>, V>): StreamEmit<K, V> => {
    const operator = new SlidingAggregate(options, task, next, late)
    return (key, value, timestampMs) => operator.process(key, value, timestampMs)
  }
}

class SlidingAggregate<K, V, A> {
  readonly #task: OperatorTask
  readonly #next: TableEmit<Windowed<K>, A>
  readonly #late: StreamEmit<Windowed<K>, V>
  readonly #store: TimedStore<K, A>
  readonly #aggregator: Aggregator<K, V, A>
  readonly #sizeMs: number
  readonly #graceMs: number
  readonly #retentionMs: number
  readonly #isFinalOnly: boolean
  /** Shared with the other inputs of a cogroup. */
  readonly #time: { streamMs: number }
  /** Windows that end here or earlier are final; they are kept as long as later windows are built from them. */
  #finalEndMs = -1

  constructor(
    options: SlidingAggregateOptions<K, V, A>,
    task: OperatorTask,
    next: TableEmit<Windowed<K>, A>,
    late: StreamEmit<Windowed<K>, V>,
  ) {
    this.#task = task
    this.#next = next
    this.#late = late
    this.#store = task.store(options.store) as TimedStore<K, A>
    this.#aggregator = options.aggregator
    this.#sizeMs = options.windows.sizeMs
    this.#graceMs = options.windows.graceMs
    this.#retentionMs = options.retentionMs
    this.#isFinalOnly = options.emit === 'on-window-close'
    this.#time = task.shared(options, () => ({ streamMs: -1 }))
    task.onInitialize(() => {
      this.#time.streamMs = Math.max(this.#time.streamMs, this.#store.observedMs)
      this.#close(false)
    })
  }

  process(key: K, value: V, timestampMs: number): void {
    if (key === null || key === undefined || value === null || value === undefined) {
      this.#task.drop(key === null || key === undefined ? 'null-key' : 'null-value')
      return
    }
    if (timestampMs > this.#time.streamMs) this.#time.streamMs = timestampMs
    const closeMs = this.#time.streamMs - this.#graceMs
    if (timestampMs + this.#sizeMs < closeMs) {
      this.#task.drop('late')
      this.#late({ key, startMs: timestampMs, endMs: timestampMs + this.#sizeMs }, value, timestampMs)
      return
    }
    if (timestampMs < this.#sizeMs) this.#processEarly(key, value, timestampMs, closeMs)
    else this.#process(key, value, timestampMs, closeMs)
    this.#close(true)
  }

  /** The usual case: walks the windows that the record may touch from the latest to the earliest. */
  #process(key: K, value: V, timestampMs: number, closeMs: number): void {
    const sizeMs = this.#sizeMs
    const entries = this.#store.group(key)?.entries ?? []
    let rightAggregate: A | null = null
    let rightMs = -1
    let leftAggregate: A | null = null
    let hasLeft = false
    let hasRight = false
    let previousMs = -1
    let hasPreviousRight = false

    const earliestMs = Math.max(0, timestampMs - 2 * sizeMs)
    for (let index = entries.length - 1; index >= 0; index--) {
      const entry = entries[index]!
      const { startMs, endMs } = entry
      if (startMs > timestampMs + 1) continue
      if (startMs < earliestMs) break
      if (startMs === timestampMs + 1) hasRight = true
      else if (endMs > timestampMs) {
        // The latest of these holds exactly what lies behind the record: the start of the record's right window.
        if (rightMs < 0) {
          rightAggregate = entry.value
          rightMs = entry.timestampMs
        }
        this.#update(entry, key, value, timestampMs, closeMs)
      } else if (endMs === timestampMs) {
        hasLeft = true
        const newestMs = entry.timestampMs
        this.#update(entry, key, value, timestampMs, closeMs)
        // Another record at the same time was here before: all windows of this one exist already.
        if (newestMs >= timestampMs) return
        previousMs = newestMs
      } else {
        leftAggregate = entry.value
        previousMs = entry.timestampMs
        break
      }
    }
    if (previousMs >= 0) {
      hasPreviousRight = this.#store.group(key)?.entries.some(({ startMs }) => startMs === previousMs + 1) ?? false
      if (!hasPreviousRight && previousMs + 1 + sizeMs >= timestampMs) {
        this.#create(key, previousMs + 1, this.#aggregator.initial(), value, timestampMs, closeMs)
      }
    }
    if (!hasLeft) {
      const isShared = previousMs >= 0 && timestampMs - sizeMs <= previousMs
      const aggregate = isShared ? leftAggregate : this.#aggregator.initial()
      this.#create(key, timestampMs - sizeMs, aggregate, value, timestampMs, closeMs)
    }
    if (!hasRight && rightMs > timestampMs) this.#createRight(key, timestampMs, rightAggregate, rightMs)
  }

  /** Records before `sizeMs`: their left windows would start before 0, so all of them share [0, size]. */
  #processEarly(key: K, value: V, timestampMs: number, closeMs: number): void {
    const entries = this.#store.group(key)?.entries ?? []
    let combined: TimedEntry<K, A> | null = null
    let rightAggregate: A | null = null
    let rightMs = -1
    let hasRight = false
    let previousMs = -1
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index]!
      if (entry.startMs > timestampMs + 1) break
      if (entry.startMs === 0) {
        combined = entry
        if (entry.timestampMs < timestampMs) previousMs = entry.timestampMs
      } else if (entry.startMs <= timestampMs) {
        rightAggregate = entry.value
        rightMs = entry.timestampMs
        if (this.#update(entry, key, value, timestampMs, closeMs) === null) index--
      } else {
        hasRight = true
      }
    }
    if (rightMs < 0 && combined !== null && combined.timestampMs > timestampMs) {
      rightAggregate = combined.value
      rightMs = combined.timestampMs
    }
    if (!hasRight && rightMs > timestampMs) this.#createRight(key, timestampMs, rightAggregate, rightMs)
    if (previousMs >= 0) {
      const hasPreviousRight = this.#store.group(key)!.entries.some(({ startMs }) => startMs === previousMs + 1)
      if (!hasPreviousRight) {
        this.#create(key, previousMs + 1, this.#aggregator.initial(), value, timestampMs, closeMs)
      }
    }
    if (combined === null) this.#create(key, 0, this.#aggregator.initial(), value, timestampMs, closeMs)
    else this.#update(combined, key, value, timestampMs, closeMs)
  }

  #update(entry: TimedEntry<K, A>, key: K, value: V, timestampMs: number, closeMs: number): A | null {
    const { startMs, endMs, value: old } = entry
    if (endMs < closeMs) {
      this.#refuse(key, value, timestampMs, startMs)
      return old
    }
    const resultMs = timestampMs > entry.timestampMs ? timestampMs : entry.timestampMs
    const added = this.#aggregator.add(key, value, old)
    if (added === null) this.#store.remove(entry)
    else this.#store.update(entry, added, resultMs)
    if (!this.#isFinalOnly) this.#next({ key, startMs, endMs }, added, resultMs, old, true)
    return added
  }

  #create(key: K, startMs: number, aggregate: A | null, value: V, timestampMs: number, closeMs: number): void {
    const endMs = startMs + this.#sizeMs
    if (endMs < closeMs) {
      this.#refuse(key, value, timestampMs, startMs)
      return
    }
    const added = this.#aggregator.add(key, value, aggregate)
    if (added !== null) this.#insert(key, startMs, added, timestampMs)
    if (!this.#isFinalOnly) this.#next({ key, startMs, endMs }, added, timestampMs, null, true)
  }

  /** The right window of a record that arrives after the ones behind it: what they add up to, without the record. */
  #createRight(key: K, timestampMs: number, aggregate: A | null, newestMs: number): void {
    assert(aggregate !== null)
    const startMs = timestampMs + 1
    this.#insert(key, startMs, aggregate, newestMs)
    if (!this.#isFinalOnly) {
      this.#next({ key, startMs, endMs: startMs + this.#sizeMs }, aggregate, newestMs, null, true)
    }
  }

  #insert(key: K, startMs: number, aggregate: A, timestampMs: number): void {
    // The right window of the record before may be the left window of this one: the later of the two results stays.
    const same = this.#store.group(key)?.entries.find((entry) => entry.startMs === startMs)
    if (same !== undefined) this.#store.update(same, aggregate, timestampMs)
    else this.#store.insert(key, startMs, startMs + this.#sizeMs, aggregate, timestampMs)
  }

  #refuse(key: K, value: V, timestampMs: number, startMs: number): void {
    this.#task.drop('late')
    this.#late({ key, startMs, endMs: startMs + this.#sizeMs }, value, timestampMs)
  }

  /** Emits what is final, where that is asked for, and forgets windows that no record can need any more. */
  #close(isEmitting: boolean): void {
    const forgottenEndMs = this.#store.newestStartMs - this.#retentionMs + this.#sizeMs
    if (!this.#isFinalOnly) {
      for (const entry of this.#store.takeDue(forgottenEndMs)) this.#store.expire(entry)
      return
    }
    const finalEndMs = this.#time.streamMs - this.#graceMs - 1
    for (const entry of this.#store.takeDue(finalEndMs)) {
      // Two more sizes after its end no window is built from this one.
      const neededToMs = entry.endMs + 2 * this.#sizeMs
      if (entry.endMs > this.#finalEndMs && isEmitting) {
        this.#next(windowedKey(entry), entry.value, entry.timestampMs, null, true)
      }
      if (neededToMs > finalEndMs) this.#store.reschedule(entry, neededToMs)
      else this.#store.remove(entry)
    }
    this.#finalEndMs = Math.max(this.#finalEndMs, finalEndMs)
  }
}
