import { resolve } from 'node:path'
import { answersMetadata } from '../harness/probes.ts'
import { start, until, type RunningProcess } from '../harness/index.ts'

/** A broker over a directory of its own choosing, in a process that may end at any time. */
export async function startBrokerOn(
  dataDir: string,
  port: number,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningProcess> {
  const command = resolve(import.meta.dirname, '..', '..', 'broker', 'bin', 'millrace.js')
  const sets = ['acks.after=fsync', 'offsets.topic.num.partitions=1', 'group.initial.rebalance.delay.ms=0']
  const args = ['-C', 'source', command, 'start', '--port', String(port), '--data', dataDir]
  const broker = start(process.execPath, [...args, ...sets.flatMap((set) => ['--set', set])], { env })
  await until(async () => broker.hasEnded || (await answersMetadata(port)), {
    what: 'answer to a Metadata request, or an end',
    timeoutMs: 60_000,
  })
  return broker
}
