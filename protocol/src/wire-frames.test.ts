import { describe, expect, it } from 'vitest'
import { readWireFrames, type WireFrame } from '../test/wire-frames.ts'
import { apiByKey, apis } from './apis/index.ts'
import { codec, type Codec } from './codec.ts'
import { ErrorCode } from './error-codes.ts'
import { decodeRequestHeader, decodeResponseHeader, encodeRequestHeader, encodeResponseHeader } from './headers.ts'
import { interpret } from './interpret.ts'
import { Reader } from './reader.ts'
import type { Api } from './schema.ts'
import { Writer } from './writer.ts'

// Requests with bytes behind the message, which a broker must tolerate. The frame is the message and this much more.
const TRAILING_BYTES = new Map([
  ['Metadata request 13 of librdkafka for all topics', 3],
  ['AlterUserScramCredentials request 0 of librdkafka', 1],
])

// A floor, so that a file cut short or a table lost is noticed; more tables make more frames comparable.
const LEAST_IDENTICAL_FRAMES = 1850

interface Reencoded {
  readonly bytes: Buffer
  readonly trailingBytes: number
}

function reencode(frame: WireFrame, api: Api, make: typeof codec | typeof interpret): Reencoded {
  const reader = new Reader(frame.bytes)
  const writer = new Writer(64)
  if (frame.direction === 'request') {
    encodeRequestHeader(writer, api, decodeRequestHeader(reader))
  } else {
    encodeResponseHeader(writer, api, frame.apiVersion, decodeResponseHeader(reader, api, frame.apiVersion))
  }
  const body = make(frame.direction === 'request' ? api.request : api.response, bodyVersion(frame, reader))
  const message = (body as Codec<object>).decode(reader)
  ;(body as Codec<object>).encode(writer, message)
  return { bytes: writer.take(), trailingBytes: reader.remaining }
}

/** The answer to a version of ApiVersions that the broker does not know is in version 0. */
function bodyVersion(frame: WireFrame, reader: Reader): number {
  const isRefusal =
    frame.direction === 'response' &&
    frame.apiKey === apis.apiVersions.key &&
    frame.bytes.readInt16BE(reader.at) === ErrorCode.unsupportedVersion
  return isRefusal ? 0 : frame.apiVersion
}

function describeException(frame: WireFrame, api: Api): string {
  const what = `${api.name} ${frame.direction} ${frame.apiVersion} of librdkafka`
  return frame.apiKey === apis.metadata.key ? `${what} for all topics` : what
}

describe('the recorded frames', () => {
  const frames = readWireFrames()
  const implemented = frames.flatMap((frame) => {
    const api = apiByKey(frame.apiKey)
    return api === undefined ? [] : [{ frame, api }]
  })

  it('are all there', () => {
    expect(frames).toHaveLength(2011)
    const kinds = new Set(frames.map(({ direction, apiKey, apiVersion }) => `${direction} ${apiKey} ${apiVersion}`))
    expect(kinds.size).toBe(287)
  })

  it.each([
    ['compiled', codec],
    ['interpreted', interpret],
  ])('come out of the %s codecs byte for byte as they went in', (_name, make) => {
    const exceptions = new Map<string, number>()
    const different: string[] = []
    let identical = 0
    for (const { frame, api } of implemented) {
      const { bytes, trailingBytes } = reencode(frame, api, make as typeof codec)
      if (trailingBytes > 0) exceptions.set(describeException(frame, api), trailingBytes)
      else if (bytes.equals(frame.bytes)) identical++
      else different.push(`${api.name} ${frame.direction} ${frame.apiVersion}: ${frame.bytes.toString('hex')}`)
    }
    expect(different).toEqual([])
    const expected = [...TRAILING_BYTES].filter(([name]) =>
      Object.values(apis).some((api) => name.startsWith(`${api.name} `)),
    )
    expect([...exceptions]).toEqual(expected)
    expect(identical).toBe(implemented.length - expected.length)
    expect(identical).toBeGreaterThanOrEqual(LEAST_IDENTICAL_FRAMES)
  })

  it('show almost every API that has a table', () => {
    const seen = new Set(implemented.map(({ api }) => api.name))
    const unseen = Object.values(apis)
      .map(({ name }) => name)
      .filter((name) => !seen.has(name))
    expect(unseen).toEqual(['OffsetForLeaderEpoch', 'WriteTxnMarkers'])
  })
})
