import { describe, expect, it } from 'vitest'
import { apis } from './apis/index.ts'
import { decodeMessage, encodeMessage } from './codec.ts'
import {
  decodeRequestHeader,
  decodeResponseHeader,
  encodeRequestHeader,
  encodeResponseHeader,
  requestHeader,
  requestHeaderVersion,
  responseHeader,
  responseHeaderVersion,
} from './headers.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

describe('the request header', () => {
  it('is version 2 exactly where the body is flexible', () => {
    expect(requestHeaderVersion(apis.produce, 8)).toBe(1)
    expect(requestHeaderVersion(apis.produce, 9)).toBe(2)
    expect(requestHeaderVersion(apis.offsetDelete, 0)).toBe(1)
    expect(requestHeaderVersion(apis.describeCluster, 0)).toBe(2)
  })

  it.each([
    [apis.produce, 8, null],
    [apis.produce, 9, 'client'],
    [apis.apiVersions, 3, 'ä'],
  ] as const)('is written and read as its table says', (api, apiVersion, clientId) => {
    const writer = new Writer()
    encodeRequestHeader(writer, api, { apiVersion, correlationId: 77, clientId })
    const version = requestHeaderVersion(api, apiVersion)
    const table = { requestApiKey: api.key, requestApiVersion: apiVersion, correlationId: 77, clientId }
    expect(writer.take().equals(encodeMessage(requestHeader, version, table))).toBe(true)
    expect(decodeMessage(requestHeader, version, writer.take())).toEqual(table)

    const reader = new Reader(writer.take())
    expect(decodeRequestHeader(reader)).toEqual({ apiKey: api.key, apiVersion, correlationId: 77, clientId })
    expect(reader.remaining).toBe(0)
  })

  it('of an unknown API gives what can be known', () => {
    const bytes = Buffer.from('7fff 0003 00000001 0001 63 00'.replaceAll(' ', ''), 'hex')
    expect(decodeRequestHeader(new Reader(bytes))).toEqual({
      apiKey: 0x7fff,
      apiVersion: 3,
      correlationId: 1,
      clientId: 'c',
    })
  })

  it('of a version that does not exist yet is read as a flexible one', () => {
    const bytes = Buffer.from('0012 0063 00000001 ffff 00'.replaceAll(' ', ''), 'hex')
    const reader = new Reader(bytes)
    expect(decodeRequestHeader(reader)).toMatchObject({ apiKey: 18, apiVersion: 99 })
    expect(reader.remaining).toBe(0)
  })
})

describe('the response header', () => {
  it('is version 1 where the body is flexible, and never for ApiVersions', () => {
    expect(responseHeaderVersion(apis.fetch, 11)).toBe(0)
    expect(responseHeaderVersion(apis.fetch, 12)).toBe(1)
    expect(responseHeaderVersion(apis.apiVersions, 2)).toBe(0)
    expect(responseHeaderVersion(apis.apiVersions, 5)).toBe(0)
  })

  it.each([
    [apis.fetch, 11],
    [apis.fetch, 12],
    [apis.apiVersions, 3],
  ] as const)('is written and read as its table says', (api, apiVersion) => {
    const writer = new Writer()
    encodeResponseHeader(writer, api, apiVersion, 77)
    const version = responseHeaderVersion(api, apiVersion)
    expect(writer.take().equals(encodeMessage(responseHeader, version, { correlationId: 77 }))).toBe(true)
    const reader = new Reader(writer.take())
    expect(decodeResponseHeader(reader, api, apiVersion)).toBe(77)
    expect(reader.remaining).toBe(0)
  })
})
