import type { LogConfig } from './log-config.ts'

/** What retention looks at in a segment. */
export interface RetainedSegment {
  readonly baseOffset: number
  readonly sizeBytes: number
  /** The largest timestamp of its records. */
  readonly newestMs: number
}

export interface RetentionView {
  /** In order; the last one is the active one. */
  readonly segments: readonly RetainedSegment[]
  readonly logStartOffset: number
  readonly endOffset: number
}

/**
 * Where the log begins once retention has taken what is due: the base offset of the first segment that stays, or the end
 * of the log if none does. Whole segments go, the oldest first, up to the first that is not due; none with a record that
 * is not below `upTo` yet.
 *
 * The rules are Kafka's. What ends below the log start goes whatever the policy is. Of a topic whose policy has 'delete',
 * segments go while the log without them has retention.bytes still, then those whose youngest record is older than
 * retention.ms. So one record of the far future keeps its segment and all behind it, for size alone does not look at time;
 * message.timestamp.after.max.ms keeps such records out. The active segment is no exception, unless it is empty.
 */
export function retainedFrom(
  { segments, logStartOffset, endOffset }: RetentionView,
  config: LogConfig,
  options: { readonly upTo: number; readonly nowMs: number },
): number {
  const endOf = (i: number): number => segments[i + 1]?.baseOffset ?? endOffset
  let first = 0
  const dropWhile = (isDue: (segment: RetainedSegment, i: number) => boolean): void => {
    for (; first < segments.length; first++) {
      const segment = segments[first]!
      const isEmptyEnd = first === segments.length - 1 && segment.sizeBytes === 0
      if (isEmptyEnd || endOf(first) > options.upTo || !isDue(segment, first)) return
    }
  }

  dropWhile((_, i) => i + 1 < segments.length && endOf(i) <= logStartOffset)
  if (config.isDeleted) {
    if (config.retentionBytes >= 0) {
      let excessBytes = -config.retentionBytes
      for (const { sizeBytes } of segments.slice(first)) excessBytes += sizeBytes
      dropWhile(({ sizeBytes }) => (excessBytes -= sizeBytes) >= 0)
    }
    if (config.retentionMs >= 0) dropWhile(({ newestMs }) => options.nowMs - newestMs > config.retentionMs)
  }
  return segments[first]?.baseOffset ?? endOffset
}
