import type { Serde } from '../serdes/serde.ts'
import type { TimedLayout } from './timed-layout.ts'

/** What every store of a task has, whatever it holds. The operators see the typed interfaces of their kind. */
export interface StateStore {
  readonly name: string
  readonly definition: StoreDefinition
  /** Full name of the changelog topic, null when the store does not log. */
  readonly changelogTopic: string | null
  /** Applies one changelog record during restore or on a standby; later records of a key replace earlier ones. */
  restore(key: Buffer, value: Buffer | null, timestampMs: number): void
  /** The changelog offset up to which the persisted state is complete; null for a new store or one kept in memory. */
  readonly restoredOffset: number | null
  /** About how much memory the changes take that no flush has handed on. */
  readonly unflushedBytes: number
  /** Hands dirty entries to the changelog; a store on disk stages them for `persist`. */
  flush(): void
  /** Makes what was flushed durable together with the changelog offset; a no-op for stores in memory. */
  persist(changelogOffset: number | null): void
  /** Entries held in memory: all of them for a store in memory, the cached ones for a store on disk. */
  readonly entryCount: number
  close(): void
}

/** Where a store writes its changes; the task hands one to each store that has a changelog. */
export type ChangeLogger = (key: Uint8Array, value: Uint8Array | null, timestampMs: number) => void

interface CommonDefinition {
  readonly name: string
  readonly hasChangelog: boolean
  readonly keySerde: Serde<unknown>
  readonly valueSerde: Serde<unknown>
  /** Where the entries live; undefined leaves it to the runtime's default. */
  readonly location?: 'memory' | 'disk'
}

export interface KeyValueDefinition extends CommonDefinition {
  readonly kind: 'key-value'
}

export interface VersionedDefinition extends CommonDefinition {
  readonly kind: 'versioned'
  readonly historyRetentionMs: number
}

export interface WindowDefinition extends CommonDefinition {
  readonly kind: 'window'
  readonly windowSizeMs: number
  readonly retentionMs: number
}

export interface SessionDefinition extends CommonDefinition {
  readonly kind: 'session'
  readonly retentionMs: number
}

/** Every record of one side of a stream-stream join for as long as a partner can come. */
export interface JoinWindowDefinition extends CommonDefinition {
  readonly kind: 'join-window'
  readonly retentionMs: number
}

/** Entries that wait for a point in time: suppressed results, unmatched join records, stream records under a grace. */
export interface TimeOrderedDefinition extends CommonDefinition {
  readonly kind: 'time-ordered'
  /** How places in time become bytes, where it is not time, record time, sequence. */
  readonly layout?: TimedLayout
}

/** Subscriptions of a foreign-key join: by foreign key, then by primary key. */
export interface SubscriptionDefinition extends CommonDefinition {
  readonly kind: 'subscription'
  readonly primaryKeySerde: Serde<unknown>
}

export type StoreDefinition =
  | KeyValueDefinition
  | VersionedDefinition
  | WindowDefinition
  | SessionDefinition
  | JoinWindowDefinition
  | TimeOrderedDefinition
  | SubscriptionDefinition

export type StoreKind = StoreDefinition['kind']
