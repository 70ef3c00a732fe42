import { durationMs, type Duration } from '../duration.ts'

/** When `table.suppress` lets a change through. */
export type Suppression =
  | { readonly kind: 'window-close'; readonly maxRecords: number }
  | {
      readonly kind: 'time-limit'
      readonly waitMs: number
      readonly maxRecords: number
      readonly whenFull: 'emit-early' | 'fail'
    }

/** Only the final result of each window, at the first record after it takes no more. Over `maxRecords` the task fails. */
export function untilWindowCloses(options: { readonly maxRecords?: number } = {}): Suppression {
  return { kind: 'window-close', maxRecords: options.maxRecords ?? Number.POSITIVE_INFINITY }
}

/**
 * At most one change per key and `wait` of event time. The wait starts with the first change of the key; over
 * `maxRecords` the key that waits longest comes out early, or the task fails.
 */
export function untilTimeLimit(
  wait: Duration,
  options: { readonly maxRecords?: number; readonly whenFull?: 'emit-early' | 'fail' } = {},
): Suppression {
  return {
    kind: 'time-limit',
    waitMs: durationMs(wait),
    maxRecords: options.maxRecords ?? Number.POSITIVE_INFINITY,
    whenFull: options.whenFull ?? 'emit-early',
  }
}
