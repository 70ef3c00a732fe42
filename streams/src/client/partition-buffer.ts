// The inner loop of every source: stepping to the next record makes no object, and keys and values become views only
// when they are asked for.
import {
  endOfWholeBatches,
  isCrcValidAt,
  readBatch,
  readEndTransactionMarker,
  RecordReader,
  readRecords,
  type RecordBatch,
  type RecordHeader,
} from '@millrace/protocol'
import { StreamsError } from '../errors.ts'
import { partitionName, type TopicPartition } from './topic-partition.ts'

export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
}

/** What a fetch brought for one partition. */
export interface FetchedData {
  /** Null or empty when there was nothing new. */
  readonly records: Buffer | null
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logStartOffset: number
  /** Null unless only committed records are wanted. */
  readonly aborted: readonly AbortedTransaction[] | null
}

/** Stored bytes that are no record batch, or whose checksum does not fit. */
export class CorruptRecordsError extends StreamsError {
  constructor(at: TopicPartition, offset: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    super('corrupt-records', `${partitionName(at)} from offset ${offset}: ${reason}`, {
      topic: at.topic,
      partition: at.partition,
      offset,
      cause,
    })
  }
}

/**
 * The fetched records of one partition that have not been processed, kept as the batches they came in. `peek` moves to
 * the first of them, the getters speak of it, and `take` is done with it.
 *
 * `position` is what may be committed: the offset after the last record taken, or after everything when nothing is
 * left, so that it also passes the markers and aborted records which never appear as records.
 */
export class PartitionBuffer implements TopicPartition {
  readonly topic: string
  readonly partition: number
  readonly #checkCrcs: boolean
  readonly #batches: RecordBatch[] = []
  /** Index of the first batch that has not been opened; the array is cut when it is used up. */
  #next = 0
  #reader: RecordReader | null = null
  #readerBytes = 0
  #hasHead = false
  #position: number
  #bufferedBytes = 0
  /** From where the next fetch reads. */
  fetchOffset: number
  highWatermark = -1
  lastStableOffset = -1
  logStartOffset = -1
  /** Called when `bufferedBytes` has become less. */
  onConsumed: (() => void) | null = null

  constructor(topic: string, partition: number, options: { readonly position: number; readonly checkCrcs?: boolean }) {
    this.topic = topic
    this.partition = partition
    this.#position = options.position
    this.fetchOffset = options.position
    this.#checkCrcs = options.checkCrcs ?? true
  }

  /** The offset of the next record to be taken, as far as it is known. */
  get position(): number {
    return this.#position
  }

  /** Compressed as they came, so this is what the buffer holds on to, without the batch that is being read. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /** How many offsets lie between the position and the end that can be read; null before the first fetch. */
  lag(isolation: 'read-uncommitted' | 'read-committed'): number | null {
    const end = isolation === 'read-committed' ? this.lastStableOffset : this.highWatermark
    return end < 0 ? null : Math.max(0, end - this.#position)
  }

  /** Starts over at an offset: what was fetched is dropped. */
  seek(offset: number): void {
    this.#batches.length = 0
    this.#next = 0
    this.#reader = null
    this.#readerBytes = 0
    this.#hasHead = false
    this.#bufferedBytes = 0
    this.#position = offset
    this.fetchOffset = offset
  }

  /** Appends what a fetch from `fetchOffset` brought. */
  add(data: FetchedData): void {
    this.highWatermark = data.highWatermark
    this.lastStableOffset = data.lastStableOffset
    this.logStartOffset = data.logStartOffset
    const { records } = data
    if (records === null || records.length === 0) return
    const end = endOfWholeBatches(records)
    const aborted = data.aborted === null ? null : new AbortedProducers(data.aborted)
    for (let at = 0; at < end;) {
      const batch = this.#readBatch(records, at, end)
      at += batch.sizeBytes
      // A fetch brings the whole batch in which its offset lies, and after compaction also ones that end before it.
      if (batch.lastOffset < this.fetchOffset) continue
      this.fetchOffset = batch.lastOffset + 1
      const isSkipped = aborted?.skips(batch) ?? batch.isControl
      if (isSkipped || batch.recordCount === 0) continue
      this.#batches.push(batch)
      this.#bufferedBytes += batch.sizeBytes
    }
    // With a batch open or waiting there are records to come, which a jump would leave out.
    if (this.#reader === null && this.#next === this.#batches.length) {
      this.#position = Math.max(this.#position, this.fetchOffset)
    }
  }

  /** Whether there is a record to take; the getters below speak of it. Opens the next batch where it has to. */
  peek(): boolean {
    if (this.#hasHead) return true
    for (;;) {
      if (this.#reader === null && !this.#open()) return false
      try {
        while (this.#reader!.next()) {
          if (this.#reader!.offset < this.#position) continue
          this.#hasHead = true
          return true
        }
      } catch (cause) {
        throw new CorruptRecordsError(this, this.#position, cause)
      }
      this.#reader = null
    }
  }

  take(): void {
    this.#position = this.#reader!.offset + 1
    this.#hasHead = false
  }

  get offset(): number {
    return this.#reader!.offset
  }

  get timestampMs(): number {
    return this.#reader!.timestampMs
  }

  /** A view of the fetched bytes, like `value` and those of the headers. */
  get key(): Buffer | null {
    return this.#reader!.key
  }

  get value(): Buffer | null {
    return this.#reader!.value
  }

  get headers(): readonly RecordHeader[] {
    return this.#reader!.headers
  }

  #open(): boolean {
    if (this.#readerBytes > 0) {
      this.#bufferedBytes -= this.#readerBytes
      this.#readerBytes = 0
      this.onConsumed?.()
    }
    const batch = this.#batches[this.#next]
    if (batch === undefined) {
      this.#batches.length = 0
      this.#next = 0
      this.#position = Math.max(this.#position, this.fetchOffset)
      return false
    }
    // Cut now and then, so that a queue that never runs empty does not keep the frames of what was read.
    if (++this.#next === CUT_EVERY) {
      this.#batches.splice(0, this.#next)
      this.#next = 0
    }
    try {
      this.#reader = new RecordReader(batch)
    } catch (cause) {
      throw new CorruptRecordsError(this, batch.baseOffset, cause)
    }
    this.#readerBytes = batch.sizeBytes
    return true
  }

  #readBatch(records: Buffer, at: number, end: number): RecordBatch {
    try {
      const batch = readBatch(records, at, end)
      if (!this.#checkCrcs || isCrcValidAt(records, at)) return batch
    } catch (cause) {
      throw new CorruptRecordsError(this, this.fetchOffset, cause)
    }
    throw new CorruptRecordsError(this, this.fetchOffset, new Error('the checksum of a batch does not fit its bytes'))
  }
}

const CUT_EVERY = 64

/** Which batches of one fetch belong to aborted transactions. Asked once for each batch, in the order of the log. */
class AbortedProducers {
  readonly #waiting: readonly AbortedTransaction[]
  #at = 0
  readonly #active = new Set<number>()

  constructor(aborted: readonly AbortedTransaction[]) {
    this.#waiting = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  }

  /** True for control batches as well: no record of theirs is for the user. */
  skips(batch: RecordBatch): boolean {
    while (this.#at < this.#waiting.length && this.#waiting[this.#at]!.firstOffset <= batch.lastOffset) {
      this.#active.add(this.#waiting[this.#at++]!.producerId)
    }
    if (batch.isControl) {
      const [marker] = readRecords(batch)
      if (marker !== undefined && readEndTransactionMarker(marker)?.isCommit === false) {
        this.#active.delete(batch.producerId)
      }
      return true
    }
    return batch.isTransactional && this.#active.has(batch.producerId)
  }
}
