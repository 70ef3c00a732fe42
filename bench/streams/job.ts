// One query as a process of its own, as KafkaStreamsJob.java is: query, bootstrap, prefix, records, state directory,
// application.
import { readFileSync } from 'node:fs'
import { run } from '@millrace/streams'
import { build, type Query } from './queries.ts'

const [query, bootstrap, prefix, records, stateDir, application] = process.argv.slice(2) as [
  Query,
  string,
  string,
  string,
  string,
  string,
]
const wanted = Number(records)
let seen = 0
let firstMs = 0
let finished: () => void = () => {}
const done = new Promise<void>((resolve) => {
  finished = resolve
})

const job = build(query, { prefix, application }, () => {
  if (seen === 0) firstMs = performance.now()
  seen += 1
  if (seen === wanted) finished()
})
const app = await run(job, { brokers: [bootstrap], stateDir })
await done
const seconds = (performance.now() - firstMs) / 1000
const peakMegabytes = Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024)
console.log(JSON.stringify({ records: seen, seconds, peakMegabytes }))
await app.close()
