import { describe, expect, it } from 'vitest'
import type { PartitionLog } from '../log/partition-log.ts'
import type { Partitions } from '../partition/partitions.ts'
import { ask } from '../testing/node-metadata.ts'
import { describeLogDirs } from './35-describe-log-dirs.ts'

const logs = [
  { topicPartition: { topic: 'a', partition: 0 }, sizeBytes: 10 },
  { topicPartition: { topic: 'a', partition: 1 }, sizeBytes: 20 },
  { topicPartition: { topic: 'b', partition: 0 }, sizeBytes: 30 },
] as unknown as readonly PartitionLog[]

const partitions = {
  logDirectories: () => [{ path: '/data', isOffline: false, isFull: false, space: null, logs }],
} as Partial<Partitions> as Partitions

const sizes = async (version: number, topics: { topic: string; partitions: number[] }[] | null) => {
  const { errorCode, results } = await ask(describeLogDirs, version, { topics }, { partitions })
  expect(errorCode).toBe(0)
  return results.map(({ logDir, topics: found }) => [
    logDir,
    ...found.flatMap((topic) => topic.partitions.map((p) => [topic.name, p.partitionIndex, p.partitionSize])),
  ])
}

describe('DescribeLogDirs', () => {
  it('lists every partition with its size to a null array, in every version', async () => {
    for (let version = describeLogDirs.api.minVersion; version <= describeLogDirs.api.maxVersion; version++) {
      expect(await sizes(version, null)).toEqual([['/data', ['a', 0, 10], ['a', 1, 20], ['b', 0, 30]]])
    }
  })

  it('lists the partitions that were asked for and are there', async () => {
    const asked = [
      { topic: 'a', partitions: [1, 7] },
      { topic: 'nope', partitions: [0] },
    ]
    expect(await sizes(4, asked)).toEqual([['/data', ['a', 1, 20]]])
    expect(await sizes(4, [])).toEqual([['/data']])
  })

  it('tells the room of each directory, and that one is offline', async () => {
    const partitions = {
      logDirectories: () => [
        { path: '/a', isOffline: false, isFull: false, space: { totalBytes: 1000, freeBytes: 300 }, logs },
        { path: '/b', isOffline: true, isFull: false, space: null, logs: [] },
      ],
    } as Partial<Partitions> as Partitions
    const { results } = await ask(describeLogDirs, 4, { topics: [] }, { partitions })
    expect(results).toMatchObject([
      { errorCode: 0, logDir: '/a', totalBytes: 1000, usableBytes: 300 },
      { errorCode: 56, logDir: '/b', topics: [], totalBytes: -1, usableBytes: -1 },
    ])
  })
})
