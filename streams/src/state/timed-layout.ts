/** How the entries of a kind of store become changelog records; Kafka Streams' own bytes where it has such a store. */
export interface TimedLayout {
  /** Length of what follows the key's bytes in a changelog key. */
  readonly suffixBytes: number
  writeSuffix(into: Buffer, at: number, startMs: number, endMs: number, sequence: number): void
  readSuffix(from: Buffer, at: number): { startMs: number; endMs: number; sequence: number }
  /** The time that orders entries for closing and expiry; nothing in memory orders those of a layout `byKeyOnly`. */
  timeMs(startMs: number, endMs: number): number
  /** Nobody ever asks what is due or earliest. */
  readonly byKeyOnly?: boolean
}
