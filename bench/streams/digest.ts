import { connect, type Socket } from 'node:net'
import { apis, codec, endOfWholeBatches, readBatches, readRecords, Reader, Writer } from '@millrace/protocol'

/** What a topic holds, in a form that does not depend on the order of the records. */
export interface Digest {
  readonly count: number
  readonly checksum: string
}

const FETCH_VERSION = 11
const FETCH_BYTES = 8 * 1024 * 1024

/** Of partition 0 of the topic: of all records, or, where it is a table, of the last one of each key. */
export async function digestOf(port: number, topic: string, isTable: boolean): Promise<Digest> {
  const socket = connect(port, '127.0.0.1')
  const latest = new Map<string, string | null>()
  const sum = new Sum()
  try {
    for (let offset = 0; ;) {
      const { records, highWatermark } = await fetchFrom(socket, topic, offset)
      if (records !== null) {
        for (const batch of readBatches(records, 0, endOfWholeBatches(records))) {
          if (!batch.isControl) {
            for (const record of readRecords(batch)) {
              if (record.offset < offset) continue
              const key = text(record.key)
              if (isTable) latest.set(key ?? '', text(record.value))
              else sum.add(key, text(record.value))
            }
          }
          offset = batch.lastOffset + 1
        }
      }
      if (offset >= highWatermark) break
    }
  } finally {
    socket.destroy()
  }
  for (const [key, value] of latest) if (value !== null) sum.add(key, value)
  return sum.digest
}

/** Adds up a hash of each record, so that every order gives the same, and a record twice does not give nothing. */
class Sum {
  #count = 0
  #low = 0
  #high = 0

  add(key: string | null, value: string | null): void {
    this.#count += 1
    const line = `${key === null ? '-' : `+${key}`}\u0000${value === null ? '-' : `+${value}`}`
    let low = 0x811c9dc5
    let high = 0x2f0b4c47
    for (let at = 0; at < line.length; at++) {
      low = Math.imul(low ^ line.charCodeAt(at), 0x01000193)
      high = Math.imul(high ^ line.charCodeAt(at), 0x5bd1e995)
      high ^= high >>> 15
    }
    this.#low = (this.#low + low) >>> 0
    this.#high = (this.#high + high) >>> 0
  }

  get digest(): Digest {
    const hex = (part: number): string => part.toString(16).padStart(8, '0')
    return { count: this.#count, checksum: hex(this.#high) + hex(this.#low) }
  }
}

function text(bytes: Buffer | null): string | null {
  return bytes === null ? null : bytes.toString('latin1')
}

async function fetchFrom(
  socket: Socket,
  topic: string,
  fetchOffset: number,
): Promise<{ records: Buffer | null; highWatermark: number }> {
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
    isolationLevel: 0,
    topics: [{ topic, partitions: [{ partition: 0, fetchOffset, partitionMaxBytes: FETCH_BYTES }] }],
  } as never)
  writer.setInt32(0, writer.at - 4)
  const frame = await answer(socket, Buffer.from(writer.take()))
  const response = codec(apis.fetch.response, FETCH_VERSION).decode(new Reader(frame, 8))
  const partition = response.responses[0]!.partitions[0]!
  if (partition.errorCode !== 0) throw new Error(`${topic} cannot be read: error ${partition.errorCode}`)
  return { records: partition.records, highWatermark: partition.highWatermark }
}

/** Sends a request; its answer, with the length in front. */
function answer(socket: Socket, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let received = 0
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk)
      received += chunk.length
      if (received < 4) return
      const [first] = chunks.length > 1 && chunks[0]!.length < 4 ? [Buffer.concat(chunks)] : chunks
      if (received < 4 + first!.readInt32BE(0)) return
      socket.off('data', onData)
      socket.off('error', reject)
      resolve(Buffer.concat(chunks))
    }
    socket.on('data', onData)
    socket.once('error', reject)
    socket.write(request)
  })
}
