import type { Api } from '../schema.ts'
import { produce } from './00-produce.ts'
import { fetch } from './01-fetch.ts'
import { listOffsets } from './02-list-offsets.ts'
import { metadata } from './03-metadata.ts'
import { offsetCommit } from './08-offset-commit.ts'
import { offsetFetch } from './09-offset-fetch.ts'
import { findCoordinator } from './10-find-coordinator.ts'
import { joinGroup } from './11-join-group.ts'
import { heartbeat } from './12-heartbeat.ts'
import { leaveGroup } from './13-leave-group.ts'
import { syncGroup } from './14-sync-group.ts'
import { describeGroups } from './15-describe-groups.ts'
import { listGroups } from './16-list-groups.ts'
import { apiVersions } from './18-api-versions.ts'
import { createTopics } from './19-create-topics.ts'
import { deleteTopics } from './20-delete-topics.ts'
import { deleteRecords } from './21-delete-records.ts'
import { initProducerId } from './22-init-producer-id.ts'
import { offsetForLeaderEpoch } from './23-offset-for-leader-epoch.ts'
import { addPartitionsToTxn } from './24-add-partitions-to-txn.ts'
import { addOffsetsToTxn } from './25-add-offsets-to-txn.ts'
import { endTxn } from './26-end-txn.ts'
import { writeTxnMarkers } from './27-write-txn-markers.ts'
import { txnOffsetCommit } from './28-txn-offset-commit.ts'
import { describeConfigs } from './32-describe-configs.ts'
import { alterConfigs } from './33-alter-configs.ts'
import { describeLogDirs } from './35-describe-log-dirs.ts'
import { createPartitions } from './37-create-partitions.ts'
import { deleteGroups } from './42-delete-groups.ts'
import { incrementalAlterConfigs } from './44-incremental-alter-configs.ts'
import { alterPartitionReassignments } from './45-alter-partition-reassignments.ts'
import { listPartitionReassignments } from './46-list-partition-reassignments.ts'
import { offsetDelete } from './47-offset-delete.ts'
import { describeCluster } from './60-describe-cluster.ts'
import { describeProducers } from './61-describe-producers.ts'
import { describeTransactions } from './65-describe-transactions.ts'
import { listTransactions } from './66-list-transactions.ts'
import { describeTopicPartitions } from './75-describe-topic-partitions.ts'

export type { ProduceRequest, ProduceResponse } from './00-produce.ts'
export type { FetchRequest, FetchResponse } from './01-fetch.ts'
export type { ListOffsetsRequest, ListOffsetsResponse } from './02-list-offsets.ts'
export type { MetadataRequest, MetadataResponse } from './03-metadata.ts'
export type { OffsetCommitRequest, OffsetCommitResponse } from './08-offset-commit.ts'
export type { OffsetFetchRequest, OffsetFetchResponse } from './09-offset-fetch.ts'
export type { FindCoordinatorRequest, FindCoordinatorResponse } from './10-find-coordinator.ts'
export type { JoinGroupRequest, JoinGroupResponse } from './11-join-group.ts'
export type { HeartbeatRequest, HeartbeatResponse } from './12-heartbeat.ts'
export type { LeaveGroupRequest, LeaveGroupResponse } from './13-leave-group.ts'
export type { SyncGroupRequest, SyncGroupResponse } from './14-sync-group.ts'
export type { DescribeGroupsRequest, DescribeGroupsResponse } from './15-describe-groups.ts'
export type { ListGroupsRequest, ListGroupsResponse } from './16-list-groups.ts'
export type { ApiVersionsRequest, ApiVersionsResponse } from './18-api-versions.ts'
export type { CreateTopicsRequest, CreateTopicsResponse } from './19-create-topics.ts'
export type { DeleteTopicsRequest, DeleteTopicsResponse } from './20-delete-topics.ts'
export type { DeleteRecordsRequest, DeleteRecordsResponse } from './21-delete-records.ts'
export type { InitProducerIdRequest, InitProducerIdResponse } from './22-init-producer-id.ts'
export type { OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse } from './23-offset-for-leader-epoch.ts'
export type { AddPartitionsToTxnRequest, AddPartitionsToTxnResponse } from './24-add-partitions-to-txn.ts'
export type { AddOffsetsToTxnRequest, AddOffsetsToTxnResponse } from './25-add-offsets-to-txn.ts'
export type { EndTxnRequest, EndTxnResponse } from './26-end-txn.ts'
export type { WriteTxnMarkersRequest, WriteTxnMarkersResponse } from './27-write-txn-markers.ts'
export type { TxnOffsetCommitRequest, TxnOffsetCommitResponse } from './28-txn-offset-commit.ts'
export type { DescribeConfigsRequest, DescribeConfigsResponse } from './32-describe-configs.ts'
export type { AlterConfigsRequest, AlterConfigsResponse } from './33-alter-configs.ts'
export type { DescribeLogDirsRequest, DescribeLogDirsResponse } from './35-describe-log-dirs.ts'
export type { CreatePartitionsRequest, CreatePartitionsResponse } from './37-create-partitions.ts'
export type { DeleteGroupsRequest, DeleteGroupsResponse } from './42-delete-groups.ts'
export type { IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse } from './44-incremental-alter-configs.ts'
export type {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
} from './45-alter-partition-reassignments.ts'
export type {
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse,
} from './46-list-partition-reassignments.ts'
export type { OffsetDeleteRequest, OffsetDeleteResponse } from './47-offset-delete.ts'
export type { DescribeClusterRequest, DescribeClusterResponse } from './60-describe-cluster.ts'
export type { DescribeProducersRequest, DescribeProducersResponse } from './61-describe-producers.ts'
export type { DescribeTransactionsRequest, DescribeTransactionsResponse } from './65-describe-transactions.ts'
export type { ListTransactionsRequest, ListTransactionsResponse } from './66-list-transactions.ts'
export type { DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse } from './75-describe-topic-partitions.ts'

/**
 * Every API there is a table for, by Kafka's name with a small first letter. Which of them a broker offers is its own
 * matter.
 */
export const apis = {
  produce,
  fetch,
  listOffsets,
  metadata,
  offsetCommit,
  offsetFetch,
  findCoordinator,
  joinGroup,
  heartbeat,
  leaveGroup,
  syncGroup,
  describeGroups,
  listGroups,
  apiVersions,
  createTopics,
  deleteTopics,
  deleteRecords,
  initProducerId,
  offsetForLeaderEpoch,
  addPartitionsToTxn,
  addOffsetsToTxn,
  endTxn,
  writeTxnMarkers,
  txnOffsetCommit,
  describeConfigs,
  alterConfigs,
  describeLogDirs,
  createPartitions,
  deleteGroups,
  incrementalAlterConfigs,
  alterPartitionReassignments,
  listPartitionReassignments,
  offsetDelete,
  describeCluster,
  describeProducers,
  describeTransactions,
  listTransactions,
  describeTopicPartitions,
} as const

export type ApiName = keyof typeof apis

const byKey: (Api | undefined)[] = []
for (const api of Object.values<Api>(apis)) byKey[api.key] = api

export function apiByKey(key: number): Api | undefined {
  return byKey[key]
}
