import { apis, codec, ErrorCode, ZERO_UUID, type RequestOf, type Writer } from '@millrace/protocol'
import type { AbortedTransaction } from '../log/aborted-transaction.ts'
import type { FileSlice } from '../log/file-slice.ts'
import { UNKNOWN_EPOCH } from '../log/leader-epochs.ts'
import {
  EPOCH_INITIAL,
  EPOCH_SESSIONLESS,
  FetchSession,
  SESSION_ID_NONE,
  type FetchedPartition,
} from '../partition/fetch-session.ts'
import { PendingFetch } from '../partition/pending-fetch.ts'
import type { Partition } from '../partition/partition.ts'
import { frameHandler, type RequestContext } from './handler.ts'
import type { Output } from './output.ts'

type FetchRequest = RequestOf<typeof apis.fetch>

const FLEXIBLE_FROM = 12
const TOPIC_IDS_FROM = 13
const ZSTD_FROM = 10
const READ_COMMITTED = 1
const NO_RECORDS = Buffer.alloc(0)
const NO_ABORTED: readonly AbortedTransaction[] = []

/** What one fetch answers about one partition. */
interface PartitionAnswer {
  readonly asked: FetchedPartition
  readonly errorCode: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logStartOffset: number
  readonly divergingEpoch: { readonly epoch: number; readonly endOffset: number } | null
  readonly records: Buffer | FileSlice
  /** Those with records in `records`; null for who reads everything. */
  readonly aborted: readonly AbortedTransaction[] | null
}

/** What one fetch is about: the partitions of a session, or without one those that it names. */
interface FetchPlan {
  readonly session: FetchSession | null
  readonly isIncremental: boolean
  readonly named: readonly FetchedPartition[]
}

/**
 * Fetch (1): stored batches as they are, from the one that holds the wanted offset. Waits up to `maxWaitMs` for
 * `minBytes`; at least one batch is returned whatever the limits say, so that a consumer always gets on.
 */
export const fetch = frameHandler({
  api: apis.fetch,
  answer(reader, context, output) {
    const request = codec(apis.fetch.request, context.apiVersion).decode(reader)
    const plan = planOf(request, context)
    if (typeof plan === 'number') {
      writeResponse(output, context, { errorCode: plan, sessionId: SESSION_ID_NONE, answers: [] })
      return
    }
    const answers = readAll(plan, request, context)
    const waitMs = request.maxWaitMs
    const bytesFound = recordBytes(answers)
    if (waitMs <= 0 || bytesFound >= request.minBytes || answers.some(isUrgent) || answers.length === 0) {
      respond(plan, answers, context, output)
      return
    }
    return waitForMore(plan, request, context, bytesFound, waitMs).then((isConnected) => {
      if (isConnected) respond(plan, readAll(plan, request, context), context, output)
    })
  },
})

function planOf(request: FetchRequest, context: RequestContext): FetchPlan | number {
  const { fetchSessions } = context.services
  const usesTopicIds = context.apiVersion >= TOPIC_IDS_FROM
  if (context.apiVersion < 7 || request.sessionEpoch === EPOCH_SESSIONLESS || request.sessionEpoch === EPOCH_INITIAL) {
    if (request.sessionId !== SESSION_ID_NONE) fetchSessions.remove(request.sessionId)
    const asked = askedPartitions(request, context)
    if (context.apiVersion < 7 || request.sessionEpoch === EPOCH_SESSIONLESS || asked.length === 0) {
      return { session: null, isIncremental: false, named: asked }
    }
    const session = fetchSessions.tryCreate(usesTopicIds, asked.length)
    if (session !== null) for (const partition of asked) session.partitions.set(sessionKey(partition), partition)
    return { session, isIncremental: false, named: asked }
  }
  const session = fetchSessions.get(request.sessionId)
  if (session === undefined) return ErrorCode.fetchSessionIdNotFound
  if (session.epoch !== request.sessionEpoch) return ErrorCode.invalidFetchSessionEpoch
  if (session.usesTopicIds !== usesTopicIds) return ErrorCode.fetchSessionTopicIdError
  updateSession(session, request, context)
  session.epoch = FetchSession.nextEpoch(session.epoch)
  if (session.partitions.size === 0) {
    fetchSessions.remove(session.id)
    return { session: null, isIncremental: false, named: [] }
  }
  return { session, isIncremental: true, named: [] }
}

function partitionsOf({ session, named }: FetchPlan): Iterable<FetchedPartition> {
  return session === null ? named : session.partitions.values()
}

function askedPartitions(request: FetchRequest, context: RequestContext): FetchedPartition[] {
  const asked: FetchedPartition[] = []
  for (const topic of request.topics) {
    const name = topicName(topic.topic, topic.topicId, context)
    for (const wanted of topic.partitions) {
      asked.push({
        topic: name,
        topicId: topic.topicId,
        partition: wanted.partition,
        currentLeaderEpoch: wanted.currentLeaderEpoch,
        fetchOffset: wanted.fetchOffset,
        lastFetchedEpoch: wanted.lastFetchedEpoch,
        maxBytes: wanted.partitionMaxBytes,
        sentHighWatermark: -1,
        sentLogStart: -1,
        sentError: ErrorCode.none,
      })
    }
  }
  return asked
}

function updateSession(session: FetchSession, request: FetchRequest, context: RequestContext): void {
  for (const partition of askedPartitions(request, context)) {
    const known = session.partitions.get(sessionKey(partition))
    if (known === undefined) {
      session.partitions.set(sessionKey(partition), partition)
      continue
    }
    known.currentLeaderEpoch = partition.currentLeaderEpoch
    known.fetchOffset = partition.fetchOffset
    known.lastFetchedEpoch = partition.lastFetchedEpoch
    known.maxBytes = partition.maxBytes
  }
  for (const topic of request.forgottenTopicsData) {
    for (const partition of topic.partitions) {
      session.partitions.delete(sessionKey({ topic: topic.topic, topicId: topic.topicId, partition }))
    }
  }
}

/** The key of a partition in a session: by topic id where the client speaks of ids, else by name. */
function sessionKey(partition: {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
}): string {
  const topic = partition.topicId === ZERO_UUID ? partition.topic : partition.topicId
  return `${topic}/${partition.partition}`
}

/** Empty when no topic has the id; such a partition is answered with UNKNOWN_TOPIC_ID. */
function topicName(name: string, topicId: string, context: RequestContext): string {
  if (context.apiVersion < TOPIC_IDS_FROM) return name
  return context.services.partitions.topicName(topicId) ?? ''
}

function readAll(plan: FetchPlan, request: FetchRequest, context: RequestContext): PartitionAnswer[] {
  const answers: PartitionAnswer[] = []
  let bytesLeft = Math.min(request.maxBytes, context.services.config.int('fetch.max.bytes'))
  let hasRecords = false
  for (const asked of partitionsOf(plan)) {
    const answer = readOne(asked, request, context, bytesLeft, !hasRecords)
    if (answer.records.length > 0) {
      hasRecords = true
      bytesLeft = Math.max(0, bytesLeft - answer.records.length)
    }
    answers.push(answer)
  }
  return answers
}

function readOne(
  asked: FetchedPartition,
  request: FetchRequest,
  context: RequestContext,
  bytesLeft: number,
  atLeastOneBatch: boolean,
): PartitionAnswer {
  const partition = locate(asked, context)
  if (typeof partition === 'number') return failed(asked, partition)
  const { offsets } = partition
  const isCommitted = request.isolationLevel === READ_COMMITTED
  const diverging = divergence(partition, asked)
  if (diverging === 'unknown' || asked.fetchOffset < offsets.logStart) return failed(asked, ErrorCode.offsetOutOfRange)
  const answer = {
    asked,
    errorCode: ErrorCode.none,
    highWatermark: offsets.highWatermark,
    lastStableOffset: offsets.lastStable,
    logStartOffset: offsets.logStart,
  }
  if (diverging !== null) return { ...answer, divergingEpoch: diverging, records: NO_RECORDS, aborted: null }
  if (asked.fetchOffset > offsets.end) return failed(asked, ErrorCode.offsetOutOfRange)
  if (context.apiVersion < ZSTD_FROM && partition.log.config.compressionType === 'zstd') {
    return failed(asked, ErrorCode.unsupportedCompressionType)
  }
  const records = partition.read(asked.fetchOffset, Math.min(asked.maxBytes, bytesLeft), {
    maxOffset: isCommitted ? offsets.lastStable : offsets.highWatermark,
    atLeastOneBatch,
  })
  if (typeof records === 'number') return failed(asked, records)
  const aborted = isCommitted ? partition.abortedTransactions(asked.fetchOffset, records) : null
  if (typeof aborted === 'number') return failed(asked, aborted)
  return { ...answer, divergingEpoch: null, records, aborted }
}

function locate(asked: FetchedPartition, context: RequestContext): Partition | number {
  const { partitions } = context.services
  // In a session the topic may have been created after the fetch that named its id.
  if (asked.topic === '') asked.topic = topicName('', asked.topicId, context)
  if (asked.topic === '') return ErrorCode.unknownTopicId
  const partition = partitions.get(asked.topic, asked.partition)
  if (partition === undefined) {
    return context.apiVersion >= TOPIC_IDS_FROM && partitions.topicName(asked.topicId) === null
      ? ErrorCode.unknownTopicId
      : partitions.absence(asked.topic, asked.partition)
  }
  // A topic deleted and created again under the same name is another topic.
  if (context.apiVersion >= TOPIC_IDS_FROM && partition.topicId !== asked.topicId) return ErrorCode.inconsistentTopicId
  if (partition.isOffline) return ErrorCode.kafkaStorageError
  return partition.checkLeaderEpoch(asked.currentLeaderEpoch) || partition
}

/** Where the client's log, or its view of ours, parts from this one (KIP-320); null when it does not. */
function divergence(
  partition: Partition,
  asked: FetchedPartition,
): { epoch: number; endOffset: number } | null | 'unknown' {
  if (asked.lastFetchedEpoch < 0) return null
  const found = partition.log.leaderEpochs.endOffsetFor(asked.lastFetchedEpoch, partition.offsets.end)
  if (found.epoch === UNKNOWN_EPOCH) return 'unknown'
  return found.epoch < asked.lastFetchedEpoch || found.endOffset < asked.fetchOffset ? found : null
}

function failed(asked: FetchedPartition, errorCode: number): PartitionAnswer {
  return {
    asked,
    errorCode,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    divergingEpoch: null,
    records: NO_RECORDS,
    aborted: null,
  }
}

function recordBytes(answers: readonly PartitionAnswer[]): number {
  let bytes = 0
  for (const answer of answers) bytes += answer.records.length
  return bytes
}

/** An answer that a client should have at once, however little it waits for otherwise. */
function isUrgent(answer: PartitionAnswer): boolean {
  return answer.errorCode !== ErrorCode.none || answer.divergingEpoch !== null
}

/** Resolves with false when the client has gone meanwhile. */
function waitForMore(
  plan: FetchPlan,
  request: FetchRequest,
  context: RequestContext,
  bytesFound: number,
  maxWaitMs: number,
): Promise<boolean> {
  const { clock, partitions } = context.services
  const watches: Partition[] = []
  for (const asked of partitionsOf(plan)) {
    const partition = partitions.get(asked.topic, asked.partition)
    if (partition !== undefined) watches.push(partition)
  }
  return new Promise((resolve) => {
    const pending = new PendingFetch({
      clock,
      maxWaitMs,
      minBytes: request.minBytes,
      bytesFound,
      isCommitted: request.isolationLevel === READ_COMMITTED,
      watches,
      complete: () => {
        forgetClose()
        resolve(true)
      },
    })
    const forgetClose = context.onClose(() => {
      pending.cancel()
      resolve(false)
    })
  })
}

function respond(plan: FetchPlan, answers: PartitionAnswer[], context: RequestContext, output: Output): void {
  const { session } = plan
  if (session === null) {
    writeResponse(output, context, { errorCode: ErrorCode.none, sessionId: SESSION_ID_NONE, answers })
    return
  }
  const sent = plan.isIncremental ? answers.filter(hasNews) : answers
  for (const answer of sent) {
    answer.asked.sentHighWatermark = answer.highWatermark
    answer.asked.sentLogStart = answer.logStartOffset
    answer.asked.sentError = answer.errorCode
    if (answer.records.length > 0) session.moveToEnd(sessionKey(answer.asked), answer.asked)
  }
  writeResponse(output, context, { errorCode: ErrorCode.none, sessionId: session.id, answers: sent })
}

function hasNews(answer: PartitionAnswer): boolean {
  const { asked } = answer
  return (
    answer.records.length > 0 ||
    answer.errorCode !== ErrorCode.none ||
    asked.sentError !== ErrorCode.none ||
    answer.divergingEpoch !== null ||
    answer.highWatermark !== asked.sentHighWatermark ||
    answer.logStartOffset !== asked.sentLogStart
  )
}

// The response is written by hand because stored records go between its fields as they are. The order of the fields is
// the table's in protocol/src/apis/01-fetch.ts, and a test compares the two.
function writeResponse(
  output: Output,
  context: RequestContext,
  response: { readonly errorCode: number; readonly sessionId: number; readonly answers: readonly PartitionAnswer[] },
): void {
  const version = context.apiVersion
  const isFlexible = version >= FLEXIBLE_FROM
  output.beginResponse(context.correlationId, isFlexible)
  const writer = output.writer
  writer.int32(0) // throttleTimeMs
  if (version >= 7) {
    writer.int16(response.errorCode)
    writer.int32(response.sessionId)
  }
  const { answers } = response
  writeCount(writer, isFlexible, topicRuns(answers))
  for (let at = 0; at < answers.length;) {
    const end = endOfTopicRun(answers, at)
    const { topic, topicId } = answers[at]!.asked
    if (version >= TOPIC_IDS_FROM) writer.uuid(topicId)
    else if (isFlexible) writer.compactString(topic)
    else writer.string(topic)
    writeCount(writer, isFlexible, end - at)
    for (; at < end; at++) writePartition(output, version, answers[at]!)
    if (isFlexible) writer.uvarint(0)
  }
  if (isFlexible) writer.uvarint(0)
  output.endFrame()
}

function writePartition(output: Output, version: number, answer: PartitionAnswer): void {
  const isFlexible = version >= FLEXIBLE_FROM
  const writer = output.writer
  writer.int32(answer.asked.partition)
  writer.int16(answer.errorCode)
  writer.int64(answer.highWatermark)
  writer.int64(answer.lastStableOffset)
  if (version >= 5) writer.int64(answer.logStartOffset)
  writeAborted(writer, isFlexible, answer.aborted)
  if (version >= 11) writer.int32(-1) // preferredReadReplica
  if (isFlexible) writer.uvarint(answer.records.length + 1)
  else writer.int32(answer.records.length)
  output.stored(answer.records)
  if (!isFlexible) return
  if (answer.divergingEpoch === null) {
    writer.uvarint(0)
    return
  }
  writer.uvarint(1)
  const tag = writer.beginTag(0)
  writer.int32(answer.divergingEpoch.epoch)
  writer.int64(answer.divergingEpoch.endOffset)
  writer.uvarint(0)
  writer.endTag(tag)
}

function writeAborted(writer: Writer, isFlexible: boolean, aborted: readonly AbortedTransaction[] | null): void {
  const count = aborted === null ? -1 : aborted.length
  if (isFlexible) writer.uvarint(count + 1)
  else writer.int32(count)
  for (const { producerId, firstOffset } of aborted ?? NO_ABORTED) {
    writer.int64(producerId)
    writer.int64(firstOffset)
    if (isFlexible) writer.uvarint(0)
  }
}

function writeCount(writer: Writer, isFlexible: boolean, count: number): void {
  if (isFlexible) writer.compactCount(count)
  else writer.count(count)
}

function topicRuns(answers: readonly PartitionAnswer[]): number {
  let runs = 0
  for (let at = 0; at < answers.length; at = endOfTopicRun(answers, at)) runs += 1
  return runs
}

/** Neighbouring partitions of one topic share its entry in the response. */
function endOfTopicRun(answers: readonly PartitionAnswer[], start: number): number {
  const { topic, topicId } = answers[start]!.asked
  let end = start + 1
  while (end < answers.length && answers[end]!.asked.topicId === topicId && answers[end]!.asked.topic === topic)
    end += 1
  return end
}
