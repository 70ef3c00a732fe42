import { apis } from '@millrace/protocol'
import { handler } from './handler.ts'

/** SyncGroup (14): the leader hands in the assignment, every member gets its part. Waits for the leader. */
export const syncGroup = handler({
  api: apis.syncGroup,
  handle: (request, context) => context.services.groups.syncGroup(request, context),
})
