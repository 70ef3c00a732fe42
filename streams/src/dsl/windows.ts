import { durationMs, type Duration } from '../duration.ts'
import { TopologyError } from '../errors.ts'

export interface TumblingOrHopping {
  readonly kind: 'hopping'
  readonly sizeMs: number
  readonly advanceMs: number
  readonly graceMs: number
}

export interface Sliding {
  readonly kind: 'sliding'
  readonly sizeMs: number
  readonly graceMs: number
}

export interface Session {
  readonly kind: 'session'
  readonly gapMs: number
  readonly graceMs: number
}

export type Windows = TumblingOrHopping | Sliding | Session

interface GraceOption {
  /** How long after its end a window still takes records that arrive out of order; none unless given. */
  readonly grace?: Duration
}

/** Windows of one size that follow each other without a gap, aligned to the epoch: `[start, start + size)`. */
export function tumbling(size: Duration, { grace = 0 }: GraceOption = {}): TumblingOrHopping {
  const sizeMs = positive('the size of a window', size)
  return { kind: 'hopping', sizeMs, advanceMs: sizeMs, graceMs: durationMs(grace) }
}

/** Windows of one size that start every `advance`, so that a record is in several of them. */
export function hopping(
  size: Duration,
  { advance, grace = 0 }: GraceOption & { readonly advance: Duration },
): TumblingOrHopping {
  const sizeMs = positive('the size of a window', size)
  const advanceMs = positive('the advance of hopping windows', advance)
  if (advanceMs > sizeMs) throw new TopologyError(`windows of ${sizeMs} ms that advance by ${advanceMs} ms leave gaps`)
  return { kind: 'hopping', sizeMs, advanceMs, graceMs: durationMs(grace) }
}

/** A window for each distinct set of records at most `size` apart, both ends included. */
export function sliding(size: Duration, { grace = 0 }: GraceOption = {}): Sliding {
  return { kind: 'sliding', sizeMs: durationMs(size), graceMs: durationMs(grace) }
}

/** A window for each burst of records, ended by `gap` of silence. */
export function session(gap: Duration, { grace = 0 }: GraceOption = {}): Session {
  return { kind: 'session', gapMs: positive('the gap of a session', gap), graceMs: durationMs(grace) }
}

function positive(what: string, duration: Duration): number {
  const milliseconds = durationMs(duration)
  if (milliseconds === 0) throw new TopologyError(`${what} is more than 0`)
  return milliseconds
}
