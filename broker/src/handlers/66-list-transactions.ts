import { apis, ErrorCode } from '@millrace/protocol'
import { handler } from './handler.ts'

/** ListTransactions (66): the transactional ids that there are, filtered. */
export const listTransactions = handler({
  api: apis.listTransactions,
  async handle(request, { services }) {
    const isWanted = await filterOf(request.transactionalIdPattern)
    if (isWanted === null) {
      const errorCode = ErrorCode.invalidRegularExpression
      return { throttleTimeMs: 0, errorCode, unknownStateFilters: [], transactionStates: [] }
    }
    return services.transactions.listTransactions(request, isWanted)
  },
})

/**
 * Whether an id matches as a whole; null for a pattern that is none. Patterns come from clients, so they are run by RE2,
 * as in Kafka, for which none takes exponential time. It is loaded when somebody needs it.
 */
async function filterOf(pattern: string | null): Promise<((transactionalId: string) => boolean) | null> {
  if (pattern === null || pattern === '') return () => true
  const { RE2JS, RE2JSException } = await import('re2js')
  try {
    const compiled = RE2JS.compile(pattern)
    return (transactionalId) => compiled.matches(transactionalId)
  } catch (error) {
    if (error instanceof RE2JSException) return null
    throw error
  }
}
