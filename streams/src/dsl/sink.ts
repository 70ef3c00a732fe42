import { durationMs, type Duration } from '../duration.ts'
import { TopologyError } from '../errors.ts'
import type { WriteBatch } from '../operators/idempotent-sink.ts'
import type { ErrorHandler } from '../topology/error-handler.ts'

/** Where a stream ends outside of Kafka; what `stream.sink` takes. */
export interface Sink<K, V> {
  readonly name: string
  readonly write: WriteBatch<K, V>
  readonly maxRows: number
  readonly lingerMs: number
  readonly timeoutMs: number
  readonly onError: ErrorHandler | null
}

export interface IdempotentSinkOptions<K, V> {
  /** Of the sink in descriptions and errors. */
  readonly name: string
  /**
   * Writes rows, in one transaction with the note that they are written. Resolves when they are safe. It is called
   * again with the same rows when it fails, and after a crash with rows that it may have written.
   */
  readonly write: WriteBatch<K, V>
  readonly batch?: {
    /** A batch is written when it has so many rows; 500 unless given. */
    readonly max?: number
    /** ... or when its first row has waited so long; 50 ms unless given. A commit does not wait. */
    readonly linger?: Duration
  }
  /** How long one call of `write` may take; 30 s unless given. */
  readonly timeout?: Duration
  /** What to do with a batch that cannot be written; the task fails unless given. */
  readonly onError?: ErrorHandler
}

/**
 * A sink that writes every record to another system once, although records may be processed again: each row says which
 * record it is of, and `write` leaves out those that it finds written.
 */
export function idempotentSink<K, V>(options: IdempotentSinkOptions<K, V>): Sink<K, V> {
  const { name, write, batch = {}, onError = null } = options
  const maxRows = batch.max ?? 500
  if (!Number.isInteger(maxRows) || maxRows < 1) throw new TopologyError(`${name}: ${maxRows} is not a number of rows`)
  return {
    name,
    write,
    maxRows,
    lingerMs: durationMs(batch.linger ?? '50ms'),
    timeoutMs: durationMs(options.timeout ?? '30s'),
    onError,
  }
}
