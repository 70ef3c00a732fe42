import type { AppendResult } from '../log/partition-log.ts'

/**
 * What the coordinator needs of __consumer_offsets: the log in which it keeps everything. Both are synchronous; a log
 * that fails answers with an error code.
 */
export interface OffsetsTopic {
  readonly partitionCount: number
  append(partition: number, batch: Buffer): Pick<AppendResult, 'errorCode' | 'baseOffset'>
  /** All that is stored, as buffers of whole batches in order. */
  batches(partition: number): Iterable<Buffer>
}

/** The partition that holds a group, as all of Kafka's brokers and tools reckon it: Java's hash of the id, modulo. */
export function partitionOfGroup(groupId: string, partitionCount: number): number {
  let hash = 0
  for (let index = 0; index < groupId.length; index++) hash = (Math.imul(hash, 31) + groupId.charCodeAt(index)) | 0
  // Java's Math.abs cannot negate the smallest int; Kafka takes 0 for it.
  return hash === -0x8000_0000 ? 0 : Math.abs(hash) % partitionCount
}
