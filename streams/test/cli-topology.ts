// A module as the command line runs it.
import { int64, string, topic, topology } from '@millrace/streams'

const name = process.env['CLI_TEST_NAME'] ?? 'words'
const app = topology(name)
app
  .stream(topic(`${name}-in`, { key: string(), value: string() }))
  .groupByKey()
  .count({ name: 'by-key' })
  .toStream()
  .to(topic(`${name}-out`, { key: string(), value: int64() }))

export default app
