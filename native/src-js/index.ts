import { checkRecords as checkRecordsInTypeScript, type RecordStatus } from './check-records.ts'
import { crc32c as crc32cInTypeScript } from './crc32c.ts'

export { MIN_RECORD_BYTES, RECORD_FACT_COUNT, RecordFact, RecordStatus, describeRecordStatus } from './check-records.ts'

/** The primitives of the hot path. Every implementation gives the same answers for the same bytes. */
export interface Native {
  readonly kind: 'typescript'
  /** CRC-32C of `bytes[start, end)`, unsigned. */
  readonly crc32c: (bytes: Uint8Array, start: number, end: number) => number
  /**
   * Whether `bytes[start, end)` is exactly `recordCount` well-framed records: a `RecordStatus`, 0 for yes. What was seen
   * is left in `facts`, at the indexes of `RecordFact`. It allocates nothing and throws nothing.
   */
  readonly checkRecords: (
    bytes: Uint8Array,
    start: number,
    end: number,
    recordCount: number,
    facts: Float64Array,
  ) => RecordStatus
}

export const native: Native = {
  kind: 'typescript',
  crc32c: crc32cInTypeScript,
  checkRecords: checkRecordsInTypeScript,
}

export const crc32c: Native['crc32c'] = native.crc32c
export const checkRecords: Native['checkRecords'] = native.checkRecords
