import assert from 'node:assert/strict'
import { apis, ErrorCode } from '@millrace/protocol'
import type { Cluster } from './cluster.ts'
import { KafkaError } from './errors.ts'
import type { CommitIdentity, PartitionOffset } from './offsets.ts'
import type { ProducerIdentity, TransactionPort } from './producer.ts'
import { byTopic, partitionKey, type TopicPartition } from './topic-partition.ts'

export interface TransactionOptions {
  readonly transactionalId: string
  /** After so long without an end the coordinator aborts the transaction. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 60_000

/** From version 4 on brokers ask it of each other. */
const ADD_PARTITIONS_VERSION_MAX = 3
/** The newer versions are of transactions whose epoch rises with each end (KIP-890), and which partitions join by themselves. */
const END_VERSION_MAX = 4
const OFFSET_COMMIT_VERSION_MAX = 4

/**
 * The transactions of one transactional id, one after another. A transaction opens with the first partition or offset
 * that is added, and holds everything from then on until `commit` or `abort`; offsets become visible with the records.
 *
 * Whoever asks for the identity of a transactional id fences the one who had it before: that one's next request fails
 * with PRODUCER_FENCED or INVALID_PRODUCER_EPOCH, and its open transaction is aborted.
 */
export class Transaction implements TransactionPort {
  readonly transactionalId: string
  readonly #cluster: Cluster
  readonly #timeoutMs: number
  readonly #partitions = new Set<string>()
  #identity: Promise<ProducerIdentity> | null = null
  #hasOffsets = false
  /** Counts the transactions, so that an answer that comes after the end of its own is not taken for one of the next. */
  #number = 0

  constructor(cluster: Cluster, options: TransactionOptions) {
    this.#cluster = cluster
    this.transactionalId = options.transactionalId
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
  }

  /** Whether something has been added since the last end. */
  get isOpen(): boolean {
    return this.#hasOffsets || this.#partitions.size > 0
  }

  identity(): Promise<ProducerIdentity> {
    this.#identity ??= this.#initialize()
    this.#identity.catch(() => (this.#identity = null))
    return this.#identity
  }

  has(topic: string, partition: number): boolean {
    return this.#partitions.has(partitionKey(topic, partition))
  }

  async addPartitions(partitions: readonly TopicPartition[]): Promise<void> {
    const number = this.#number
    const identity = await this.identity()
    if (number !== this.#number) return
    const { transactionalId } = this
    const topics = [...byTopic(partitions)].map(([name, same]) => ({
      name,
      partitions: same.map(({ partition }) => partition),
    }))
    const add = async (): Promise<void> => {
      const response = await this.#cluster.coordinated(
        'transaction',
        transactionalId,
        apis.addPartitionsToTxn,
        {
          v3AndBelowTransactionalId: transactionalId,
          v3AndBelowProducerId: identity.producerId,
          v3AndBelowProducerEpoch: identity.producerEpoch,
          v3AndBelowTopics: topics,
        },
        {
          codeOf: ({ resultsByTopicV3AndBelow: [first] }) =>
            first?.resultsByPartition[0]?.partitionErrorCode ?? ErrorCode.none,
          maxVersion: ADD_PARTITIONS_VERSION_MAX,
        },
      )
      const codes = response.resultsByTopicV3AndBelow.flatMap(({ resultsByPartition }) =>
        resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode),
      )
      // One partition that is refused has the others answered with OPERATION_NOT_ATTEMPTED.
      const failed = codes.filter((code) => code !== ErrorCode.none)
      const code = failed.find((one) => one !== ErrorCode.operationNotAttempted) ?? failed[0]
      if (code !== undefined) throw this.#error('AddPartitionsToTxn', code)
    }
    await this.#cluster.retry(add)
    // Given up meanwhile: what the coordinator makes of it ends with the next identity.
    if (number !== this.#number) return
    for (const { topic, partition } of partitions) this.#partitions.add(partitionKey(topic, partition))
  }

  /** The offsets of a group member become part of the transaction. */
  async sendOffsets(member: CommitIdentity, offsets: readonly PartitionOffset[]): Promise<void> {
    if (offsets.length === 0) return
    const identity = await this.identity()
    const { transactionalId } = this
    const { groupId, memberId, generationId, groupInstanceId } = member
    const add = async (): Promise<void> => {
      const { errorCode } = await this.#cluster.coordinated(
        'transaction',
        transactionalId,
        apis.addOffsetsToTxn,
        { transactionalId, ...identity, groupId },
        { codeOf: (response) => response.errorCode },
      )
      if (errorCode !== ErrorCode.none) throw this.#error('AddOffsetsToTxn', errorCode)
    }
    await this.#cluster.retry(add)
    this.#hasOffsets = true
    const commit = async (): Promise<void> => {
      const response = await this.#cluster.coordinated(
        'group',
        groupId,
        apis.txnOffsetCommit,
        {
          transactionalId,
          groupId,
          ...identity,
          generationIdOrMemberEpoch: generationId,
          memberId,
          groupInstanceId,
          topics: [...byTopic(offsets)].map(([name, same]) => ({
            name,
            partitions: same.map(({ partition, offset, metadata = '' }) => ({
              partitionIndex: partition,
              committedOffset: offset,
              committedMetadata: metadata,
            })),
          })),
        },
        {
          codeOf: ({ topics }) => topics[0]?.partitions[0]?.errorCode ?? ErrorCode.none,
          maxVersion: OFFSET_COMMIT_VERSION_MAX,
        },
      )
      for (const { partitions } of response.topics) {
        for (const { errorCode } of partitions) {
          if (errorCode !== ErrorCode.none) throw this.#error('TxnOffsetCommit', errorCode)
        }
      }
    }
    await this.#cluster.retry(commit)
  }

  /** Makes everything of the transaction visible at once. */
  commit(): Promise<void> {
    return this.#end(true)
  }

  /** Makes it as if nothing of the transaction had been; the next one gets a new epoch. */
  async abort(): Promise<void> {
    try {
      await this.#end(false)
    } finally {
      // Batches of the aborted transaction may have left a gap in the sequence, which a new epoch starts anew.
      this.#reset()
      this.#identity = null
    }
  }

  async #end(committed: boolean): Promise<void> {
    if (!this.isOpen) return
    const identity = await this.identity()
    const { transactionalId } = this
    const end = async (): Promise<void> => {
      const { errorCode } = await this.#cluster.coordinated(
        'transaction',
        transactionalId,
        apis.endTxn,
        { transactionalId, ...identity, committed },
        { codeOf: (response) => response.errorCode, maxVersion: END_VERSION_MAX },
      )
      if (errorCode !== ErrorCode.none) throw this.#error('EndTxn', errorCode)
    }
    await this.#cluster.retry(end)
    this.#reset()
  }

  #reset(): void {
    this.#number++
    this.#partitions.clear()
    this.#hasOffsets = false
  }

  async #initialize(): Promise<ProducerIdentity> {
    const { transactionalId } = this
    assert(!this.isOpen, 'an identity is for a transaction that has not begun')
    const ask = async (): Promise<ProducerIdentity> => {
      const { errorCode, producerId, producerEpoch } = await this.#cluster.coordinated(
        'transaction',
        transactionalId,
        apis.initProducerId,
        { transactionalId, transactionTimeoutMs: this.#timeoutMs },
        { codeOf: (response) => response.errorCode },
      )
      if (errorCode !== ErrorCode.none) throw this.#error('InitProducerId', errorCode)
      return { producerId, producerEpoch }
    }
    return this.#cluster.retry(ask)
  }

  #error(api: string, errorCode: number): KafkaError {
    return new KafkaError(api, errorCode, `transactional id ${this.transactionalId}`)
  }
}
