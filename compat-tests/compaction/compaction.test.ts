import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { CompressionTypes, type Kafka, type Producer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DumpedFile, dumpFiles, logFiles } from '../dump-log/dump.ts'
import { brokerKind, describeBroker, kafkaTool, uniqueName, until } from '../harness/index.ts'
import { javaMissing, ToolShell } from '../java/tool-shell.ts'
import { aConsumer, anAdmin, aProducer, aTopic, kafkaOf } from '../kafkajs/clients.ts'
import { collect } from '../kafkajs/reading.ts'

/** The moment of the first record. It is long past, so that only the settings of a topic decide what is too old. */
const T0 = 1_700_000_000_000
/** Records of different steps lie in different segments: the first of a step finds the segment older than segment.ms. */
const STEP_MS = 3_600_000

const settings = {
  'log.cleaner.backoff.ms': '100',
  'log.retention.check.interval.ms': '200',
  'log.initial.task.delay.ms': '100',
}
const small = { 'segment.ms': '1000', 'file.delete.delay.ms': '500' }
const compacted = { ...small, 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.01' }

const noJava = javaMissing()
const dataDir = mkdtempSync(join(tmpdir(), 'compaction-'))
afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

// Every expectation is what Apache Kafka does with the same input: `KAFKA=real` runs all of it there.
describeBroker('log clean-up', { settings, dataDir, process: true }, (broker) => {
  let kafka: Kafka
  beforeAll(() => {
    kafka = kafkaOf(broker)
  })

  /** One batch of `key=value` texts of one moment; `key` alone is a tombstone. */
  async function send(producer: Producer, topic: string, step: number, texts: string[], gzip = false): Promise<void> {
    await producer.send({
      topic,
      compression: gzip ? CompressionTypes.GZIP : CompressionTypes.None,
      messages: texts.map((text) => {
        const [key, value] = text.split('=')
        return { key: key!, value: value ?? null, timestamp: String(T0 + step * STEP_MS), headers: { of: key! } }
      }),
    })
  }

  /** Four steps, of which the last one stays in the active segment. */
  async function fill(topic: string, beforeTheLast: () => Promise<unknown> = async () => {}): Promise<void> {
    const producer = await aProducer(kafka)
    const idempotent = await aProducer(kafka, { idempotent: true, maxInFlightRequests: 1 })
    await send(producer, topic, 0, ['a=1', 'b=1', 'c=1'])
    await send(producer, topic, 0, ['a=2'])
    await send(producer, topic, 1, ['b=2', 'd=1'], true)
    await send(producer, topic, 1, ['c'])
    // The dump tool looks for a record at the offset that the time index has, so a batch that stays must be the first.
    await send(producer, topic, 2, ['f=1'])
    await send(idempotent, topic, 2, ['e=1'])
    await send(idempotent, topic, 2, ['e=2'])
    await send(producer, topic, 2, ['e=3', 'b=3'], true)
    await beforeTheLast()
    await send(producer, topic, 3, ['a=3', 'z=1'])
    await send(producer, topic, 3, ['a=4'])
  }

  const afterFill = [
    '3@0 a=2',
    '5@1 d=1',
    '6@1 c',
    '7@2 f=1',
    '10@2 e=3',
    '11@2 b=3',
    // What is in the active segment stays, and supersedes nothing yet.
    '12@3 a=3',
    '13@3 z=1',
    '14@3 a=4',
  ]

  /** What a consumer sees from the beginning to the end: `offset@step key=value`. */
  async function seen(topic: string): Promise<string[]> {
    const admin = await anAdmin(kafka)
    const [partition] = await admin.fetchTopicOffsets(topic)
    const consumer = await aConsumer(kafka)
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const messages = await collect(consumer)
    if (partition!.low !== partition!.high) {
      // The end of a compacted log is the offset behind its last record.
      await until(() => messages.some(({ offset }) => Number(offset) === Number(partition!.high) - 1), {
        what: `the record before ${partition!.high} of ${topic}`,
      })
    }
    await consumer.disconnect()
    return messages.map(({ offset, key, value, timestamp, headers }) => {
      expect(headers).toEqual({ of: key })
      return `${offset}@${(Number(timestamp) - T0) / STEP_MS} ${key}${value === null ? '' : `=${value}`}`
    })
  }

  async function untilSeen(topic: string, expected: readonly string[]): Promise<void> {
    let last: readonly string[] = []
    const isSame = async (): Promise<boolean> => {
      last = await seen(topic)
      return last.join() === expected.join()
    }
    await until(isSame, { what: `clean-up of ${topic}`, timeoutMs: 30_000 }).catch(() => {})
    expect(last).toEqual(expected)
  }

  /** Where the log of the topic begins. */
  async function start(topic: string): Promise<number> {
    const admin = await anAdmin(kafka)
    const [partition] = await admin.fetchTopicOffsets(topic)
    return Number(partition!.low)
  }

  describe('of a compacted topic', () => {
    it('keeps the last record of each key, with its offset, time and headers', async () => {
      const topic = await aTopic(kafka, { config: compacted })
      await fill(topic)
      await untilSeen(topic, afterFill)
    })

    it('goes on from where it was, and keeps a tombstone for delete.retention.ms after it was met', async () => {
      const topic = await aTopic(kafka, { config: compacted })
      await fill(topic)
      await untilSeen(topic, afterFill)
      const producer = await aProducer(kafka)
      await send(producer, topic, 4, ['d=2', 'z=2'])
      await send(producer, topic, 5, ['last=1'])
      await untilSeen(topic, [
        '6@1 c',
        '7@2 f=1',
        '10@2 e=3',
        '11@2 b=3',
        '14@3 a=4',
        '15@4 d=2',
        '16@4 z=2',
        '17@5 last=1',
      ])
    })

    it('forgets a tombstone after delete.retention.ms', async () => {
      const topic = await aTopic(kafka, { config: { ...compacted, 'delete.retention.ms': '300' } })
      await fill(topic)
      await untilSeen(topic, afterFill)
      const producer = await aProducer(kafka)
      // A log is compacted again only when there is something new in it.
      let step = 4
      await until(
        async () => {
          await send(producer, topic, step++, ['tick=1'])
          return !(await seen(topic)).some((line) => line.endsWith(' c'))
        },
        { what: 'end of the tombstone' },
      )
      const left = (await seen(topic)).filter((line) => !line.includes('tick'))
      expect(left).toEqual(['5@1 d=1', '7@2 f=1', '10@2 e=3', '11@2 b=3', '13@3 z=1', '14@3 a=4'])
    })

    it('leaves alone what is younger than min.compaction.lag.ms', async () => {
      const lag = String(Date.now() - (T0 + 1.5 * STEP_MS))
      const topic = await aTopic(kafka, { config: { ...compacted, 'min.compaction.lag.ms': lag } })
      await fill(topic)
      await untilSeen(topic, [
        '3@0 a=2',
        '4@1 b=2',
        '5@1 d=1',
        '6@1 c',
        '7@2 f=1',
        '8@2 e=1',
        '9@2 e=2',
        '10@2 e=3',
        '11@2 b=3',
        '12@3 a=3',
        '13@3 z=1',
        '14@3 a=4',
      ])
    })

    it.skipIf(noJava !== null)('shows a Java consumer the same', async () => {
      const topic = await aTopic(kafka, { config: compacted })
      await fill(topic)
      await untilSeen(topic, afterFill)
      const shell = await ToolShell.start()
      try {
        const formatter = ['print.key=true', 'print.offset=true', 'print.timestamp=true']
        const { stdout } = await shell.run(kafkaTool.consoleConsumer, [
          ...['--bootstrap-server', broker.bootstrap, '--topic', topic, '--from-beginning', '--timeout-ms', '20000'],
          ...['--max-messages', String(afterFill.length)],
          ...formatter.flatMap((property) => ['--formatter-property', property]),
        ])
        const lines = stdout.trimEnd().split('\n')
        expect(
          lines.map((line) => {
            const [time, offset, key, value] = line.split('\t')
            const step = (Number(time!.slice('CreateTime:'.length)) - T0) / STEP_MS
            return `${offset!.slice('Offset:'.length)}@${step} ${key}${value === 'null' ? '' : `=${value}`}`
          }),
        ).toEqual(afterFill)
      } finally {
        await shell.stop()
      }
    })

    it.skipIf(noJava !== null)('leaves files that Kafka’s dump tool finds no fault with', async () => {
      const topic = await aTopic(kafka, { config: compacted })
      await fill(topic)
      await untilSeen(topic, afterFill)
      const shell = await ToolShell.start()
      try {
        const files = logFiles(dataDir).filter((path) => dirname(path) === join(dataDir, `${topic}-0`))
        const found = await dumpFiles(shell, files, ['--deep-iteration', '--print-data-log'])
        // The gaps that compaction is there to make.
        expect(found.complaints.filter((line) => !isGap(line))).toEqual([])
        expect(batchesOf(found.files)).toEqual([
          '3-3 count 1 none CreateTime',
          '4-5 count 1 gzip CreateTime',
          '6-6 count 1 none CreateTime horizon',
          '7-7 count 1 none CreateTime',
          '9-9 count 0 none CreateTime producer',
          '10-11 count 2 gzip CreateTime',
          '12-13 count 2 none CreateTime',
          '14-14 count 1 none CreateTime',
        ])
        // A real Kafka has the indexes of the active segment mapped, with zeros behind the entries.
        if (brokerKind !== 'kafka') {
          const indexes = files.filter((path) => /\.(time)?index$/.test(path))
          const checked = await dumpFiles(shell, indexes, ['--index-sanity-check'])
          const lines = checked.files.flatMap((file) => file.lines)
          expect(lines.length).toBeGreaterThan(2)
          expect(lines.filter((line) => !/ (passed sanity check|is empty)\.$/.test(line))).toEqual([])
        }
      } finally {
        await shell.stop()
      }
    })
  })

  describe('of transactions in a compacted topic', () => {
    /** Markers have the time of the machine, so everything else has a time around it. */
    async function fillWithTransactions(topic: string): Promise<void> {
      const admin = await anAdmin(kafka)
      const isStableTo = (offset: number) =>
        until(async () => Number((await admin.fetchTopicOffsets(topic))[0]!.high) === offset, {
          what: `end of the transactions before ${offset}`,
        })
      const options = { idempotent: true, maxInFlightRequests: 1 }
      const [one, two] = await Promise.all(
        ['one', 'two'].map((id) => aProducer(kafka, { ...options, transactionalId: uniqueName(id) })),
      )
      const plain = await aProducer(kafka)
      const transact = async (
        producer: Producer,
        ending: 'commit' | 'abort',
        ...batches: string[][]
      ): Promise<void> => {
        const transaction = await producer.transaction()
        for (const texts of batches) await transaction.send({ topic, messages: messagesOf(texts) })
        await transaction[ending]()
      }
      await transact(one!, 'commit', ['a=1', 'b=1'], ['c=1']) // 0-1, 2, marker 3
      await isStableTo(4)
      await transact(two!, 'abort', ['a=2', 'd=1'], ['b=2']) // 4-5, 6, marker 7
      await isStableTo(8)
      await plain.send({ topic, messages: messagesOf(['e=1', 'c=2']) }) // 8-9
      await transact(one!, 'commit', ['a=3'], ['f=1']) // 10, 11, marker 12
      await isStableTo(13)
      await transact(two!, 'abort', ['f=2']) // 13, marker 14
      await isStableTo(15)
      await plain.send({ topic, messages: messagesOf(['b=3', 'f=3']) }) // 15-16
      await startSegment(plain, topic) // 17
    }

    const messagesOf = (texts: readonly string[]) =>
      texts.map((text) => ({ key: text.split('=')[0]!, value: text.split('=')[1] ?? null }))

    let minutes = 0
    /** A record of the future goes to a segment of its own, and those before it can be compacted. */
    async function startSegment(producer: Producer, topic: string): Promise<void> {
      const timestamp = String(Date.now() + ++minutes * 60_000)
      await producer.send({ topic, messages: [{ key: 'last', value: '1', timestamp }] })
    }

    async function visible(topic: string): Promise<string[]> {
      const consumer = await aConsumer(kafka)
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      const messages = await collect(consumer)
      await until(() => messages.some(({ key }) => key === 'last'), { what: `the last record of ${topic}` })
      await consumer.disconnect()
      return messages.filter(({ key }) => key !== 'last').map(({ offset, key, value }) => `${offset} ${key}=${value}`)
    }

    it('drops what was aborted and keeps markers as long as somebody may need them', async () => {
      const topic = await aTopic(kafka, { config: { ...compacted, 'segment.ms': '30000' } })
      await fillWithTransactions(topic)
      const left = ['8 e=1', '9 c=2', '10 a=3', '15 b=3', '16 f=3']
      await until(async () => (await visible(topic)).join() === left.join(), { what: 'compaction' })
    })

    it.skipIf(noJava !== null)('leaves the batches that Kafka leaves', async () => {
      const shell = await ToolShell.start()
      try {
        const config = { ...compacted, 'segment.ms': '30000' }
        const [kept, gone] = [
          await aTopic(kafka, { config }),
          await aTopic(kafka, { config: { ...config, 'delete.retention.ms': '300' } }),
        ]
        for (const topic of [kept, gone]) await fillWithTransactions(topic)
        const batches = async (topic: string): Promise<string[]> => {
          const files = logFiles(dataDir).filter((path) => dirname(path) === join(dataDir, `${topic}-0`))
          const found = await dumpFiles(shell, files, ['--deep-iteration', '--print-data-log'])
          expect(found.complaints.filter((line) => !isGap(line))).toEqual([])
          return batchesOf(found.files).filter((line) => Number.parseInt(line, 10) < 17)
        }
        const untilLeft = async (topic: string, expected: readonly string[], again = async () => {}): Promise<void> => {
          let last: readonly string[] = []
          const isSame = async (): Promise<boolean> => {
            await again()
            last = await batches(topic)
            return last.join() === expected.join()
          }
          await until(isSame, { what: `clean-up of ${topic}` }).catch(() => {})
          expect(last).toEqual(expected)
        }
        const afterBoth = [
          '8-9 count 2 none CreateTime',
          '10-10 count 1 none CreateTime producer',
          // The last batch of a producer stays, without its records, and with it the marker.
          '11-11 count 0 none CreateTime producer',
          '12-12 count 1 none CreateTime producer control',
          '13-13 count 0 none CreateTime producer',
          '14-14 count 1 none CreateTime producer control',
          '15-16 count 2 none CreateTime',
        ]
        await untilLeft(kept, [
          '3-3 count 1 none CreateTime producer control',
          '7-7 count 1 none CreateTime producer control',
          ...afterBoth,
        ])
        const plain = await aProducer(kafka)
        // The next compaction finds that nothing is left before a marker, one after delete.retention.ms takes it away.
        await startSegment(plain, kept)
        await untilLeft(kept, [
          '3-3 count 1 none CreateTime horizon producer control',
          '7-7 count 1 none CreateTime horizon producer control',
          ...afterBoth,
        ])
        await untilLeft(gone, afterBoth, () => startSegment(plain, gone))
        const indexes = logFiles(dataDir).filter((path) => path.includes(`/${gone}-0/`) && path.endsWith('.txnindex'))
        const entries = (await dumpFiles(shell, indexes, [])).files.flatMap(({ lines }) => lines)
        expect(entries.map((line) => line.replace(/producerId: \d+/, 'producerId: _'))).toEqual([
          'version: 0 producerId: _ firstOffset: 13 lastOffset: 14 lastStableOffset: 15',
        ])
      } finally {
        await shell.stop()
      }
    })
  })

  describe('of a topic that is compacted and deleted', () => {
    it('keeps the last record of each key until it is too old', async () => {
      const retention = String(Date.now() - (T0 + 1.5 * STEP_MS))
      const topic = await aTopic(kafka, {
        config: { ...compacted, 'cleanup.policy': 'compact,delete', 'retention.ms': retention },
      })
      // A compaction puts small segments together, also old and young ones; retention then looks at the youngest record.
      await fill(topic, () => until(async () => (await start(topic)) >= 7, { what: 'retention' }))
      await untilSeen(topic, ['7@2 f=1', '10@2 e=3', '11@2 b=3', '12@3 a=3', '13@3 z=1', '14@3 a=4'])
    })
  })

  describe('of a topic that is deleted', () => {
    it('goes by the time of the records', async () => {
      const retention = String(Date.now() - (T0 + 1.5 * STEP_MS))
      const topic = await aTopic(kafka, { config: { ...small, 'retention.ms': retention } })
      await fill(topic)
      await until(async () => (await start(topic)) >= 7, { what: 'retention' })
      expect((await seen(topic))[0]).toBe('7@2 f=1')
    })

    it('takes the active segment too when all of it is too old', async () => {
      const topic = await aTopic(kafka, { config: { ...small, 'retention.ms': '1000' } })
      await fill(topic)
      await until(async () => (await start(topic)) === 15, { what: 'empty log' })
      expect(await seen(topic)).toEqual([])
      const producer = await aProducer(kafka)
      const [sent] = await producer.send({ topic, messages: [{ value: 'again' }] })
      expect(sent!.baseOffset).toBe('15')
    })

    it('leaves what retention.bytes says, and no segment more', async () => {
      // The last two steps are larger than that, and the last one alone is not.
      const topic = await aTopic(kafka, { config: { ...small, 'retention.ms': '-1', 'retention.bytes': '300' } })
      await fill(topic)
      await until(async () => (await start(topic)) >= 7, { what: 'retention' })
      expect(await start(topic)).toBe(7)
    })

    it('does not look at the end of a segment alone: a record of the future keeps it', async () => {
      const topic = await aTopic(kafka, { config: { ...small, 'retention.ms': '60000' } })
      const producer = await aProducer(kafka)
      await producer.send({ topic, messages: [{ value: 'future', timestamp: String(Date.now() + 3_000_000) }] })
      await send(producer, topic, 1, ['a=1'])
      const other = await aTopic(kafka, { config: { ...small, 'retention.ms': '60000' } })
      await send(producer, other, 1, ['a=1'])
      await until(async () => (await start(other)) === 1, { what: 'retention of the other topic' })
      expect(await start(topic)).toBe(0)
    })

    it('frees what a client deleted', async () => {
      const topic = await aTopic(kafka, { config: { ...small, 'retention.ms': '-1' } })
      await fill(topic)
      const admin = await anAdmin(kafka)
      // It must have heard of the topic.
      await admin.fetchTopicOffsets(topic)
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '8' }] })
      const logs = (): string[] =>
        logFiles(dataDir).filter((path) => dirname(path) === join(dataDir, `${topic}-0`) && path.endsWith('.log'))
      await until(() => logs().length === 2, { what: 'end of the files' })
      expect(logs().map((path) => Number.parseInt(path.slice(path.lastIndexOf('/') + 1), 10))).toEqual([7, 12])
      expect((await seen(topic))[0]).toBe('8@2 e=1')
    })
  })
})

/** `first-last` offsets of the batches in the order of the log, and what else compaction changes or keeps in a header. */
function batchesOf(files: readonly DumpedFile[]): string[] {
  const lines = files.filter(({ kind }) => kind === '.log').flatMap((file) => file.lines)
  return lines.flatMap((line) => {
    if (!line.startsWith('baseOffset: ')) return []
    const word = (name: string): string => new RegExp(`\\b${name}: (\\S+)`).exec(line)?.[1] ?? ''
    const words = [`${word('baseOffset')}-${word('lastOffset')}`, 'count', word('count'), word('compresscodec')]
    words.push(/\b(CreateTime|LogAppendTime): /.exec(line)![1]!)
    if (/deleteHorizonMs: OptionalLong\[\d+\]/.test(line)) words.push('horizon')
    if (word('producerId') !== '-1') words.push('producer')
    if (word('isControl') === 'true') words.push('control')
    return [words.join(' ')]
  })
}

function isGap(complaint: string): boolean {
  return complaint.startsWith('Non-consecutive offsets in ') || /^ {2}-?\d+ is followed by \d+$/.test(complaint)
}
