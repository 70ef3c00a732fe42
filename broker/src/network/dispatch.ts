import {
  codec,
  Reader,
  requestHeaderVersion,
  responseHeaderVersion,
  apis,
  ErrorCode,
  type Api,
} from '@millrace/protocol'
import type { FrameHandler, Handler, RequestContext } from '../handlers/handler.ts'
import type { Output } from '../handlers/output.ts'
import type { AdvertisedApi, BrokerServices } from '../handlers/services.ts'
import type { Durability } from '../partition/durability.ts'
import type { Connection } from './connection.ts'

type AnyHandler = Handler | FrameHandler

/** Finds the handler of a request, decodes the one and encodes the answer of the other. */
export class Dispatcher {
  readonly #services: BrokerServices
  readonly #durability: Durability
  readonly #handlers: (AnyHandler | undefined)[] = []
  readonly #ranges: (AdvertisedApi | undefined)[] = []

  constructor(options: {
    readonly services: BrokerServices
    readonly durability: Durability
    readonly handlers: readonly AnyHandler[]
    readonly advertised: readonly AdvertisedApi[]
  }) {
    this.#services = options.services
    this.#durability = options.durability
    for (const handler of options.handlers) this.#handlers[handler.api.key] = handler
    for (const range of options.advertised) this.#ranges[range.apiKey] = range
  }

  /**
   * Answers the request in bytes [start, end) into `output`. Returns null when that is done, and a promise when the
   * handler waits. A RangeError, thrown or rejected, means that the request cannot be read and the connection is to be
   * closed.
   */
  dispatch(bytes: Buffer, start: number, end: number, connection: Connection, output: Output): Promise<void> | null {
    const reader = new Reader(bytes, start, end)
    const apiKey = reader.int16()
    const version = reader.int16()
    const correlationId = reader.int32()
    const handler = this.#handlers[apiKey]
    if (handler === undefined) throw new RangeError(`API key ${apiKey} is not supported`)
    const api = handler.api
    if (!isSupported(api, this.#ranges[apiKey]!, version)) {
      if (apiKey !== apis.apiVersions.key) {
        throw new RangeError(
          `${api.name} version ${version} is not supported: ${api.minVersion} to ${api.maxVersion} are`,
        )
      }
      answerUnsupportedVersion(this.#ranges[apiKey]!, correlationId, output)
      return null
    }
    const clientId = reader.nullableString()
    if (requestHeaderVersion(api, version) >= 2) reader.skipTags()

    const context: RequestContext = {
      services: this.#services,
      apiVersion: version,
      correlationId,
      clientId,
      clientHost: connection.clientHost,
      endpoint: connection.endpoint,
      onClose: (callback) => connection.onClose(callback),
    }
    if ('answer' in handler) return handler.answer(reader, context, output) ?? null

    // The receive buffer is used again while a handler waits, and a request may hold views of it (a member's metadata).
    const body = new Reader(Buffer.from(bytes.subarray(reader.at, end)))
    const request = codec(api.request, version).decode(body)
    const answered = handler.handle(request, context)
    if (!(answered instanceof Promise)) {
      if (answered !== null) encode(api, version, correlationId, answered, output)
      return null
    }
    return answered.then(async (response) => {
      await this.#durability.allDurable()
      if (response !== null && !connection.isClosed) encode(api, version, correlationId, response, output)
    })
  }
}

function isSupported(api: Api, range: AdvertisedApi, version: number): boolean {
  return version >= api.minVersion && version >= range.minVersion && version <= range.maxVersion
}

function encode(api: Api, version: number, correlationId: number, response: object, output: Output): void {
  output.beginResponse(correlationId, responseHeaderVersion(api, version) >= 1)
  codec(api.response, version).encode(output.writer, response)
  output.endFrame()
}

/** KIP-511: an unknown version of ApiVersions is answered in version 0, with the versions that it has. */
function answerUnsupportedVersion(range: AdvertisedApi, correlationId: number, output: Output): void {
  output.beginResponse(correlationId, false)
  codec(apis.apiVersions.response, 0).encode(output.writer, {
    errorCode: ErrorCode.unsupportedVersion,
    apiKeys: [range],
  })
  output.endFrame()
}
