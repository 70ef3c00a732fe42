// What the hot path leaves for the garbage collector: nothing for a record, and little for a request.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { apis, buildBatch, codec, Reader } from '@millrace/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silentLogger } from './base/logger.ts'
import { Broker } from './broker.ts'
import { BrokerConfig, developmentDefaults } from './config/broker-config.ts'
import type { FileSlice } from './log/file-slice.ts'
import type { Network, Receiver, Socket } from './network/network.ts'
import { SEND_BUFFER_BYTES } from './network/send-buffers.ts'
import { RealDisk } from './platform/real-disk.ts'
import { systemRandom } from './platform/system-random.ts'
import { ManualClock } from './testing/manual-clock.ts'
import { requestFrame } from './testing/wire-client.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Enough for V8 to compile everything, and few enough that no garbage is collected while it is counted. */
const WARM_UP_REQUESTS = 2000
const COUNTED_REQUESTS = 200
const FETCHED_BYTES_MAX = 300_000
/** It is a lot of requests for a machine that is busy otherwise. */
const TIMEOUT_MS = 60_000
/** Objects of a request: its reader, its context, the answer's bytes, what the socket is handed. */
const REQUEST_BYTES_MAX = 4096
const PIECE_BYTES_MAX = 512
/** Two series of the same work differ by so much, whatever it is. */
const NOISE_BYTES = 256

/** A peer that takes everything and remembers how much; made for counting, it allocates nothing itself. */
class Peer implements Socket, Network {
  readonly remoteHost = '127.0.0.1'
  readonly localHost = '127.0.0.1'
  readonly localPort = 9092
  readonly queuedBytes = 0
  receivedBytes = 0
  sentFromFiles = true
  /** The first buffer of the last answer, while `keepsAnswers`. */
  answer: Uint8Array | null = null
  keepsAnswers = true
  #receiver: Receiver | null = null

  listen(address: { readonly host: string; readonly port: number }, accept: (socket: Socket) => Receiver) {
    this.#receiver = accept(this)
    return Promise.resolve({ host: address.host, port: 9092, close: () => Promise.resolve() })
  }

  write(buffers: readonly Uint8Array[], taken?: () => void): void {
    if (this.keepsAnswers) this.answer = Uint8Array.from(buffers[0]!)
    for (const buffer of buffers) this.receivedBytes += buffer.length
    taken?.()
  }

  sendNow(bytes: Uint8Array): number {
    if (this.keepsAnswers) this.answer = Uint8Array.from(bytes)
    this.receivedBytes += bytes.length
    return bytes.length
  }

  sendStored(head: Uint8Array, slice: FileSlice): number {
    if (!this.sentFromFiles) return 0
    this.receivedBytes += head.length + slice.length
    return head.length + slice.length
  }

  request(frame: Buffer): void {
    for (let at = 0; at < frame.length;) {
      const region = this.#receiver!.region() as Buffer
      const count = frame.copy(region, 0, at)
      at += count
      this.#receiver!.received(count)
    }
  }

  pause(): void {}
  resume(): void {}
  destroy(): void {
    throw new Error('the broker closed the connection')
  }
}

const dataDir = mkdtempSync(join(tmpdir(), 'allocations-'))
const peer = new Peer()
let broker: Broker

function answerOf(frame: Buffer): Buffer {
  peer.request(frame)
  return Buffer.from(peer.answer!)
}

beforeAll(async () => {
  const settings = ['listeners=PLAINTEXT://127.0.0.1:0', 'acks.after=write']
  broker = await Broker.run({
    config: BrokerConfig.from({ defaults: developmentDefaults, sets: settings }),
    dataDir,
    logger: silentLogger,
    clock: new ManualClock(),
    random: systemRandom,
    disk: new RealDisk(),
    network: peer,
  })
})

afterAll(async () => {
  peer.destroy = () => {}
  await broker.close()
  rmSync(dataDir, { recursive: true })
})

function aTopic(name: string): void {
  const topics = [{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }]
  answerOf(requestFrame(apis.createTopics, 7, 1, { topics, timeoutMs: 1000 }))
}

function produceFrame(name: string, recordCount: number): Buffer {
  const nowMs = new ManualClock().nowMs()
  const records = buildBatch({
    records: Array.from({ length: recordCount }, (_, i) => ({ key: null, value: Buffer.alloc(20, i) })),
    nowMs,
  })
  const topicData = [{ name, partitionData: [{ index: 0, records }] }]
  return requestFrame(apis.produce, 9, 1, { transactionalId: null, acks: -1, timeoutMs: 0, topicData })
}

function fetchFrame(topic: string): Buffer {
  return requestFrame(apis.fetch, 12, 1, {
    maxWaitMs: 0,
    minBytes: 0,
    topics: [{ topic, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: FETCHED_BYTES_MAX }] }],
    forgottenTopicsData: [],
  })
}

/** Bytes on the heap, and bytes of buffers, that one request leaves behind. */
function bytesPerRequest(frame: Buffer): { heap: number; buffers: number } {
  peer.keepsAnswers = false
  for (let i = 0; i < WARM_UP_REQUESTS; i++) peer.request(frame)
  let least = { heap: Infinity, buffers: Infinity }
  // What V8 does beside, compiling and the like, only adds.
  for (let series = 0; series < 5; series++) {
    collectGarbage()
    const before = process.memoryUsage()
    for (let i = 0; i < COUNTED_REQUESTS; i++) peer.request(frame)
    const after = process.memoryUsage()
    least = {
      heap: Math.min(least.heap, (after.heapUsed - before.heapUsed) / COUNTED_REQUESTS),
      buffers: Math.min(least.buffers, (after.arrayBuffers - before.arrayBuffers) / COUNTED_REQUESTS),
    }
  }
  peer.keepsAnswers = true
  return least
}

describe('the hot path', () => {
  it(
    'allocates nothing for a record that is produced, and little for a request',
    () => {
      aTopic('produced')
      const few = bytesPerRequest(produceFrame('produced', 10))
      const many = bytesPerRequest(produceFrame('produced', 1000))
      expect(few.heap).toBeGreaterThan(0)
      expect(few.heap).toBeLessThan(REQUEST_BYTES_MAX)
      expect(many.heap).toBeLessThan(few.heap + NOISE_BYTES)
      expect(many.buffers).toBeLessThan(REQUEST_BYTES_MAX)
      // They were accepted.
      const reader = new Reader(answerOf(produceFrame('produced', 1)), 8)
      reader.skipTags()
      const { responses } = codec(apis.produce.response, 9).decode(reader)
      const { errorCode, baseOffset } = responses[0]!.partitionResponses[0]!
      expect([errorCode, baseOffset]).toEqual([0, 1010 * (WARM_UP_REQUESTS + 5 * COUNTED_REQUESTS)])
    },
    TIMEOUT_MS,
  )

  it.each([
    ['from its file to the socket', true],
    ['through buffers that are used again', false],
  ])(
    'allocates nothing for a record that is fetched, and little for a request: %s',
    (_, sentFromFiles) => {
      peer.sentFromFiles = sentFromFiles
      const bytes = [10, 1000].map((recordCount) => {
        const topic = `fetched-${recordCount}-${sentFromFiles}`
        aTopic(topic)
        for (let i = 0; i < 100; i++) peer.request(produceFrame(topic, recordCount))
        const frame = fetchFrame(topic)
        peer.receivedBytes = 0
        peer.request(frame)
        return { ...bytesPerRequest(frame), answer: peer.receivedBytes }
      })
      const [few, many] = bytes
      expect(many!.answer).toBeGreaterThan(few!.answer)
      expect(many!.heap).toBeLessThan(2 * REQUEST_BYTES_MAX)
      // A piece of an answer that is read is an object or two.
      const pieces = sentFromFiles ? 0 : Math.ceil(FETCHED_BYTES_MAX / SEND_BUFFER_BYTES)
      expect(many!.heap).toBeLessThan(few!.heap + NOISE_BYTES + pieces * PIECE_BYTES_MAX)
      expect(many!.buffers).toBeLessThan(REQUEST_BYTES_MAX)
    },
    TIMEOUT_MS,
  )
})
