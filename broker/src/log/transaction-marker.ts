/** The end of a transaction, as a partition that took part in it is told: what WriteTxnMarkers (27) carries. */
export interface TransactionMarker {
  readonly producerId: number
  /** In version 2 the epoch of the producer's next transaction, so that nothing of this one can come after it. */
  readonly producerEpoch: number
  readonly coordinatorEpoch: number
  readonly isCommit: boolean
  readonly transactionVersion: 1 | 2
}
