/** A transaction that was aborted after it had written something: an entry of a transaction index. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  /** Of its marker. */
  readonly lastOffset: number
  /** What was decided when the marker was written: every transaction open then began at or behind it. */
  readonly lastStableOffset: number
}
