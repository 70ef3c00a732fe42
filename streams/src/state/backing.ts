/**
 * The disk under a store: rows of bytes, ordered by key. A store keeps decoded entries in front of it and hands over
 * what changed at each commit, in one transaction with the changelog offset; in between it only reads.
 *
 * Calls are synchronous. A failure of the disk throws StateStorageError, after which every call does.
 */
export interface StoreBacking {
  readonly changelogOffset: number | null
  get(key: Buffer): Buffer | null
  /** Rows with `from <= key < to` in key order; null means no bound. Values are copies. */
  range(from: Buffer | null, to: Buffer | null): Iterable<Row>
  /** The same over the second, time-ordered index, whose rows have no values. */
  timeRange(from: Buffer | null, to: Buffer | null): Iterable<Buffer>
  stagePut(key: Buffer, value: Buffer): void
  stageRemove(key: Buffer): void
  stageTimePut(key: Buffer): void
  stageTimeRemove(key: Buffer): void
  commit(changelogOffset: number | null): void
  /** A number kept with the rows (the largest time seen), written by the next commit. */
  meta(name: string): number | null
  stageMeta(name: string, value: number): void
  close(): void
}

export interface Row {
  readonly key: Buffer
  readonly value: Buffer
}
