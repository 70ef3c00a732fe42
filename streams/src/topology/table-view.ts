import type { KeyValueStore } from '../state/key-value-store.ts'
import type { TimedStore } from '../state/timed-store.ts'
import type { VersionedStore } from '../state/versioned-store.ts'
import type { Windowed } from '../windowed.ts'
import type { OperatorTask } from './operator.ts'

/** Looks into a table from within a task: the present value of a key, or the one at a time. */
export interface TableView<K, V> {
  get(key: K): V | null
  /** The value that was valid then; for tables without history, the present one. */
  asOf(key: K, timestampMs: number): V | null
  /** Timestamp of the value that the last `get` or `asOf` returned; -1 for none. */
  readonly foundMs: number
}

/** How a node gets such a view: which stores it must be connected to, and how to open it in a task. */
export interface TableViewSource<K, V> {
  readonly stores: readonly string[]
  readonly isVersioned: boolean
  open(task: OperatorTask): TableView<K, V>
}

export function storeView<K, V>(name: string, isVersioned: boolean, isGlobal = false): TableViewSource<K, V> {
  return {
    stores: isGlobal ? [] : [name],
    isVersioned,
    open(task) {
      const store = isGlobal ? task.globalStore(name) : task.store(name)
      return isVersioned ? versioned(store as VersionedStore<K, V>) : latest(store as KeyValueStore<K, V>)
    },
  }
}

/** The windows of an aggregation, seen as a table of windowed keys. */
export function windowView<K, V>(name: string): TableViewSource<Windowed<K>, V> {
  return {
    stores: [name],
    isVersioned: false,
    open(task) {
      const store = task.store(name) as TimedStore<K, V>
      const view = {
        foundMs: -1,
        get({ key, startMs, endMs }: Windowed<K>): V | null {
          const entries = store.group(key)?.entries
          const entry = entries?.find((candidate) => candidate.startMs === startMs && candidate.endMs === endMs)
          view.foundMs = entry?.timestampMs ?? -1
          return entry?.value ?? null
        },
        asOf: (key: Windowed<K>): V | null => view.get(key),
      }
      return view
    },
  }
}

/** A table computed from another one on the fly. */
export function derivedView<K, V, R>(
  parent: TableViewSource<K, V>,
  derive: (key: K, value: V) => R | null,
): TableViewSource<K, R> {
  return {
    stores: parent.stores,
    isVersioned: parent.isVersioned,
    open(task) {
      const view = parent.open(task)
      return {
        get foundMs() {
          return view.foundMs
        },
        get(key) {
          const value = view.get(key)
          return value === null ? null : derive(key, value)
        },
        asOf(key, timestampMs) {
          const value = view.asOf(key, timestampMs)
          return value === null ? null : derive(key, value)
        },
      }
    },
  }
}

function latest<K, V>(store: KeyValueStore<K, V>): TableView<K, V> {
  const view = {
    foundMs: -1,
    get(key: K): V | null {
      const entry = store.find(key)
      view.foundMs = entry === null ? -1 : entry.timestampMs
      return entry === null ? null : entry.value
    },
    asOf: (key: K): V | null => view.get(key),
  }
  return view
}

function versioned<K, V>(store: VersionedStore<K, V>): TableView<K, V> {
  return {
    get foundMs() {
      return store.foundMs
    },
    get: (key) => store.get(key),
    asOf: (key, timestampMs) => store.asOf(key, timestampMs),
  }
}
