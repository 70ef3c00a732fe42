import type { TimedStore } from './timed-store.ts'

/** A window, or session, of one key as someone who asks from outside sees it. */
export interface StoredWindow<K, V> {
  readonly key: K
  readonly startMs: number
  readonly endMs: number
  readonly value: V
  readonly timestampMs: number
}

/** What interactive queries and tests read of a window or session store. Results are copies. */
export interface ReadableWindowStore<K, V> {
  /** The windows of a key that start between the two times, both included, in order. */
  fetch(key: K, fromMs?: number, toMs?: number): readonly StoredWindow<K, V>[]
  /** All windows that start between the two times, by key bytes and start. */
  fetchAll(fromMs?: number, toMs?: number): readonly StoredWindow<K, V>[]
}

export function windowReader<K, V>(store: TimedStore<K, V>): ReadableWindowStore<K, V> {
  const rows = (
    entries: ReturnType<typeof store.all>,
    fromMs: number | undefined,
    toMs: number | undefined,
  ): StoredWindow<K, V>[] =>
    entries
      .filter(({ startMs }) => startMs >= (fromMs ?? 0) && startMs <= (toMs ?? Number.POSITIVE_INFINITY))
      .map(({ group, startMs, endMs, value, timestampMs }) => ({ key: group.key, startMs, endMs, value, timestampMs }))
  return {
    fetch: (key, fromMs, toMs) => rows(store.group(key)?.entries ?? [], fromMs, toMs),
    fetchAll: (fromMs, toMs) => rows(store.all(), fromMs, toMs),
  }
}
