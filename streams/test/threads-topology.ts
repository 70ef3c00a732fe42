// A module whose topology runs in threads: it says with each count which thread it came from.
import { threadId } from 'node:worker_threads'
import { json, string, topic, topology, type Serde } from '@millrace/streams'

const raw: Serde<{ last: Buffer }> = {
  name: 'raw',
  serialize: ({ last }) => last,
  deserialize: (last) => ({ last: Buffer.from(last) }),
}
const functions: Serde<() => string> = {
  name: 'functions',
  serialize: (value) => Buffer.from(value()),
  deserialize: (bytes) => {
    const text = bytes.toString()
    return () => text
  },
}
const name = process.env['THREADS_TEST_NAME'] ?? 'threads'
export const threads = topology(name)
const byKey = threads
  .stream(topic(`${name}-in`, { key: string(), value: string() }))
  .peek((_, value) => {
    if (value === 'bad') throw new Error('a value that is not liked')
    if (value === 'exit') process.exit(3)
  })
  .groupByKey()
byKey.aggregate({
  name: 'buffers',
  serde: raw,
  init: () => ({ last: Buffer.of() }),
  add: (_, value) => ({ last: Buffer.from(value) }),
})
byKey.aggregate({
  name: 'functions',
  serde: functions,
  init: () => (): string => '',
  add: (_, value) => () => value,
})
byKey
  .count({ name: 'by-key' })
  .toStream()
  .mapValues((count) => ({ count, threadId }))
  .to(topic(`${name}-out`, { key: string(), value: json<{ count: number | null; threadId: number }>() }))
