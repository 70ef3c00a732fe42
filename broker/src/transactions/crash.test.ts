import { apis, errorName } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import type { Disk } from '../log/disk.ts'
import { MemoryDisk } from '../log/memory-disk.ts'
import { committedRecords } from '../testing/committed-records.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { SeededRandom } from '../testing/simulation/seeded-random.ts'
import { DONE, SimulatedDisk } from '../testing/simulation/simulated-disk.ts'
import { startTestBroker, type TestBroker } from '../testing/test-broker.ts'
import { TransactionalProducer } from '../testing/transactional-producer.ts'
import type { WireClient } from '../testing/wire-client.ts'

// Producers of both generations run transactions over records and offsets while the disk dies at one change of those that
// it makes, the last of which may be done by half. What is left on it starts again, and is looked at.

const TOPIC = 't'
const PARTITIONS = [0, 1]
const settings = {
  'transaction.state.log.num.partitions': '2',
  'offsets.topic.num.partitions': '2',
  'group.initial.rebalance.delay.ms': '0',
}

type Outcome = 'committed' | 'aborted' | 'unknown'

interface Attempt {
  readonly transactionalId: string
  readonly index: number
  readonly outcome: Outcome
}

const valueOf = ({ transactionalId, index }: Pick<Attempt, 'transactionalId' | 'index'>, partition: number): string =>
  `${transactionalId}/${index}@${partition}`
const groupOf = (transactionalId: string): string => `group-of-${transactionalId}`

/** A third of the transactions is aborted, and the first of each producer never is. */
const isCommitted = (index: number): boolean => index % 3 !== 1

async function runTransaction(producer: TransactionalProducer, index: number): Promise<boolean> {
  const { transactionalId } = producer
  for (const partition of PARTITIONS)
    await producer.write(TOPIC, partition, valueOf({ transactionalId, index }, partition))
  await producer.commitOffset(groupOf(transactionalId), TOPIC, 0, index + 1)
  await producer.end(isCommitted(index))
  return isCommitted(index)
}

/** Runs transactions until there are enough or the disk is dead; what is answered after that, nobody got to hear. */
async function runProducer(
  test: TestBroker,
  isDead: () => boolean,
  producer: { readonly transactionalId: string; readonly generation: 1 | 2 },
  range: { readonly from: number; readonly count: number },
): Promise<Attempt[]> {
  const { transactionalId, generation } = producer
  const attempts: Attempt[] = []
  const client = test.connect()
  const own = new TransactionalProducer(client, transactionalId, generation)
  let index = range.from
  try {
    await own.begin()
    for (; index < range.from + range.count; index++) {
      const wasCommitted = await runTransaction(own, index)
      if (isDead()) break
      attempts.push({ transactionalId, index, outcome: wasCommitted ? 'committed' : 'aborted' })
    }
  } catch (error) {
    // Refused, or the broker is gone.
    if (!isDead()) throw error
  }
  if (isDead()) attempts.push({ transactionalId, index, outcome: 'unknown' })
  return attempts
}

const PRODUCERS = [
  { transactionalId: 'of-before', generation: 1 },
  { transactionalId: 'of-kip-890', generation: 2 },
] as const

function start(disk: Disk, clock: ManualClock, acksAfter: 'write' | 'fsync' = 'write'): Promise<TestBroker> {
  return startTestBroker({ disk, clock, settings: { ...settings, 'acks.after': acksAfter } })
}

/** A broker with the topics that there are before anything may die. */
async function prepared(): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  await prepare(disk)
  return disk
}

async function prepare(disk: Disk): Promise<void> {
  const test = await start(disk, new ManualClock())
  await test.broker.createTopic(TOPIC, { partitions: PARTITIONS.length, configs: { 'retention.ms': '-1' } })
  const client = test.connect()
  await client.request(apis.findCoordinator, 4, { keyType: 1, coordinatorKeys: ['any'] })
  await test.broker.close()
}

/** Runs the producers over what is on the disk, which dies after so many changes; the disk as it is left. */
async function crash(
  left: MemoryDisk,
  changes: number,
  range: { readonly from: number; readonly count: number },
): Promise<{ readonly left: MemoryDisk; readonly attempts: readonly Attempt[]; readonly isDead: boolean }> {
  const memory = left.copy()
  const disk = new FaultyDisk(memory)
  const clock = new ManualClock()
  disk.dieAfter(changes)
  let test: TestBroker
  try {
    test = await start(disk, clock)
  } catch (error) {
    // It died while it was starting; before anything was written that a client was told of.
    if (disk.changesLeft >= 0) throw error
    return { left: memory, attempts: [], isDead: true }
  }
  const isGone = (): boolean => disk.changesLeft < 0
  const attempts = await Promise.all(PRODUCERS.map((producer) => runProducer(test, isGone, producer, range)))
  const isDead = isGone()
  const after = memory.copy()
  await test.broker.close().catch(() => undefined)
  return { left: after, attempts: attempts.flat(), isDead }
}

/** The offset that each producer's group has, by transactional id. */
async function committedOffsets(client: WireClient): Promise<Map<string, number>> {
  const offsets = new Map<string, number>()
  for (const { transactionalId } of PRODUCERS) {
    const groupId = groupOf(transactionalId)
    await client.request(apis.findCoordinator, 4, { keyType: 0, coordinatorKeys: [groupId] })
    const { groups } = await client.request(apis.offsetFetch, 8, {
      groups: [{ groupId, topics: [{ name: TOPIC, partitionIndexes: [0] }] }],
      requireStable: true,
    })
    const { errorCode, committedOffset } = groups[0]!.topics[0]!.partitions[0]!
    expect(errorName(errorCode)).toBe('NONE')
    offsets.set(transactionalId, committedOffset)
  }
  return offsets
}

/** Starts what a crash left, and sees that every transaction is there as a whole or not at all, and that none hangs. */
async function check(left: Disk, attempts: readonly Attempt[]): Promise<void> {
  const clock = new ManualClock()
  const test = await start(left, clock)
  const client = test.connect()
  await client.request(apis.findCoordinator, 4, { keyType: 1, coordinatorKeys: ['any'] })
  // What was open is aborted when its time is up, if nobody comes for it.
  clock.advance(5 * 60_000)
  const views = await Promise.all(PARTITIONS.map((partition) => committedRecords(client, TOPIC, partition)))
  for (const { lastStableOffset, highWatermark } of views) expect(lastStableOffset).toBe(highWatermark)

  const offsets = await committedOffsets(client)
  for (const { transactionalId } of PRODUCERS) {
    const own = attempts.filter((attempt) => attempt.transactionalId === transactionalId)
    const seen = PARTITIONS.map((partition) =>
      views[partition]!.values.filter((value) => value.startsWith(`${transactionalId}/`)),
    )
    const isThere = (attempt: Attempt, partition: number): boolean =>
      seen[partition]!.includes(valueOf(attempt, partition))
    const committed = own.filter((attempt) => isThere(attempt, 0))
    for (const attempt of own) {
      const isExpected = attempt.outcome === 'unknown' ? isThere(attempt, 0) : attempt.outcome === 'committed'
      expect([attempt, isThere(attempt, 0)]).toEqual([attempt, isExpected])
      // Whatever became of it, it became of all its parts.
      expect([attempt, isThere(attempt, 1)]).toEqual([attempt, isThere(attempt, 0)])
    }
    // Once each, in order, and nothing that no transaction wrote.
    for (const partition of PARTITIONS) {
      expect(seen[partition]).toEqual(committed.map((attempt) => valueOf(attempt, partition)))
    }
    expect([transactionalId, offsets.get(transactionalId)]).toEqual([
      transactionalId,
      committed.length === 0 ? -1 : committed.at(-1)!.index + 1,
    ])
  }

  // Nothing is left that keeps a producer from going on.
  const again = await Promise.all(
    PRODUCERS.map(async (producer) => {
      const successor = new TransactionalProducer(test.connect(), producer.transactionalId, producer.generation)
      await successor.begin()
      await successor.write(TOPIC, 0, `${producer.transactionalId} goes on`)
      await successor.end(true)
      return `${producer.transactionalId} goes on`
    }),
  )
  const { values, lastStableOffset, highWatermark } = await committedRecords(client, TOPIC, 0)
  expect(values.slice(-2).sort()).toEqual(again.sort())
  expect(lastStableOffset).toBe(highWatermark)
  await test.broker.close()
}

describe('a crash in a transaction', () => {
  it('leaves it committed as a whole or not at all, wherever it comes', { timeout: 120_000 }, async () => {
    const before = await prepared()
    for (let changes = 0; ; changes++) {
      const { left, attempts, isDead } = await crash(before, changes, { from: 0, count: 2 })
      await check(left.copy(), attempts)
      if (isDead) continue
      expect(attempts.map(({ outcome }) => outcome)).not.toContain('unknown')
      expect(changes).toBeGreaterThan(30)
      break
    }
  })

  it('and another one while the broker starts again leave the same', { timeout: 120_000 }, async () => {
    const before = await prepared()
    let crashes = 0
    for (let changes = 20; changes < 90; changes += 14) {
      const first = await crash(before, changes, { from: 0, count: 3 })
      for (let again = 0; again < 40; again += 4) {
        const second = await crash(first.left, again, { from: 10, count: 2 })
        await check(second.left.copy(), [...first.attempts, ...second.attempts])
        if (second.isDead) crashes += 1
      }
    }
    expect(crashes).toBeGreaterThan(30)
  })

  it(
    'with the power leaves the same under acks.after=fsync, whatever the disk has of what was not synced',
    { timeout: 120_000 },
    async () => {
      let crashes = 0
      for (let seed = 1; seed <= 40; seed++) {
        const random = new SeededRandom(seed)
        let changesLeft = Infinity
        let isCut = false
        const disk = new SimulatedDisk({
          random,
          decide: ({ operation }) => {
            if (operation !== 'read') changesLeft -= 1
            if (changesLeft >= 0) return DONE
            isCut = true
            return { kind: 'crash', share: random.fraction() }
          },
        })
        disk.prepare('/data')
        await prepare(disk.mount())
        const test = await start(disk.mount(), new ManualClock(), 'fsync')
        changesLeft = random.below(130)
        const attempts = await Promise.all(
          PRODUCERS.map((producer) => runProducer(test, () => isCut, producer, { from: 0, count: 3 })),
        )
        if (isCut) crashes += 1
        disk.powerCut()
        await test.broker.close().catch(() => undefined)
        changesLeft = Infinity
        await check(disk.mount(), attempts.flat())
      }
      expect(crashes).toBeGreaterThan(25)
    },
  )
})
