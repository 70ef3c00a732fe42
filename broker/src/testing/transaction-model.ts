import { buildBatch, readBatches, readEndTransactionMarker, readRecords } from '@millrace/protocol'
import type { AbortedTransaction } from '../log/aborted-transaction.ts'

/** A batch that a log holds, as who wrote it remembers it. */
export interface ModelBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  /** -1 for a producer that is not idempotent. */
  readonly producerId: number
  readonly kind: 'data' | 'transactional' | 'commit' | 'abort'
  readonly values: readonly string[]
}

/** An aborted transaction as a response names it. */
export interface ModelAborted {
  readonly producerId: number
  readonly firstOffset: number
  readonly lastOffset: number
}

/**
 * What a log means to a reader of committed data, worked out from all that was written to it, again for every question:
 * slow, and with nothing in common with how the log does it.
 */
export class TransactionModel {
  readonly batches: ModelBatch[] = []

  get end(): number {
    return (this.batches.at(-1)?.lastOffset ?? -1) + 1
  }

  truncateTo(offset: number): void {
    while (this.end > offset) this.batches.pop()
  }

  /** The marker that ends the transaction of the batch at `index`, or undefined while it is open. */
  #markerOf(index: number): ModelBatch | undefined {
    const { producerId } = this.batches[index]!
    return this.batches.slice(index).find(({ kind, producerId: other }) => other === producerId && isMarker(kind))
  }

  lastStableOffset(logStart: number, highWatermark: number): number {
    const undecided = this.batches.find(({ kind }, i) => {
      if (kind !== 'transactional') return false
      const marker = this.#markerOf(i)
      return marker === undefined || marker.lastOffset >= highWatermark
    })
    return Math.max(logStart, Math.min(highWatermark, undecided?.baseOffset ?? Infinity))
  }

  /** Every transaction that wrote something and was aborted, in the order of the markers. */
  aborted(): ModelAborted[] {
    const found = new Map<number, ModelAborted>()
    for (const [i, { kind, producerId, baseOffset }] of this.batches.entries()) {
      const marker = kind === 'transactional' ? this.#markerOf(i) : undefined
      if (marker?.kind !== 'abort' || found.has(marker.lastOffset)) continue
      found.set(marker.lastOffset, { producerId, firstOffset: baseOffset, lastOffset: marker.lastOffset })
    }
    return [...found.values()].sort((a, b) => a.lastOffset - b.lastOffset)
  }

  /** The values in [from, to) that count: those outside of transactions and those of committed ones. */
  committed(from: number, to: number): string[] {
    return this.batches.flatMap(({ kind, baseOffset, values }, i) => {
      if (isMarker(kind)) return []
      if (kind === 'transactional' && this.#markerOf(i)?.kind !== 'commit') return []
      return values.filter((_, k) => baseOffset + k >= from && baseOffset + k < to)
    })
  }
}

function isMarker(kind: ModelBatch['kind']): boolean {
  return kind === 'commit' || kind === 'abort'
}

/** A batch with these values as a producer sends it; every record has a key of its own. */
export function valuesBatch(
  values: readonly string[],
  producer: { readonly id: number; readonly epoch: number; readonly sequence: number; readonly inTransaction: boolean },
): Buffer {
  return buildBatch({
    records: values.map((value) => ({ key: Buffer.from(value), value: Buffer.from(value) })),
    nowMs: 1_700_000_000_000,
    producerId: producer.id,
    producerEpoch: producer.id < 0 ? -1 : producer.epoch,
    baseSequence: producer.id < 0 ? -1 : producer.sequence,
    isTransactional: producer.inTransaction,
  })
}

/**
 * What a consumer makes of one response to a fetch from `offset`: values of committed records, and where it goes on. As in
 * Kafka's clients, the list of aborted transactions is by first offset, and an abort marker ends the producer's turn in it.
 */
export function readAsClient(
  bytes: Buffer,
  offset: number,
  aborted: readonly Pick<AbortedTransaction, 'producerId' | 'firstOffset'>[],
): { readonly values: string[]; readonly next: number } {
  const ahead = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  const abortedProducers = new Set<number>()
  const values: string[] = []
  let next = offset
  for (const batch of readBatches(bytes)) {
    while (ahead.length > 0 && ahead[0]!.firstOffset <= batch.lastOffset)
      abortedProducers.add(ahead.shift()!.producerId)
    next = batch.lastOffset + 1
    if (batch.isControl) {
      const [record] = readRecords(batch)
      if (record !== undefined && readEndTransactionMarker(record)?.isCommit === false) {
        abortedProducers.delete(batch.producerId)
      }
      continue
    }
    if (batch.isTransactional && abortedProducers.has(batch.producerId)) continue
    for (const record of readRecords(batch)) if (record.offset >= offset) values.push(String(record.value))
  }
  return { values, next }
}
