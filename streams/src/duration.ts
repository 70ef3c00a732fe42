import { StreamsError } from './errors.ts'

/** `'5m'`, `'250ms'`, `'1d'` or a number of milliseconds. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The duration in whole milliseconds; throws for what is not one (negative, fraction of a millisecond, unknown unit). */
export function durationMs(duration: Duration): number {
  const milliseconds = typeof duration === 'number' ? duration : parse(duration)
  if (!Number.isSafeInteger(milliseconds) || milliseconds < 0) {
    throw new StreamsError('invalid-duration', `not a duration: ${JSON.stringify(duration)} (say '5m', '250ms' or 300)`)
  }
  return milliseconds
}

function parse(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  return match === null ? Number.NaN : Number(match[1]) * UNIT_MS[match[2]!]!
}
