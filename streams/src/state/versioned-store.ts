import type { StoreBacking } from './backing.ts'
import { TimedStore, type TimedEntry, type TimedGroup } from './timed-store.ts'
import type { TimedLayout } from './timed-layout.ts'
import { windowLayout } from './timed-layouts.ts'
import type { StoreOptions } from './key-value-store.ts'
import type { StateStore, VersionedDefinition } from './store.ts'
import type { Serde } from '../serdes/serde.ts'

export type VersionedPut = 'latest' | 'not-latest' | 'too-old'

interface Version<V> {
  readonly value: V | null
}

/**
 * The history of every key: which value was valid from which time on, back to `historyRetentionMs` before the largest
 * time seen. A tombstone is a version, too.
 */
export class VersionedStore<K, V> implements StateStore {
  readonly name: string
  readonly definition: VersionedDefinition
  readonly changelogTopic: string | null
  readonly #versions: TimedStore<K, Version<V>>

  constructor(definition: VersionedDefinition, options: StoreOptions & { readonly backing: StoreBacking | null }) {
    this.name = definition.name
    this.definition = definition
    this.changelogTopic = options.changelogTopic
    const stored = { ...definition, valueSerde: versionSerde(definition.valueSerde) }
    this.#versions = new TimedStore(stored, layout, options)
  }

  get restoredOffset(): number | null {
    return this.#versions.restoredOffset
  }

  get entryCount(): number {
    return this.#versions.entryCount
  }

  put(key: K, value: V | null, timestampMs: number): VersionedPut {
    this.#versions.observe(timestampMs)
    if (timestampMs < this.#horizonMs) return 'too-old'
    const group = this.#versions.group(key)
    const existing = group?.entries.find((entry) => entry.startMs === timestampMs)
    if (existing !== undefined) {
      if (value === null && this.#isForgotten(group!, existing)) {
        this.#versions.remove(existing)
        return 'latest'
      }
      this.#versions.update(existing, { value }, timestampMs)
    } else this.#versions.insert(key, timestampMs, timestampMs, { value }, timestampMs)
    const entries = this.#versions.group(key)!.entries
    const isLatest = entries.at(-1)!.startMs === timestampMs
    this.#forget(this.#versions.group(key)!)
    return isLatest ? 'latest' : 'not-latest'
  }

  /** The latest value, and its time in `foundMs`. */
  get(key: K): V | null {
    const latest = this.#versions.group(key)?.entries.at(-1)
    if (latest === undefined) return null
    this.foundMs = latest.startMs
    return latest.value.value
  }

  /** The time of the value that the last `get` or `asOf` returned. */
  foundMs = -1

  /** The value that was valid at `timestampMs`; null when there was none or when that is before the history. */
  asOf(key: K, timestampMs: number): V | null {
    const entries = this.#versions.group(key)?.entries
    if (entries === undefined) return null
    for (let index = entries.length - 1; index >= 0; index--) {
      const entry = entries[index]!
      if (entry.startMs <= timestampMs) {
        // The latest version is always known; older ones only as far back as the history goes.
        if (index < entries.length - 1 && timestampMs < this.#horizonMs) return null
        this.foundMs = entry.startMs
        return entry.value.value
      }
    }
    return null
  }

  restore(key: Buffer, value: Buffer | null, timestampMs: number): void {
    this.#versions.restore(key, value, timestampMs)
  }

  get unflushedBytes(): number {
    return this.#versions.unflushedBytes
  }

  flush(): void {
    this.#versions.flush()
  }

  persist(changelogOffset: number | null): void {
    this.#versions.persist(changelogOffset)
  }

  close(): void {
    this.#versions.close()
  }

  get #horizonMs(): number {
    return this.#versions.observedMs - this.definition.historyRetentionMs
  }

  /**
   * Whether a tombstone of the same time takes the latest value away without a trace. Kafka keeps a tombstone only as
   * the end of the version before it, so one that follows no value is gone, and an older value that comes later counts.
   */
  #isForgotten({ entries }: TimedGroup<K, Version<V>>, replaced: TimedEntry<K, Version<V>>): boolean {
    if (entries.at(-1) !== replaced || replaced.value.value === null) return false
    return entries.length === 1 || entries.at(-2)!.value.value === null
  }

  /** A version counts until the next one's time leaves the history. */
  #forget(group: TimedGroup<K, Version<V>>): void {
    while (group.entries.length > 1 && group.entries[1]!.startMs < this.#horizonMs) {
      this.#versions.remove(group.entries[0]!)
    }
  }
}

/** Versions leave with a later one of their key, not by time. */
const layout: TimedLayout = { ...windowLayout(0), byKeyOnly: true }

function versionSerde<V>(serde: Serde<unknown>): Serde<Version<V>> {
  return {
    name: `version of ${serde.name}`,
    serialize: ({ value }) => (value === null ? Buffer.of(0) : Buffer.concat([Buffer.of(1), serde.serialize(value)])),
    deserialize: (bytes) => ({ value: bytes[0] === 0 ? null : (serde.deserialize(bytes.subarray(1)) as V) }),
  }
}
