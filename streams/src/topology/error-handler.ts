import type { Duration } from '../duration.ts'
import { durationMs } from '../duration.ts'
import { StreamsError, TopologyError } from '../errors.ts'

/**
 * What to do with a record that user code, a serde or a broker refuses: stop, leave the record out, write it to a
 * dead-letter topic, or try it again before one of these.
 */
export type ErrorHandler = FinalErrorHandler | RetryHandler

/** What becomes of a record that is not tried again. */
export type FinalErrorHandler =
  | { readonly kind: 'fail' }
  | { readonly kind: 'skip' }
  | { readonly kind: 'dead-letter'; readonly topic: string }

export interface RetryHandler {
  readonly kind: 'retry'
  readonly attempts: number
  readonly backoffMs: number
  readonly backoffMsMax: number
  readonly then: ErrorHandler
}

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
 * Tries again after `backoff`, up to `attempts` times, then does what `then` says. With `maxBackoff` the pause doubles
 * from attempt to attempt up to that.
 *
 * What is tried again depends on where the handler is: for a function or a serde it is the whole record from its source,
 * with its task waiting meanwhile; for `mapValuesAsync` and sinks the call; for production the batch.
 */
export function retry(options: {
  readonly attempts: number
  readonly backoff: Duration
  readonly maxBackoff?: Duration
  readonly then?: ErrorHandler
}): ErrorHandler {
  const { attempts } = options
  if (!Number.isInteger(attempts) || attempts < 1) {
    throw new TopologyError(`${attempts} is not a number of attempts; skip() and fail() try nothing again`)
  }
  const backoffMs = durationMs(options.backoff)
  return {
    kind: 'retry',
    attempts,
    backoffMs,
    backoffMsMax: options.maxBackoff === undefined ? backoffMs : durationMs(options.maxBackoff),
    // oxlint-disable-next-line no-thenable -- nobody awaits a handler
    then: options.then ?? fail(),
  }
}

/** How long to wait after so many failures before the next attempt; null when there is none. */
export function retryDelayMs(handler: ErrorHandler, failures: number): number | null {
  if (handler.kind !== 'retry' || failures > handler.attempts) return null
  const doubled = handler.backoffMs * 2 ** Math.min(failures - 1, 40)
  return Math.max(handler.backoffMs, Math.min(doubled, handler.backoffMsMax))
}

/** What the handler says once nothing is tried again. */
export function lastResort(handler: ErrorHandler): FinalErrorHandler {
  let decision = handler
  while (decision.kind === 'retry') decision = decision.then
  return decision
}

/** What a handler of records is not asked about: a service that a serde needs is away, or on its way to answer. */
export function isNoFaultOfRecord(error: unknown): boolean {
  return error instanceof RetryLater || (error instanceof StreamsError && error.code === 'connection-failed')
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
