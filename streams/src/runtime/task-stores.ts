import { StreamsError } from '../errors.ts'
import type { RemoteSerde } from '../serdes/serde.ts'
import type { StoreBacking } from '../state/backing.ts'
import { openStore } from '../state/open-store.ts'
import type { StateStore, StoreDefinition } from '../state/store.ts'
import type { TaskId } from './task-id.ts'

/** Where the stores of tasks keep what must outlive the process. */
export interface StateLocation {
  /** The disk under one store; null for one that lives in memory. */
  openBacking(id: TaskId, definition: StoreDefinition): StoreBacking | null
  /** Forgets everything that is kept for the task. Its stores are closed. */
  wipe(id: TaskId): void
  /** Notes how far the kept state has come, for the assignment of tasks after a restart. */
  note(id: TaskId, offsets: number): void
  /** Resolves when no other worker of the process has the task's stores open, and keeps them from opening them. */
  acquire(id: TaskId): Promise<void>
  release(id: TaskId): void
}

/** Gets the changes of the stores while a task works on them. */
export type ChangeSink = (topic: string, key: Uint8Array, value: Uint8Array | null, timestampMs: number) => void

/**
 * The stores of one task, acquired from their location by whoever makes this, and open from before they are restored until the task is gone from this worker. They outlive its
 * roles: what a standby has restored is handed to the task that becomes active, with nothing read again.
 */
export class TaskStores {
  readonly taskId: TaskId
  readonly #applicationId: string
  readonly #definitions: readonly StoreDefinition[]
  readonly #location: StateLocation
  readonly #stores = new Map<string, StateStore>()
  /** By changelog topic: the offset up to which the store has everything. */
  readonly #positions = new Map<string, number>()
  /** Null while nobody may change the stores but a restore. */
  changes: ChangeSink | null = null

  constructor(taskId: TaskId, applicationId: string, definitions: readonly StoreDefinition[], location: StateLocation) {
    this.taskId = taskId
    this.#applicationId = applicationId
    this.#definitions = definitions
    this.#location = location
    try {
      this.#openAll()
    } catch (error) {
      if (!isStorageFailure(error)) throw error
      // What cannot be read is worth nothing: the changelog has it all.
      this.wipe()
    }
  }

  get all(): readonly StateStore[] {
    return [...this.#stores.values()]
  }

  get(name: string): StateStore {
    const store = this.#stores.get(name)
    if (store === undefined) throw new StreamsError('unknown-store', `task ${this.taskId} has no store named ${name}`)
    return store
  }

  /** Serdes that need something from outside before they can read what a changelog holds. */
  get remoteSerdes(): ReadonlySet<RemoteSerde> {
    return new Set(
      this.#definitions.flatMap((definition) => [
        ...(definition.keySerde.remotes ?? []),
        ...(definition.valueSerde.remotes ?? []),
        ...(definition.kind === 'subscription' ? (definition.primaryKeySerde.remotes ?? []) : []),
      ]),
    )
  }

  position(changelogTopic: string): number | null {
    return this.#positions.get(changelogTopic) ?? null
  }

  /** The positions added up: the more, the closer to the end. */
  get offsetSum(): number {
    let sum = 0
    for (const offset of this.#positions.values()) sum += offset
    return sum
  }

  /** About how much memory the changes take that wait for the next commit. */
  get unflushedBytes(): number {
    let bytes = 0
    for (const store of this.#stores.values()) bytes += store.unflushedBytes
    return bytes
  }

  /** The store has everything before `offset`. A position never goes back. */
  advance(changelogTopic: string, offset: number): void {
    const before = this.#positions.get(changelogTopic)
    if (before === undefined || before < offset) this.#positions.set(changelogTopic, offset)
  }

  /** Makes what was flushed or restored durable, with the position that goes with it. */
  persist(): void {
    for (const store of this.#stores.values()) {
      store.persist(store.changelogTopic === null ? null : this.position(store.changelogTopic))
    }
  }

  /** Starts over with empty stores: what was kept does not belong to the changelog any more. */
  wipe(): void {
    this.#forget()
    this.#location.wipe(this.taskId)
    this.#openAll()
  }

  close(): void {
    for (const store of this.#stores.values()) store.close()
    this.closed()
  }

  /** The stores were closed by the topology that worked on them. */
  closed(): void {
    if (this.#stores.size > 0) this.#location.note(this.taskId, this.offsetSum)
    this.#stores.clear()
    this.#positions.clear()
    this.#location.release(this.taskId)
  }

  /** Leaves the stores, which cannot be trusted any more, and what is kept of them. */
  destroy(): void {
    this.#forget()
    this.#location.wipe(this.taskId)
    this.#location.release(this.taskId)
  }

  #forget(): void {
    for (const store of this.#stores.values()) {
      try {
        store.close()
      } catch (error) {
        if (!isStorageFailure(error)) throw error
      }
    }
    this.#stores.clear()
    this.#positions.clear()
  }

  #openAll(): void {
    for (const definition of this.#definitions) {
      const changelogTopic = definition.hasChangelog ? `${this.#applicationId}-${definition.name}-changelog` : null
      const store = openStore(definition, {
        changelogTopic,
        log:
          changelogTopic === null
            ? null
            : (key, value, timestampMs) => this.changes?.(changelogTopic, key, value, timestampMs),
        backing: this.#location.openBacking(this.taskId, definition),
      })
      this.#stores.set(definition.name, store)
      if (changelogTopic !== null && store.restoredOffset !== null) {
        this.#positions.set(changelogTopic, store.restoredOffset)
      }
    }
  }
}

/** Whether the disk under a store failed, also when the error was wrapped to say at which record. */
export function isStorageFailure(error: unknown): boolean {
  return error instanceof StreamsError && error.code === 'storage'
}
