import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { LogFields } from '../base/logger.ts'
import type { Random } from '../base/random.ts'
import { RealDisk } from '../platform/real-disk.ts'
import { FaultyDisk } from '../testing/faulty-disk.ts'
import { TOPIC_ID, append, batchOf, filesOf, producedBatch, valuesOf } from '../testing/logs.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import type { Disk } from './disk.ts'
import { defaultLogConfig } from './log-config.ts'
import { LogDirectory, type LogDirectoryOptions } from './log-directory.ts'
import { MemoryDisk } from './memory-disk.ts'

const OTHER_ID = 'AAAAAAAAAAAAAAAAAAAAAQ'
const orders = { topic: 'orders', partition: 0 }

/** Ids that count up, so that a test can name them. */
function countingRandom(): Random {
  let count = 0
  return {
    u32: () => count++,
    bytes: (length) => Buffer.alloc(length, count++),
    uuid: () => `${count++}`.padStart(22, 'u'),
  }
}

interface Line {
  readonly level: string
  readonly message: string
  readonly fields: LogFields | undefined
}

async function open(options: Partial<LogDirectoryOptions> = {}) {
  const lines: Line[] = []
  const log = (level: string) => (message: string, fields?: LogFields) => void lines.push({ level, message, fields })
  const clock = new ManualClock()
  const directory = await LogDirectory.open({
    disk: new MemoryDisk(),
    path: '/data',
    nodeId: 1,
    random: countingRandom(),
    clock,
    logger: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    producerIdExpirationMs: 1000,
    ...options,
  })
  return { directory, clock, lines }
}

function textOf(disk: Disk, name: string): string | null {
  return disk.readFile(`/data/${name}`)?.toString() ?? null
}

function openOrders(directory: LogDirectory, topicId = TOPIC_ID) {
  return directory.openLog(orders, topicId, { ...defaultLogConfig, segmentBytes: 300 })
}

describe('LogDirectory', () => {
  it('gets an identity when it is new and keeps it', async () => {
    const disk = new MemoryDisk()
    const { directory } = await open({ disk, clusterId: 'MkU3OEVBNTcwNTJENDM2Qk' })
    const { directoryId } = directory
    expect(directory).toMatchObject({ clusterId: 'MkU3OEVBNTcwNTJENDM2Qk', nodeId: 1, isCleanShutdown: true })
    expect(textOf(disk, 'meta.properties')).toBe(
      `cluster.id=MkU3OEVBNTcwNTJENDM2Qk\ndirectory.id=${directoryId}\nnode.id=1\nversion=1\n`,
    )
    await directory.close()
    const again = await open({ disk })
    expect(again.directory).toMatchObject({ clusterId: 'MkU3OEVBNTcwNTJENDM2Qk', directoryId })
  })

  it('reads the properties as Kafka writes them', async () => {
    const disk = new MemoryDisk()
    disk.makeDirectory('/data')
    const text =
      '#\n#Tue Nov 24 21:10:38 UTC 2026\nnode.id=1\ndirectory.id=vus7fux-02_fQurSMsZrew\nversion=1\ncluster.id=MkU3\n'
    disk.writeFile('/data/meta.properties', Buffer.from(text))
    const { directory } = await open({ disk })
    expect(directory).toMatchObject({
      clusterId: 'MkU3',
      directoryId: 'vus7fux-02_fQurSMsZrew',
      isCleanShutdown: false,
    })
  })

  it.each([
    ['another node', { nodeId: 2 }, 'the data directory /data belongs to node 1, this is node 2'],
    ['another cluster', { clusterId: 'x' }, 'the data directory /data belongs to cluster c, this is cluster x'],
  ])('refuses %s and gives the lock back', async (_, options, message) => {
    const disk = new MemoryDisk()
    await (await open({ disk, clusterId: 'c' })).directory.close()
    await expect(open({ disk, ...options })).rejects.toThrow(message)
    await (await open({ disk })).directory.close()
  })

  it.each([
    ['version=0\nbroker.id=1\n', '/data/meta.properties: version=0, 1 is read'],
    ['version=1\nnode.id=1\ndirectory.id=d\n', '/data/meta.properties: no cluster.id'],
    ['version=1\nnode.id=one\ndirectory.id=d\ncluster.id=c\n', '/data/meta.properties: node.id=one'],
    ['', '/data/meta.properties: version=undefined, 1 is read'],
  ])('does not guess whose %j is', async (text, message) => {
    const disk = new MemoryDisk()
    disk.makeDirectory('/data')
    disk.writeFile('/data/meta.properties', Buffer.from(text))
    await expect(open({ disk })).rejects.toThrow(message)
  })

  it('has one owner at a time', async () => {
    const disk = new MemoryDisk()
    const { directory } = await open({ disk })
    await expect(open({ disk })).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' })
    await directory.close()
    await (await open({ disk })).directory.close()
    expect(disk.exists('/data/.lock')).toBe(false)
  })

  it('S7: knows whether it was closed in order', async () => {
    const disk = new MemoryDisk()
    const first = await open({ disk })
    append(openOrders(first.directory), batchOf(['a']))
    expect(disk.exists('/data/.kafka_cleanshutdown')).toBe(false)
    const crashed = disk.copy()
    await first.directory.close()
    expect(textOf(disk, '.kafka_cleanshutdown')).toBe('{"version":0,"brokerEpoch":-1}')
    expect(disk.openFileCount).toBe(0)

    const clean = await open({ disk })
    expect(clean.directory.isCleanShutdown).toBe(true)
    expect(clean.lines).toEqual([])
    // From the first moment on a crash is a crash.
    expect(disk.exists('/data/.kafka_cleanshutdown')).toBe(false)
    expect([...valuesOf(openOrders(clean.directory)).values()]).toEqual(['a'])

    const unclean = await open({ disk: crashed })
    expect(unclean.directory.isCleanShutdown).toBe(false)
    expect(unclean.lines.map(({ level }) => level)).toEqual(['warn'])
    expect([...valuesOf(openOrders(unclean.directory)).values()]).toEqual(['a'])
  })

  it('S7: takes a directory with logs for one that was not closed in order when its identity is gone', async () => {
    const disk = new MemoryDisk()
    const first = await open({ disk })
    append(openOrders(first.directory), batchOf(['a']))
    const crashed = disk.copy()
    crashed.remove('/data/.lock')
    crashed.remove('/data/meta.properties')
    const { directory } = await open({ disk: crashed })
    expect(directory.isCleanShutdown).toBe(false)
    expect((await open()).directory.isCleanShutdown).toBe(true)
  })

  it('keeps where logs start and how far they are durable', async () => {
    const disk = new MemoryDisk()
    const { directory } = await open({ disk })
    const log = openOrders(directory)
    for (let i = 0; i < 8; i++) append(log, batchOf([`v${i}`]))
    directory.openLog({ topic: 'a-b.c', partition: 12 }, OTHER_ID, defaultLogConfig)
    log.advanceLogStartOffset(4)
    await directory.checkpoint()
    expect(textOf(disk, 'recovery-point-offset-checkpoint')).toBe('0\n2\norders 0 6\na-b.c 12 0\n')
    expect(textOf(disk, 'log-start-offset-checkpoint')).toBe('0\n1\norders 0 4\n')
    expect(textOf(disk, 'replication-offset-checkpoint')).toBe('0\n2\norders 0 8\na-b.c 12 0\n')

    const after = await open({ disk: disk.copy() })
    expect(openOrders(after.directory)).toMatchObject({ logStartOffset: 4, endOffset: 8, recoveryPoint: 6 })
    expect(after.directory.partitions()).toEqual([
      { topicPartition: { topic: 'a-b.c', partition: 12 }, topicId: OTHER_ID },
      { topicPartition: orders, topicId: TOPIC_ID },
    ])
    await directory.close()
    expect(textOf(disk, 'recovery-point-offset-checkpoint')).toBe('0\n2\norders 0 8\na-b.c 12 0\n')
  })

  it('S6: takes checkpoints that cannot be read for none', async () => {
    const disk = new MemoryDisk()
    const { directory } = await open({ disk })
    append(openOrders(directory), batchOf(['a']))
    await directory.close()
    for (const name of ['recovery-point-offset-checkpoint', 'log-start-offset-checkpoint']) {
      disk.writeFile(`/data/${name}`, Buffer.from('0\n1\norders 0'))
    }
    const again = await open({ disk })
    expect(openOrders(again.directory)).toMatchObject({ logStartOffset: 0, endOffset: 1 })
  })

  it('forgets idle producers when it makes a checkpoint', async () => {
    const { directory, clock } = await open()
    const log = openOrders(directory)
    append(log, producedBatch(7, 0, 0))
    clock.advance(999)
    await directory.checkpoint()
    expect(log.producers.count).toBe(1)
    clock.advance(1)
    await directory.checkpoint()
    expect(log.producers.count).toBe(0)
  })

  it('takes a deleted log out of sight at once and removes its files one by one', async () => {
    const disk = new MemoryDisk()
    const { directory, clock } = await open({ disk })
    append(openOrders(directory), batchOf(['a']))
    directory.deleteLog(orders)
    expect([...directory.logs]).toEqual([])
    const doomed = disk.list('/data').filter((name) => name.endsWith('-delete'))
    expect(doomed).toEqual([expect.stringMatching(/^orders-0\.[0-9a-f]{32}-delete$/)])
    expect(disk.exists('/data/orders-0')).toBe(false)
    // A topic of the same name can be made before the old one is gone.
    const again = openOrders(directory, OTHER_ID)
    expect(again.endOffset).toBe(0)
    const fileCount = disk.list(`/data/${doomed[0]}`).length
    expect(fileCount).toBeGreaterThan(3)
    clock.advance(0)
    expect(disk.exists(`/data/${doomed[0]}`)).toBe(false)
    expect(clock.timerCount).toBe(0)
  })

  it('S5: removes at the next start what it did not get to', async () => {
    const disk = new MemoryDisk()
    const { directory, clock } = await open({ disk })
    append(openOrders(directory), batchOf(['a']))
    directory.deleteLog(orders)
    await directory.close()
    expect(clock.timerCount).toBe(0)
    expect(disk.list('/data').some((name) => name.endsWith('-delete'))).toBe(true)
    const again = await open({ disk })
    again.clock.advance(0)
    expect(disk.list('/data').some((name) => name.endsWith('-delete'))).toBe(false)
    expect(again.directory.partitions()).toEqual([])
  })

  it('sets aside the log of an earlier topic of the same name, and that of no topic', async () => {
    const disk = new MemoryDisk()
    const first = await open({ disk })
    append(openOrders(first.directory), batchOf(['old']))
    await first.directory.close()
    const { directory } = await open({ disk })
    expect(openOrders(directory, OTHER_ID).endOffset).toBe(0)
    const other = { topic: 'x'.repeat(249), partition: 3 }
    directory.openLog(other, TOPIC_ID, defaultLogConfig)
    await directory.close()
    const last = await open({ disk })
    last.directory.setAsideStray(other)
    const strays = disk.list('/data').filter((name) => name.endsWith('-stray'))
    expect(strays.map((name) => name.slice(0, 8))).toEqual(['orders-0', 'xxxxxxxx'])
    expect(strays[1]!.length).toBe(255)
    expect(filesOf(disk, `/data/${strays[0]}`)).toHaveProperty('00000000000000000000.log')
  })

  it('S7: makes no mark of an orderly end if something could not be made durable, and frees what it holds', async () => {
    const disk = new MemoryDisk()
    const faulty = new FaultyDisk(disk)
    const { directory } = await open({ disk: faulty })
    append(openOrders(directory), batchOf(['a']))
    faulty.fail(['sync'])
    await expect(directory.close()).rejects.toThrow('sync')
    expect(disk.exists('/data/.kafka_cleanshutdown')).toBe(false)
    expect(disk.openFileCount).toBe(0)
    const again = await open({ disk })
    expect(openOrders(again.directory).endOffset).toBe(1)
  })

  it('logs a checkpoint that failed', async () => {
    const faulty = new FaultyDisk(new MemoryDisk())
    const { directory, lines } = await open({ disk: faulty })
    openOrders(directory)
    faulty.fail(['writeFile'], 'ENOSPC')
    await directory.checkpoint()
    expect(lines).toMatchObject([{ level: 'error', fields: { error: expect.stringContaining('ENOSPC') } }])
    faulty.fail([])
    await directory.checkpoint()
    expect(lines.length).toBe(1)
  })

  it('works on the disk of the machine', async () => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'log-directory-'))
    try {
      const disk = new RealDisk()
      const first = await open({ disk, path: `${root}/data` })
      const log = openOrders(first.directory)
      for (let i = 0; i < 50; i++) append(log, producedBatch(7, 0, i))
      await first.directory.checkpoint()
      await first.directory.close()
      expect(disk.openFileCount).toBe(0)
      expect(fs.readdirSync(`${root}/data`)).toEqual([
        '.kafka_cleanshutdown',
        'log-start-offset-checkpoint',
        'meta.properties',
        'orders-0',
        'recovery-point-offset-checkpoint',
        'replication-offset-checkpoint',
      ])
      const again = await open({ disk, path: `${root}/data` })
      const reopened = openOrders(again.directory)
      expect(append(reopened, producedBatch(7, 0, 49))).toMatchObject({ baseOffset: 49, isDuplicate: true })
      expect(valuesOf(reopened).size).toBe(50)
      again.directory.deleteLog(orders)
      again.clock.advance(0)
      await again.directory.close()
      expect(disk.openFileCount).toBe(0)
      expect(fs.readdirSync(`${root}/data`)).not.toContain('orders-0')
    } finally {
      fs.rmSync(root, { recursive: true })
    }
  })

  it('says in one sentence why it cannot be used', async () => {
    const file = path.join(os.tmpdir(), `no-directory-${process.pid}`)
    fs.writeFileSync(file, '')
    try {
      await expect(open({ disk: new RealDisk(), path: `${file}/data` })).rejects.toThrow(
        `make directory ${file}/data: ENOTDIR`,
      )
    } finally {
      fs.rmSync(file)
    }
  })
})
