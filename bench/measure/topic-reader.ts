import { connect, type Socket } from 'node:net'
import { apis, codec, endOfWholeBatches, readBatches, readRecords, Reader, Writer } from '@millrace/protocol'

const FETCH_VERSION = 11
const FETCH_BYTES = 8 * 1024 * 1024

export interface ReadRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestampMs: number
}

/** Reads partitions of a broker as a consumer with read_committed does: nothing that is aborted, nothing that is open. */
export class TopicReader {
  readonly #socket: Socket

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1')
    // Whoever waits for an answer is told by the answer's own handler.
    this.#socket.on('error', () => {})
  }

  /** Calls back for every record from the offset to the last stable offset of now; where to go on. */
  async read(topic: string, index: number, from: number, each: (record: ReadRecord) => void): Promise<number> {
    for (let offset = from; ;) {
      const { records, lastStableOffset, abortedTransactions } = await this.#fetch(topic, index, offset)
      const aborted = (abortedTransactions ?? []).toSorted((a, b) => a.firstOffset - b.firstOffset)
      const abortedIds = new Set<number>()
      if (records !== null) {
        for (const batch of readBatches(records, 0, endOfWholeBatches(records))) {
          while (aborted.length > 0 && aborted[0]!.firstOffset <= batch.lastOffset) {
            abortedIds.add(aborted.shift()!.producerId)
          }
          // A marker ends the transaction, whichever way; the next aborted one of the producer is listed by itself.
          if (batch.isControl) abortedIds.delete(batch.producerId)
          else if (!batch.isTransactional || !abortedIds.has(batch.producerId)) {
            for (const record of readRecords(batch)) if (record.offset >= offset) each(record)
          }
          offset = batch.lastOffset + 1
        }
      }
      if (offset >= lastStableOffset) return offset
    }
  }

  close(): void {
    this.#socket.destroy()
  }

  async #fetch(topic: string, index: number, fetchOffset: number) {
    const writer = new Writer(1024)
    writer.int32(0)
    writer.int16(apis.fetch.key)
    writer.int16(FETCH_VERSION)
    writer.int32(1)
    writer.nullableString('bench')
    codec(apis.fetch.request, FETCH_VERSION).encode(writer, {
      maxWaitMs: 100,
      minBytes: 1,
      maxBytes: FETCH_BYTES,
      isolationLevel: 1,
      topics: [{ topic, partitions: [{ partition: index, fetchOffset, partitionMaxBytes: FETCH_BYTES }] }],
    } as never)
    writer.setInt32(0, writer.at - 4)
    const frame = await answer(this.#socket, Buffer.from(writer.take()))
    const response = codec(apis.fetch.response, FETCH_VERSION).decode(new Reader(frame, 8))
    const partition = response.responses[0]!.partitions[0]!
    if (partition.errorCode !== 0) throw new Error(`${topic} cannot be read: error ${partition.errorCode}`)
    return partition
  }
}

/** Sends a request; its answer, with the length in front. */
function answer(socket: Socket, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let received = 0
    const end = (): void => {
      socket.off('data', onData)
      socket.off('error', reject)
      socket.off('close', onClose)
    }
    const onClose = (): void => reject(new Error('the broker has closed the connection'))
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk)
      received += chunk.length
      if (received < 4) return
      const [first] = chunks.length > 1 && chunks[0]!.length < 4 ? [Buffer.concat(chunks)] : chunks
      if (received < 4 + first!.readInt32BE(0)) return
      end()
      resolve(Buffer.concat(chunks))
    }
    socket.on('data', onData)
    socket.once('error', reject)
    socket.once('close', onClose)
    if (socket.destroyed) onClose()
    else socket.write(request)
  })
}
