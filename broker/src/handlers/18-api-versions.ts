import { apis, ErrorCode } from '@millrace/protocol'
import { handler } from './handler.ts'

const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/

/**
 * ApiVersions (18): what this broker speaks. A version that it does not know is answered by the dispatcher in version 0.
 * No feature is finalized: `transaction.version` would make clients leave out requests that are needed (KIP-890).
 */
export const apiVersions = handler({
  api: apis.apiVersions,
  handle(request, context) {
    const { services, apiVersion } = context
    const isValid =
      apiVersion < 3 ||
      (SOFTWARE_NAME.test(request.clientSoftwareName) && SOFTWARE_NAME.test(request.clientSoftwareVersion))
    if (!isValid) return { errorCode: ErrorCode.invalidRequest, apiKeys: [], throttleTimeMs: 0 }
    if (apiVersion >= 5 && !isMeantForThisBroker(request, services)) {
      return { errorCode: ErrorCode.rebootstrapRequired, apiKeys: [], throttleTimeMs: 0 }
    }
    return { errorCode: ErrorCode.none, apiKeys: services.advertisedApis, throttleTimeMs: 0 }
  },
})

/** KIP-1242: a client that found another cluster or node at an address it knew should look for its own again. */
function isMeantForThisBroker(
  request: { readonly clusterId: string | null; readonly nodeId: number },
  services: { readonly nodeId: number; readonly metadata: { readonly image: { readonly clusterId: string } } },
): boolean {
  if (request.clusterId !== null && request.clusterId !== services.metadata.image.clusterId) return false
  return request.nodeId < 0 || request.nodeId === services.nodeId
}
