import { readBatches } from '@millrace/protocol'
import { CorruptLogError, StorageError } from '../base/errors.ts'
import type { Partition } from './partition.ts'

const READ_BYTES = 16 * 1024

/**
 * How many records a consumer has before it that has got to `from`, up to where everything is decided. The ends of
 * transactions take offsets too, and so do records of transactions that were aborted; no consumer of committed records
 * ever sees them, so none can be said to be behind by them. Counts no further than it takes to know that it is more than
 * `enough`, and by offsets where the log cannot be read.
 */
export function recordsAhead(partition: Partition, from: number, enough: number): number {
  try {
    return count(partition, from, enough)
  } catch (cause) {
    if (!(cause instanceof StorageError || cause instanceof CorruptLogError)) throw cause
    return Math.max(0, partition.offsets.lastStable - from)
  }
}

function count({ log, offsets }: Partition, from: number, enough: number): number {
  const end = offsets.lastStable
  let records = 0
  for (let at = Math.max(from, offsets.logStart); at < end && records <= enough;) {
    const bytes = log.read(at, READ_BYTES, { maxOffset: end, atLeastOneBatch: true })
    const aborted = log.abortedTransactionsIn(at, bytes)
    let next = at
    for (const batch of readBatches(bytes)) {
      next = batch.lastOffset + 1
      const isAborted =
        batch.isTransactional &&
        aborted.some(
          ({ producerId, firstOffset, lastOffset }) =>
            producerId === batch.producerId && firstOffset <= batch.lastOffset && batch.baseOffset < lastOffset,
        )
      if (!batch.isControl && !isAborted) records += Math.min(batch.recordCount, next - at)
    }
    // Compaction may leave nothing at the end of a log.
    if (next === at) break
    at = next
  }
  return records
}
