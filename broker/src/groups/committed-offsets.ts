/** What a group has committed for one partition. */
export interface CommittedOffset {
  readonly offset: number
  /** Of the last record read; -1 when the consumer did not say. */
  readonly leaderEpoch: number
  readonly metadata: string
  readonly commitTimestampMs: number
  /** Set by old clients that choose the retention themselves; -1 leaves it to the broker. */
  readonly expireTimestampMs: number
  /** All zeros in records that are older than the field. */
  readonly topicId: string
  /** Where the record stands in __consumer_offsets: of two commits the later one counts. */
  readonly recordOffset: number
}

export type GroupOffsets = ReadonlyMap<string, ReadonlyMap<number, CommittedOffset>>

const NONE: GroupOffsets = new Map()

/**
 * The committed offsets of the groups of one partition of __consumer_offsets. Offsets committed in a transaction are kept
 * apart until the end of it is in that partition.
 */
export class CommittedOffsets {
  readonly #byGroup = new Map<string, Map<string, Map<number, CommittedOffset>>>()
  /** By producer id; each holds the offsets of one open transaction. */
  readonly #pending = new Map<number, CommittedOffsets>()

  get(groupId: string, topic: string, partition: number): CommittedOffset | undefined {
    return this.#byGroup.get(groupId)?.get(topic)?.get(partition)
  }

  ofGroup(groupId: string): GroupOffsets {
    return this.#byGroup.get(groupId) ?? NONE
  }

  set(groupId: string, topic: string, partition: number, committed: CommittedOffset): void {
    let topics = this.#byGroup.get(groupId)
    if (topics === undefined) this.#byGroup.set(groupId, (topics = new Map()))
    let partitions = topics.get(topic)
    if (partitions === undefined) topics.set(topic, (partitions = new Map()))
    partitions.set(partition, committed)
  }

  /** Also takes the offset out of open transactions. */
  delete(groupId: string, topic: string, partition: number): void {
    for (const pending of this.#pending.values()) pending.delete(groupId, topic, partition)
    const topics = this.#byGroup.get(groupId)
    const partitions = topics?.get(topic)
    if (topics === undefined || partitions === undefined) return
    partitions.delete(partition)
    if (partitions.size === 0) topics.delete(topic)
    if (topics.size === 0) this.#byGroup.delete(groupId)
  }

  setPending(producerId: number, groupId: string, topic: string, partition: number, committed: CommittedOffset): void {
    let pending = this.#pending.get(producerId)
    if (pending === undefined) this.#pending.set(producerId, (pending = new CommittedOffsets()))
    pending.set(groupId, topic, partition, committed)
  }

  /** Returns the groups that the transaction had offsets of. */
  endTransaction(producerId: number, isCommit: boolean): string[] {
    const pending = this.#pending.get(producerId)
    this.#pending.delete(producerId)
    if (pending === undefined) return []
    const groupIds = [...pending.#byGroup.keys()]
    if (!isCommit) return groupIds
    for (const [groupId, topics] of pending.#byGroup) {
      for (const [topic, partitions] of topics) {
        for (const [partition, committed] of partitions) {
          const present = this.get(groupId, topic, partition)
          if (present === undefined || present.recordOffset < committed.recordOffset) {
            this.set(groupId, topic, partition, committed)
          }
        }
      }
    }
    return groupIds
  }

  /** Whether a transaction that is still open has committed an offset for the partition. */
  isPending(groupId: string, topic: string, partition: number): boolean {
    for (const pending of this.#pending.values()) {
      if (pending.get(groupId, topic, partition) !== undefined) return true
    }
    return false
  }

  /** The partitions of a group that have an offset, or would have one if every open transaction committed. */
  *partitionsOfGroup(groupId: string): Generator<{ readonly topic: string; readonly partition: number }> {
    for (const [topic, partitions] of this.ofGroup(groupId)) {
      for (const partition of partitions.keys()) yield { topic, partition }
    }
    for (const pending of this.#pending.values()) yield* pending.partitionsOfGroup(groupId)
  }

  hasOpenTransaction(groupId: string): boolean {
    for (const pending of this.#pending.values()) if (pending.#byGroup.has(groupId)) return true
    return false
  }

  /** Every offset there is for the topic, pending ones included. */
  *ofTopic(topic: string): Generator<{ readonly groupId: string; readonly partition: number }> {
    for (const [groupId, topics] of this.#byGroup) {
      for (const partition of topics.get(topic)?.keys() ?? []) yield { groupId, partition }
    }
    for (const pending of this.#pending.values()) yield* pending.ofTopic(topic)
  }

  clear(): void {
    this.#byGroup.clear()
    this.#pending.clear()
  }
}
