import { array, int16, int32, int64, int8, message, string } from '../schema.ts'

/** The key of a transactional id in __transaction_state. */
export const transactionLogKey = message({
  name: 'TransactionLogKey',
  versions: '0',
  flexible: 'none',
  fields: {
    transactionalId: string(),
  },
})

/** The state of a transactional id. Version 1 is written from transaction.version 1 on. */
export const transactionLogValue = message({
  name: 'TransactionLogValue',
  versions: '0-1',
  flexible: '1+',
  fields: {
    producerId: int64(),
    // Set after the epoch overflowed: an EndTxn that is retried under the old id must still find its answer.
    previousProducerId: int64({ versions: '1+', tag: 0, default: -1 }),
    nextProducerId: int64({ versions: '1+', tag: 1, default: -1 }),
    producerEpoch: int16(),
    nextProducerEpoch: int16({ versions: '1+', tag: 3, default: -1 }),
    transactionTimeoutMs: int32(),
    // 0: empty, 1: ongoing, 2: prepare commit, 3: prepare abort, 4: complete commit, 5: complete abort, 6: dead, 7:
    // prepare epoch fence.
    transactionStatus: int8(),
    // Null when there are none.
    transactionPartitions: array(
      {
        topic: string(),
        partitionIds: array(int32()),
      },
      { nullable: true },
    ),
    transactionLastUpdateTimestampMs: int64(),
    // -1 outside of a transaction.
    transactionStartTimestampMs: int64(),
    clientTransactionVersion: int16({ versions: '1+', tag: 2, default: 0 }),
  },
})
