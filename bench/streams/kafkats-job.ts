// The queries that @kafkats/flow can run over the same input, with its own defaults: state in memory.
import { flow, string, TimeWindows, type Codec, type KStream } from '@kafkats/flow'
import { commitIntervalMs, jobOptions, Progress } from './progress.ts'
import { inputTopic, type Input } from './queries.ts'

const options = jobOptions()
const progress = new Progress(options.counted)
const text = { key: string(), value: string() }
/** As the other engines write counts. */
const int64: Codec<number> = {
  encode(value) {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64BE(BigInt(value))
    return bytes
  },
  decode: (bytes) => Number(bytes.readBigInt64BE()),
}
const app = flow({
  applicationId: options.application,
  client: { clientId: options.application, brokers: [options.bootstrap] },
  commitIntervalMs: commitIntervalMs['at-least-once'],
  stateDir: options.stateDir,
  consumer: { autoOffsetReset: 'earliest' },
  changelog: { replicationFactor: 1 },
})
const source = (input: Input): KStream<string, string> =>
  app.stream<string, string>(inputTopic(input, options.records), text).peek(progress.seen)
const out = options.outTopic

switch (options.query) {
  case 'map':
    source('events')
      .filter((_key, value) => value![0] !== 'z')
      .mapValues((value) => value!.toUpperCase())
      .to(out, text)
    break
  case 'count':
    source('events')
      .groupByKey(text)
      .count({ storeName: 'counts', ...text, value: int64 })
      .toStream()
      .to(out, { key: string(), value: int64 })
    break
  case 'windowed':
    source('events')
      .groupByKey(text)
      .windowedBy(TimeWindows.of('10s'))
      .count({ storeName: 'windows', value: int64 })
      .toStream()
      .selectKey((_count, window) => `${window!.key}@${window!.window.start}`)
      .to(out, { key: string(), value: int64 })
    break
  case 'q0':
    source('bids').to(out, text)
    break
  case 'q1':
    source('bids')
      .mapValues((bid) => {
        const [auction, bidder, price] = bid!.split(',')
        return `${auction},${bidder},${Math.round(Number(price) * 0.908)}`
      })
      .to(out, text)
    break
  case 'q2':
    source('bids')
      .filter((_key, bid) => Number(bid!.slice(0, bid!.indexOf(','))) % 123 === 0)
      .to(out, text)
    break
  default:
    throw new Error(`@kafkats/flow is not measured with ${options.query}`)
}

await app.start()
await progress.drained(options.drainMs)
await app.close()
console.log(JSON.stringify(progress.measured()))
process.exit(0)
