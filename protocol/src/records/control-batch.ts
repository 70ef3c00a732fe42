import { buildBatch } from './batch-builder.ts'
import { int16At, int32At, setInt16, setInt32 } from './batch-header.ts'
import { RecordFormatError } from './record-batch.ts'
import type { BatchRecord } from './record-reader.ts'

/** The types of control records, as in their keys: {int16 version = 0, int16 type}. */
export const ControlType = {
  abort: 0,
  commit: 1,
  leaderChange: 2,
  snapshotHeader: 3,
  snapshotFooter: 4,
  kraftVersion: 5,
  kraftVoters: 6,
} as const

const CONTROL_KEY_BYTES = 4
const CURRENT_VERSION = 0
const END_MARKER_BYTES = 6

export interface EndTransactionMarker {
  readonly isCommit: boolean
  readonly coordinatorEpoch: number
}

export interface EndTransactionInput extends EndTransactionMarker {
  readonly producerId: number
  readonly producerEpoch: number
  readonly nowMs: number
  readonly baseOffset?: number
  readonly leaderEpoch?: number
}

/** The batch that ends a transaction on one partition. It takes one offset, has no sequence, and consumers skip it. */
export function buildEndTransactionBatch(input: EndTransactionInput): Buffer {
  const value = Buffer.alloc(END_MARKER_BYTES)
  setInt16(value, 0, CURRENT_VERSION)
  setInt32(value, 2, input.coordinatorEpoch)
  const { producerId, producerEpoch, nowMs, baseOffset = 0, leaderEpoch = -1 } = input
  return buildBatch({
    records: [{ key: controlKey(input.isCommit ? ControlType.commit : ControlType.abort), value }],
    isTransactional: true,
    isControl: true,
    producerId,
    producerEpoch,
    baseOffset,
    leaderEpoch,
    nowMs,
  })
}

export interface ControlBatchInput {
  readonly type: number
  readonly value: Buffer
  readonly nowMs: number
  readonly baseOffset?: number
  readonly leaderEpoch?: number
}

/** A batch with one control record of KRaft, like LeaderChange: its value is a message that the caller encoded. */
export function buildControlBatch(input: ControlBatchInput): Buffer {
  const { type, value, nowMs, baseOffset = 0, leaderEpoch = -1 } = input
  return buildBatch({ records: [{ key: controlKey(type), value }], isControl: true, baseOffset, leaderEpoch, nowMs })
}

/** The type of a record of a control batch: one of `ControlType`, or a number that later versions of Kafka gave a meaning. */
export function controlTypeOf(record: BatchRecord): number {
  const { key, offset } = record
  if (key === null || key.length < CONTROL_KEY_BYTES) {
    throw new RecordFormatError(0, `the control record at offset ${offset} has no key of ${CONTROL_KEY_BYTES} bytes`)
  }
  const version = int16At(key, 0)
  if (version < 0) throw new RecordFormatError(0, `the control record at offset ${offset} has key version ${version}`)
  return int16At(key, 2)
}

/** What an end of transaction says, or null if the control record is of another type. */
export function readEndTransactionMarker(record: BatchRecord): EndTransactionMarker | null {
  const type = controlTypeOf(record)
  if (type !== ControlType.abort && type !== ControlType.commit) return null
  const { value, offset } = record
  if (value === null || value.length < END_MARKER_BYTES) {
    throw new RecordFormatError(
      0,
      `the end of transaction at offset ${offset} has no value of ${END_MARKER_BYTES} bytes`,
    )
  }
  const version = int16At(value, 0)
  if (version < 0) throw new RecordFormatError(0, `the end of transaction at offset ${offset} has version ${version}`)
  return { isCommit: type === ControlType.commit, coordinatorEpoch: int32At(value, 2) }
}

function controlKey(type: number): Buffer {
  const key = Buffer.alloc(CONTROL_KEY_BYTES)
  setInt16(key, 0, CURRENT_VERSION)
  setInt16(key, 2, type)
  return key
}
