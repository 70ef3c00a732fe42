import { apis, ErrorCode } from '@millrace/protocol'
import { CONSUMER_OFFSETS, TRANSACTION_STATE } from '../metadata/topic-names.ts'
import { handler, type RequestContext } from './handler.ts'

const GROUP = 0
const TRANSACTION = 1

interface Coordinator {
  readonly errorCode: number
  readonly errorMessage: string
  readonly nodeId: number
  readonly host: string
  readonly port: number
}

/**
 * FindCoordinator (10): who coordinates a group, or the transactions of a transactional id; since version 4 of several at
 * once. On one node it is always this one, but the topic in which it keeps them must be there and read before anybody comes:
 * the first request waits for that.
 */
export const findCoordinator = handler({
  api: apis.findCoordinator,
  async handle(request, context) {
    const coordinator = await find(request.keyType, context)
    // Kafka says NONE for no error here, and in the batched form nothing.
    if (context.apiVersion < 4)
      return { throttleTimeMs: 0, ...coordinator, errorMessage: coordinator.errorMessage || 'NONE' }
    return { throttleTimeMs: 0, coordinators: request.coordinatorKeys.map((key) => ({ key, ...coordinator })) }
  },
})

async function find(keyType: number, context: RequestContext): Promise<Coordinator> {
  const { services } = context
  if (keyType !== GROUP && keyType !== TRANSACTION) {
    return nobody(ErrorCode.invalidRequest, `Unknown coordinator type ${keyType}.`)
  }
  // A transaction commits offsets, mostly, and then asks for both.
  const topics = keyType === GROUP ? [CONSUMER_OFFSETS] : [CONSUMER_OFFSETS, TRANSACTION_STATE]
  for (const topic of topics) {
    if (services.metadata.image.topics.has(topic)) continue
    const { errorCode, errorMessage } = services.metadata.createInternalTopic(topic)
    if (errorCode !== ErrorCode.none) {
      services.logger.error(`${topic} not created`, { error: errorMessage })
      return nobody(ErrorCode.coordinatorNotAvailable, 'The coordinator is not available.')
    }
  }
  await services.groups.whenLoaded()
  if (keyType === TRANSACTION) await services.transactions.whenLoaded()
  const { host, port } = context.endpoint
  return { errorCode: ErrorCode.none, errorMessage: '', nodeId: services.nodeId, host, port }
}

function nobody(errorCode: number, errorMessage: string): Coordinator {
  return { errorCode, errorMessage, nodeId: -1, host: '', port: -1 }
}
