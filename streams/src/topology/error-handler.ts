import type { Duration } from '../duration.ts'
import { durationMs } from '../duration.ts'

/**
 * What to do with a record that user code, a serde or a broker refuses: stop, leave the record out, write it to a
 * dead-letter topic, or try it again before one of these.
 */
export type ErrorHandler =
  | { readonly kind: 'fail' }
  | { readonly kind: 'skip' }
  | { readonly kind: 'dead-letter'; readonly topic: string }
  | { readonly kind: 'retry'; readonly attempts: number; readonly backoffMs: number; readonly then: ErrorHandler }

/** Stops the task with the error; what a topology does where it says nothing. */
export function fail(): ErrorHandler {
  return { kind: 'fail' }
}

/** Leaves the record out; it counts as dropped. */
export function skip(): ErrorHandler {
  return { kind: 'skip' }
}

/** Writes the record, as it came from its partition, to `topic` with the error in its headers, and goes on. */
export function deadLetter(topic: string): ErrorHandler {
  return { kind: 'dead-letter', topic }
}

/**
 * Processes the record again after `backoff`, up to `attempts` times, with the partition paused meanwhile. The whole
 * record is tried again from its source: operators before the failing one run again, too.
 */
export function retry(options: {
  readonly attempts: number
  readonly backoff: Duration
  readonly then?: ErrorHandler
}): ErrorHandler {
  return {
    kind: 'retry',
    attempts: options.attempts,
    backoffMs: durationMs(options.backoff),
    // oxlint-disable-next-line no-thenable -- nobody awaits a handler
    then: options.then ?? fail(),
  }
}

/** Thrown out of `SourceNode.process`: the caller delivers the same record again when `delayMs` have passed. */
export class RetryLater extends Error {
  readonly delayMs: number
  readonly attempt: number

  constructor(delayMs: number, attempt: number, cause: unknown) {
    super(`attempt ${attempt} failed, next one in ${delayMs} ms`, { cause })
    this.name = 'RetryLater'
    this.delayMs = delayMs
    this.attempt = attempt
  }
}
