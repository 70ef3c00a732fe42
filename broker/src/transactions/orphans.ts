import { ErrorCode, errorName } from '@millrace/protocol'
import type { Logger } from '../base/logger.ts'
import type { Partition } from '../partition/partition.ts'
import type { TransactionCoordinator } from './coordinator.ts'
import type { TransactionMarkers } from './transaction-topic.ts'

const NO_TRANSACTION = -1
const EPOCH_MAX = 0x7fff

/**
 * Aborts what is open on a partition and in no transaction that the coordinator knows of: after a loss of power the disk
 * may have what a producer wrote and not that its transaction has begun. Nobody else would ever end it, and readers of
 * committed records would wait for ever. Only for a node that has all transactional ids. The marker raises the epoch, so
 * that what the producer sends again is refused: with the epoch of before it would be a repetition of what was aborted.
 *
 * Where not all transactional ids could be read nothing is aborted, and the partitions do not let their producers go on
 * unasked.
 */
export function abortOrphans(
  partitions: Iterable<Partition>,
  coordinator: Pick<TransactionCoordinator, 'openPartitions'>,
  markers: TransactionMarkers,
  logger: Logger,
): void {
  const known = coordinator.openPartitions()
  if (known === null) {
    for (const { log } of partitions) log.producers.doubtOngoing()
    return
  }
  for (const partition of partitions) {
    const { topic, partition: index } = partition.topicPartition
    for (const { producerId, epoch, coordinatorEpoch, currentTxnFirstOffset } of partition.activeProducers()) {
      if (currentTxnFirstOffset === NO_TRANSACTION || known.get(producerId)?.get(topic)?.has(index) === true) continue
      const errorCode = markers.write(topic, index, {
        producerId,
        producerEpoch: Math.min(epoch + 1, EPOCH_MAX),
        coordinatorEpoch,
        isCommit: false,
        transactionVersion: 1,
      })
      const details = { topic, partition: index, producerId, firstOffset: currentTxnFirstOffset }
      if (errorCode === ErrorCode.none) logger.warn('a transaction that nobody knows of was aborted', details)
      else logger.error('a transaction that nobody knows of stays open', { ...details, error: errorName(errorCode) })
    }
  }
}
