/** What a client did and saw, in the terms that the checker judges. Times are of one clock, whatever its zero is. */

/** One record that somebody tried to write. Its value is like no other's. */
export interface Send {
  readonly producer: string
  /** Whether the producer promises that a record is there once and behind those that it sent before. */
  readonly isIdempotent: boolean
  readonly topic: string
  readonly partition: number
  readonly value: string
  /** Null where it does not matter. */
  readonly key: string | null
  readonly isTombstone?: boolean
  readonly startMs: number
  /**
   * 'unknown' until there is an answer, and for ever if there never is: a timeout says nothing about what became of it.
   * 'failed' only if the broker said that it is not written.
   */
  outcome: 'acknowledged' | 'failed' | 'unknown'
  endMs: number
  /** -1 unless the acknowledgement named it. */
  offset: number
}

export interface SeenRecord {
  readonly offset: number
  /** Null for a tombstone. */
  readonly value: string | null
  readonly key: string | null
}

/** What one fetch from `position` on brought. */
export interface Poll {
  readonly consumer: string
  readonly topic: string
  readonly partition: number
  readonly position: number
  readonly records: readonly SeenRecord[]
  /** Offsets that hold no record, such as those of transaction markers. */
  readonly markers?: readonly number[]
  /** A member of the group that reads here, or null. */
  readonly group: string | null
}

export interface Commit {
  readonly group: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly startMs: number
  outcome: 'acknowledged' | 'failed' | 'unknown'
  endMs: number
}

export interface CommittedOffset {
  readonly group: string
  readonly topic: string
  readonly partition: number
  /** -1 when the broker knows none. */
  readonly offset: number
  readonly startMs: number
  readonly endMs: number
}

/** All that is in a partition when everything is over. */
export interface FinalPartition {
  readonly topic: string
  readonly partition: number
  readonly logStart: number
  readonly end: number
  readonly records: readonly SeenRecord[]
  readonly markers: readonly number[]
}

export interface TopicRules {
  /** A record may go when a later one has its key. */
  readonly isCompacted: boolean
  /** Records may go from the beginning. */
  readonly isShortened: boolean
}

/** Everything that clients did to a cluster and what they saw of it. */
export class History {
  readonly sends: Send[] = []
  readonly polls: Poll[] = []
  readonly commits: Commit[] = []
  readonly committed: CommittedOffset[] = []
  readonly finals: FinalPartition[] = []
  readonly topics = new Map<string, TopicRules>()

  rulesOf(topic: string): TopicRules {
    return this.topics.get(topic) ?? { isCompacted: false, isShortened: false }
  }

  /** Notes the attempt; the caller notes in it what came of it. */
  send(send: Omit<Send, 'outcome' | 'endMs' | 'offset'>): Send {
    const noted: Send = { ...send, outcome: 'unknown', endMs: Infinity, offset: -1 }
    this.sends.push(noted)
    return noted
  }

  commit(commit: Omit<Commit, 'outcome' | 'endMs'>): Commit {
    const noted: Commit = { ...commit, outcome: 'unknown', endMs: Infinity }
    this.commits.push(noted)
    return noted
  }
}
