import { apiByKey } from './apis/index.ts'
import type { Reader } from './reader.ts'
import { int16, int32, message, string, type Api } from './schema.ts'
import type { Writer } from './writer.ts'

/** What stands in front of every request. Version 2 differs from 1 only by a tag section. */
export const requestHeader = message({
  name: 'RequestHeader',
  versions: '1-2',
  flexible: '2+',
  fields: {
    requestApiKey: int16(),
    requestApiVersion: int16(),
    correlationId: int32(),
    // A 2-byte length in both versions: a broker must be able to read it before it knows what the API's version
    // implies.
    clientId: string({ nullable: true, flexible: false }),
  },
})

/** What stands in front of every response. Version 1 adds a tag section. */
export const responseHeader = message({
  name: 'ResponseHeader',
  versions: '0-1',
  flexible: '1+',
  fields: { correlationId: int32() },
})

export interface RequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
}

const API_VERSIONS = 18

export function requestHeaderVersion(api: Api, apiVersion: number): 1 | 2 {
  return apiVersion >= api.flexibleFrom ? 2 : 1
}

/** The answer to ApiVersions keeps the oldest header: the client reads it before it knows what the broker speaks. */
export function responseHeaderVersion(api: Api, apiVersion: number): 0 | 1 {
  return apiVersion >= api.flexibleFrom && api.key !== API_VERSIONS ? 1 : 0
}

/**
 * Reads the header of a request and leaves the reader at its body. For an API key without a table the header is read as
 * version 1: nothing can be done with the body, but the log line about it has a client id.
 */
export function decodeRequestHeader(reader: Reader): RequestHeader {
  const apiKey = reader.int16()
  const apiVersion = reader.int16()
  const correlationId = reader.int32()
  const clientId = reader.nullableString()
  const api = apiByKey(apiKey)
  if (api !== undefined && apiVersion >= api.flexibleFrom) reader.skipTags()
  return { apiKey, apiVersion, correlationId, clientId }
}

export function encodeRequestHeader(
  writer: Writer,
  api: Api,
  header: { readonly apiVersion: number; readonly correlationId: number; readonly clientId: string | null },
): void {
  writer.int16(api.key)
  writer.int16(header.apiVersion)
  writer.int32(header.correlationId)
  writer.nullableString(header.clientId)
  if (requestHeaderVersion(api, header.apiVersion) === 2) writer.uvarint(0)
}

/** Reads the header of a response, gives its correlation id and leaves the reader at the body. */
export function decodeResponseHeader(reader: Reader, api: Api, apiVersion: number): number {
  const correlationId = reader.int32()
  if (responseHeaderVersion(api, apiVersion) === 1) reader.skipTags()
  return correlationId
}

export function encodeResponseHeader(writer: Writer, api: Api, apiVersion: number, correlationId: number): void {
  writer.int32(correlationId)
  if (responseHeaderVersion(api, apiVersion) === 1) writer.uvarint(0)
}
