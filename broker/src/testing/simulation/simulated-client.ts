import {
  codec,
  Reader,
  responseHeaderVersion,
  type Api,
  type Fields,
  type RequestInput,
  type ResponseOf,
} from '@millrace/protocol'
import type { SimulatedClock } from './simulated-clock.ts'
import type { ClientConnection, SimulatedNetwork } from './simulated-network.ts'
import { requestFrame } from '../wire-client.ts'

interface Waiting {
  readonly correlationId: number
  readonly resolve: (frame: Buffer) => void
  readonly reject: (error: RequestLost) => void
}

/** No answer came, and whether the request was carried out nobody knows. */
export class RequestLost extends Error {}

/**
 * A client's connection to the broker: made anew when it is gone, given up when an answer takes too long. Requests may be
 * sent one behind the other; when one is lost, all behind it are.
 */
export class SimulatedClient {
  readonly #clock: SimulatedClock
  readonly #network: SimulatedNetwork
  readonly #port: number
  #connection: ClientConnection | null = null
  readonly #waiting: Waiting[] = []
  #received: Buffer = Buffer.alloc(0)
  #correlationId = 0

  constructor(options: { readonly clock: SimulatedClock; readonly network: SimulatedNetwork; readonly port: number }) {
    this.#clock = options.clock
    this.#network = options.network
    this.#port = options.port
  }

  /** Rejects with RequestLost, and with nothing else. */
  request<Q extends Fields, R extends Fields>(
    api: Api<Q, R>,
    version: number,
    body: RequestInput<Api<Q, R>>,
    timeoutMs = 3000,
  ): Promise<ResponseOf<Api<Q, R>>> {
    const plain = api as unknown as Api
    const correlationId = ++this.#correlationId
    const frame = requestFrame(plain, version, correlationId, body)
    return new Promise((resolve, reject) => {
      const timer = this.#clock.schedule('request timeout', timeoutMs, () => this.drop('timeout'))
      this.#waiting.push({
        correlationId,
        resolve: (answer) => {
          timer.cancel()
          const reader = new Reader(answer, 4)
          if (responseHeaderVersion(plain, version) >= 1) reader.skipTags()
          resolve(codec(api.response, version).decode(reader) as ResponseOf<Api<Q, R>>)
        },
        reject: (error) => {
          timer.cancel()
          reject(error)
        },
      })
      this.#connection ??= this.#connect()
      this.#connection.send(frame)
    })
  }

  /** Gives the connection up: what waits for an answer is lost. */
  drop(reason = 'dropped'): void {
    const connection = this.#connection
    this.#connection = null
    this.#received = Buffer.alloc(0)
    connection?.close()
    for (const { reject } of this.#waiting.splice(0)) reject(new RequestLost(reason))
  }

  #connect(): ClientConnection {
    const connection: ClientConnection = this.#network.connect(this.#port, {
      received: (bytes) => {
        if (this.#connection === connection) this.#receive(bytes)
      },
      closed: () => {
        if (this.#connection === connection) this.drop('closed')
      },
    })
    return connection
  }

  #receive(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    while (this.#received.length >= 4) {
      const sizeBytes = this.#received.readInt32BE(0)
      if (this.#received.length < 4 + sizeBytes) return
      const frame = this.#received.subarray(4, 4 + sizeBytes)
      this.#received = this.#received.subarray(4 + sizeBytes)
      const waiting = this.#waiting.shift()
      if (waiting?.correlationId !== frame.readInt32BE(0)) throw new Error('an answer came that nobody waits for')
      waiting.resolve(frame)
    }
  }
}
