import { apis, ErrorCode } from '@millrace/protocol'
import { OPERATIONS_NOT_ASKED } from './authorized-operations.ts'
import { handler } from './handler.ts'

/** What everybody may do with a group while there is no access control: read, delete, describe, and its configuration. */
const GROUP_OPERATIONS = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11)

/** DescribeGroups (15): state and members of classic groups. */
export const describeGroups = handler({
  api: apis.describeGroups,
  handle(request, context) {
    const { throttleTimeMs, groups } = context.services.groups.describeGroups(request, context)
    const operations = request.includeAuthorizedOperations ? GROUP_OPERATIONS : OPERATIONS_NOT_ASKED
    return {
      throttleTimeMs,
      groups: groups.map((group) => ({
        ...group,
        authorizedOperations: group.errorCode === ErrorCode.none ? operations : OPERATIONS_NOT_ASKED,
      })),
    }
  },
})
