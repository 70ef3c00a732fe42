import { ErrorCode, apis, type DescribeClusterResponse } from '@millrace/protocol'
import { OPERATIONS_NOT_ASKED, clusterOperations } from './authorized-operations.ts'
import { handler } from './handler.ts'

const EndpointType = { broker: 1, controller: 2 } as const

/** DescribeCluster (60): the cluster's id and its brokers, which is this one. It never is fenced while it answers. */
export const describeCluster = handler({
  api: apis.describeCluster,
  handle({ endpointType, includeClusterAuthorizedOperations }, context) {
    const { nodeId, metadata } = context.services
    if (endpointType === EndpointType.controller) {
      const message = 'The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER'
      return refuse(ErrorCode.mismatchedEndpointType, message)
    }
    if (endpointType !== EndpointType.broker) {
      return refuse(ErrorCode.unsupportedEndpointType, `Unsupported endpoint type ${endpointType}`)
    }
    const { host, port } = context.endpoint
    const { rack, isFenced } = metadata.ownBroker
    return {
      throttleTimeMs: 0,
      errorCode: ErrorCode.none,
      errorMessage: null,
      endpointType,
      clusterId: metadata.image.clusterId,
      controllerId: nodeId,
      brokers: [{ brokerId: nodeId, host, port, rack, isFenced }],
      clusterAuthorizedOperations: includeClusterAuthorizedOperations ? clusterOperations : OPERATIONS_NOT_ASKED,
    }
  },
})

function refuse(errorCode: number, errorMessage: string): DescribeClusterResponse {
  return {
    throttleTimeMs: 0,
    errorCode,
    errorMessage,
    endpointType: EndpointType.broker,
    clusterId: '',
    controllerId: -1,
    brokers: [],
    clusterAuthorizedOperations: OPERATIONS_NOT_ASKED,
  }
}
