import { ErrorCode, apis } from '@millrace/protocol'
import { handler } from './handler.ts'

/** Of a directory in memory, or one that is offline. */
const UNKNOWN_BYTES = -1

/** DescribeLogDirs (35): the data directories and how large the partitions in them are. Unknown partitions are left out. */
export const describeLogDirs = handler({
  api: apis.describeLogDirs,
  handle({ topics }, { services }) {
    const asked = topics && new Map(topics.map(({ topic, partitions }) => [topic, new Set(partitions)]))
    return {
      throttleTimeMs: 0,
      errorCode: ErrorCode.none,
      results: services.partitions.logDirectories().map(({ path, isOffline, space, logs }) => {
        const byTopic = new Map<
          string,
          { partitionIndex: number; partitionSize: number; offsetLag: number; isFutureKey: boolean }[]
        >()
        if (isOffline) {
          return {
            errorCode: ErrorCode.kafkaStorageError,
            logDir: path,
            topics: [],
            totalBytes: UNKNOWN_BYTES,
            usableBytes: UNKNOWN_BYTES,
          }
        }
        for (const { topicPartition, sizeBytes } of logs) {
          const { topic, partition } = topicPartition
          if (asked !== null && asked.get(topic)?.has(partition) !== true) continue
          const answers = byTopic.get(topic) ?? []
          byTopic.set(topic, answers)
          // A log here is never behind another one, and never on its way to another directory.
          answers.push({ partitionIndex: partition, partitionSize: sizeBytes, offsetLag: 0, isFutureKey: false })
        }
        return {
          errorCode: ErrorCode.none,
          logDir: path,
          topics: [...byTopic].map(([name, partitions]) => ({ name, partitions })),
          totalBytes: space?.totalBytes ?? UNKNOWN_BYTES,
          usableBytes: space?.freeBytes ?? UNKNOWN_BYTES,
        }
      }),
    }
  },
})
