// One query by @millrace/streams as a process of its own, as KafkaStreamsJob.java is by Kafka Streams.
import { run } from '@millrace/streams'
import { commitIntervalMs, jobOptions, Progress } from './progress.ts'
import { build, type Query } from './queries.ts'

const options = jobOptions()
const progress = new Progress(options.counted)
const job = build(options.query as Query, options, progress)
const { bootstrap, stateDir, guarantee } = options
const commitInterval = commitIntervalMs[guarantee]
const app = await run(job, { brokers: [bootstrap], stateDir, guarantee, commitInterval })
await progress.drained(options.drainMs)
await app.close()
console.log(JSON.stringify(progress.measured()))
