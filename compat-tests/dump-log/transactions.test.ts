import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BrokerUnderTest, startBroker, uniqueName, until } from '../harness/index.ts'
import { javaMissing, ToolShell } from '../java/tool-shell.ts'
import { anAdmin, aProducer, aTopic, kafkaOf } from '../kafkajs/clients.ts'
import { type Dump, dump, recordLines } from './dump.ts'

/** The moment of the first record; those of different steps are in different segments. */
const T0 = 1_700_000_000_000
const STEP_MS = 3_600_000

const settings = { 'transaction.state.log.num.partitions': '2' }
const reason = javaMissing()

describe.skipIf(reason !== null)(`files of transactions${reason === null ? '' : `: ${reason}`}`, () => {
  let shell: ToolShell
  let dataDir: string
  let broker: BrokerUnderTest | undefined
  const topic = uniqueName('transactions')
  const ids = [uniqueName('first'), uniqueName('second')]
  let found: Dump

  beforeAll(async () => {
    shell = await ToolShell.start()
    dataDir = mkdtempSync(join(tmpdir(), 'dump-log-'))
    broker = await startBroker({ dataDir, process: true, settings })
  })
  afterAll(async () => {
    await broker?.stop()
    await shell.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  it('are understood by the dump tool: control records, transaction indexes and producers', async () => {
    const kafka = kafkaOf(broker!)
    await aTopic(kafka, { name: topic, config: { 'segment.ms': '1000', 'retention.ms': '-1' } })
    const [first, second] = await Promise.all(
      ids.map((transactionalId) => aProducer(kafka, { transactionalId, idempotent: true, maxInFlightRequests: 1 })),
    )
    const message = (step: number) => ({
      topic,
      messages: [{ value: `v${step}`, timestamp: String(T0 + step * STEP_MS) }],
    })
    const admin = await anAdmin(kafka)
    // Kafka answers when it is certain that the markers will be written. What is stable is the end that kafkajs shows.
    const isStableTo = (offset: number) =>
      until(async () => Number((await admin.fetchTopicOffsets(topic))[0]!.high) === offset, {
        what: `end of the transactions before ${offset}`,
      })
    const [one, two] = [await first!.transaction(), await second!.transaction()]
    // Offsets 0 and 1; the abort of the first comes in the next segment, while the second is open.
    await one.send(message(0))
    await two.send(message(0))
    await one.send(message(1))
    await one.abort()
    // The next one of the same producer begins behind its marker.
    const three = await first!.transaction()
    await three.send(message(2))
    await two.send(message(2))
    await two.abort()
    await isStableTo(4)
    await three.sendOffsets({
      consumerGroupId: uniqueName('group'),
      topics: [{ topic, partitions: [{ partition: 0, offset: '3' }] }],
    })
    await three.commit()
    await isStableTo(8)
    await broker!.stop()
    found = await dump(shell, dataDir)

    expect(found.complaints).toEqual([])
    const of = (kind: string) => found.files.filter((file) => file.kind === kind && file.partition === `${topic}-0`)
    const producers = of('.snapshot').flatMap(({ lines }) => lines.map((line) => /producerId: (\d+)/.exec(line)?.[1]))
    expect(new Set(producers).size).toBe(2)
    const markers = of('.log').flatMap(({ lines }) => lines.map((line) => /endTxnMarker: (\w+)/.exec(line)?.[1]))
    expect(markers.filter((type) => type !== undefined)).toEqual(['ABORT', 'ABORT', 'COMMIT'])
    const entries = of('.txnindex').flatMap(({ lines }) => lines)
    expect(entries.map((line) => line.replace(/producerId: \d+/, 'producerId: _'))).toEqual([
      'version: 0 producerId: _ firstOffset: 0 lastOffset: 3 lastStableOffset: 1',
      'version: 0 producerId: _ firstOffset: 1 lastOffset: 6 lastStableOffset: 4',
    ])
  })

  it('hold the states of transactional ids, which the transaction log decoder understands', () => {
    const states = [0, 1].flatMap((partition) => recordLines(found, `__transaction_state-${partition}`))
    // 0 Empty, 1 Ongoing, 2 PrepareCommit, 3 PrepareAbort, 4 CompleteCommit, 5 CompleteAbort
    const statusesOf = (id: string) =>
      states
        .filter((line) => line.includes(`key: {"type":"0","data":{"transactionalId":"${id}"}}`))
        .map((line) => Number(/"transactionStatus":(\d+)/.exec(line)?.[1]))
    expect(statusesOf(ids[0]!).slice(0, 7)).toEqual([0, 1, 3, 5, 1, 1, 2])
    expect(statusesOf(ids[1]!)).toEqual([0, 1, 3, 5])
    expect(states.filter((line) => line.includes('"topic":"__consumer_offsets"')).length).toBeGreaterThan(0)
  })
})
