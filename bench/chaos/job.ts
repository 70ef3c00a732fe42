// One worker of the chaos run, as a process that its parent kills: bootstrap, name, state directory.
import { run } from '@millrace/streams'
import { buildTopology } from './topology.ts'

const [bootstrap, name, stateDir] = process.argv.slice(2) as [string, string, string]
const app = await run(buildTopology(name), {
  brokers: [bootstrap],
  stateDir,
  guarantee: 'exactly-once',
  // So that the group soon finds out about a killed process, and the broker about its transaction.
  sessionTimeout: '6s',
  heartbeatInterval: '500ms',
  transactionTimeout: '10s',
  logger: { info: () => {}, warn: (message) => console.error(message) },
})
let told = 0
const telling = setInterval(() => {
  const { rebalanceCount } = app.metrics()
  if (rebalanceCount === told) return
  process.send?.({ rebalances: rebalanceCount - told })
  told = rebalanceCount
}, 200)
const stop = (): void => void app.close()
process.once('SIGTERM', stop)
process.once('disconnect', stop)
await app.closed
clearInterval(telling)
if (process.connected) process.disconnect()
if (app.failure !== null) throw app.failure
