import type { TimedEntry, TimedStore } from '../state/timed-store.ts'
import type { OperatorTask, StreamEmit, TableEmit } from '../topology/operator.ts'
import type { Windowed } from '../windowed.ts'
import type { Aggregator } from './aggregate.ts'
import type { EmitStrategy } from './window-closing.ts'

export interface HoppingWindows {
  readonly sizeMs: number
  readonly advanceMs: number
  readonly graceMs: number
}

export interface WindowAggregateOptions<K, V, A> {
  readonly store: string
  readonly windows: HoppingWindows
  readonly retentionMs: number
  readonly aggregator: Aggregator<K, V, A>
  readonly emit: EmitStrategy
}

/**
 * One aggregate per key and window of fixed size: tumbling where size and advance are the same, else hopping.
 *
 * Windows start at multiples of the advance and never before 0. Whether a record is late is decided per window: with
 * size 10, advance 4 and grace 0 a record at 11 after one at 17 misses [4,14) and counts in [8,18).
 */
export function windowAggregate<K, V, A>(options: WindowAggregateOptions<K, V, A>) {
  const { sizeMs, advanceMs, graceMs } = options.windows
  const { aggregator, retentionMs } = options
  const isFinalOnly = options.emit === 'on-window-close'
  return (task: OperatorTask, next: TableEmit<Windowed<K>, A>, late: StreamEmit<Windowed<K>, V>): StreamEmit<K, V> => {
    const store = task.store(options.store) as TimedStore<K, A>
    const time = task.shared(options, () => ({ streamMs: -1, seenMs: -1 }))
    task.onInitialize(() => {
      time.streamMs = Math.max(time.streamMs, store.observedMs)
      if (!isFinalOnly) return
      // What was final when the state was written has been emitted before it was.
      for (const entry of store.takeDue(time.streamMs - graceMs)) store.remove(entry)
    })

    const close = (): void => {
      if (!isFinalOnly) {
        store.expireDue(time.streamMs - retentionMs + sizeMs)
        return
      }
      for (const entry of store.takeDue(time.streamMs - graceMs)) {
        const { value, timestampMs } = entry
        store.remove(entry)
        next(windowedKey(entry), value, timestampMs, null, true)
      }
    }

    return (key, value, timestampMs) => {
      if (key === null || key === undefined) {
        task.drop('null-key')
        return
      }
      if (timestampMs > time.streamMs) time.streamMs = timestampMs
      const closedEndMs = time.streamMs - graceMs
      let startMs = Math.floor(Math.max(0, timestampMs - sizeMs + advanceMs) / advanceMs) * advanceMs
      for (; startMs <= timestampMs; startMs += advanceMs) {
        const endMs = startMs + sizeMs
        if (endMs <= closedEndMs) {
          task.drop('late')
          late({ key, startMs, endMs }, value, timestampMs)
          continue
        }
        const entry = windowAt(store, key, startMs)
        const old = entry === null ? null : entry.value
        const added = aggregator.add(key, value, old ?? aggregator.initial())
        const resultMs = entry === null || timestampMs > entry.timestampMs ? timestampMs : entry.timestampMs
        if (entry === null) {
          if (added !== null) store.insert(key, startMs, endMs, added, resultMs)
        } else if (added === null) store.remove(entry)
        else store.update(entry, added, resultMs)
        if (!isFinalOnly) next({ key, startMs, endMs }, added, resultMs, old, true)
      }
      if (time.streamMs > time.seenMs) {
        time.seenMs = time.streamMs
        close()
      }
    }
  }
}

function windowAt<K, A>(store: TimedStore<K, A>, key: K, startMs: number): TimedEntry<K, A> | null {
  const group = store.group(key)
  if (group === null) return null
  const { entries } = group
  for (let index = entries.length - 1; index >= 0; index--) {
    const entry = entries[index]!
    if (entry.startMs <= startMs) return entry.startMs === startMs ? entry : null
  }
  return null
}

export function windowedKey<K, A>({ group, startMs, endMs }: TimedEntry<K, A>): Windowed<K> {
  return { key: group.key, startMs, endMs }
}
