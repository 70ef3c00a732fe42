/**
 * What went wrong in a topology, a task or a store. `code` is stable and safe to switch on; the other fields tell where.
 */
export class StreamsError extends Error {
  readonly code: StreamsErrorCode
  readonly topic: string | null
  readonly partition: number | null
  readonly offset: number | null

  constructor(
    code: StreamsErrorCode,
    message: string,
    options: { topic?: string; partition?: number; offset?: number; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = new.target.name
    this.code = code
    this.topic = options.topic ?? null
    this.partition = options.partition ?? null
    this.offset = options.offset ?? null
  }
}

export type StreamsErrorCode =
  | 'invalid-topology'
  | 'invalid-duration'
  | 'unknown-store'
  | 'serialization'
  | 'deserialization'
  | 'processing'
  | 'buffer-full'
  | 'storage'
  | 'negative-timestamp'
  | 'unknown-topic'
  | 'invalid-option'
  | 'connection-failed'
  | 'unsupported-by-broker'
  | 'not-copartitioned'
  | 'topology-changed'
  | 'corrupt-records'
  | 'state-locked'
  | 'not-owner'
  | 'schema-registry'
  | 'timeout'
  | 'closed'
  | 'aborted'
  /** Kafka's own name of an error code. */
  | Uppercase<string>

/** The topology cannot be built or run as it is: a name is taken, two sides do not fit, a serde is missing. */
export class TopologyError extends StreamsError {
  constructor(message: string) {
    super('invalid-topology', message)
  }
}

/**
 * The disk under a store failed. The environment that raised it is closed and never written again: the task fails and
 * its state is rebuilt from the changelog.
 */
export class StateStorageError extends StreamsError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super('storage', message, options)
  }
}
