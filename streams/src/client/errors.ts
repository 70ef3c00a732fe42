import { ErrorCode, errorName } from '@millrace/protocol'
import { StreamsError } from '../errors.ts'

/** Codes after which the same request can succeed: a leader moved, a coordinator is loading, a replica is behind. */
const RETRIABLE: ReadonlySet<number> = new Set([
  ErrorCode.unknownTopicOrPartition,
  ErrorCode.leaderNotAvailable,
  ErrorCode.notLeaderOrFollower,
  ErrorCode.requestTimedOut,
  ErrorCode.brokerNotAvailable,
  ErrorCode.replicaNotAvailable,
  ErrorCode.networkException,
  ErrorCode.coordinatorLoadInProgress,
  ErrorCode.coordinatorNotAvailable,
  ErrorCode.notCoordinator,
  ErrorCode.notEnoughReplicas,
  ErrorCode.notEnoughReplicasAfterAppend,
  ErrorCode.notController,
  ErrorCode.concurrentTransactions,
  ErrorCode.kafkaStorageError,
  ErrorCode.listenerNotFound,
  ErrorCode.fetchSessionIdNotFound,
  ErrorCode.invalidFetchSessionEpoch,
  ErrorCode.fencedLeaderEpoch,
  ErrorCode.unknownLeaderEpoch,
  ErrorCode.offsetNotAvailable,
  ErrorCode.preferredLeaderNotAvailable,
  ErrorCode.unstableOffsetCommit,
  ErrorCode.throttlingQuotaExceeded,
  ErrorCode.unknownTopicId,
  ErrorCode.inconsistentTopicId,
  ErrorCode.corruptMessage,
])

export function isRetriableCode(errorCode: number): boolean {
  return RETRIABLE.has(errorCode)
}

/** An error code in a response. `code` is Kafka's name of it, `subject` what the request was about. */
export class KafkaError extends StreamsError {
  readonly errorCode: number
  readonly api: string
  readonly subject: string
  readonly isRetriable: boolean

  constructor(api: string, errorCode: number, subject: string, detail?: string | null) {
    const name = errorName(errorCode) as Uppercase<string>
    super(name, `${api} of ${subject}: ${name}${detail == null || detail === '' ? '' : ` (${detail})`}`)
    this.errorCode = errorCode
    this.api = api
    this.subject = subject
    this.isRetriable = isRetriableCode(errorCode)
  }
}

/** No answer: the broker could not be reached, or the connection ended before it answered. */
export class ConnectionError extends StreamsError {
  readonly broker: string
  readonly isRetriable: boolean

  constructor(broker: string, message: string, options: { cause?: unknown; isRetriable?: boolean } = {}) {
    super('connection-failed', message, options)
    this.broker = broker
    this.isRetriable = options.isRetriable ?? true
  }
}

/** The broker does not offer what is needed: an API, or any version of it that this client speaks. */
export class UnsupportedError extends StreamsError {
  constructor(message: string) {
    super('unsupported-by-broker', message)
  }
}

/** Whether trying once more can help. */
export function isRetriable(error: unknown): boolean {
  return (error instanceof KafkaError || error instanceof ConnectionError) && error.isRetriable
}

/** Whether the error says that the cluster has changed since its metadata was last read. */
export function isStaleMetadata(error: unknown): boolean {
  return error instanceof ConnectionError || (error instanceof KafkaError && STALE_METADATA.has(error.errorCode))
}

const STALE_METADATA: ReadonlySet<number> = new Set([
  ErrorCode.unknownTopicOrPartition,
  ErrorCode.leaderNotAvailable,
  ErrorCode.notLeaderOrFollower,
  ErrorCode.replicaNotAvailable,
  ErrorCode.fencedLeaderEpoch,
  ErrorCode.unknownLeaderEpoch,
  ErrorCode.kafkaStorageError,
  ErrorCode.unknownTopicId,
  ErrorCode.inconsistentTopicId,
  ErrorCode.notController,
])

/** The reason of an aborted signal as an error. */
export function abortReason(signal: AbortSignal): Error {
  const { reason } = signal as { reason: unknown }
  return reason instanceof Error ? reason : new StreamsError('aborted', 'the operation was aborted')
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortReason(signal)
}
