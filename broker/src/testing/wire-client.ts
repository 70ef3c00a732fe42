import {
  codec,
  Reader,
  requestHeaderVersion,
  responseHeaderVersion,
  Writer,
  type Api,
  type Fields,
  type RequestInput,
  type ResponseOf,
} from '@millrace/protocol'
import type { MemoryConnection, MemoryNetwork } from './memory-network.ts'

interface Waiting {
  readonly correlationId: number
  readonly resolve: (frame: Buffer) => void
  readonly reject: (error: Error) => void
}

/** The frame of a request, with its size in front. */
export function requestFrame(api: Api, version: number, correlationId: number, body: object): Buffer {
  const writer = new Writer()
  writer.int32(0)
  writer.int16(api.key)
  writer.int16(version)
  writer.int32(correlationId)
  writer.nullableString('wire-client')
  if (requestHeaderVersion(api, version) >= 2) writer.uvarint(0)
  codec(api.request, version).encode(writer, body)
  writer.setInt32(0, writer.at - 4)
  return Buffer.from(writer.take())
}

/** Speaks to a broker request by request, with the tables of the protocol and nothing of a client's own mind. */
export class WireClient {
  readonly #connection: MemoryConnection
  readonly #waiting: Waiting[] = []
  #received = Buffer.alloc(0)
  #correlationId = 0

  constructor(network: MemoryNetwork, port: number) {
    this.#connection = network.connect(port, {
      received: (bytes) => this.#receive(bytes),
      closed: () => {
        for (const { reject } of this.#waiting.splice(0)) reject(new Error('the broker closed the connection'))
      },
    })
  }

  get isClosed(): boolean {
    return this.#connection.isClosed
  }

  async request<Q extends Fields, R extends Fields>(
    api: Api<Q, R>,
    version: number,
    body: RequestInput<Api<Q, R>>,
  ): Promise<ResponseOf<Api<Q, R>>> {
    const correlationId = ++this.#correlationId
    const frame = await this.raw(requestFrame(api as unknown as Api, version, correlationId, body), correlationId)
    const reader = new Reader(frame, 4)
    if (responseHeaderVersion(api as unknown as Api, version) >= 1) reader.skipTags()
    return codec(api.response, version).decode(reader) as ResponseOf<Api<Q, R>>
  }

  /** Sends bytes as they are and gives the frame that comes back, without its size. */
  raw(bytes: Uint8Array, correlationId: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) {
        reject(new Error('the connection is closed'))
        return
      }
      this.#waiting.push({ correlationId, resolve, reject })
      this.#connection.send(bytes)
    })
  }

  /** Sends bytes to which no answer is awaited. */
  send(bytes: Uint8Array, pieceBytes?: number): void {
    this.#connection.send(bytes, pieceBytes)
  }

  close(): void {
    this.#connection.close()
  }

  #receive(bytes: Uint8Array): void {
    this.#received = Buffer.concat([this.#received, bytes])
    while (this.#received.length >= 4) {
      const sizeBytes = this.#received.readInt32BE(0)
      if (this.#received.length < 4 + sizeBytes) return
      const frame = this.#received.subarray(4, 4 + sizeBytes)
      this.#received = this.#received.subarray(4 + sizeBytes)
      const waiting = this.#waiting.shift()
      if (waiting === undefined) continue
      if (frame.readInt32BE(0) === waiting.correlationId) waiting.resolve(frame)
      else waiting.reject(new Error(`answer ${frame.readInt32BE(0)} came where ${waiting.correlationId} was awaited`))
    }
  }
}
