import type { TimedEntry, TimedStore } from '../state/timed-store.ts'
import type { OperatorTask, StreamEmit, TableEmit } from '../topology/operator.ts'
import type { Windowed } from '../windowed.ts'
import type { Aggregator } from './aggregate.ts'
import { windowedKey } from './window-aggregate.ts'
import type { EmitStrategy } from './window-closing.ts'

export interface SessionWindows {
  /** Records of one key further apart than this belong to different sessions. */
  readonly gapMs: number
  /** How long after its end, plus the gap, a session still takes records that arrive out of order. */
  readonly graceMs: number
}

export interface SessionAggregator<K, V, A> extends Aggregator<K, V, A> {
  /** Joins two sessions when a record closes the gap between them; the first call gets `initial()` on the left. */
  merge(key: K, left: A | null, right: A): A | null
}

export interface SessionAggregateOptions<K, V, A> {
  readonly store: string
  readonly windows: SessionWindows
  /** How long after its end a session can be queried; where only final results are wanted, until it is emitted. */
  readonly retentionMs: number
  readonly aggregator: SessionAggregator<K, V, A>
  readonly emit: EmitStrategy
}

/**
 * Aggregates the records of a key into sessions: bursts of activity separated by more than `gapMs` of silence.
 *
 * A record can start a session, extend one or bridge several. All three are the same step: merge every session it
 * touches, add the record, replace them by the result. Downstream sees the replaced sessions end before the merged one
 * appears, so that a table built from the output never counts a record twice.
 */
export function sessionAggregate<K, V, A>(options: SessionAggregateOptions<K, V, A>) {
  const { gapMs, graceMs } = options.windows
  const { aggregator, retentionMs } = options
  const isFinalOnly = options.emit === 'on-window-close'
  return (task: OperatorTask, next: TableEmit<Windowed<K>, A>, late: StreamEmit<Windowed<K>, V>): StreamEmit<K, V> => {
    const store = task.store(options.store) as TimedStore<K, A>
    const time = task.shared(options, () => ({ streamMs: -1, seenMs: -1 }))
    const touched: TimedEntry<K, A>[] = []

    /** Sessions that end before this take no record any more. */
    const closeMs = (): number => time.streamMs - gapMs - graceMs
    const close = (isEmitting: boolean): void => {
      if (!isFinalOnly) {
        store.expireDue(time.streamMs - retentionMs - 1)
        return
      }
      for (const entry of store.takeDue(closeMs() - 1)) {
        store.remove(entry)
        if (isEmitting) next(windowedKey(entry), entry.value, entry.endMs, null, true)
      }
    }
    task.onInitialize(() => {
      time.streamMs = Math.max(time.streamMs, store.observedMs)
      // What was final when the state was written has been emitted before it was.
      close(false)
    })

    return (key, value, timestampMs) => {
      if (key === null || key === undefined) {
        task.drop('null-key')
        return
      }
      if (timestampMs > time.streamMs) time.streamMs = timestampMs
      touched.length = 0
      let startMs = timestampMs
      let endMs = timestampMs
      let merged = aggregator.initial()
      const group = store.group(key)
      if (group !== null) {
        const closedMs = closeMs()
        for (const entry of group.entries) {
          if (entry.startMs > timestampMs + gapMs) break
          // What is closed is kept for queries only: no result depends on the retention.
          if (entry.endMs < timestampMs - gapMs || entry.endMs < closedMs) continue
          touched.push(entry)
          if (entry.startMs < startMs) startMs = entry.startMs
          if (entry.endMs > endMs) endMs = entry.endMs
          merged = aggregator.merge(key, merged, entry.value)
        }
      }

      // The merged session decides, not the record: an old one is welcome if it joins a session that is still open.
      if (endMs < closeMs()) {
        task.drop('late')
        late({ key, startMs, endMs }, value, timestampMs)
      } else {
        const added = aggregator.add(key, value, merged)
        if (startMs === timestampMs && endMs === timestampMs && touched.length > 0) {
          // Another record at the only time of its session: nothing is replaced.
          const [entry] = touched as [TimedEntry<K, A>]
          const old = entry.value
          if (added === null) store.remove(entry)
          else store.update(entry, added, endMs)
          if (!isFinalOnly) next({ key, startMs, endMs }, added, endMs, old, true)
        } else {
          for (const entry of touched) {
            store.remove(entry)
            if (!isFinalOnly) next(windowedKey(entry), null, entry.endMs, entry.value, true)
          }
          if (added !== null) store.insert(key, startMs, endMs, added, endMs)
          if (!isFinalOnly) next({ key, startMs, endMs }, added, endMs, null, true)
        }
      }
      if (time.streamMs > time.seenMs) {
        time.seenMs = time.streamMs
        close(true)
      }
    }
  }
}
