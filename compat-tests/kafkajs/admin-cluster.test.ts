import { expect, it } from 'vitest'
import { describeBroker, uniqueName } from '../harness/index.ts'
import { anAdmin, aTopic, kafkaOf } from './clients.ts'

describeBroker('kafkajs administers the cluster', {}, (broker) => {
  it('admin.describeCluster: one broker, which is the controller', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const cluster = await admin.describeCluster()
    expect(cluster.brokers).toEqual([{ nodeId: 1, host: '127.0.0.1', port: broker.port }])
    expect(cluster.controller).toBe(1)
    expect(cluster.clusterId).toMatch(/^[\w-]{22}$/)
    expect((await admin.describeCluster()).clusterId).toBe(cluster.clusterId)
  })

  it('admin.alterPartitionReassignments and admin.listPartitionReassignments: to where they are', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { partitions: 2 })
    const admin = await anAdmin(kafka)
    await admin.alterPartitionReassignments({
      topics: [{ topic, partitionAssignment: [{ partition: 0, replicas: [1] }] }],
    })
    expect(await admin.listPartitionReassignments({})).toEqual({ topics: [] })
    expect(await admin.listPartitionReassignments({ topics: [{ topic, partitions: [0, 1] }] })).toEqual({ topics: [] })
  })

  it.each([
    ['to a broker that does not exist', { partition: 0, replicas: [7] }, 'INVALID_REPLICA_ASSIGNMENT', 39],
    ['to the same broker twice', { partition: 0, replicas: [1, 1] }, 'INVALID_REPLICA_ASSIGNMENT', 39],
    ['to no broker', { partition: 0, replicas: [] }, 'INVALID_REPLICA_ASSIGNMENT', 39],
    ['of a partition that does not exist', { partition: 9, replicas: [1] }, 'UNKNOWN_TOPIC_OR_PARTITION', 3],
  ])('admin.alterPartitionReassignments %s is refused', async (_, assignment, type, code) => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const admin = await anAdmin(kafka)
    const altered = admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [assignment] }] })
    await expect(altered).rejects.toMatchObject({ errors: [{ type, code, topic, partition: assignment.partition }] })
  })

  it('admin.alterPartitionReassignments of a topic that does not exist is refused', async () => {
    const admin = await anAdmin(kafkaOf(broker))
    const topics = [{ topic: uniqueName('missing'), partitionAssignment: [{ partition: 0, replicas: [1] }] }]
    await expect(admin.alterPartitionReassignments({ topics })).rejects.toMatchObject({
      errors: [{ type: 'UNKNOWN_TOPIC_OR_PARTITION', code: 3 }],
    })
  })
})
