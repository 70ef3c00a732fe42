import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'

/** What a consumer asks of one partition; in a session it is remembered from fetch to fetch (KIP-227). */
export interface FetchedPartition {
  /** Empty while no topic has the id. */
  topic: string
  readonly topicId: string
  readonly partition: number
  currentLeaderEpoch: number
  fetchOffset: number
  lastFetchedEpoch: number
  maxBytes: number
  /** What the last answer said, so that an incremental one can leave out what did not change; -1 before the first. */
  sentHighWatermark: number
  sentLogStart: number
  sentError: number
}

export const SESSION_ID_NONE = 0
/** Session epochs of a request: one that wants no session, and one that wants a new one. */
export const EPOCH_SESSIONLESS = -1
export const EPOCH_INITIAL = 0

/** A consumer's standing interest in partitions. Answers rotate through them, so that none starves behind the byte limit. */
export class FetchSession {
  readonly id: number
  readonly usesTopicIds: boolean
  readonly partitions = new Map<string, FetchedPartition>()
  /** The epoch that the next request must carry. */
  epoch = 1
  readonly createdAtMs: number
  lastUsedAtMs: number

  constructor(id: number, usesTopicIds: boolean, nowMs: number) {
    this.id = id
    this.usesTopicIds = usesTopicIds
    this.createdAtMs = nowMs
    this.lastUsedAtMs = nowMs
  }

  static nextEpoch(epoch: number): number {
    return epoch === 0x7fff_ffff ? 1 : epoch + 1
  }

  /** Puts a partition that was just answered with records behind the others. */
  moveToEnd(key: string, partition: FetchedPartition): void {
    this.partitions.delete(key)
    this.partitions.set(key, partition)
  }
}

/** Kafka's eviction time, which is no setting there either. */
export const FETCH_SESSION_EVICTION_MS = 120_000

export interface FetchSessionLimits {
  readonly maxSessions: number
  /** A session may lose its slot to a new one after being unused for this long, or to a larger one after being this old. */
  readonly evictionMs: number
}

/**
 * All fetch sessions of the broker. A slot is a promise to remember partitions, so their number is bounded; a fetch that
 * gets none is answered in full each time, which is always legal.
 */
export class FetchSessions {
  readonly #clock: Clock
  readonly #random: Random
  readonly #limits: FetchSessionLimits
  readonly #sessions = new Map<number, FetchSession>()

  constructor(options: { readonly clock: Clock; readonly random: Random; readonly limits: FetchSessionLimits }) {
    this.#clock = options.clock
    this.#random = options.random
    this.#limits = options.limits
  }

  get count(): number {
    return this.#sessions.size
  }

  get(id: number): FetchSession | undefined {
    const session = this.#sessions.get(id)
    if (session !== undefined) session.lastUsedAtMs = this.#clock.monoMs()
    return session
  }

  remove(id: number): void {
    this.#sessions.delete(id)
  }

  /** Null when every slot is taken by a session that may not be evicted. */
  tryCreate(usesTopicIds: boolean, partitionCount: number): FetchSession | null {
    if (this.#limits.maxSessions <= 0) return null
    const nowMs = this.#clock.monoMs()
    if (this.#sessions.size >= this.#limits.maxSessions && !this.#evict(partitionCount, nowMs)) return null
    let id: number
    do {
      id = this.#random.u32() & 0x7fff_ffff
    } while (id === SESSION_ID_NONE || this.#sessions.has(id))
    const session = new FetchSession(id, usesTopicIds, nowMs)
    this.#sessions.set(id, session)
    return session
  }

  #evict(partitionCount: number, nowMs: number): boolean {
    let stalest: FetchSession | null = null
    let smallest: FetchSession | null = null
    for (const session of this.#sessions.values()) {
      if (stalest === null || session.lastUsedAtMs < stalest.lastUsedAtMs) stalest = session
      const isOldEnough = nowMs - session.createdAtMs > this.#limits.evictionMs
      if (isOldEnough && (smallest === null || session.partitions.size < smallest.partitions.size)) smallest = session
    }
    if (stalest !== null && nowMs - stalest.lastUsedAtMs > this.#limits.evictionMs) {
      this.#sessions.delete(stalest.id)
      return true
    }
    if (smallest !== null && smallest.partitions.size < partitionCount) {
      this.#sessions.delete(smallest.id)
      return true
    }
    return false
  }
}
