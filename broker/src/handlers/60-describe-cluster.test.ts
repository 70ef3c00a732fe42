import { ErrorCode } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { CLUSTER_ID, ask, openMetadata } from '../testing/node-metadata.ts'
import { describeCluster } from './60-describe-cluster.ts'

const plain = { includeClusterAuthorizedOperations: false }

describe('DescribeCluster', () => {
  it('describes the cluster of one in every version', async () => {
    for (const version of [0, 1, 2]) {
      const answer = await ask(describeCluster, version, { includeClusterAuthorizedOperations: true }, openMetadata())
      expect(answer).toMatchObject({
        errorCode: 0,
        clusterId: CLUSTER_ID,
        controllerId: 1,
        brokers: [{ brokerId: 1, host: '10.0.0.7', port: 19092, rack: null, isFenced: false }],
        clusterAuthorizedOperations: 8096,
      })
    }
  })

  it('tells rights only when asked', async () => {
    const { clusterAuthorizedOperations } = await ask(describeCluster, 2, plain, openMetadata())
    expect(clusterAuthorizedOperations).toBe(-2147483648)
  })

  it('is no controller for those who ask for one, and knows no other kind', async () => {
    const answers = [2, 7].map((endpointType) => ask(describeCluster, 1, { ...plain, endpointType }, openMetadata()))
    const [controller, unknown] = await Promise.all(answers)
    expect(controller).toMatchObject({ errorCode: ErrorCode.mismatchedEndpointType, brokers: [] })
    expect(unknown).toMatchObject({
      errorCode: ErrorCode.unsupportedEndpointType,
      errorMessage: 'Unsupported endpoint type 7',
    })
  })
})
