// An application that keeps balances in a database, run as a process of its own and killed where the test says:
// node sink-process.ts <broker> <application> <input> <database> <where> <at which write>
import { DatabaseSync } from 'node:sqlite'
import { idempotentSink, int64, retry, run, string, topic, topology } from '../../src/index.ts'

const [broker, name, input, file, where, nth] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
]

const database = new DatabaseSync(file)
database.exec('PRAGMA busy_timeout = 5000')
const note = database.prepare('INSERT OR IGNORE INTO inbox VALUES (?, ?, ?, ?)')
const add = database.prepare(
  'INSERT INTO balances VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET cents = cents + excluded.cents',
)

let writes = 0
function dieAt(place: string): void {
  if (place === where && writes >= Number(nth)) process.kill(process.pid, 'SIGKILL')
}

const app = topology(name)
app.stream(topic(input, { key: string(), value: int64() })).sink(
  idempotentSink({
    name: 'balances',
    batch: { max: 7, linger: '5ms' },
    onError: retry({ attempts: 5, backoff: '10ms' }),
    write: async (rows, { attempt }) => {
      writes++
      dieAt('before the transaction')
      database.exec('BEGIN IMMEDIATE')
      try {
        for (const { topic: from, partition, offset, index, key, value } of rows) {
          const isNew = note.run(from, partition, offset, index).changes === 1
          if (isNew) add.run(key, value)
        }
        dieAt('in the transaction')
        // Fails now and then after all work was done, as a database may.
        if (attempt === 1 && writes % 5 === 0) throw new Error('the database has a bad day')
        database.exec('COMMIT')
      } catch (error) {
        database.exec('ROLLBACK')
        throw error
      }
      dieAt('after the transaction')
      await new Promise<void>((resolve) => setImmediate(resolve))
      // And sometimes nobody hears that it has worked.
      if (attempt === 1 && writes % 7 === 0) throw new Error('the connection is gone')
      setImmediate(() => dieAt('before the offsets are committed'))
    },
  }),
)

await using running = await run(app, {
  brokers: [broker],
  commitInterval: 20,
  heartbeatInterval: 50,
  sessionTimeout: '1s',
})
if (where === 'after a commit') {
  while (writes < Number(nth)) await new Promise<void>((resolve) => setTimeout(resolve, 1))
  await running.commit()
  dieAt(where)
}
process.once('SIGTERM', () => void running.close())
await running.closed
if (running.failure !== null) throw running.failure
