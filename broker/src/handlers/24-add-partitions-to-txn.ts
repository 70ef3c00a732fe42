import { apis, ErrorCode } from '@millrace/protocol'
import { forOlderClients } from './fenced-producer.ts'
import { handler, type RequestContext } from './handler.ts'

interface Asked {
  readonly transactionalId: string
  readonly producerId: number
  readonly producerEpoch: number
  readonly verifyOnly: boolean
  readonly topics: readonly { readonly name: string; readonly partitions: readonly number[] }[]
}

/**
 * AddPartitionsToTxn (24): a transaction is going to write to partitions. They are added together or not at all. Up to
 * version 3 clients ask for one transaction, from version 4 on brokers for several.
 */
export const addPartitionsToTxn = handler({
  api: apis.addPartitionsToTxn,
  handle(request, context) {
    if (context.apiVersion < 4) {
      const asked = {
        transactionalId: request.v3AndBelowTransactionalId,
        producerId: request.v3AndBelowProducerId,
        producerEpoch: request.v3AndBelowProducerEpoch,
        verifyOnly: false,
        topics: request.v3AndBelowTopics,
      }
      return { throttleTimeMs: 0, resultsByTopicV3AndBelow: resultsOf(asked, context) }
    }
    const resultsByTransaction = request.transactions.map((asked) => ({
      transactionalId: asked.transactionalId,
      topicResults: resultsOf(asked, context),
    }))
    return { throttleTimeMs: 0, errorCode: ErrorCode.none, resultsByTransaction }
  },
})

function resultsOf(asked: Asked, { services, apiVersion }: RequestContext) {
  const { image } = services.metadata
  const isThere = (topic: string, partition: number): boolean =>
    image.topics.get(topic)?.partitions[partition] !== undefined
  const areAllThere = asked.topics.every(({ name, partitions }) => partitions.every((index) => isThere(name, index)))

  let codeOf: (topic: string, partition: number) => number
  if (!areAllThere) {
    codeOf = (topic, partition) =>
      isThere(topic, partition) ? ErrorCode.operationNotAttempted : ErrorCode.unknownTopicOrPartition
  } else if (asked.verifyOnly) {
    codeOf = (topic, partition) => services.transactions.verify(asked.transactionalId, asked, topic, partition)
  } else {
    const { transactionalId, producerId, producerEpoch, topics } = asked
    const partitions = new Map<string, Set<number>>()
    for (const { name, partitions: indexes } of topics) {
      partitions.set(name, new Set([...(partitions.get(name) ?? []), ...indexes]))
    }
    const errorCode = services.transactions.addPartitionsToTxn({
      transactionalId,
      producerId,
      producerEpoch,
      partitions,
    })
    codeOf = () => forOlderClients(errorCode, apiVersion, 2)
  }
  return asked.topics.map(({ name, partitions }) => ({
    name,
    resultsByPartition: partitions.map((partitionIndex) => ({
      partitionIndex,
      partitionErrorCode: codeOf(name, partitionIndex),
    })),
  }))
}
