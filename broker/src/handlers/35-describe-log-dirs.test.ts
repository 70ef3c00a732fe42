import { describe, expect, it } from 'vitest'
import type { Partitions } from '../partition/partitions.ts'
import { ask } from '../testing/node-metadata.ts'
import { describeLogDirs } from './35-describe-log-dirs.ts'

const partitions = {
  logDirectories: () => [
    {
      path: '/data',
      logs: [
        { topicPartition: { topic: 'a', partition: 0 }, sizeBytes: 10 },
        { topicPartition: { topic: 'a', partition: 1 }, sizeBytes: 20 },
        { topicPartition: { topic: 'b', partition: 0 }, sizeBytes: 30 },
      ],
    },
  ],
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
})
