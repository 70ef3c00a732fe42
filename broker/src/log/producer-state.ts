import {
  ErrorCode,
  attributesAt,
  baseOffsetAt,
  baseSequenceAt,
  CONTROL_FLAG,
  TRANSACTIONAL_FLAG,
  lastOffsetDeltaAt,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
} from '@millrace/protocol'
import type { ProducerSnapshotEntry } from './producer-snapshot.ts'

/** A client has at most this many requests in flight, so no older batch can come again. */
const BATCHES_REMEMBERED = 5
const NO_EPOCH = -1
const NO_SEQUENCE = -1
const LARGEST_SEQUENCE = 0x7fff_ffff

/** A batch that a producer wrote, as far as it takes to recognise it when it comes again. */
export interface ProducedBatch {
  readonly lastSequence: number
  readonly lastOffset: number
  readonly offsetDelta: number
  readonly timestampMs: number
}

export type ProducerVerdict =
  | { readonly kind: 'new' }
  | { readonly kind: 'duplicate'; readonly of: ProducedBatch }
  | { readonly kind: 'refused'; readonly errorCode: number; readonly message: string }

const NEW: ProducerVerdict = { kind: 'new' }

interface Producer {
  epoch: number
  coordinatorEpoch: number
  currentTxnFirstOffset: number
  lastTimestampMs: number
  /** By the monotonic clock: a batch may carry a timestamp of any year. */
  lastSeenMs: number
  /** At most BATCHES_REMEMBERED, the oldest first. */
  readonly batches: ProducedBatch[]
}

/**
 * What a partition remembers of its idempotent producers: epoch and last batches, by which it answers a batch that comes
 * twice with the offset it already has, and refuses a gap or a producer that was replaced.
 *
 * `check` asks and `record` tells, with the write between them. The state follows from the log, and the snapshots that
 * PartitionLog writes spare reading all of it at start; they keep the last batch of each producer, as Kafka's do.
 * Transactions are not looked at here.
 */
export class ProducerStates {
  readonly #expirationMs: number
  readonly #producers = new Map<number, Producer>()

  constructor(expirationMs: number) {
    this.#expirationMs = expirationMs
  }

  get count(): number {
    return this.#producers.size
  }

  /** What is to be done with the batch at `start`, whose base offset may not be set yet. */
  check(bytes: Buffer, start: number, origin: 'client' | 'coordinator'): ProducerVerdict {
    const producerId = producerIdAt(bytes, start)
    if (producerId < 0) return NEW
    const epoch = producerEpochAt(bytes, start)
    const baseSequence = baseSequenceAt(bytes, start)
    const producer = this.#producers.get(producerId)

    if (origin === 'client') {
      const again =
        producer?.epoch === epoch ? findBatch(producer, baseSequence, lastOffsetDeltaAt(bytes, start)) : null
      if (again !== null) return { kind: 'duplicate', of: again }
      // A transaction is begun at the coordinator, and there is none that could have begun one.
      if (attributesAt(bytes, start) & TRANSACTIONAL_FLAG) {
        return refused(ErrorCode.invalidTxnState, `producer ${producerId} has no transaction on this partition`)
      }
    }
    if (producer === undefined) return NEW
    if (epoch < producer.epoch) {
      return refused(
        ErrorCode.invalidProducerEpoch,
        `producer ${producerId} comes with epoch ${epoch}, the partition has seen ${producer.epoch}`,
      )
    }
    if (origin !== 'client') return NEW

    if (epoch !== producer.epoch) {
      if (baseSequence === 0 || producer.epoch === NO_EPOCH) return NEW
      return refused(
        ErrorCode.outOfOrderSequenceNumber,
        `producer ${producerId} begins epoch ${epoch} with sequence ${baseSequence}, an epoch begins with 0`,
      )
    }
    const lastSequence = producer.batches.at(-1)?.lastSequence ?? NO_SEQUENCE
    const expected = lastSequence === LARGEST_SEQUENCE ? 0 : lastSequence + 1
    if (baseSequence === expected) return NEW
    return refused(
      ErrorCode.outOfOrderSequenceNumber,
      `producer ${producerId} comes with sequence ${baseSequence}, ${expected} is next`,
    )
  }

  /** Takes a batch of the log into account; its base offset is set. */
  record(bytes: Buffer, start: number, nowMonoMs: number): void {
    const producerId = producerIdAt(bytes, start)
    if (producerId < 0 || attributesAt(bytes, start) & CONTROL_FLAG) return
    const epoch = producerEpochAt(bytes, start)
    let producer = this.#producers.get(producerId)
    if (producer === undefined) {
      producer = newProducer(epoch)
      this.#producers.set(producerId, producer)
    } else if (producer.epoch !== epoch) {
      producer.epoch = epoch
      producer.batches.length = 0
    }
    const offsetDelta = lastOffsetDeltaAt(bytes, start)
    const timestampMs = maxTimestampAt(bytes, start)
    if (producer.batches.length === BATCHES_REMEMBERED) producer.batches.shift()
    producer.batches.push({
      lastSequence: lastSequenceOf(baseSequenceAt(bytes, start), offsetDelta),
      lastOffset: baseOffsetAt(bytes, start) + offsetDelta,
      offsetDelta,
      timestampMs,
    })
    producer.lastTimestampMs = timestampMs
    producer.lastSeenMs = nowMonoMs
  }

  /** Forgets the producers that have written nothing for the expiration time. */
  expire(nowMonoMs: number): void {
    for (const [producerId, producer] of this.#producers) {
      if (nowMonoMs - producer.lastSeenMs >= this.#expirationMs) this.#producers.delete(producerId)
    }
  }

  clear(): void {
    this.#producers.clear()
  }

  /** What DescribeProducers tells, and a snapshot keeps. */
  entries(): ProducerSnapshotEntry[] {
    const entries: ProducerSnapshotEntry[] = []
    for (const [producerId, producer] of this.#producers) {
      const last = producer.batches.at(-1)
      entries.push({
        producerId,
        epoch: producer.epoch,
        lastSequence: last?.lastSequence ?? NO_SEQUENCE,
        lastOffset: last?.lastOffset ?? -1,
        offsetDelta: last?.offsetDelta ?? 0,
        timestamp: producer.lastTimestampMs,
        coordinatorEpoch: producer.coordinatorEpoch,
        currentTxnFirstOffset: producer.currentTxnFirstOffset,
      })
    }
    return entries
  }

  /** Begins again from a snapshot. Its producers count as seen now, as nothing tells when they last were. */
  restore(entries: readonly ProducerSnapshotEntry[], nowMonoMs: number): void {
    this.#producers.clear()
    for (const entry of entries) {
      const producer = newProducer(entry.epoch)
      producer.coordinatorEpoch = entry.coordinatorEpoch
      producer.currentTxnFirstOffset = entry.currentTxnFirstOffset
      producer.lastTimestampMs = entry.timestamp
      producer.lastSeenMs = nowMonoMs
      const { lastSequence, lastOffset, offsetDelta, timestamp } = entry
      if (lastOffset >= 0) producer.batches.push({ lastSequence, lastOffset, offsetDelta, timestampMs: timestamp })
      this.#producers.set(entry.producerId, producer)
    }
  }
}

function newProducer(epoch: number): Producer {
  return { epoch, coordinatorEpoch: -1, currentTxnFirstOffset: -1, lastTimestampMs: -1, lastSeenMs: 0, batches: [] }
}

function refused(errorCode: number, message: string): ProducerVerdict {
  return { kind: 'refused', errorCode, message }
}

function findBatch(producer: Producer, baseSequence: number, offsetDelta: number): ProducedBatch | null {
  const lastSequence = lastSequenceOf(baseSequence, offsetDelta)
  for (const batch of producer.batches) {
    // Equal ends and equal lengths make equal beginnings.
    if (batch.lastSequence === lastSequence && batch.offsetDelta === offsetDelta) return batch
  }
  return null
}

/** Sequences count to 2^31 - 1 and go on with 0. */
function lastSequenceOf(baseSequence: number, offsetDelta: number): number {
  if (baseSequence === NO_SEQUENCE) return NO_SEQUENCE
  const last = baseSequence + offsetDelta
  return last > LARGEST_SEQUENCE ? last - LARGEST_SEQUENCE - 1 : last
}
