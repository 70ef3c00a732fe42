import { ErrorCode } from '@millrace/protocol'

/** Why a change of the metadata was refused: what the client is told. */
export interface Refusal {
  readonly errorCode: number
  readonly errorMessage: string | null
}

/** The outcome of a change that was made, or with validateOnly could have been. */
export const accepted: Refusal = { errorCode: ErrorCode.none, errorMessage: null }

export function refused(errorCode: number, errorMessage: string | null): Refusal {
  return { errorCode, errorMessage }
}

/** Kafka bounds an operation to what one batch of the metadata log takes; this also bounds what a request can allocate. */
export const RECORDS_PER_OPERATION_MAX = 10_000

export const tooManyRecords: Refusal = {
  errorCode: ErrorCode.policyViolation,
  errorMessage: 'Unable to perform excessively large batch operation.',
}
