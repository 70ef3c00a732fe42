// A module whose topology runs in threads: it says with each count which thread it came from.
import { threadId } from 'node:worker_threads'
import { json, string, topic, topology } from '@millrace/streams'

const name = process.env['THREADS_TEST_NAME'] ?? 'threads'
export const threads = topology(name)
threads
  .stream(topic(`${name}-in`, { key: string(), value: string() }))
  .peek((_, value) => {
    if (value === 'bad') throw new Error('a value that is not liked')
    if (value === 'exit') process.exit(3)
  })
  .groupByKey()
  .count({ name: 'by-key' })
  .toStream()
  .mapValues((count) => ({ count, threadId }))
  .to(topic(`${name}-out`, { key: string(), value: json<{ count: number | null; threadId: number }>() }))
