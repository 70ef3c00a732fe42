import type { Commit, CommittedOffset, FinalPartition, History, Poll, SeenRecord, Send } from './history.ts'

/** The kinds are those that Jepsen's workload for Kafka tells apart, and what concerns groups. */
export type AnomalyKind =
  /** Acknowledged, and not in the log at the end. */
  | 'lost write'
  /** One record of an idempotent producer at two offsets. */
  | 'duplicate'
  /** Two records were seen at one offset. */
  | 'inconsistent offsets'
  /** The acknowledgement named an offset where the record is not. */
  | 'wrong offset'
  /** A record that was refused, or that nobody sent, was seen. */
  | 'aborted read'
  /** A record was seen that is not in the log at the end. */
  | 'dirty read'
  /** A later send of a producer is before an earlier one. */
  | 'nonmonotonic send'
  /** A fetch left out records, or went back. */
  | 'poll skip'
  | 'nonmonotonic poll'
  /** A group knows an older offset than one that it acknowledged, or one that nobody committed. */
  | 'offset regression'
  /** A group counts records as read that nobody in it has read. */
  | 'unread commit'

export interface Anomaly {
  readonly kind: AnomalyKind
  readonly text: string
}

export interface CheckOptions {
  /** False where the promise was given up on purpose, such as a power cut under acks.after=write. */
  readonly nothingIsLost?: boolean
}

/** What in the history cannot have happened if the cluster kept its promises. Empty when all is well. */
export function check(history: History, options: CheckOptions = {}): Anomaly[] {
  const { nothingIsLost = true } = options
  const anomalies: Anomaly[] = []
  const found = (kind: AnomalyKind, text: string): void => void anomalies.push({ kind, text })
  const finals = new Map<string, FinalPartition>()
  for (const final of history.finals) finals.set(partitionOf(final), final)
  const sends = groupBy(history.sends, partitionOf)
  const polls = groupBy(history.polls, partitionOf)

  for (const key of new Set([...sends.keys(), ...polls.keys(), ...finals.keys()])) {
    const own = sends.get(key) ?? []
    const final = finals.get(key)
    checkPolls(polls.get(key) ?? [], final, history, nothingIsLost, found)
    checkValues(own, [...(polls.get(key) ?? []).flatMap(({ records }) => records), ...(final?.records ?? [])], found)
    if (final !== undefined) checkFinal(own, final, history, nothingIsLost, found)
    if (nothingIsLost) checkAcknowledgedOrder(own, found)
  }
  const commits = groupBy(history.commits, groupPartitionOf)
  for (const [key, committed] of groupBy(history.committed, groupPartitionOf)) {
    if (nothingIsLost) checkCommits(commits.get(key) ?? [], committed, found)
  }
  if (nothingIsLost) checkCoverage(history, finals, found)
  return anomalies
}

type Found = (kind: AnomalyKind, text: string) => void

function checkPolls(
  polls: readonly Poll[],
  final: FinalPartition | undefined,
  history: History,
  nothingIsLost: boolean,
  found: Found,
): void {
  const at = new Map<number, SeenRecord>()
  if (nothingIsLost) for (const record of final?.records ?? []) at.set(record.offset, record)
  const inFinal = new Set(at.keys())
  for (const poll of polls) {
    const { isCompacted, isShortened } = history.rulesOf(poll.topic)
    const markers = new Set(poll.markers)
    let next = poll.position
    for (const record of poll.records) {
      const where = `${partitionOf(poll)} offset ${record.offset}`
      if (record.offset < next) found('nonmonotonic poll', `${poll.consumer} got ${where} where ${next} was next`)
      while (markers.has(next)) next++
      const mayHaveGap = isCompacted || (isShortened && record === poll.records[0])
      if (record.offset > next && !mayHaveGap)
        found('poll skip', `${poll.consumer} got ${where} where ${next} was next`)
      next = record.offset + 1
      if (!nothingIsLost) continue
      const other = at.get(record.offset)
      if (other === undefined) at.set(record.offset, record)
      else if (other.value !== record.value)
        found('inconsistent offsets', `${where} is ${other.value} and, for ${poll.consumer}, ${record.value}`)
      const isKept = !isCompacted && final !== undefined && record.offset >= final.logStart
      if (isKept && !inFinal.has(record.offset))
        found('dirty read', `${poll.consumer} saw ${where} = ${record.value}, which is gone`)
    }
  }
}

function checkValues(sends: readonly Send[], seen: readonly SeenRecord[], found: Found): void {
  const byValue = new Map(sends.map((send) => [send.value, send]))
  const told = new Set<string>()
  for (const { value, offset } of seen) {
    if (value === null || told.has(value)) continue
    const send = byValue.get(value)
    if (send !== undefined && send.outcome !== 'failed') continue
    told.add(value)
    found('aborted read', `${value} at offset ${offset} was ${send === undefined ? 'sent by nobody' : 'refused'}`)
  }
}

function checkFinal(
  sends: readonly Send[],
  final: FinalPartition,
  history: History,
  nothingIsLost: boolean,
  found: Found,
): void {
  const where = partitionOf(final)
  const { isCompacted } = history.rulesOf(final.topic)
  const offsets = new Map<string, number[]>()
  const newestOf = new Map<string, number>()
  let next = final.logStart
  const markers = new Set(final.markers)
  for (const { offset, value, key } of final.records) {
    while (markers.has(next)) next++
    if (offset < next || (offset > next && !isCompacted))
      found('poll skip', `${where}: ${offset} where ${next} was next`)
    next = offset + 1
    if (key !== null) newestOf.set(key, offset)
    if (value === null) continue
    const known = offsets.get(value)
    if (known === undefined) offsets.set(value, [offset])
    else known.push(offset)
  }
  const lastOf = new Map<string, { readonly offset: number; readonly value: string }>()
  for (const send of sends) {
    if (send.isTombstone === true) continue
    const at = offsets.get(send.value) ?? []
    if (send.isIdempotent && at.length > 1) found('duplicate', `${where}: ${send.value} is at ${at.join(' and ')}`)
    if (send.isIdempotent && at.length > 0) {
      const last = lastOf.get(send.producer)
      if (last !== undefined && last.offset > at[0]!)
        found('nonmonotonic send', `${where}: ${send.value} at ${at[0]} was sent after ${last.value} at ${last.offset}`)
      lastOf.set(send.producer, { offset: at[0]!, value: send.value })
    }
    if (send.outcome !== 'acknowledged' || !nothingIsLost) continue
    // Where no offset is known the record may have been among those that went from the beginning.
    if (send.offset < 0 ? final.logStart > 0 && at.length === 0 : send.offset < final.logStart) continue
    const isReplaced = isCompacted && send.key !== null && (newestOf.get(send.key) ?? Infinity) > send.offset
    if (at.length === 0) {
      if (isCompacted && (isReplaced || mayBeDeleted(send, sends))) continue
      found(
        'lost write',
        `${where}: ${send.value} was acknowledged at ${send.offset}, the log is [${final.logStart}, ${final.end})`,
      )
    } else if (send.offset >= 0 && !at.includes(send.offset)) {
      found('wrong offset', `${where}: ${send.value} was acknowledged at ${send.offset} and is at ${at.join(', ')}`)
    }
  }
}

/** Whether a tombstone of its key, which may be gone itself, can have taken the record away. */
function mayBeDeleted(send: Send, sends: readonly Send[]): boolean {
  return sends.some(
    ({ key, isTombstone, outcome, offset, endMs }) =>
      key === send.key &&
      isTombstone === true &&
      outcome !== 'failed' &&
      (offset > send.offset || endMs > send.startMs),
  )
}

/** Of two acknowledged sends of a producer, the one that began after the other had ended is behind it. */
function checkAcknowledgedOrder(sends: readonly Send[], found: Found): void {
  for (const [producer, own] of groupBy(sends, (send) => send.producer)) {
    const acknowledged = own.filter(({ outcome, offset }) => outcome === 'acknowledged' && offset >= 0)
    const ended = acknowledged.toSorted((a, b) => a.endMs - b.endMs)
    let at = 0
    let highest: Send | null = null
    for (const send of acknowledged.toSorted((a, b) => a.startMs - b.startMs)) {
      while (at < ended.length && ended[at]!.endMs < send.startMs) {
        if (highest === null || ended[at]!.offset > highest.offset) highest = ended[at]!
        at++
      }
      if (highest !== null && highest.offset >= send.offset)
        found(
          'nonmonotonic send',
          `${partitionOf(send)}: ${producer} got ${send.offset} for ${send.value} after ${highest.offset} for ${highest.value}`,
        )
    }
  }
}

function checkCommits(commits: readonly Commit[], committed: readonly CommittedOffset[], found: Found): void {
  for (const known of committed) {
    const began = commits.filter(({ startMs, outcome }) => startMs <= known.endMs && outcome !== 'failed')
    // A commit that was acknowledged before this was asked, and has been replaced by none that came after it.
    const settled = began.filter(({ outcome, endMs }) => outcome === 'acknowledged' && endMs < known.startMs)
    const isPossible = (commit: Commit): boolean => !settled.some((later) => later.startMs > commit.endMs)
    const where = `${known.group} on ${partitionOf(known)}`
    if (known.offset < 0) {
      if (settled.length > 0)
        found('offset regression', `${where} has no offset, ${settled.at(-1)!.offset} was committed`)
    } else if (!began.some((commit) => commit.offset === known.offset && isPossible(commit))) {
      const last = settled.at(-1)?.offset ?? 'none'
      found('offset regression', `${where} is ${known.offset} at ${known.endMs}; last acknowledged: ${last}`)
    }
  }
}

function checkCoverage(history: History, finals: ReadonlyMap<string, FinalPartition>, found: Found): void {
  const read = new Map<string, Set<number>>()
  for (const poll of history.polls) {
    if (poll.group === null) continue
    const key = groupPartitionOf({ ...poll, group: poll.group })
    const offsets = read.get(key) ?? new Set()
    for (const { offset } of poll.records) offsets.add(offset)
    read.set(key, offsets)
  }
  for (const commit of history.commits) {
    const offsets = read.get(groupPartitionOf(commit))
    const final = finals.get(partitionOf(commit))
    if (offsets === undefined || final === undefined || commit.outcome === 'failed') continue
    const unread = final.records.find(({ offset }) => offset < commit.offset && !offsets.has(offset))
    if (unread !== undefined)
      found(
        'unread commit',
        `${commit.group} committed ${commit.offset} on ${partitionOf(commit)}, ${unread.offset} was not read`,
      )
  }
}

function partitionOf(of: { readonly topic: string; readonly partition: number }): string {
  return `${of.topic}-${of.partition}`
}

function groupPartitionOf(of: { readonly group: string; readonly topic: string; readonly partition: number }): string {
  return `${of.group} ${of.topic}-${of.partition}`
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return groups
}
