import { apis, readBatches, readEndTransactionMarker, readRecords } from '@millrace/protocol'
import type { WireClient } from './wire-client.ts'

export interface CommittedView {
  /** Of records of committed transactions, and of no transaction, in the order of their offsets. */
  readonly values: string[]
  readonly lastStableOffset: number
  readonly highWatermark: number
}

/** What a consumer of committed records sees of a partition, by what Fetch gives it and by its own filtering. */
export async function committedRecords(client: WireClient, topic: string, partition: number): Promise<CommittedView> {
  const values: string[] = []
  for (let fetchOffset = 0; ;) {
    const { responses } = await client.request(apis.fetch, 11, {
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes: 1 << 24,
      isolationLevel: 1,
      sessionId: 0,
      sessionEpoch: -1,
      topics: [{ topic, partitions: [{ partition, fetchOffset, partitionMaxBytes: 1 << 20 }] }],
      forgottenTopicsData: [],
      rackId: '',
    })
    const fetched = responses[0]!.partitions[0]!
    const { lastStableOffset, highWatermark } = fetched
    const aborted = [...(fetched.abortedTransactions ?? [])].sort((a, b) => a.firstOffset - b.firstOffset)
    const abortedNow = new Set<number>()
    let next = fetchOffset
    for (const batch of readBatches(fetched.records ?? Buffer.alloc(0))) {
      next = batch.lastOffset + 1
      while (aborted.length > 0 && aborted[0]!.firstOffset <= batch.lastOffset)
        abortedNow.add(aborted.shift()!.producerId)
      if (batch.isControl) {
        const [record] = readRecords(batch)
        const marker = record === undefined ? null : readEndTransactionMarker(record)
        if (marker !== null && !marker.isCommit) abortedNow.delete(batch.producerId)
        continue
      }
      if (batch.isTransactional && abortedNow.has(batch.producerId)) continue
      for (const { value } of readRecords(batch)) values.push(String(value))
    }
    if (next === fetchOffset) return { values, lastStableOffset, highWatermark }
    fetchOffset = next
  }
}
