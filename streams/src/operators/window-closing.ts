/** When the windows of an aggregation take their last record. */
export interface WindowClosing {
  /** How long after its end a window still takes records (for sessions, gap and grace). */
  readonly afterEndMs: number
  /** Whether a record at the very end, plus `afterEndMs`, is still taken: sliding windows and sessions. */
  readonly isEndInclusive: boolean
}

/** The largest window end that is final at a stream time: rule S1. */
export function finalEndMs(closing: WindowClosing, streamTimeMs: number): number {
  const endMs = streamTimeMs - closing.afterEndMs
  return closing.isEndInclusive ? endMs - 1 : endMs
}

export type EmitStrategy = 'on-update' | 'on-window-close'
