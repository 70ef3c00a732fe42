import type { Api, Decoded, Fields, Input } from '@millrace/protocol'

export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

/**
 * A broker answers the requests of one connection in their order, so what may take long keeps to a connection of its
 * own: a fetch waits for data, and the JoinGroup of a member for all other members.
 */
export type Lane = 'control' | 'produce' | `membership-${number}` | `fetch-${string}`

export interface TransportRequest {
  readonly lane?: Lane
  readonly signal?: AbortSignal | undefined
}

/**
 * Requests and responses over connections to brokers. It knows addresses and bytes; who leads a partition, which
 * version to speak and what to do about a failure is the business of `Cluster`.
 */
export interface KafkaTransport {
  /**
   * Sends one request and resolves with its decoded response, which may hold views of the received frame. Requests of
   * one lane to one broker arrive in the order of the calls once the connection is up. Fails with ConnectionError when
   * there is no answer, and with the signal's reason once that is aborted; a response that comes later is dropped.
   */
  request<Q extends Fields, R extends Fields>(
    to: BrokerAddress,
    api: Api<Q, R>,
    version: number,
    body: Input<Q>,
    options?: TransportRequest,
  ): Promise<Decoded<R>>

  /** Ends all connections; what is under way fails. */
  close(): Promise<void>
}
