import { connect, type Socket } from 'node:net'
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

/** Sends single requests to a broker, one after the other, where a client would never send them in this order. */
export class RequestSocket {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #answered: { readonly resolve: (frame: Buffer) => void; readonly reject: (error: Error) => void } | null = null

  constructor(port: number) {
    this.#socket = connect({ host: '127.0.0.1', port })
    this.#socket.on('data', (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes])
      const sizeBytes = this.#received.length < 4 ? Infinity : 4 + this.#received.readInt32BE(0)
      if (this.#received.length < sizeBytes) return
      const frame = this.#received.subarray(4, sizeBytes)
      this.#received = this.#received.subarray(sizeBytes)
      this.#answered?.resolve(frame)
    })
    this.#socket.on('error', (error) => this.#answered?.reject(error))
    this.#socket.on('close', () => this.#answered?.reject(new Error('the broker closed the connection')))
  }

  async request<Q extends Fields, R extends Fields>(
    api: Api<Q, R>,
    version: number,
    body: RequestInput<Api<Q, R>>,
  ): Promise<ResponseOf<Api<Q, R>>> {
    const any = api as unknown as Api
    const writer = new Writer()
    writer.int32(0)
    writer.int16(api.key)
    writer.int16(version)
    writer.int32(1)
    writer.nullableString('request-socket')
    if (requestHeaderVersion(any, version) >= 2) writer.uvarint(0)
    codec(api.request, version).encode(writer, body)
    writer.setInt32(0, writer.at - 4)
    const frame = await new Promise<Buffer>((resolve, reject) => {
      this.#answered = { resolve, reject }
      this.#socket.write(writer.take())
    })
    const reader = new Reader(frame, 4)
    if (responseHeaderVersion(any, version) >= 1) reader.skipTags()
    return codec(api.response, version).decode(reader) as ResponseOf<Api<Q, R>>
  }

  close(): void {
    this.#socket.destroy()
  }
}
