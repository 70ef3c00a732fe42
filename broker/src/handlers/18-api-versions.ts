import { apis, ErrorCode } from '@millrace/protocol'
import { SUPPORTED_FEATURES } from '../metadata/local-metadata.ts'
import { handler } from './handler.ts'

const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/

/**
 * ApiVersions (18): what this broker speaks. A version that it does not know is answered by the dispatcher in version 0.
 * The finalized features are no mere information: by `transaction.version` clients leave out requests (KIP-890).
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
    const { features, nextOffset } = services.metadata.image
    return {
      errorCode: ErrorCode.none,
      apiKeys: services.advertisedApis,
      throttleTimeMs: 0,
      // Java clients of before version 4 cannot read a feature that begins with level 0 (KAFKA-17492).
      supportedFeatures: SUPPORTED_FEATURES.filter(({ minVersion }) => apiVersion >= 4 || minVersion > 0),
      finalizedFeaturesEpoch: nextOffset - 1,
      finalizedFeatures: Array.from(features, ([name, level]) => ({
        name,
        maxVersionLevel: level,
        minVersionLevel: level,
      })),
    }
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
