import { api, array, int16, int32, int64, string, type RequestOf, type ResponseOf } from '../schema.ts'

/** ListTransactions (key 66): the transactional ids of a coordinator, filtered (KIP-664). */
export const listTransactions = api({
  key: 66,
  name: 'ListTransactions',
  versions: '0-2',
  flexible: '0+',
  request: {
    // No filter lets everything through.
    stateFilters: array(string()),
    producerIdFilters: array(int64()),
    // Only transactions that have run for longer, in milliseconds.
    durationFilter: int64({ versions: '1+', default: -1 }),
    // A regular expression in the syntax of RE2.
    transactionalIdPattern: string({ versions: '2+', nullable: true, default: null }),
  },
  response: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    // What is not a state that this broker knows.
    unknownStateFilters: array(string()),
    transactionStates: array({
      transactionalId: string(),
      producerId: int64(),
      transactionState: string(),
    }),
  },
})

export type ListTransactionsRequest = RequestOf<typeof listTransactions>
export type ListTransactionsResponse = ResponseOf<typeof listTransactions>
