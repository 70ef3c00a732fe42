import { apis } from '@millrace/protocol'
import { handler } from './handler.ts'

/** LeaveGroup (13): one member leaves, or since version 3 several are removed, each with an error code of its own. */
export const leaveGroup = handler({
  api: apis.leaveGroup,
  handle: (request, context) => context.services.groups.leaveGroup(request, context),
})
