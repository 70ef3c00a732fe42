import type { AppendResult } from '../log/partition-log.ts'
import type { TransactionMarker } from '../partition/transaction-marker.ts'

/**
 * What the coordinator needs of __transaction_state: the log in which it keeps everything. Synchronous; a log that fails
 * answers with an error code.
 */
export interface TransactionTopic {
  readonly partitionCount: number
  /** The leader epoch of the partition, which markers carry so that a coordinator of before is told from the present one. */
  coordinatorEpoch(partition: number): number
  append(partition: number, batch: Buffer): Pick<AppendResult, 'errorCode'>
  /** Notes that the answer to the request tells of something stored there before, which may not be safe yet. */
  answersFor(partition: number): void
  /** False once the log takes no more; what was appended last may then not be there after a restart. */
  isOnline(partition: number): boolean
  /** All that is stored, as buffers of whole batches in order. */
  batches(partition: number): Iterable<Buffer>
}

/** How the partitions that took part hear of the end of a transaction. */
export interface TransactionMarkers {
  /** The error code for a marker that could not be written. */
  write(topic: string, partition: number, marker: TransactionMarker): number
  /**
   * Calls back when everything that was appended so far is as safe as an acknowledged write has to be; at once when it is.
   * False when it can never be.
   */
  whenSafe(done: (isSafe: boolean) => void): void
}
