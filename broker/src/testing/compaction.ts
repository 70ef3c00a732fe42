import { buildBatch, readBatches, readRecords, type BatchInput, type RecordInput } from '@millrace/protocol'
import { compact, type CompactionOptions, type CompactionResult } from '../log/compaction.ts'
import { dirtyPart } from '../log/dirty-part.ts'
import { Pace } from '../log/pace.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { ManualClock } from './manual-clock.ts'

/** A record as a consumer sees it. */
export interface SeenRecord {
  readonly offset: number
  readonly timestampMs: number
  readonly key: string
  /** Null for a tombstone. */
  readonly value: string | null
}

/** A batch of `key=value` texts; `key` alone is a tombstone. */
export function keyed(texts: readonly string[], input: Partial<BatchInput> = {}): Buffer {
  const records = texts.map((text): RecordInput => {
    const [key, value] = text.split('=')
    return { key: Buffer.from(key!), value: value === undefined ? null : Buffer.from(value) }
  })
  return buildBatch({ records, ...input })
}

/** All records of the log's closed and active segments, read as a consumer reads; fails if offsets do not grow. */
export function recordsOf(log: PartitionLog, maxBytes = 500): SeenRecord[] {
  const seen: SeenRecord[] = []
  for (let offset = log.logStartOffset; offset < log.endOffset;) {
    const bytes = log.read(offset, maxBytes, { maxOffset: log.endOffset, atLeastOneBatch: true })
    if (bytes.length === 0) break
    for (const batch of readBatches(bytes)) {
      if (batch.lastOffset < offset)
        throw new Error(`a batch that ends at ${batch.lastOffset}, ${offset} was asked for`)
      for (const record of batch.isControl ? [] : readRecords(batch)) {
        const last = seen.at(-1)
        if (last !== undefined && record.offset <= last.offset) throw new Error(`offset ${record.offset} comes twice`)
        const { key, value, timestampMs } = record
        seen.push({
          offset: record.offset,
          timestampMs,
          key: String(key),
          value: value === null ? null : String(value),
        })
      }
      offset = batch.lastOffset + 1
    }
  }
  return seen
}

/** The last value of each key that has one: what a table made of the log holds. */
export function tableOf(records: readonly SeenRecord[]): Map<string, string> {
  const table = new Map<string, string>()
  for (const { key, value } of records) {
    if (value === null) table.delete(key)
    else table.set(key, value)
  }
  return new Map([...table].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Resolves as `work` does, letting time pass for it step by step. */
export async function whileTimePasses<T>(clock: ManualClock, work: Promise<T>, stepMs = 1): Promise<T> {
  let isSettled = false
  const settled = work.finally(() => (isSettled = true))
  settled.catch(() => {})
  while (!isSettled) {
    // Enough for most of what is between two timers over a disk in memory; what is not done then goes on a step later.
    for (let i = 0; i < 50; i++) await Promise.resolve()
    if (!isSettled) clock.advance(stepMs)
  }
  return settled
}

/** Compacts everything that can be, whatever the ratio is, after having made it durable. */
export async function compactNow(
  log: PartitionLog,
  clock: ManualClock,
  { stepMs, ...options }: Partial<CompactionOptions> & { readonly stepMs?: number } = {},
): Promise<CompactionResult | null> {
  await log.flushClosedSegments()
  const nowMs = clock.nowMs()
  const { upTo } = dirtyPart(log, { stableTo: log.endOffset, nowMs })
  const work = compact(log, {
    upTo,
    nowMs,
    mapBytesMax: 1024 * 1024,
    mapLoadFactor: 0.9,
    bufferBytes: 4096,
    pace: new Pace(clock, () => Infinity),
    ...options,
  })
  return whileTimePasses(clock, work, stepMs)
}
