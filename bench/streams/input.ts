import { connect } from 'node:net'
import { apis, buildBatch, codec, Reader, Writer } from '@millrace/protocol'
import type { Input } from './queries.ts'

const RECORDS_PER_BATCH = 500
const IN_FLIGHT = 5
const PRODUCE_VERSION = 9
/** Half of the records of a second of event time are this far apart: 10,000 a second. */
const RECORDS_PER_MS = 10
const START_MS = 1_700_000_000_000

interface InputRecord {
  readonly key: string
  readonly value: string
}

/** The n-th record of an input; the same for every engine and every broker, in every run. */
const recordOf: Readonly<Record<Input, (n: number) => InputRecord>> = {
  events: (n) => ({ key: `k${mix(n) % 100_000}`, value: padded(`v${n}`, 100) }),
  lines: (n) => ({
    key: `k${n % 1000}`,
    value: Array.from({ length: 5 }, (_, w) => `word${mix(n * 5 + w) % 5000}`).join(' '),
  }),
  left: (n) => ({ key: `k${mix(n) % 100_000}`, value: padded(`l${n}`, 50) }),
  right: (n) => ({ key: `k${mix(n + 7) % 100_000}`, value: padded(`r${n}`, 50) }),
  bids: (n) => ({ key: '', value: `${mix(n) % 20_000},${mix(n + 1) % 5000},${mix(n + 2) % 10_000}` }),
  auctions: (n) => ({ key: `${n}`, value: `${mix(n) % 50_000},${n % 20}` }),
  persons: (n) => ({
    key: `${n % 50_000}`,
    value: `city${mix(n) % 100},${['OR', 'ID', 'CA', 'WA', 'NY'][mix(n) % 5]}`,
  }),
}

/** A number that looks random and is the same each time. */
function mix(n: number): number {
  let x = (n + 0x9e3779b9) | 0
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad)
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
  return (x ^ (x >>> 15)) >>> 0
}

function padded(text: string, length: number): string {
  return text.padEnd(length, '.')
}

/** Writes `count` records to partition 0 of the topic, in order of their time; resolves when all are acknowledged. */
export function fill(port: number, topic: string, input: Input, count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let next = 0
    let inFlight = 0
    let received = Buffer.alloc(0)
    const pump = (): void => {
      while (inFlight < IN_FLIGHT && next < count) {
        const end = Math.min(count, next + RECORDS_PER_BATCH)
        socket.write(produceFrame(topic, input, next, end))
        next = end
        inFlight += 1
      }
      if (inFlight === 0) {
        socket.destroy()
        resolve()
      }
    }
    socket.on('error', reject)
    socket.on('connect', pump)
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
        const size = received.readInt32BE(0)
        const reader = new Reader(received, 8, 4 + size)
        reader.skipTags()
        const answer = codec(apis.produce.response, PRODUCE_VERSION).decode(reader)
        const { errorCode } = answer.responses[0]!.partitionResponses[0]!
        if (errorCode !== 0) reject(new Error(`${topic} was not filled: error ${errorCode}`))
        received = received.subarray(4 + size)
        inFlight -= 1
      }
      pump()
    })
  })
}

function produceFrame(topic: string, input: Input, from: number, to: number): Buffer {
  const records = Array.from({ length: to - from }, (_, index) => {
    const { key, value } = recordOf[input](from + index)
    return {
      key: Buffer.from(key),
      value: Buffer.from(value),
      timestampMs: START_MS + Math.floor((from + index) / RECORDS_PER_MS),
    }
  })
  const writer = new Writer(65536)
  writer.int32(0)
  writer.int16(apis.produce.key)
  writer.int16(PRODUCE_VERSION)
  writer.int32(1)
  writer.nullableString('bench')
  writer.uvarint(0)
  codec(apis.produce.request, PRODUCE_VERSION).encode(writer, {
    acks: -1,
    timeoutMs: 30_000,
    topicData: [{ name: topic, partitionData: [{ index: 0, records: buildBatch({ records }) }] }],
  })
  writer.setInt32(0, writer.at - 4)
  return Buffer.from(writer.take())
}
