import { isCrcValidAt, lastOffsetAt, baseOffsetAt } from '@millrace/protocol'
import { CorruptLogError } from '../base/errors.ts'
import type { LogSegment } from './log-segment.ts'
import type { Pace } from './pace.ts'

/**
 * Reads a closed segment from its first byte to its last and throws CorruptLogError for the first batch that is not as it
 * was written. Answers how many bytes were read, which is less than all if the segment left the log meanwhile or the pace
 * was stopped.
 */
export async function scrubSegment(segment: LogSegment, pace: Pace): Promise<number> {
  let position = 0
  let nextOffset = segment.baseOffset
  for (const batch of segment.batches(segment.baseOffset)) {
    if (pace.isStopped) break
    const problem = isCrcValidAt(batch, 0)
      ? baseOffsetAt(batch, 0) < nextOffset
        ? `the batch begins at offset ${baseOffsetAt(batch, 0)}, ${nextOffset} is next`
        : null
      : 'the checksum of the batch is wrong'
    if (problem !== null) throw new CorruptLogError(segment.path, position, problem)
    nextOffset = lastOffsetAt(batch, 0) + 1
    position += batch.length
    if (pace.spend(batch.length)) await pace.rest()
  }
  return position
}
