import { apis } from '@millrace/protocol'
import { alterEach } from './config-resources.ts'
import { handler } from './handler.ts'

/** IncrementalAlterConfigs (44): sets, takes back, or edits single settings of a resource, all of them or none. */
export const incrementalAlterConfigs = handler({
  api: apis.incrementalAlterConfigs,
  handle({ resources, validateOnly }, { services }) {
    const responses = alterEach(resources, ({ resourceType, resourceName, configs }) =>
      services.metadata.incrementalAlterConfigs(
        { type: resourceType, name: resourceName },
        configs.map(({ name, configOperation, value }) => ({ name, operation: configOperation, value })),
        { validateOnly },
      ),
    )
    return { throttleTimeMs: 0, responses }
  },
})
