import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BrokerUnderTest, brokerKind, startBroker, uniqueName } from '../harness/index.ts'
import { javaMissing, ToolShell } from '../java/tool-shell.ts'
import { type Dump, dump, dumpFiles, logFiles, recordLines } from './dump.ts'

const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
const reason = javaMissing()

describe.skipIf(reason !== null)(`files of the broker${reason === null ? '' : `: ${reason}`}`, () => {
  let shell: ToolShell
  let dataDir: string
  let broker: BrokerUnderTest | undefined
  let filled: Workload
  /** What was found after the workload and a clean stop. */
  let clean: Dump

  beforeAll(async () => {
    shell = await ToolShell.start()
    dataDir = mkdtempSync(join(tmpdir(), 'dump-log-'))
    broker = await startBroker({ dataDir, process: true })
    filled = await work('fill', broker.bootstrap)
    await broker.stop()
    clean = await dump(shell, dataDir)
  })
  afterAll(async () => {
    await broker?.stop()
    await shell.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  it('are complete and without fault after a clean stop', () => {
    expect(clean.complaints).toEqual([])
    expect(dumpedRecords(clean, filled.counts)).toEqual(filled.counts)

    const kind = (extension: string) => clean.files.filter((file) => file.kind === extension)
    const lines = (extension: string) => kind(extension).flatMap((file) => file.lines)
    expect(clean.files.map((file) => file.path).toSorted()).toEqual(logFiles(dataDir))
    expect(lines('.index').filter((line) => line.startsWith('offset: ')).length).toBeGreaterThan(50)
    expect(lines('.timeindex').filter((line) => line.startsWith('timestamp: ')).length).toBeGreaterThan(50)
    expect(lines('.snapshot').filter((line) => line.startsWith('producerId: ')).length).toBeGreaterThan(10)
    const stored = lines('.log').map((line) => / compresscodec: (\w+) /.exec(line)?.[1])
    expect([...new Set(stored)]).toEqual(expect.arrayContaining(codecs))
    expect(lines('.log').some((line) => line.includes(' headerKeys: [codec,nothing] '))).toBe(true)
    expect(lines('.log').some((line) => line.includes(' LogAppendTime: '))).toBe(true)
  })

  it('show that segments were rolled by time and by size', () => {
    const partitions = Object.keys(filled.counts)
    const segments = (suffix: string): number[] => {
      const rolled = partitions.filter((partition) => partition.endsWith(suffix))
      const logs = (partition: string) => logFiles(join(dataDir, partition)).filter((file) => file.endsWith('.log'))
      return rolled.map((partition) => logs(partition).length)
    }
    expect(codecs.map((codec) => [...segments(`-${codec}-0`), ...segments(`-${codec}-1`)])).toEqual(
      codecs.map(() => [8, 8]),
    )
    expect(segments('-sized-0')).toEqual([3])
  })

  it('hold the offsets and generations of groups, which the offsets decoder understands', async () => {
    const offsets = Array.from({ length: 4 }, (_, n) => recordLines(clean, `__consumer_offsets-${n}`)).flat()
    const committing = offsets.map((line) => /key: \{"type":"1","data":\{"group":"([^"]+)"/.exec(line)?.[1])
    expect(committing).toEqual(expect.arrayContaining([...filled.groups!]))
    const generations = offsets.filter((line) =>
      line.includes(`key: {"type":"2","data":{"group":"${filled.groups![0]}"}}`),
    )
    expect(generations.length).toBeGreaterThan(1)
    expect(
      generations.some((line) => line.includes('"protocolType":"consumer"') && line.includes('"generation":2')),
    ).toBe(true)
    expect(offsets.some((line) => line.includes('payload: <DELETE>'))).toBe(true)
    expect(offsets.some((line) => line.includes('"metadata":"after 5"'))).toBe(true)
  })

  it('hold the topics as metadata records, which the cluster metadata decoder understands', async () => {
    const records = recordLines(clean, '__cluster_metadata-0')
    const types = records.map((line) => /payload: \{"type":"(\w+)"/.exec(line)?.[1])
    const expected = ['TOPIC_RECORD', 'PARTITION_RECORD', 'CONFIG_RECORD', 'REMOVE_TOPIC_RECORD']
    expect([...new Set(types)]).toEqual(expect.arrayContaining(expected))

    const created = records.map((line) => /"type":"TOPIC_RECORD".*"name":"([^"]+)"/.exec(line)?.[1])
    const topics = Object.keys(filled.counts).map((partition) => partition.replace(/-\d+$/, ''))
    expect(created).toEqual(expect.arrayContaining(topics))
  })

  // A real Kafka is killed at the end of a test and leaves its indexes as it has mapped them, with zeros behind.
  it.skipIf(brokerKind === 'kafka')('have indexes that need no rebuilding', async () => {
    const indexes = logFiles(dataDir).filter((file) => /\.(time)?index$/.test(file))
    const found = await dumpFiles(shell, indexes, ['--index-sanity-check'])
    expect(found.complaints).toEqual([])
    const lines = found.files.flatMap((file) => file.lines)
    expect(lines).toHaveLength(indexes.length)
    expect(lines.filter((line) => !/ (passed sanity check|is empty)\.$/.test(line))).toEqual([])
  })

  it('are complete and without fault after a kill in the middle of it all', async () => {
    const crashing = await startBroker({ dataDir, process: true })
    broker = crashing
    const sending = work('send-for-a-while', crashing.bootstrap)
    await crashing.restart({ crash: true })
    const sent = await sending
    const again = await work('fill', crashing.bootstrap)
    await crashing.restart({ crash: true })
    await crashing.stop()

    const found = await dump(shell, dataDir)
    expect(found.complaints).toEqual([])
    const expected = { ...filled.counts, ...sent.counts, ...again.counts }
    expect(dumpedRecords(found, expected)).toEqual(expected)
  })

  describe('with a fault', () => {
    let copy: string
    let partition: string
    beforeAll(() => {
      copy = mkdtempSync(join(tmpdir(), 'dump-log-'))
      partition = Object.keys(filled.counts).find((name) => name.endsWith('-gzip-0'))!
    })
    afterAll(() => rmSync(copy, { recursive: true, force: true }))

    /** What the tool says about a copy of one partition, one of whose files was changed. */
    async function complaintsAfter(extension: string, change: (bytes: Buffer) => Buffer): Promise<string> {
      const directory = join(copy, partition)
      rmSync(directory, { recursive: true, force: true })
      cpSync(join(dataDir, partition), directory, { recursive: true })
      const file = logFiles(directory).find((path) => path.endsWith(extension) && statSync(path).size > 0)!
      writeFileSync(file, change(readFileSync(file)))
      return (await dump(shell, copy)).complaints.join('\n')
    }

    it('have none in the copy that was not changed', async () => {
      expect(await complaintsAfter('.log', (bytes) => bytes)).toBe('')
    })

    it('show a changed byte in a batch', async () => {
      // Byte 30 is in the base timestamp of the first batch, which its checksum covers and its framing does not need.
      const changed = await complaintsAfter('.log', (bytes) => flipped(bytes, 30))
      expect(changed).toContain('isvalid: false')
    })

    it('show a torn tail', async () => {
      expect(await complaintsAfter('.log', (bytes) => bytes.subarray(0, -7))).toContain('invalid bytes at the end')
    })

    it('show a gap between offsets', async () => {
      // The first eight bytes of a batch are its base offset, outside of its checksum.
      const shifted = (bytes: Buffer): Buffer => {
        const second = 12 + bytes.readInt32BE(8)
        bytes.writeBigInt64BE(bytes.readBigInt64BE(second) + 1n, second)
        return bytes
      }
      expect(await complaintsAfter('.log', shifted)).toContain('Non-consecutive offsets in')
    })

    it('show an entry of the offset index that leads to another offset', async () => {
      // An entry is four bytes of relative offset and four of position.
      const shifted = (bytes: Buffer): Buffer => {
        bytes.writeInt32BE(bytes.readInt32BE(0) + 1, 0)
        return bytes
      }
      expect(await complaintsAfter('.index', shifted)).toContain('Mismatches in :')
    })

    it('show an entry of the time index that names another time', async () => {
      const shifted = (bytes: Buffer): Buffer => {
        bytes.writeBigInt64BE(bytes.readBigInt64BE(0) - 1n, 0)
        return bytes
      }
      expect(await complaintsAfter('.timeindex', shifted)).toContain('Found timestamp mismatch in :')
    })

    it('show a producer snapshot whose checksum is wrong', async () => {
      const changed = await complaintsAfter('.snapshot', (bytes) => flipped(bytes, bytes.length - 1))
      expect(changed).toMatch(/snapshot.*corrupt/i)
    })
  })

  interface Workload {
    /** Records in each partition, by its directory: `orders-0`. */
    readonly counts: Readonly<Record<string, number>>
    readonly groups?: readonly string[]
  }

  async function work(theme: string, bootstrap: string): Promise<Workload> {
    const result = await shell.run('LogThemes', [theme, bootstrap, uniqueName(theme)])
    if (result.exitCode !== 0) throw new Error(`${theme} failed:\n${result.stdout}${result.stderr}`)
    return Object.assign(
      {},
      ...result.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as object),
    ) as Workload
  }

  /** How many records were found in the partitions that `counts` names. */
  function dumpedRecords(found: Dump, counts: Readonly<Record<string, number>>): Record<string, number> {
    const partitions = Object.keys(counts)
    return Object.fromEntries(partitions.map((partition) => [partition, recordLines(found, partition).length]))
  }
})

function flipped(bytes: Buffer, at: number): Buffer {
  bytes[at]! ^= 1
  return bytes
}
