import type { ClassicGroup } from './classic-group.ts'
import type { CommittedOffset } from './committed-offsets.ts'

/**
 * Whether an offset has been kept long enough (KIP-211). While members may still want it, it stays: in a group with
 * members only offsets of topics go that nobody subscribes to, counted from their commit. A group that lost its
 * members is counted from then on as a whole, one that never had any (a consumer that assigns partitions to itself)
 * offset by offset. Clients of before Kafka 2.1 may have set the end themselves.
 */
export function isExpired(
  committed: CommittedOffset,
  topic: string,
  group: ClassicGroup,
  times: { readonly nowMs: number; readonly retentionMs: number },
): boolean {
  const baseMs = baseTimestampMs(committed, group)
  if (baseMs === null || group.isSubscribedTo(topic)) return false
  if (committed.expireTimestampMs !== -1) return times.nowMs >= committed.expireTimestampMs
  return times.nowMs - baseMs >= times.retentionMs
}

/** Null while the offset may not expire. */
function baseTimestampMs(committed: CommittedOffset, group: ClassicGroup): number | null {
  if (group.protocolType === null) return committed.commitTimestampMs
  if (group.state === 'Empty') return group.stateTimestampMs ?? committed.commitTimestampMs
  const areSubscriptionsKnown = group.usesConsumerProtocol && group.subscribedTopics !== null
  return group.state === 'Stable' && areSubscriptionsKnown ? committed.commitTimestampMs : null
}
