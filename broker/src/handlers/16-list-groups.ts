import { apis } from '@millrace/protocol'
import { handler } from './handler.ts'

/** ListGroups (16): all groups, or those in certain states or of certain types. */
export const listGroups = handler({
  api: apis.listGroups,
  handle: (request, { services }) => services.groups.listGroups(request),
})
