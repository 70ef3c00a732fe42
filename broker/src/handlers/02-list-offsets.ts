import { apis, ErrorCode } from '@millrace/protocol'
import type { RecordPosition } from '../log/partition-log.ts'
import type { Partition } from '../partition/partition.ts'
import { handler, type RequestContext } from './handler.ts'

const LATEST = -1
const EARLIEST = -2
const MAX_TIMESTAMP = -3
const EARLIEST_LOCAL = -4
const LATEST_TIERED = -5
const EARLIEST_PENDING_UPLOAD = -6

/** The first version that knows each special timestamp; an older client cannot have meant it. */
const SPECIAL_FROM: ReadonlyMap<number, number> = new Map([
  [LATEST, 1],
  [EARLIEST, 1],
  [MAX_TIMESTAMP, 7],
  [EARLIEST_LOCAL, 8],
  [LATEST_TIERED, 9],
  [EARLIEST_PENDING_UPLOAD, 11],
])

const READ_COMMITTED = 1

interface Found {
  readonly errorCode: number
  readonly offset: number
  readonly timestamp: number
  readonly leaderEpoch: number
}

const NOTHING: Found = { errorCode: ErrorCode.none, offset: -1, timestamp: -1, leaderEpoch: -1 }

/** ListOffsets (2): the offset of a timestamp, or of one of the places that have a name. */
export const listOffsets = handler({
  api: apis.listOffsets,
  handle(request, context) {
    const seen = new Set<string>()
    const duplicated = new Set<string>()
    for (const topic of request.topics) {
      for (const { partitionIndex } of topic.partitions) {
        const key = `${topic.name}/${partitionIndex}`
        if (seen.has(key)) duplicated.add(key)
        seen.add(key)
      }
    }
    return {
      throttleTimeMs: 0,
      topics: request.topics.map((topic) => ({
        name: topic.name,
        partitions: topic.partitions.map((asked) => {
          const found = duplicated.has(`${topic.name}/${asked.partitionIndex}`)
            ? { ...NOTHING, errorCode: ErrorCode.invalidRequest }
            : find(topic.name, asked, request.isolationLevel, context)
          return { partitionIndex: asked.partitionIndex, ...found }
        }),
      })),
    }
  },
})

function find(
  topic: string,
  asked: { readonly partitionIndex: number; readonly currentLeaderEpoch: number; readonly timestamp: number },
  isolationLevel: number,
  context: RequestContext,
): Found {
  const failure = (errorCode: number): Found => ({ ...NOTHING, errorCode })
  if (asked.timestamp < 0) {
    const from = SPECIAL_FROM.get(asked.timestamp)
    if (from === undefined || context.apiVersion < from) return failure(ErrorCode.unsupportedVersion)
  }
  const partition = context.services.partitions.get(topic, asked.partitionIndex)
  if (partition === undefined) return failure(context.services.partitions.absence(topic, asked.partitionIndex))
  if (partition.isOffline) return failure(ErrorCode.kafkaStorageError)
  const epochError = partition.checkLeaderEpoch(asked.currentLeaderEpoch)
  if (epochError !== ErrorCode.none) return failure(epochError)
  const { offsets } = partition
  const readableEnd = isolationLevel === READ_COMMITTED ? offsets.lastStable : offsets.highWatermark
  switch (asked.timestamp) {
    case LATEST:
      return { ...NOTHING, offset: readableEnd, leaderEpoch: partition.leaderEpoch }
    case EARLIEST:
    case EARLIEST_LOCAL:
      return { ...NOTHING, offset: offsets.logStart, leaderEpoch: earliestEpoch(partition) }
    case LATEST_TIERED:
    case EARLIEST_PENDING_UPLOAD:
      // Nothing is tiered, so there is no such offset.
      return NOTHING
    case MAX_TIMESTAMP:
      return below(readableEnd, partition.offsetOfMaxTimestamp())
    default:
      return below(readableEnd, partition.offsetForTimestamp(asked.timestamp))
  }
}

/** A record that was looked for, if it may be read; or the error of the search. */
function below(readableEnd: number, found: RecordPosition | null | number): Found {
  if (typeof found === 'number') return { ...NOTHING, errorCode: found }
  if (found === null || found.offset >= readableEnd) return NOTHING
  return {
    errorCode: ErrorCode.none,
    offset: found.offset,
    timestamp: found.timestampMs,
    leaderEpoch: found.leaderEpoch,
  }
}

function earliestEpoch(partition: Partition): number {
  return partition.log.leaderEpochs.epochAt(partition.offsets.logStart)
}
