import { createHash } from 'node:crypto'
import { remotesOf, type Serde } from '../serdes/serde.ts'
import { asBuffer } from '../state/map-key.ts'
import { FINGERPRINT_BYTES, type SubscriptionStore } from '../state/subscription-store.ts'
import type { Operator, StreamEmit, TableEmit } from '../topology/operator.ts'
import type { TableViewSource } from '../topology/table-view.ts'

/** What a left row asks of the task that owns its foreign key. */
export type Instruction = 'subscribe' | 'subscribe-and-answer-always' | 'unsubscribe' | 'unsubscribe-and-answer'

export interface SubscriptionRequest<K> {
  readonly instruction: Instruction
  readonly primaryKey: K
  readonly fingerprint: Buffer | null
  readonly primaryPartition: number
}

/** What comes back for a left row: the right row, or null, and which left value had asked. */
export interface SubscriptionAnswer<R> {
  readonly fingerprint: Buffer | null
  readonly value: R | null
  readonly primaryPartition: number
}

export interface ForeignKeyExtraction<K, L, FK> {
  readonly foreignKey: (value: L, key: K) => FK | null
  readonly leftValueSerde: Serde<L>
  readonly sameForeignKey: (left: FK, right: FK) => boolean
  readonly isLeft: boolean
  readonly isVersioned: boolean
}

/** First step, with the left table: tells the owners of the old and of the new foreign key about the row. */
export function sendSubscription<K, L, FK>(
  extraction: ForeignKeyExtraction<K, L, FK>,
): Operator<TableEmit<K, L>, StreamEmit<FK | null, SubscriptionRequest<K>>> {
  const { foreignKey, leftValueSerde, sameForeignKey, isLeft, isVersioned } = extraction
  return (task, next) => (primaryKey, value, timestampMs, old, isLatest) => {
    if (isVersioned && !isLatest) {
      task.drop('out-of-order')
      return
    }
    // A row that was not there and is not there now.
    if (value === null && old === null) return
    const now = value === null ? null : (foreignKey(value, primaryKey) ?? null)
    const before = old === null ? null : (foreignKey(old, primaryKey) ?? null)
    const fingerprint = value === null ? null : fingerprintOf(leftValueSerde.serialize(value))
    const ask = (to: FK | null, instruction: Instruction): void =>
      next(to, { instruction, primaryKey, fingerprint, primaryPartition: task.context.partition }, timestampMs)

    if (isLeft) {
      if (before !== null && (now === null || !sameForeignKey(now, before))) ask(before, 'unsubscribe')
      // Also for a row that went away or has no foreign key: the answer, to a null key, makes the left result.
      ask(now, 'subscribe-and-answer-always')
      return
    }
    if (value === null) {
      if (before !== null) ask(before, 'unsubscribe-and-answer')
    } else if (now === null) {
      task.drop('null-key')
      if (before !== null) ask(before, 'unsubscribe-and-answer')
    } else if (before === null) ask(now, 'subscribe')
    else if (sameForeignKey(now, before)) ask(now, 'subscribe')
    else {
      ask(before, 'unsubscribe')
      ask(now, 'subscribe-and-answer-always')
    }
  }
}

/** Second step, with the right table: remembers who asked for the row and answers with what it is now. */
export function answerSubscription<K, FK, R>(
  storeName: string,
  right: TableViewSource<FK, R>,
): Operator<StreamEmit<FK | null, SubscriptionRequest<K>>, StreamEmit<K, SubscriptionAnswer<R>>> {
  return (task, next) => {
    const subscriptions = task.store(storeName) as SubscriptionStore<FK, K>
    const rights = right.open(task)
    return (foreignKey, request, timestampMs) => {
      const { instruction, primaryKey, fingerprint, primaryPartition } = request
      if (foreignKey === null) {
        if (instruction === 'subscribe-and-answer-always') {
          next(primaryKey, { fingerprint, value: null, primaryPartition }, timestampMs)
        } else task.drop('null-key')
        return
      }
      const isLeaving = instruction === 'unsubscribe' || instruction === 'unsubscribe-and-answer'
      if (isLeaving) subscriptions.delete(foreignKey, primaryKey)
      else subscriptions.put(foreignKey, { primaryKey, fingerprint, primaryPartition }, timestampMs)
      if (instruction === 'unsubscribe') return
      const found = rights.get(foreignKey)
      const resultMs = found !== null && rights.foundMs > timestampMs ? rights.foundMs : timestampMs
      if (found === null && instruction === 'subscribe') return
      const value = instruction === 'unsubscribe-and-answer' ? null : found
      next(primaryKey, { fingerprint, value, primaryPartition }, resultMs)
    }
  }
}

/** Second step again, for changes of the right table: tells everyone who asked for the row. */
export function tellSubscribers<K, FK, R>(
  storeName: string,
  isVersioned: boolean,
): Operator<TableEmit<FK, R>, StreamEmit<K, SubscriptionAnswer<R>>> {
  return (task, next) => {
    const subscriptions = task.store(storeName) as SubscriptionStore<FK, K>
    return (foreignKey, value, timestampMs, _old, isLatest) => {
      if (foreignKey === null || foreignKey === undefined) {
        task.drop('null-key')
        return
      }
      if (isVersioned && !isLatest) {
        task.drop('out-of-order')
        return
      }
      for (const { primaryKey, fingerprint, primaryPartition } of subscriptions.of(foreignKey)) {
        next(primaryKey, { fingerprint, value, primaryPartition }, timestampMs)
      }
    }
  }
}

/** Last step, with the left table again: joins the answer, unless the row has changed since it asked. */
export function joinAnswer<K, L, R, O>(
  left: TableViewSource<K, L>,
  leftValueSerde: Serde<L>,
  isLeft: boolean,
  joiner: (left: L, right: R | null, key: K) => O,
): Operator<StreamEmit<K, SubscriptionAnswer<R>>, StreamEmit<K, O | null>> {
  return (task, next) => {
    const lefts = left.open(task)
    return (key, answer, timestampMs) => {
      const value = lefts.get(key)
      const current = value === null ? null : fingerprintOf(leftValueSerde.serialize(value))
      const isCurrent = current === null ? answer.fingerprint === null : answer.fingerprint?.equals(current) === true
      if (!isCurrent) {
        task.drop('out-of-order')
        return
      }
      const hasResult = value !== null && (answer.value !== null || isLeft)
      next(key, hasResult ? joiner(value, answer.value, key) : null, timestampMs)
    }
  }
}

function fingerprintOf(bytes: Uint8Array): Buffer {
  return createHash('md5').update(bytes).digest()
}

const INSTRUCTIONS: readonly Instruction[] = [
  'subscribe',
  'subscribe-and-answer-always',
  'unsubscribe',
  'unsubscribe-and-answer',
]

/** Instruction, partition of the asker, fingerprint or zeros, primary key. */
export function requestSerde<K>(primaryKey: Serde<K>): Serde<SubscriptionRequest<K>> {
  return {
    name: 'subscription request',
    ...remotesOf(primaryKey),
    serialize(request) {
      const keyBytes = primaryKey.serialize(request.primaryKey)
      const bytes = Buffer.alloc(HEADER_BYTES + keyBytes.length)
      bytes[0] = INSTRUCTIONS.indexOf(request.instruction)
      writeHeader(bytes, request)
      bytes.set(keyBytes, HEADER_BYTES)
      return bytes
    },
    deserialize: (bytes) => ({
      instruction: INSTRUCTIONS[bytes[0]!]!,
      ...readHeader(bytes),
      primaryKey: primaryKey.deserialize(bytes.subarray(HEADER_BYTES)),
    }),
  }
}

export function answerSerde<R>(value: Serde<R>): Serde<SubscriptionAnswer<R>> {
  return {
    name: 'subscription answer',
    ...remotesOf(value),
    serialize(answer) {
      const valueBytes = answer.value === null ? null : value.serialize(answer.value)
      const bytes = Buffer.alloc(HEADER_BYTES + (valueBytes?.length ?? 0))
      bytes[0] = valueBytes === null ? 0 : 1
      writeHeader(bytes, answer)
      if (valueBytes !== null) bytes.set(valueBytes, HEADER_BYTES)
      return bytes
    },
    deserialize: (bytes) => ({
      ...readHeader(bytes),
      value: bytes[0] === 0 ? null : value.deserialize(bytes.subarray(HEADER_BYTES)),
    }),
  }
}

const HEADER_BYTES = 6 + FINGERPRINT_BYTES

interface Header {
  readonly fingerprint: Buffer | null
  readonly primaryPartition: number
}

function writeHeader(bytes: Buffer, { fingerprint, primaryPartition }: Header): void {
  bytes.writeInt32BE(primaryPartition, 1)
  bytes[5] = fingerprint === null ? 0 : 1
  fingerprint?.copy(bytes, 6)
}

function readHeader(bytes: Buffer): Header {
  return {
    primaryPartition: bytes.readInt32BE(1),
    fingerprint: bytes[5] === 0 ? null : Buffer.from(bytes.subarray(6, HEADER_BYTES)),
  }
}

/** Whether two keys are the same key, by their bytes. */
export function sameBytes<K>(serde: Serde<K>): (left: K, right: K) => boolean {
  return (left, right) => left === right || asBuffer(serde.serialize(left)).equals(serde.serialize(right))
}
