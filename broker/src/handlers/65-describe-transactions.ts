import { apis } from '@millrace/protocol'
import { handler } from './handler.ts'

/** DescribeTransactions (65): transactional ids and what their transactions have come to. */
export const describeTransactions = handler({
  api: apis.describeTransactions,
  handle: (request, { services }) => services.transactions.describeTransactions(request),
})
