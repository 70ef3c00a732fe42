import { ErrorCode } from '@millrace/protocol'
import { CONSUMER_OFFSETS } from '../metadata/topic-names.ts'
import type { TransactionMarker } from '../partition/transaction-marker.ts'
import type { BrokerServices } from './services.ts'

/**
 * Ends a transaction on one partition, for its coordinator or an administrator: the error code, or 0. What it committed to
 * a group counts, or is forgotten, once the marker is in the log, so that a replay says the same.
 */
export function writeMarker(
  { partitions, groups }: Pick<BrokerServices, 'partitions' | 'groups'>,
  topic: string,
  index: number,
  marker: TransactionMarker,
): number {
  const partition = partitions.get(topic, index)
  // A partition that could not be opened must not be taken for one that is gone: its transaction is still to be ended.
  if (partition === undefined) return partitions.absence(topic, index)
  const { errorCode } = partition.appendMarker(marker)
  if (errorCode === ErrorCode.none && topic === CONSUMER_OFFSETS) {
    groups.transactionEnded(index, marker.producerId, marker.isCommit)
  }
  return errorCode
}
