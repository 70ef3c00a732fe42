import { RetryLater, type ErrorHandler } from '../topology/error-handler.ts'
import { handleError, noAttempts } from '../topology/handle-error.ts'
import type { Operator, StreamEmit } from '../topology/operator.ts'

/** Marks errors of user code, so that those from further downstream pass by its handler. */
class UserError extends Error {}

/**
 * Gives the user function of a stateless operator an error handler. Only the function itself is guarded: what fails
 * downstream of it belongs to others.
 */
export function withErrorHandler<K, V, In extends unknown[], R, Out>(
  handler: ErrorHandler,
  node: string,
  userFunction: (...args: In) => R,
  operator: (guarded: (...args: In) => R) => Operator<StreamEmit<K, V>, Out>,
): Operator<StreamEmit<K, V>, Out> {
  const guarded = (...args: In): R => {
    try {
      return userFunction(...args)
    } catch (cause) {
      throw new UserError('user function failed', { cause })
    }
  }
  return (task, next) => {
    const process = operator(guarded)(task, next)
    const attempts = noAttempts()
    return (key, value, timestampMs) => {
      try {
        process(key, value, timestampMs)
      } catch (error) {
        if (!(error instanceof UserError) || error instanceof RetryLater) throw error
        handleError(handler, task, attempts, node, 'processing', error.cause)
      }
    }
  }
}
