import { StreamsError } from '../errors.ts'
import type { TimedStore } from '../state/timed-store.ts'
import type { Operator, TableEmit } from '../topology/operator.ts'
import type { Windowed } from '../windowed.ts'
import { finalEndMs, type WindowClosing } from './window-closing.ts'

/** What waits: the latest value of a key, and the value that downstream knows. */
export interface Suppressed<V> {
  readonly value: V | null
  readonly prior: V | null
}

export interface SuppressOptions {
  readonly store: string
  readonly node: string
  readonly until:
    | { readonly kind: 'window-close'; readonly closing: WindowClosing }
    | { readonly kind: 'time-limit'; readonly waitMs: number }
  readonly maxRecords: number
  readonly whenFull: 'emit-early' | 'fail'
}

/**
 * Holds the changes of a table back and lets through the last one of each key: when its window takes no more records,
 * or when the first of them has waited long enough. A key that changes again keeps its place in the queue.
 */
export function suppress<K, V>(options: SuppressOptions): Operator<TableEmit<K, V>, TableEmit<K, V>> {
  const { until, maxRecords } = options
  return (task, next) => {
    const store = task.store(options.store) as TimedStore<K, Suppressed<V>>
    let streamMs = -1
    let isFull = (): boolean => false
    task.onInitialize(() => {
      streamMs = Math.max(streamMs, store.observedMs)
      if (maxRecords < Number.POSITIVE_INFINITY && store.liveCount >= 0) isFull = () => store.liveCount > maxRecords
    })
    const dueMs = (): number =>
      until.kind === 'window-close' ? finalEndMs(until.closing, streamMs) : streamMs - until.waitMs
    const release = (entry: ReturnType<typeof store.takeEarliest> & {}): void => {
      const { group, value, timestampMs } = entry
      store.remove(entry)
      // A window that came to nothing (its session was merged into another) has no final result.
      if (value.value === null && until.kind === 'window-close') return
      next(group.key, value.value, timestampMs, value.prior, true)
    }
    return (key, value, timestampMs, old) => {
      if (timestampMs > streamMs) streamMs = timestampMs
      const waiting = store.group(key)?.entries[0]
      if (waiting !== undefined) store.update(waiting, { value, prior: waiting.value.prior }, timestampMs)
      else {
        const sinceMs = until.kind === 'window-close' ? (key as Windowed<unknown>).endMs : timestampMs
        store.insert(key, sinceMs, sinceMs, { value, prior: old }, timestampMs)
      }
      for (const entry of store.takeDue(dueMs())) release(entry)
      if (!isFull()) return
      if (options.whenFull === 'fail') {
        throw new StreamsError(
          'buffer-full',
          `${options.node} holds ${store.liveCount} records, its limit is ${maxRecords}`,
        )
      }
      while (isFull()) release(store.takeEarliest()!)
    }
  }
}
