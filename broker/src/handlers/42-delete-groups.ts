import { apis } from '@millrace/protocol'
import { handler } from './handler.ts'

/** DeleteGroups (42): groups without members are forgotten, with their offsets. */
export const deleteGroups = handler({
  api: apis.deleteGroups,
  handle: (request, { services }) => services.groups.deleteGroups(request),
})
