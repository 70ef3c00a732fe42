import { apis } from '@millrace/protocol'
import { handler } from './handler.ts'

/** JoinGroup (11): become or stay a member. Waits until all members have joined, or those who have not are given up. */
export const joinGroup = handler({
  api: apis.joinGroup,
  handle: (request, context) => context.services.groups.joinGroup(request, context),
})
