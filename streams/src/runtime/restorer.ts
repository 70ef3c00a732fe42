import type { Cluster } from '../client/cluster.ts'
import { Fetcher, type Isolation } from '../client/fetcher.ts'
import { EARLIEST, LATEST, listOffsets } from '../client/offsets.ts'
import { PartitionBuffer } from '../client/partition-buffer.ts'
import { RETRY_TIMEOUT_MS } from '../client/retry.ts'
import { partitionKey, type TopicPartition } from '../client/topic-partition.ts'
import { StreamsError } from '../errors.ts'
import type { StateStore } from '../state/store.ts'
import { RetryLater } from '../topology/error-handler.ts'
import { partitionOf, type TaskId } from './task-id.ts'
import { isStorageFailure, type TaskStores } from './task-stores.ts'

export interface RestorerOptions {
  readonly isolation: Isolation
  readonly bufferBytes?: number
  /** Called when there is something for `step` to do. */
  readonly onData: () => void
  readonly onError: (error: Error) => void
  /** The disk under the stores of a task failed; they are no longer restored. */
  readonly onStorageFailure: (stores: TaskStores, error: Error) => void
}

export interface RestoreProgress {
  readonly taskId: TaskId
  readonly store: string
  readonly changelogTopic: string
  readonly startOffset: number
  readonly offset: number
  /** Where the restore ends; for a standby the present end of the changelog. */
  readonly endOffset: number
  readonly isStandby: boolean
}

interface Source {
  readonly store: StateStore
  readonly changelogTopic: string
  readonly buffer: PartitionBuffer
  readonly startOffset: number
  readonly endOffset: number
}

interface Restoration {
  readonly stores: TaskStores
  sources: readonly Source[]
  isStandby: boolean
  /** False until the ends of the changelogs are known. */
  isReading: boolean
  isDone: boolean
  restoredSincePersist: number
}

const RECORDS_PER_TURN = 500
/** A store on disk keeps what is restored in memory until it is persisted. */
const PERSIST_EVERY_RECORDS = 20_000

/**
 * Reads changelogs into stores: for tasks that are about to become active up to the present end, and for standbys on
 * and on. It fetches beside the worker's own fetches and is driven by the worker, a turn at a time, so that tasks that
 * are ready go on meanwhile.
 */
export class Restorer {
  readonly #cluster: Cluster
  readonly #options: RestorerOptions
  readonly #fetcher: Fetcher
  readonly #restorations = new Map<TaskId, Restoration>()
  recordsRestored = 0

  constructor(cluster: Cluster, options: RestorerOptions) {
    this.#cluster = cluster
    this.#options = options
    this.#fetcher = new Fetcher(cluster, {
      isolation: options.isolation,
      ...(options.bufferBytes === undefined ? {} : { bufferBytes: options.bufferBytes }),
      onData: options.onData,
      onError: options.onError,
      onOutOfRange: (buffer) => void this.#startOver(buffer),
    })
  }

  /** Begins to fill the stores. `isStandby`: never done, follows the changelog until it is removed. */
  add(stores: TaskStores, options: { readonly isStandby: boolean }): void {
    const restoration: Restoration = {
      stores,
      sources: [],
      isStandby: options.isStandby,
      isReading: false,
      isDone: false,
      restoredSincePersist: 0,
    }
    this.#restorations.set(stores.taskId, restoration)
    void this.#begin(restoration)
  }

  /** Whether the stores of the task hold all that the changelogs held when it was added. */
  isDone(id: TaskId): boolean {
    return this.#restorations.get(id)?.isDone === true
  }

  /** Leaves the stores as they are. */
  remove(id: TaskId): void {
    const restoration = this.#restorations.get(id)
    if (restoration === undefined) return
    this.#restorations.delete(id)
    for (const { buffer } of restoration.sources) this.#fetcher.remove(buffer.topic, buffer.partition)
  }

  /** Restores what has been fetched, a little of it; true when there may be more. */
  step(): boolean {
    let hasMore = false
    for (const restoration of this.#restorations.values()) {
      if (!restoration.isReading) continue
      try {
        hasMore = this.#advance(restoration) || hasMore
      } catch (error) {
        if (!isStorageFailure(error)) throw error
        this.remove(restoration.stores.taskId)
        this.#options.onStorageFailure(restoration.stores, error as Error)
      }
    }
    return hasMore
  }

  progress(): RestoreProgress[] {
    return [...this.#restorations.values()].flatMap(({ stores, sources, isStandby }) =>
      sources.map(({ store, changelogTopic, buffer, startOffset, endOffset }) => ({
        taskId: stores.taskId,
        store: store.name,
        changelogTopic,
        startOffset,
        offset: buffer.position,
        endOffset: isStandby ? Math.max(endOffset, buffer.highWatermark) : endOffset,
        isStandby,
      })),
    )
  }

  close(): void {
    this.#fetcher.close()
    this.#restorations.clear()
  }

  #advance(restoration: Restoration): boolean {
    let hasMore = false
    for (const source of restoration.sources) hasMore = this.#apply(restoration, source) || hasMore
    if (restoration.restoredSincePersist >= PERSIST_EVERY_RECORDS) persist(restoration)
    if (!restoration.isDone && restoration.sources.every(({ buffer, endOffset }) => buffer.position >= endOffset)) {
      persist(restoration)
      restoration.isDone = true
      this.#options.onData()
    }
    return hasMore
  }

  #apply(restoration: Restoration, { store, changelogTopic, buffer }: Source): boolean {
    let count = 0
    try {
      while (count < RECORDS_PER_TURN && buffer.peek()) {
        const { key } = buffer
        if (key !== null) store.restore(key, buffer.value, buffer.timestampMs)
        buffer.take()
        count++
      }
    } catch (cause) {
      if (cause instanceof RetryLater) setTimeout(this.#options.onData, cause.delayMs)
      else this.#throwLocated(cause, store, buffer)
    }
    restoration.restoredSincePersist += count
    this.recordsRestored += count
    restoration.stores.advance(changelogTopic, buffer.position)
    return count === RECORDS_PER_TURN
  }

  #throwLocated(cause: unknown, store: StateStore, { topic, partition, position }: PartitionBuffer): never {
    if (cause instanceof StreamsError && (cause.topic !== null || isStorageFailure(cause))) throw cause
    throw new StreamsError(
      'deserialization',
      `store ${store.name} cannot be restored from ${topic}-${partition} offset ${position}: ${String(cause)}; ` +
        'if its serde has changed, reset the application',
      { topic, partition, offset: position, cause },
    )
  }

  async #begin(restoration: Restoration): Promise<void> {
    const { stores } = restoration
    const partition = partitionOf(stores.taskId)
    try {
      const topics = stores.all.flatMap(({ changelogTopic }) => (changelogTopic === null ? [] : [changelogTopic]))
      const at = (timestampMs: number): (TopicPartition & { timestampMs: number })[] =>
        topics.map((topic) => ({ topic, partition, timestampMs }))
      // The end of everything, also where only committed records are read: a commit whose markers are not in all
      // partitions yet, or a transaction that its owner has left open, ends before a restore that has to hold it does.
      const [starts, ends] = await Promise.all([
        listOffsets(this.#cluster, at(EARLIEST)),
        listOffsets(this.#cluster, at(LATEST)),
      ])
      // After the ends: whoever wrote a record before them had registered its schema.
      for (const remote of stores.remoteSerdes) await remote.prepare([], { timeoutMs: RETRY_TIMEOUT_MS })
      if (this.#restorations.get(stores.taskId) !== restoration) return
      const isStale = topics.some((topic) => {
        const position = stores.position(topic)
        const key = partitionKey(topic, partition)
        return position !== null && (position < starts.get(key)! || position > ends.get(key)!)
      })
      // The changelog was deleted and made anew, or has dropped what lies behind the state: the state cannot be trusted.
      if (isStale) stores.wipe()
      restoration.sources = stores.all.flatMap((store) => {
        const { changelogTopic } = store
        if (changelogTopic === null) return []
        const key = partitionKey(changelogTopic, partition)
        const startOffset = stores.position(changelogTopic) ?? starts.get(key)!
        const buffer = new PartitionBuffer(changelogTopic, partition, { position: startOffset })
        return [{ store, changelogTopic, buffer, startOffset, endOffset: ends.get(key)! }]
      })
      restoration.isReading = true
      for (const { buffer, changelogTopic } of restoration.sources) {
        stores.advance(changelogTopic, buffer.position)
        this.#fetcher.add(buffer)
      }
      this.#options.onData()
    } catch (error) {
      if (this.#restorations.get(stores.taskId) === restoration) this.#options.onError(error as Error)
    }
  }

  /** The changelog has moved on past the place that was being read. */
  async #startOver(buffer: PartitionBuffer): Promise<void> {
    const found = [...this.#restorations.values()].find(({ sources }) => sources.some((one) => one.buffer === buffer))
    if (found === undefined) return
    const { stores, isStandby } = found
    this.remove(stores.taskId)
    stores.wipe()
    this.add(stores, { isStandby })
    await Promise.resolve()
  }
}

function persist(restoration: Restoration): void {
  restoration.stores.persist()
  restoration.restoredSincePersist = 0
}
