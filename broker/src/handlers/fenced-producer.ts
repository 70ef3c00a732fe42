import { ErrorCode } from '@millrace/protocol'

/** PRODUCER_FENCED came late; clients of before version `since` of a request know INVALID_PRODUCER_EPOCH for it. */
export function forOlderClients(errorCode: number, apiVersion: number, since: number): number {
  return errorCode === ErrorCode.producerFenced && apiVersion < since ? ErrorCode.invalidProducerEpoch : errorCode
}
