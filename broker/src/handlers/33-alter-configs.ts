import { apis } from '@millrace/protocol'
import { alterEach } from './config-resources.ts'
import { handler } from './handler.ts'

/** AlterConfigs (33): gives a resource exactly the settings of the request, so those it leaves out go back to the default. */
export const alterConfigs = handler({
  api: apis.alterConfigs,
  handle({ resources, validateOnly }, { services }) {
    const responses = alterEach(resources, ({ resourceType, resourceName, configs }) =>
      services.metadata.alterConfigs({ type: resourceType, name: resourceName }, configs, { validateOnly }),
    )
    return { throttleTimeMs: 0, responses }
  },
})
