import { apis, type ResponseInput } from '@millrace/protocol'
import { forOlderClients } from './fenced-producer.ts'
import { handler } from './handler.ts'

// Clients that send this version let each transaction have an epoch of its own (KIP-890).
const RAISES_EPOCH = 5

/** EndTxn (26): commit or abort. */
export const endTxn = handler({
  api: apis.endTxn,
  handle(request, { services, apiVersion }) {
    return new Promise<ResponseInput<typeof apis.endTxn>>((resolve) => {
      const { transactionalId, producerId, producerEpoch, committed: isCommit } = request
      const clientVersion = apiVersion >= RAISES_EPOCH ? 2 : 0
      services.transactions.endTxn(
        { transactionalId, producerId, producerEpoch, isCommit, clientVersion },
        ({ errorCode, ...producer }) =>
          resolve({ throttleTimeMs: 0, errorCode: forOlderClients(errorCode, apiVersion, 2), ...producer }),
      )
    })
  },
})
