import { ErrorCode } from '@millrace/protocol'

/** What Kafka's coordinators make of an error of their log: clients look for the coordinator again, and try again. */
export function coordinatorError(appendError: number): number {
  switch (appendError) {
    case ErrorCode.unknownTopicOrPartition:
    case ErrorCode.notEnoughReplicas:
    case ErrorCode.requestTimedOut:
      return ErrorCode.coordinatorNotAvailable
    case ErrorCode.notLeaderOrFollower:
    case ErrorCode.kafkaStorageError:
      return ErrorCode.notCoordinator
    case ErrorCode.messageTooLarge:
    case ErrorCode.recordListTooLarge:
    case ErrorCode.invalidFetchSize:
      return ErrorCode.unknownServerError
    default:
      return appendError
  }
}
