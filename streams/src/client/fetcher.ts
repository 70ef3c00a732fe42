import { apis, ErrorCode, ZERO_UUID, type Input, type ResponseOf } from '@millrace/protocol'
import type { Cluster } from './cluster.ts'
import { isRetriable, isRetriableCode, isStaleMetadata, KafkaError } from './errors.ts'
import type { PartitionBuffer } from './partition-buffer.ts'
import { backoffMs } from './retry.ts'
import { byTopic, partitionKey, partitionName } from './topic-partition.ts'

export type Isolation = 'read-uncommitted' | 'read-committed'

export interface FetcherOptions {
  readonly isolation?: Isolation
  /** How long a broker holds a fetch for which it has nothing. */
  readonly maxWaitMs?: number
  readonly minBytes?: number
  readonly maxBytes?: number
  readonly partitionBytes?: number
  /**
   * A partition whose buffer holds more than this is not fetched again until it is below half of it. Unless given, the
   * partitions share 64 MiB, and none has more than 2.
   */
  readonly bufferBytes?: number
  /** How long a topic may be unknown to the brokers before that is an error. */
  readonly unknownTopicTimeoutMs?: number
  /** Called when a buffer got something, or became known to be at its end. */
  readonly onData?: () => void
  /** The offset to read from is not in the log (any more). The partition rests until its buffer is sought elsewhere. */
  readonly onOutOfRange: (buffer: PartitionBuffer) => void
  /** A partition that cannot be read, or a cluster that cannot: this fetcher does nothing more about it. */
  readonly onError: (error: Error) => void
}

interface Entry {
  readonly buffer: PartitionBuffer
  isPaused: boolean
  /** Its buffer passed the limit, and has not come down to half of it. */
  isFull: boolean
  isInFlight: boolean
  isOutOfRange: boolean
  attempts: number
  retryAtMs: number
  /** Since when nobody knows the topic; 0 while somebody does. */
  unknownSinceMs: number
}

const MAX_WAIT_MS = 500
const MAX_BYTES = 16 * 1024 * 1024
const PARTITION_BYTES = 1024 * 1024
const SHARED_BUFFER_BYTES = 64 * 1024 * 1024
const BUFFER_BYTES_MAX = 2 * 1024 * 1024
/** A fetch that waits for some partitions must not hold up others that become hungry meanwhile. */
const FETCHES_PER_NODE = 2
const UNKNOWN_TOPIC_TIMEOUT_MS = 30_000
const UNKNOWN_TOPIC: ReadonlySet<number> = new Set([ErrorCode.unknownTopicOrPartition, ErrorCode.unknownTopicId])
const TOPIC_ID_VERSION = 13
const VERSION_MAX = 17
let fetcherCount = 0

/**
 * Keeps the buffers of partitions filled, by fetching from their leaders as long as there is room.
 *
 * A partition is in at most one fetch at a time, and in none while it is paused or its buffer is full, so that memory
 * stays bounded whatever the lag. Fetches have no session: each names the partitions it wants.
 */
export class Fetcher {
  readonly #cluster: Cluster
  readonly #options: FetcherOptions
  readonly #entries = new Map<string, Entry>()
  readonly #lanesInUse = new Map<number, Set<number>>()
  readonly #closing = new AbortController()
  /** Fetchers do not wait for each other's fetches. */
  readonly #number = fetcherCount++
  #isPumpDue = false
  #isRefreshing = false
  #timer: NodeJS.Timeout | null = null
  /** Fetches answered so far, for tests and metrics. */
  fetchCount = 0

  constructor(cluster: Cluster, options: FetcherOptions) {
    this.#cluster = cluster
    this.#options = options
  }

  add(buffer: PartitionBuffer, options: { readonly isPaused?: boolean } = {}): void {
    const entry: Entry = {
      buffer,
      isPaused: options.isPaused ?? false,
      isFull: false,
      isInFlight: false,
      isOutOfRange: false,
      attempts: 0,
      retryAtMs: 0,
      unknownSinceMs: 0,
    }
    this.#entries.set(partitionKey(buffer.topic, buffer.partition), entry)
    buffer.onConsumed = () => {
      if (!entry.isFull || buffer.bufferedBytes >= this.#bufferBytes / 2) return
      entry.isFull = false
      this.#pumpSoon()
    }
    this.#pumpSoon()
  }

  /** What comes for it later is dropped. */
  remove(topic: string, partition: number): void {
    const key = partitionKey(topic, partition)
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    entry.buffer.onConsumed = null
    this.#entries.delete(key)
  }

  pause(topic: string, partition: number): void {
    const entry = this.#entries.get(partitionKey(topic, partition))
    if (entry !== undefined) entry.isPaused = true
  }

  resume(topic: string, partition: number): void {
    const entry = this.#entries.get(partitionKey(topic, partition))
    if (entry?.isPaused !== true) return
    entry.isPaused = false
    this.#pumpSoon()
  }

  /** Reads on from `offset`, also after it was out of range. */
  seek(topic: string, partition: number, offset: number): void {
    const entry = this.#entries.get(partitionKey(topic, partition))
    if (entry === undefined) return
    entry.buffer.seek(offset)
    entry.isOutOfRange = false
    entry.isFull = false
    this.#pumpSoon()
  }

  get #bufferBytes(): number {
    return this.#options.bufferBytes ?? Math.min(BUFFER_BYTES_MAX, SHARED_BUFFER_BYTES / this.#entries.size)
  }

  close(): void {
    this.#closing.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const { buffer } of this.#entries.values()) buffer.onConsumed = null
    this.#entries.clear()
  }

  #pumpSoon(): void {
    if (this.#isPumpDue) return
    this.#isPumpDue = true
    queueMicrotask(() => {
      this.#isPumpDue = false
      this.#pump()
    })
  }

  /** Sends a fetch to every node that leads a partition which wants more and is in no fetch yet. */
  #pump(): void {
    if (this.#closing.signal.aborted) return
    const hungry = new Map<number, Entry[]>()
    const nowMs = performance.now()
    let wakeAtMs = Infinity
    for (const entry of this.#entries.values()) {
      if (entry.isPaused || entry.isFull || entry.isInFlight || entry.isOutOfRange) continue
      if (entry.retryAtMs > nowMs) {
        wakeAtMs = Math.min(wakeAtMs, entry.retryAtMs)
        continue
      }
      const leader = this.#cluster.leaderOf(entry.buffer.topic, entry.buffer.partition)
      if (leader < 0) {
        if (this.#cluster.topic(entry.buffer.topic) === undefined && this.#isGone(entry, nowMs)) continue
        this.#retryLater(entry)
        wakeAtMs = Math.min(wakeAtMs, entry.retryAtMs)
        void this.#refreshMetadata()
        continue
      }
      const others = hungry.get(leader)
      if (others === undefined) hungry.set(leader, [entry])
      else others.push(entry)
    }
    for (const [leader, entries] of hungry) {
      const lane = this.#freeLane(leader)
      if (lane !== null) void this.#fetch(leader, lane, entries)
    }
    if (wakeAtMs < Infinity && this.#timer === null) {
      this.#timer = setTimeout(
        () => {
          this.#timer = null
          this.#pump()
        },
        Math.max(1, wakeAtMs - nowMs),
      )
    }
  }

  async #fetch(leader: number, lane: number, entries: readonly Entry[]): Promise<void> {
    const { isolation, minBytes = 1, maxBytes = MAX_BYTES, partitionBytes = PARTITION_BYTES } = this.#options
    const { maxWaitMs = MAX_WAIT_MS } = this.#options
    const offsets = new Map<Entry, number>()
    for (const entry of entries) {
      entry.isInFlight = true
      offsets.set(entry, entry.buffer.fetchOffset)
    }
    const topics = [...byTopic(entries.map(({ buffer }) => buffer))]
    const hasIds = topics.every(([name]) => (this.#cluster.topic(name)?.id ?? ZERO_UUID) !== ZERO_UUID)
    const body = (version: number): Input<typeof apis.fetch.request.fields> => ({
      maxWaitMs,
      minBytes,
      maxBytes,
      isolationLevel: isolation === 'read-committed' ? 1 : 0,
      topics: topics.map(([topic, buffers]) => ({
        ...(version >= TOPIC_ID_VERSION ? { topicId: this.#cluster.topic(topic)!.id } : { topic }),
        partitions: buffers.map(({ partition, fetchOffset }) => ({
          partition,
          fetchOffset,
          partitionMaxBytes: partitionBytes,
        })),
      })),
    })
    try {
      const response = await this.#cluster.request(leader, apis.fetch, body, {
        lane: `fetch-${this.#number}-${lane}`,
        signal: this.#closing.signal,
        maxVersion: hasIds ? VERSION_MAX : TOPIC_ID_VERSION - 1,
      })
      this.#release(leader, lane, entries)
      this.fetchCount++
      if (response.errorCode !== ErrorCode.none) {
        throw new KafkaError('Fetch', response.errorCode, `node ${leader}`)
      }
      this.#take(response, offsets)
    } catch (error) {
      this.#release(leader, lane, entries)
      if (!this.#closing.signal.aborted) this.#onFailure(entries, error as Error)
    }
    this.#pump()
  }

  #take(response: ResponseOf<typeof apis.fetch>, offsets: ReadonlyMap<Entry, number>): void {
    let hasNews = false
    for (const { topic: name, topicId, partitions } of response.responses) {
      const topic = name === '' ? this.#cluster.topicNameOf(topicId) : name
      if (topic === undefined) continue
      for (const answer of partitions) {
        const entry = this.#entries.get(partitionKey(topic, answer.partitionIndex))
        // Given back, given back and taken again, or sought elsewhere: then this is not what is wanted now.
        if (entry === undefined || offsets.get(entry) !== entry.buffer.fetchOffset) continue
        const { buffer } = entry
        if (answer.errorCode !== ErrorCode.none) {
          this.#onPartitionError(entry, answer.errorCode)
          continue
        }
        entry.attempts = 0
        entry.unknownSinceMs = 0
        const wasUnknown = buffer.highWatermark < 0
        buffer.add({
          records: answer.records,
          highWatermark: answer.highWatermark,
          lastStableOffset: answer.lastStableOffset,
          logStartOffset: answer.logStartOffset,
          aborted: this.#options.isolation === 'read-committed' ? (answer.abortedTransactions ?? []) : null,
        })
        entry.isFull = buffer.bufferedBytes > this.#bufferBytes
        hasNews ||= wasUnknown || (answer.records !== null && answer.records.length > 0)
      }
    }
    if (hasNews) this.#options.onData?.()
  }

  #onPartitionError(entry: Entry, errorCode: number): void {
    const { buffer } = entry
    if (errorCode === ErrorCode.offsetOutOfRange) {
      entry.isOutOfRange = true
      this.#options.onOutOfRange(buffer)
      return
    }
    const error = new KafkaError('Fetch', errorCode, partitionName(buffer))
    if (UNKNOWN_TOPIC.has(errorCode) && this.#isGone(entry, performance.now())) return
    if (isRetriableCode(errorCode)) {
      this.#retryLater(entry)
      if (isStaleMetadata(error)) void this.#refreshMetadata()
      return
    }
    entry.isPaused = true
    this.#options.onError(error)
  }

  /**
   * A topic that was just created, or a broker that has just started, is unknown for a moment. One that stays unknown
   * was deleted, and whoever waits for it is told.
   */
  #isGone(entry: Entry, nowMs: number): boolean {
    if (entry.unknownSinceMs === 0) entry.unknownSinceMs = nowMs
    if (nowMs - entry.unknownSinceMs < (this.#options.unknownTopicTimeoutMs ?? UNKNOWN_TOPIC_TIMEOUT_MS)) return false
    entry.isPaused = true
    this.#options.onError(
      new KafkaError('Fetch', ErrorCode.unknownTopicOrPartition, partitionName(entry.buffer), 'was the topic deleted?'),
    )
    return true
  }

  #onFailure(entries: readonly Entry[], error: Error): void {
    if (isRetriable(error)) {
      for (const entry of entries) this.#retryLater(entry)
      if (isStaleMetadata(error)) void this.#refreshMetadata()
      return
    }
    for (const entry of entries) entry.isPaused = true
    this.#options.onError(error)
  }

  #retryLater(entry: Entry): void {
    entry.attempts++
    entry.retryAtMs = performance.now() + backoffMs(entry.attempts)
  }

  async #refreshMetadata(): Promise<void> {
    if (this.#isRefreshing) return
    this.#isRefreshing = true
    try {
      await this.#cluster.refresh(this.#closing.signal)
    } catch {
      // The partitions that need it keep asking: reading goes on as soon as the cluster can be reached again.
    } finally {
      this.#isRefreshing = false
    }
    this.#pump()
  }

  #freeLane(leader: number): number | null {
    let used = this.#lanesInUse.get(leader)
    if (used === undefined) this.#lanesInUse.set(leader, (used = new Set()))
    for (let lane = 0; lane < FETCHES_PER_NODE; lane++) {
      if (used.has(lane)) continue
      used.add(lane)
      return lane
    }
    return null
  }

  #release(leader: number, lane: number, entries: readonly Entry[]): void {
    this.#lanesInUse.get(leader)?.delete(lane)
    for (const entry of entries) entry.isInFlight = false
  }
}
