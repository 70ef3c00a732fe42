import { apis } from '@millrace/protocol'
import { handler } from './handler.ts'

/** Heartbeat (12): a member lives, and is told when to join again. */
export const heartbeat = handler({
  api: apis.heartbeat,
  handle: (request, { services }) => services.groups.heartbeat(request),
})
