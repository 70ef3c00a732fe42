import { ErrorCode, apis } from '@millrace/protocol'
import { handler } from './handler.ts'

/** ListPartitionReassignments (46): partitions on their way to other brokers. A node that is alone has none. */
export const listPartitionReassignments = handler({
  api: apis.listPartitionReassignments,
  handle() {
    return { throttleTimeMs: 0, errorCode: ErrorCode.none, errorMessage: null, topics: [] }
  },
})
