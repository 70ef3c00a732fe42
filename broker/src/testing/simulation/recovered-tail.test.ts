import { apis, ErrorCode } from '@millrace/protocol'
import { expect, it } from 'vitest'
import { aBatch, startTestBroker, topicIdOf } from '../test-broker.ts'
import { ManualClock } from '../manual-clock.ts'
import type { WireClient } from '../wire-client.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimulatedDisk } from './simulated-disk.ts'

// Found by a seed: a broker was killed while a record was in the system's memory alone. The next start read it back and
// showed it at once, then the power went before the sync, and a consumer had read what no longer was.
it('shows nothing that a crash left until the disk has it', async () => {
  const clock = new ManualClock()
  const settings = { 'acks.after': 'fsync', listeners: 'PLAINTEXT://127.0.0.1:9092' }
  const disk = new SimulatedDisk({
    random: new SeededRandom(1),
    clock,
    syncMs: (path) => (path.endsWith('.log') ? 1000 : 1),
  })
  disk.prepare('/data')
  const first = await runs(() => startTestBroker({ disk: disk.mount(), clock, settings }), clock)
  await runs(() => first.broker.createTopic('t'), clock)
  const topicId = await runs(() => topicIdOf(first.connect(), 't'), clock)
  // Never acknowledged, as no time passes.
  void produce(first.connect(), topicId)
  await turns()
  disk.kill()

  const second = startTestBroker({ disk: disk.mount(), clock, settings })
  const { connect } = await runs(() => second, clock)
  const seen = await runs(() => listEnd(connect()), clock, 0)
  disk.powerCut('nothing')

  const third = await runs(() => startTestBroker({ disk: disk.mount(), clock, settings }), clock)
  expect(seen).toBe(1)
  expect(await runs(() => listEnd(third.connect()), clock)).toBe(seen)
})

async function produce(client: WireClient, topicId: string): Promise<unknown> {
  const topicData = [{ topicId, partitionData: [{ index: 0, records: aBatch(1) }] }]
  return client.request(apis.produce, 13, { acks: -1, timeoutMs: 1000, topicData })
}

async function listEnd(client: WireClient): Promise<number> {
  const partitions = [{ partitionIndex: 0, timestamp: -1 }]
  const answer = await client.request(apis.listOffsets, 5, { replicaId: -1, topics: [{ name: 't', partitions }] })
  const { errorCode, offset } = answer.topics[0]!.partitions[0]!
  expect(errorCode).toBe(ErrorCode.none)
  return offset
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

/** Resolves as the work does, for which time passes. */
async function runs<T>(work: () => Promise<T>, clock: ManualClock, stepMs = 1): Promise<T> {
  let isDone = false
  const done = work().finally(() => (isDone = true))
  done.catch(() => {})
  for (let round = 0; !isDone; round++) {
    if (round > 20_000) throw new Error('what is waited for does not happen')
    await turns()
    if (!isDone) clock.advance(stepMs)
  }
  return done
}
