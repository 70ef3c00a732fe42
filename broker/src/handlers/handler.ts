import type { Api, Fields, Reader, RequestOf, ResponseInput } from '@millrace/protocol'
import type { Output } from './output.ts'
import type { BrokerServices } from './services.ts'

/** What a handler knows of the request besides its body. */
export interface RequestContext {
  readonly services: BrokerServices
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  /** The peer's address without a port, as DescribeGroups shows it: `127.0.0.1`. */
  readonly clientHost: string
  /**
   * The address at which this client reaches the broker again: the one that its listener advertises, or without such
   * the one it dialled, which works for everybody who got here without a port being forwarded.
   */
  readonly endpoint: { readonly host: string; readonly port: number }
  /** Calls back when the client is gone; returns how to take that back. For handlers that wait. */
  readonly onClose: (callback: () => void) => () => void
}

/**
 * Answers one API. Returning null sends no response. Requests of one connection are answered in order, so a handler
 * that waits holds back those behind it on the same connection and on no other.
 */
export interface Handler<Q extends Fields = Fields, R extends Fields = Fields> {
  readonly api: Api<Q, R>
  handle(
    request: RequestOf<Api<Q, R>>,
    context: RequestContext,
  ): ResponseInput<Api<Q, R>> | null | Promise<ResponseInput<Api<Q, R>> | null>
}

/**
 * Answers one API from the frame itself, for the hot path: no object is made for the request or the response. The frame
 * is the connection's receive buffer and is used again as soon as `answer` has returned.
 */
export interface FrameHandler<Q extends Fields = Fields, R extends Fields = Fields> {
  readonly api: Api<Q, R>
  /**
   * Reads the body from `reader` and writes the response between `beginResponse` and `endFrame`. A promise when it
   * waits. Closing the connection is throwing a RangeError.
   */
  answer(reader: Reader, context: RequestContext, output: Output): void | Promise<void>
}

export function handler<Q extends Fields, R extends Fields>(spec: Handler<Q, R>): Handler<Q, R> {
  return spec
}

export function frameHandler<Q extends Fields, R extends Fields>(spec: FrameHandler<Q, R>): FrameHandler<Q, R> {
  return spec
}
