import { baseOffsetAt, batchSizeAt, isCrcValidAt, lastOffsetAt, maxTimestampAt } from '@millrace/protocol'
import { BatchCursor } from './batch-cursor.ts'
import type { LogSegment } from './log-segment.ts'

const WINDOW_BYTES = 1024 * 1024

export interface RecoveredSegment {
  /** The offset from which on batches were read. */
  readonly readFrom: number
  /** Bytes of good batches; what follows is to be cut off. */
  readonly validBytes: number
  /** The offset behind the last good batch. */
  readonly nextOffset: number
  /** What is wrong with the first bad batch, or null if all are good. */
  readonly problem: string | null
}

/**
 * Reads a segment that was not closed cleanly, believes a batch only if its length, magic, offsets and checksum are right,
 * and builds both indexes anew up to the first that is not. Behind it nothing is believed: after a power cut any subset of
 * the pages that were not synced may be there, a hole of zeros before good batches included.
 *
 * Batches below `durableTo` were synced. If the indexes can be believed that far they are kept and reading begins with the
 * last batch that they know there, so that a start costs what was not durable and not what the segment holds.
 *
 * The file itself is left as it is; the caller keeps aside what it cuts off.
 */
export function recoverSegment(
  segment: LogSegment,
  firstOffset: number,
  indexIntervalBytes: number,
  durableTo = 0,
): RecoveredSegment {
  const known = segment.keepIndexesBelow(durableTo)
  if (known === null) segment.resetIndexes()
  const cursor = new BatchCursor(segment.file, WINDOW_BYTES)
  const readFrom = known?.offset ?? firstOffset
  let position = known?.position ?? 0
  let nextOffset = readFrom
  let problem: string | null = null
  while (position < segment.sizeBytes) {
    problem = cursor.moveTo(position) ? cursor.problem() : 'the file ends within a batch header'
    if (problem !== null) break
    cursor.load()
    const { buffer, at } = cursor
    const sizeBytes = batchSizeAt(buffer, at)
    const lastOffset = lastOffsetAt(buffer, at)
    problem = problemOf(buffer, at, nextOffset, segment)
    if (problem !== null) break
    segment.indexBatch(lastOffset, maxTimestampAt(buffer, at), position, sizeBytes, indexIntervalBytes)
    position += sizeBytes
    nextOffset = lastOffset + 1
  }
  return { readFrom, validBytes: position, nextOffset, problem }
}

function problemOf(buffer: Buffer, at: number, nextOffset: number, segment: LogSegment): string | null {
  const baseOffset = baseOffsetAt(buffer, at)
  // Compaction leaves gaps between batches, so a larger offset than the next is right.
  if (baseOffset < nextOffset) return `batch begins at offset ${baseOffset}, ${nextOffset} is next`
  if (!segment.offsetIndex.holds(lastOffsetAt(buffer, at)))
    return 'batch is too far from the base offset of its segment'
  return isCrcValidAt(buffer, at) ? null : 'the checksum of the batch is wrong'
}
