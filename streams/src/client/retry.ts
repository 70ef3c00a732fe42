import { setTimeout } from 'node:timers/promises'
import { abortReason, isRetriable, throwIfAborted } from './errors.ts'

export interface RetryOptions {
  readonly signal?: AbortSignal | undefined
  /** After this long the last error is thrown. */
  readonly timeoutMs?: number
  /** Told of each failure before the pause; may prepare the next attempt, or throw to end them. */
  readonly onFailure?: (error: unknown) => void | Promise<void>
}

export const RETRY_TIMEOUT_MS = 60_000
const BACKOFF_MS_MIN = 20
const BACKOFF_MS_MAX = 1_000

/** How long to wait before attempt `attempt` (1 = the first repetition): doubling, with a fifth of jitter. */
export function backoffMs(attempt: number): number {
  const exact = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(attempt - 1, 16))
  return exact * (0.8 + 0.4 * Math.random())
}

/** Waits, or throws the signal's reason as soon as it is aborted. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  throwIfAborted(signal)
  try {
    await setTimeout(ms, undefined, signal === undefined ? {} : { signal })
  } catch (error) {
    throw signal === undefined ? error : abortReason(signal)
  }
}

/** Repeats `attempt` while it fails with what can pass: see `isRetriable`. */
export async function retrying<T>(attempt: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const { signal, timeoutMs = RETRY_TIMEOUT_MS, onFailure } = options
  const giveUpAt = performance.now() + timeoutMs
  for (let failures = 1; ; failures++) {
    throwIfAborted(signal)
    try {
      return await attempt()
    } catch (error) {
      if (!isRetriable(error)) throw error
      const waitMs = backoffMs(failures)
      if (performance.now() + waitMs > giveUpAt) throw error
      await onFailure?.(error)
      await pause(waitMs, signal)
    }
  }
}
