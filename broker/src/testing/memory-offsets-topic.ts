import { ErrorCode, readBatches, readRecords, setBaseOffset } from '@millrace/protocol'
import { decodeGroupRecord, type GroupRecord } from '../groups/group-records.ts'
import type { OffsetsTopic } from '../groups/offsets-topic.ts'

/** __consumer_offsets in memory. What is in it outlives the coordinator, so a second one can load it. */
export class MemoryOffsetsTopic implements OffsetsTopic {
  readonly partitionCount: number
  /** The error that appends are refused with. */
  appendError: number = ErrorCode.none
  readonly #partitions: Buffer[][]
  readonly #endOffsets: number[]

  constructor(partitionCount = 1) {
    this.partitionCount = partitionCount
    this.#partitions = Array.from({ length: partitionCount }, () => [])
    this.#endOffsets = Array.from({ length: partitionCount }, () => 0)
  }

  append(partition: number, batch: Buffer): { readonly errorCode: number; readonly baseOffset: number } {
    if (this.appendError !== ErrorCode.none) return { errorCode: this.appendError, baseOffset: -1 }
    const baseOffset = this.#endOffsets[partition]!
    setBaseOffset(batch, 0, baseOffset)
    const stored = Buffer.from(batch)
    this.#partitions[partition]!.push(stored)
    for (const { lastOffset } of readBatches(stored)) this.#endOffsets[partition] = lastOffset + 1
    return { errorCode: ErrorCode.none, baseOffset }
  }

  *batches(partition: number): Iterable<Buffer> {
    yield* this.#partitions[partition]!
  }

  /** What is stored now, for a coordinator that is to find it as it is at this moment. */
  copy(): MemoryOffsetsTopic {
    const copy = new MemoryOffsetsTopic(this.partitionCount)
    for (const [partition, batches] of this.#partitions.entries()) {
      for (const batch of batches) copy.append(partition, Buffer.from(batch))
    }
    return copy
  }

  /** All records of groups and offsets, decoded, partition by partition. */
  records(): GroupRecord[] {
    const records: GroupRecord[] = []
    for (const batches of this.#partitions) {
      for (const bytes of batches) {
        for (const batch of readBatches(bytes)) {
          for (const record of batch.isControl ? [] : readRecords(batch)) {
            const decoded = decodeGroupRecord(record)
            if (decoded !== null) records.push(decoded)
          }
        }
      }
    }
    return records
  }
}
