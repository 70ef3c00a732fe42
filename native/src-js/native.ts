import type { RecordStatus } from './check-records.ts'

/** The primitives of the hot path. Every implementation gives the same answers for the same bytes. */
export interface Native {
  /** Which implementation it is; the broker's start line says it. */
  readonly kind: 'rust' | 'typescript'
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
