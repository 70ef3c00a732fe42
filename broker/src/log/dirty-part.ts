import type { LogSegment } from './log-segment.ts'
import type { PartitionLog } from './partition-log.ts'

/** What a compaction of a log would have to do now. */
export interface DirtyPart {
  /** The first offset that no compaction has seen. */
  readonly from: number
  /** The base offset of the first segment that cannot be compacted yet. */
  readonly upTo: number
  readonly sizeBytes: number
  /** Its share of all that can be compacted. */
  readonly ratio: number
  /** Whether a record in it is older than max.compaction.lag.ms, so that the share does not matter. */
  readonly isOverdue: boolean
}

/** Where the dirty part of a log begins: behind what the last compaction has seen, if the log reaches there still. */
export function firstDirtyOffset({ cleanedTo, logStartOffset, endOffset }: PartitionLog): number {
  return cleanedTo === null || cleanedTo < logStartOffset || cleanedTo > endOffset ? logStartOffset : cleanedTo
}

/**
 * The dirty part of a log, by Kafka's rules: it ends before the active segment, before the segment that holds `stableTo`,
 * and before the first with a record younger than min.compaction.lag.ms.
 */
export function dirtyPart(
  log: PartitionLog,
  options: { readonly stableTo: number; readonly nowMs: number },
): DirtyPart {
  const { segments, config } = log
  const from = firstDirtyOffset(log)
  const active = segments.length - 1
  const firstDirty = indexOf(segments, from)

  let end = Math.min(active, indexOf(segments, options.stableTo))
  if (config.minCompactionLagMs > 0) {
    const youngestMs = options.nowMs - config.minCompactionLagMs
    for (let i = firstDirty; i < end; i++) if (segments[i]!.newestMs > youngestMs) end = i
  }
  const dueMs = options.nowMs - config.maxCompactionLagMs
  let isOverdue = false
  for (let i = firstDirty; i < active && !isOverdue; i++) {
    const { firstTimestampMs } = segments[i]!
    isOverdue = firstTimestampMs > 0 && firstTimestampMs < dueMs
  }

  const sizeBytes = bytesOf(segments, firstDirty, end)
  let cleanBytes = 0
  for (const segment of segments) if (segment.baseOffset < from) cleanBytes += segment.sizeBytes
  const totalBytes = cleanBytes + sizeBytes
  return {
    from,
    upTo: segments[end]!.baseOffset,
    sizeBytes,
    ratio: totalBytes === 0 ? 0 : sizeBytes / totalBytes,
    isOverdue: isOverdue && sizeBytes > 0,
  }
}

/** The segment that holds the offset, or would. */
function indexOf(segments: readonly LogSegment[], offset: number): number {
  return Math.max(
    0,
    segments.findLastIndex((segment) => segment.baseOffset <= offset),
  )
}

function bytesOf(segments: readonly LogSegment[], start: number, end: number): number {
  let sizeBytes = 0
  for (let i = start; i < end; i++) sizeBytes += segments[i]!.sizeBytes
  return sizeBytes
}
