import {
  codec,
  Reader,
  responseHeaderVersion,
  requestHeaderVersion,
  Writer,
  type Api,
  type Decoded,
  type Fields,
  type Input,
} from '@millrace/protocol'
import type {
  Connection,
  ConnectionOptions as PlatformaticOptions,
  ConnectionPool,
  Writer as PlatformaticWriter,
} from '@platformatic/kafka'
import { abortReason, ConnectionError, throwIfAborted } from './errors.ts'
import type { BrokerAddress, KafkaTransport, Lane, TransportRequest } from './transport.ts'

/** How to reach the brokers; TLS and SASL are what @platformatic/kafka takes. */
export interface ConnectionOptions {
  readonly clientId?: string
  readonly tls?: NonNullable<PlatformaticOptions['tls']>
  readonly tlsServerName?: string | boolean
  readonly sasl?: NonNullable<PlatformaticOptions['sasl']>
  readonly connectTimeoutMs?: number
  readonly requestTimeoutMs?: number
}

interface Platformatic {
  readonly ConnectionPool: typeof ConnectionPool
  readonly Writer: typeof PlatformaticWriter
}

const CONNECT_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 30_000
/** A JoinGroup is answered when every other member has joined: up to the rebalance timeout of the slowest. */
const MEMBERSHIP_TIMEOUT_MS = 30 * 60_000
const IN_FLIGHT_MAX = 5
/** A writer that has grown beyond this for one large request is not kept. */
const KEPT_WRITER_BYTES = 4 * 1024 * 1024

/**
 * `KafkaTransport` over the connections of @platformatic/kafka: it connects, speaks TLS and SASL, authenticates again
 * when a session ends, pools, and matches responses with requests. The bytes of requests and responses are ours:
 * `Connection.send` takes a function that gives the body and one that gets the response, so its own codecs are not used.
 *
 * One pool for each lane. A connection that ended leaves its pool by itself, and the next request makes a new one.
 */
export class PlatformaticTransport implements KafkaTransport {
  readonly #library: Platformatic
  readonly #options: ConnectionOptions
  readonly #pools = new Map<Lane, ConnectionPool>()
  readonly #writer = new Writer(64 * 1024)
  #isClosed = false

  /** Loads the client library, which takes a moment: only a process that talks to a broker pays for it. */
  static async open(options: ConnectionOptions = {}): Promise<PlatformaticTransport> {
    return new PlatformaticTransport(await import('@platformatic/kafka'), options)
  }

  private constructor(library: Platformatic, options: ConnectionOptions) {
    this.#library = library
    this.#options = options
  }

  async request<Q extends Fields, R extends Fields>(
    to: BrokerAddress,
    api: Api<Q, R>,
    version: number,
    body: Input<Q>,
    options: TransportRequest = {},
  ): Promise<Decoded<R>> {
    const { lane = 'control', signal } = options
    const broker = `${to.host}:${to.port}`
    throwIfAborted(signal)
    if (this.#isClosed) throw new ConnectionError(broker, `${broker}: the client is closed`, { isRetriable: false })
    const pool = this.#pool(lane)
    const open = pool.getEstablishedConnection(to)
    const connection = open?.isConnected() === true ? open : await this.#connect(pool, to)
    throwIfAborted(signal)

    return new Promise<Decoded<R>>((resolve, reject) => {
      const onAbort = (): void => reject(abortReason(signal!))
      signal?.addEventListener('abort', onAbort, { once: true })
      connection.send(
        api.key,
        version,
        () => this.#encode(api, version, body),
        (_correlationId, _apiKey, _apiVersion, reader) => {
          const bytes = new Reader(reader.buffer.buffer, reader.position)
          if (responseHeaderVersion(api, version) === 1) bytes.skipTags()
          return codec(api.response, version).decode(bytes)
        },
        requestHeaderVersion(api, version) === 2,
        // The tags of the header are skipped above: the library takes them to be none.
        false,
        (error, response) => {
          signal?.removeEventListener('abort', onAbort)
          if (error === null) resolve(response!)
          else reject(this.#failure(broker, api, error))
        },
      )
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    await Promise.all(pools.map((pool) => pool.close()))
  }

  async #connect(pool: ConnectionPool, to: BrokerAddress): Promise<Connection> {
    const broker = `${to.host}:${to.port}`
    try {
      return await pool.get(to)
    } catch (cause) {
      if (this.#isClosed) throw new ConnectionError(broker, `${broker}: the client is closed`, { isRetriable: false })
      throw new ConnectionError(broker, `cannot connect to ${broker}: ${rootMessage(cause)}`, {
        cause,
        isRetriable: !isRefused(cause),
      })
    }
  }

  #failure<Q extends Fields, R extends Fields>(broker: string, api: Api<Q, R>, cause: unknown): Error {
    // What the codecs throw is a message that is not Kafka's; asking again would not change it.
    if (cause instanceof RangeError) return cause
    const message = `${broker} did not answer ${api.name}: ${rootMessage(cause)}`
    return new ConnectionError(broker, message, { cause, isRetriable: !this.#isClosed })
  }

  /**
   * The body in the library's own container. It may be a view of the writer that is used again, because `send` joins it
   * with the header into a frame of its own before it returns.
   */
  #encode<Q extends Fields, R extends Fields>(api: Api<Q, R>, version: number, body: Input<Q>): PlatformaticWriter {
    const writer = this.#writer.at > KEPT_WRITER_BYTES ? new Writer() : this.#writer
    writer.reset()
    codec(api.request, version).encode(writer, body)
    const payload = this.#library.Writer.create()
    const bytes = writer.take()
    if (bytes.length > 0) payload.append(bytes)
    return payload
  }

  #pool(lane: Lane): ConnectionPool {
    const known = this.#pools.get(lane)
    if (known !== undefined) return known
    const { clientId, connectTimeoutMs, requestTimeoutMs, tls, tlsServerName, sasl } = this.#options
    const requestTimeout = lane.startsWith('membership')
      ? MEMBERSHIP_TIMEOUT_MS
      : (requestTimeoutMs ?? REQUEST_TIMEOUT_MS)
    const pool = new this.#library.ConnectionPool(clientId ?? 'millrace-streams', {
      connectTimeout: connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      requestTimeout,
      maxInflights: IN_FLIGHT_MAX,
      ...(tls === undefined ? {} : { tls }),
      ...(tlsServerName === undefined ? {} : { tlsServerName }),
      ...(sasl === undefined ? {} : { sasl }),
    })
    // The pool listens for the first error of a connection only; a second one would end the process.
    pool.on('connecting', ({ connection }) => connection.on('error', () => {}))
    this.#pools.set(lane, pool)
    return pool
  }
}

/** Wrong credentials stay wrong: TLS and SASL failures are not repeated. */
function isRefused(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { code } = at as { code?: string }
    if (code === 'PLT_KFK_AUTHENTICATION' || code === 'PLT_KFK_USER') return true
  }
  return false
}

/** The innermost message: 'connect ECONNREFUSED 127.0.0.1:9092' says more than 'Connection failed'. */
function rootMessage(error: unknown): string {
  let message = String(error)
  for (let at: unknown = error; at instanceof Error;) {
    message = at.message
    const { errors } = at as { errors?: unknown[] }
    at = errors?.[0] ?? at.cause
  }
  return message
}
