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
  /**
   * Writes ranges of `bytes`, `count` pairs of start and end in `ranges`, one behind the other at `position` of an open
   * file: all of them, or a WriteFailed that says how many bytes are there. Returns how many bytes that were.
   */
  readonly writeRanges: (
    file: number,
    bytes: Uint8Array,
    ranges: Uint32Array,
    count: number,
    position: number,
  ) => number
  /**
   * Sends bytes to a socket that does not block, and returns how many it took, as `sendFile` does; `hasMore` when others
   * follow at once. Null where the system has no such call.
   */
  readonly send: ((socket: number, bytes: Uint8Array, hasMore: boolean) => number) | null
  /**
   * Sends `length` bytes at `position` of an open file to a socket that does not block, without having them in memory, and
   * returns how many the socket took; fewer also for an error, which shows when the rest is sent in another way. Null
   * where the system has no such call.
   */
  readonly sendFile: ((socket: number, file: number, position: number, length: number) => number) | null
}
