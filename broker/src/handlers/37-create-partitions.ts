import { ErrorCode, apis, type CreatePartitionsResponse } from '@millrace/protocol'
import { handler } from './handler.ts'

/** CreatePartitions (37): a topic gets more partitions; `count` is what it has afterwards. */
export const createPartitions = handler({
  api: apis.createPartitions,
  handle({ topics, validateOnly }, { services }) {
    const counts = new Map<string, number>()
    for (const { name } of topics) counts.set(name, (counts.get(name) ?? 0) + 1)
    const results: CreatePartitionsResponse['results'] = []
    for (const [name, count] of counts) {
      if (count === 1) continue
      results.push({ name, errorCode: ErrorCode.invalidRequest, errorMessage: 'Duplicate topic name.' })
    }
    for (const { name, count, assignments } of topics) {
      if (counts.get(name)! > 1) continue
      const { errorCode, errorMessage } = services.metadata.createPartitions({ name, count, assignments, validateOnly })
      results.push({ name, errorCode, errorMessage })
    }
    return { throttleTimeMs: 0, results }
  },
})
