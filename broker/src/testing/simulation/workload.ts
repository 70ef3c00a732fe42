import { apis, buildBatch, ErrorCode, errorName, readBatches, readRecords } from '@millrace/protocol'
import type { History, SeenRecord, Send } from './history.ts'
import { RequestLost, type SimulatedClient } from './simulated-client.ts'
import type { SeededRandom } from './seeded-random.ts'

/** What the actors of a workload need of the world that they act in. */
export interface Stage {
  readonly history: History
  /** By the clock of the world. */
  readonly nowMs: () => number
  readonly wallMs: () => number
  readonly pause: (ms: number) => Promise<void>
  readonly client: () => SimulatedClient
  /** Counts an operation that came to an end, whatever end. */
  readonly operated: () => void
  /** Whether enough was done: an actor brings what it has begun to its end and leaves. */
  readonly isEnding: () => boolean
  readonly violated: (text: string) => void
  /** The deletion of a topic is asked for now. */
  readonly deleting: (topic: string) => void
  /** Whether a crash may take what was acknowledged. */
  readonly isLossy: boolean
}

export interface Target {
  readonly topic: string
  readonly partition: number
  readonly hasKeys: boolean
}

const CODES_OF_A_PAUSE: ReadonlySet<number> = new Set([
  ErrorCode.notLeaderOrFollower,
  ErrorCode.unknownTopicOrPartition,
  ErrorCode.kafkaStorageError,
  ErrorCode.coordinatorNotAvailable,
  ErrorCode.coordinatorLoadInProgress,
  ErrorCode.notCoordinator,
  ErrorCode.requestTimedOut,
])

/** What ListOffsets takes for the first offset that is there. */
const EARLIEST = -2

/**
 * A snapshot of producers has the last batch of each, in Kafka's format, so that after an orderly restart a broker knows no
 * more than that one again: of several that are sent again the first is out of order.
 */
const BATCHES_IN_FLIGHT = 1

interface Unacknowledged {
  readonly bytes: Buffer
  readonly sends: readonly Send[]
}

/** Sends again and again what was not acknowledged, in the order in which it was sent first. */
export async function idempotentProducer(
  name: string,
  target: Target,
  stage: Stage,
  random: SeededRandom,
): Promise<void> {
  const client = stage.client()
  let incarnation = 0
  let count = 0
  for (;;) {
    const id = await producerId(client, stage, random)
    const producer = `${name}.${incarnation++}`
    let nextSequence = 0
    const unacknowledged: Unacknowledged[] = []
    const isOver = (): boolean => stage.isEnding() && unacknowledged.length === 0
    let isAlive = true
    while (isAlive && !isOver()) {
      await stage.pause(random.between(1, 15))
      const wanted = stage.isEnding() ? 0 : BATCHES_IN_FLIGHT
      while (unacknowledged.length < wanted) {
        const batch = aBatch({ producer, target, stage, random, count })
        const bytes = buildBatch({ ...batch.input, ...id, baseSequence: nextSequence })
        nextSequence += batch.sends.length
        count += batch.sends.length
        unacknowledged.push({ bytes, sends: batch.sends })
      }
      const outcomes = await Promise.all(unacknowledged.map(({ bytes }) => produce(client, target, bytes, -1, random)))
      stage.operated()
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome === null) break
        const { errorCode, baseOffset } = outcome
        if (errorCode === ErrorCode.none || errorCode === ErrorCode.duplicateSequenceNumber) {
          if (i > 0 && outcomes[i - 1] !== null && outcomes[i - 1]!.errorCode !== ErrorCode.none)
            stage.violated(`${producer}: a batch was taken behind one that was refused`)
          acknowledge(unacknowledged.shift()!.sends, baseOffset, stage)
          continue
        }
        if (CODES_OF_A_PAUSE.has(errorCode)) break
        if (!stage.isLossy)
          stage.violated(`${producer}: ${target.topic}-${target.partition} answered ${errorName(errorCode)}`)
        isAlive = false
        break
      }
      // A new one takes over, and what was not acknowledged stays unknown.
      if (!stage.isEnding() && random.chance(0.01)) {
        isAlive = false
        client.drop()
      }
    }
    if (isAlive || stage.isEnding()) return
  }
}

/** Sends each record once and does not care what became of it. */
export async function plainProducer(name: string, targets: readonly Target[], stage: Stage, random: SeededRandom) {
  const client = stage.client()
  let count = 0
  while (!stage.isEnding()) {
    await stage.pause(random.between(1, 20))
    const target = random.pick(targets)
    const { input, sends } = aBatch({ producer: name, target, stage, random, count, isIdempotent: false })
    count += sends.length
    const outcome = await produce(client, target, buildBatch(input), random.pick([1, -1]), random)
    stage.operated()
    if (outcome?.errorCode === ErrorCode.none) acknowledge(sends, outcome.baseOffset, stage)
  }
}

/** Follows one partition from its beginning to its end, wherever that is. */
export async function follower(name: string, target: Target, stage: Stage, random: SeededRandom): Promise<void> {
  const client = stage.client()
  let position = 0
  while (!stage.isEnding()) {
    await stage.pause(random.between(1, 25))
    const fetched = await fetch(client, target, position, random)
    stage.operated()
    if (fetched === null) continue
    if (fetched.errorCode === ErrorCode.offsetOutOfRange) {
      const { topic, partition } = target
      const earliest = await listedOffset(client, target, EARLIEST)
      if (earliest === null) continue
      if (position >= earliest && !stage.isLossy)
        stage.violated(`${name}: offset ${position} of ${topic}-${partition} is out of range and was read up to`)
      position = earliest
      continue
    }
    if (fetched.errorCode !== ErrorCode.none) continue
    stage.history.polls.push({ consumer: name, group: null, ...target, position, ...fetched })
    position = fetched.next
  }
}

/** A member of a group, which reads what it is assigned and commits it, and now and then leaves, well or badly. */
export async function groupMember(
  name: string,
  group: string,
  targets: readonly Target[],
  stage: Stage,
  random: SeededRandom,
): Promise<void> {
  const client = stage.client()
  const topic = targets[0]!.topic
  while (!stage.isEnding()) {
    await stage.pause(random.between(5, 60))
    const membership = await join(client, group, targets, stage)
    stage.operated()
    if (membership === null) continue
    const { memberId, generationId, partitions } = membership
    const positions = new Map<number, number>()
    let isMember = true
    while (isMember && !stage.isEnding()) {
      await stage.pause(random.between(1, 30))
      if (random.chance(0.3) || partitions.length === 0) {
        const answer = await attempt(
          client.request(apis.heartbeat, 3, { groupId: group, generationId, memberId }, 1500),
        )
        stage.operated()
        isMember = answer !== null && answer.errorCode === ErrorCode.none
        continue
      }
      const partition = random.pick(partitions)
      const target: Target = { topic, partition, hasKeys: false }
      let position = positions.get(partition)
      if (position === undefined) {
        const known = await committedOffset(client, group, target, stage)
        stage.operated()
        if (known === null) {
          isMember = false
          continue
        }
        position = Math.max(0, known)
      }
      const fetched = await fetch(client, target, position, random)
      stage.operated()
      if (fetched === null) isMember = false
      if (fetched === null || fetched.errorCode !== ErrorCode.none) {
        if (fetched?.errorCode === ErrorCode.offsetOutOfRange) {
          if (!stage.isLossy) stage.violated(`${name}: offset ${position} is out of range and was committed`)
          positions.set(partition, 0)
        }
        continue
      }
      stage.history.polls.push({ consumer: `${name}/${memberId}`, group, ...target, position, ...fetched })
      positions.set(partition, fetched.next)
      if (fetched.next > position && random.chance(0.6)) {
        const errorCode = await commit(client, group, target, fetched.next, { memberId, generationId }, stage)
        stage.operated()
        isMember = errorCode === ErrorCode.none
      }
      if (random.chance(0.01)) {
        isMember = false
        if (random.chance(0.5)) client.drop()
        else await attempt(client.request(apis.leaveGroup, 3, { groupId: group, members: [{ memberId }] }, 1500))
      }
    }
  }
}

/** Commits ever larger offsets without being a member, and asks what the broker knows of them. */
export async function committer(group: string, target: Target, stage: Stage, random: SeededRandom): Promise<void> {
  const client = stage.client()
  let offset = 0
  while (!stage.isEnding()) {
    await stage.pause(random.between(1, 30))
    if (random.chance(0.4)) await committedOffset(client, group, target, stage)
    else await commit(client, group, target, ++offset, { memberId: '', generationId: -1 }, stage)
    stage.operated()
  }
}

/** What an administrator knows of a topic: it is unknown while an answer is lost. */
export interface MadeTopic {
  state: 'there' | 'gone' | 'unknown'
  partitionCount: number
  /** When the answer to a request about it was lost last: until some time later the request may still arrive. */
  lostMs: number
}

/** Longer than any bytes are under way. */
const LATE_MS = 3000

/** By their names, of which there are few, so that they come again. */
export type MadeTopics = Map<string, MadeTopic>

const MADE_CONFIGS = [
  { name: 'internal.segment.bytes', value: '4000' },
  { name: 'retention.bytes', value: '5000' },
]

/** Makes topics, changes them, deletes them and makes them again. */
export async function administrator(
  changing: readonly string[],
  made: MadeTopics,
  stage: Stage,
  random: SeededRandom,
): Promise<void> {
  const client = stage.client()
  while (!stage.isEnding()) {
    await stage.pause(random.between(10, 80))
    const name = `made-${random.below(4)}`
    const topic = made.get(name) ?? { state: 'gone', partitionCount: 0, lostMs: -Infinity }
    made.set(name, topic)
    const before = topic.state
    const becomes = (state: MadeTopic['state']): void => {
      topic.state = stage.nowMs() - topic.lostMs < LATE_MS ? 'unknown' : state
    }
    const what = before === 'gone' ? 'create' : random.pick(['delete', 'extend', 'configure', 'list'] as const)
    if (what === 'create') {
      const numPartitions = random.between(1, 2)
      const request = {
        topics: [{ name, numPartitions, replicationFactor: 1, assignments: [], configs: MADE_CONFIGS }],
      }
      topic.state = 'unknown'
      topic.partitionCount = numPartitions
      const answer = await attempt(client.request(apis.createTopics, 4, request, 1500))
      const errorCode = answer?.topics[0]!.errorCode
      if (answer === null) topic.lostMs = stage.nowMs()
      if (errorCode === ErrorCode.none) becomes('there')
      // The one that it was to replace, of another size maybe.
      if (errorCode === ErrorCode.topicAlreadyExists) stage.violated(`topic ${name} was deleted and is there`)
    } else if (what === 'delete') {
      topic.state = 'unknown'
      stage.deleting(name)
      const answer = await attempt(client.request(apis.deleteTopics, 3, { topicNames: [name], timeoutMs: 1000 }, 1500))
      const errorCode = answer?.responses[0]!.errorCode
      if (answer === null) topic.lostMs = stage.nowMs()
      if (errorCode === ErrorCode.none) becomes('gone')
      if (errorCode === ErrorCode.unknownTopicOrPartition) {
        if (before === 'there' && !stage.isLossy) stage.violated(`topic ${name} was created and is unknown`)
        becomes('gone')
      }
    } else if (what === 'extend' && before === 'there') {
      const topics = [{ name, count: topic.partitionCount + 1, assignments: null }]
      const request = { topics, timeoutMs: 1000, validateOnly: false }
      const answer = await attempt(client.request(apis.createPartitions, 1, request, 1500))
      if (answer?.results[0]!.errorCode === ErrorCode.none) topic.partitionCount += 1
      // How many there are now is known when it is deleted and made again.
      else topic.state = 'unknown'
      if (answer === null) topic.lostMs = stage.nowMs()
    } else if (what === 'configure') {
      const configs = [{ name: 'index.interval.bytes', configOperation: 0, value: String(random.between(1, 4000)) }]
      const resources = [{ resourceType: 2, resourceName: random.pick(changing), configs }]
      await attempt(client.request(apis.incrementalAlterConfigs, 1, { resources, validateOnly: false }, 1500))
    } else {
      await attempt(client.request(apis.metadata, 9, { topics: null }, 1500))
    }
    stage.operated()
  }
}

/** Writes to whatever topics there are, so that those that are deleted and made again have something in them. */
export async function tourist(made: MadeTopics, stage: Stage, random: SeededRandom): Promise<void> {
  const client = stage.client()
  while (!stage.isEnding()) {
    await stage.pause(random.between(5, 30))
    const names = [...made.keys()]
    if (names.length === 0) continue
    const target: Target = { topic: random.pick(names), partition: random.below(2), hasKeys: false }
    const value = Buffer.from('x'.repeat(random.between(1, 1500)))
    await produce(client, target, buildBatch({ records: [{ key: null, value }], nowMs: stage.wallMs() }), -1, random)
    stage.operated()
  }
}

/** Everything in a partition from its start to its end; once more if retention moves the start meanwhile. */
export async function readAll(
  client: SimulatedClient,
  target: Target,
  stage: Stage,
  random: SeededRandom,
): Promise<void> {
  for (;;) {
    const logStart = await listedOffset(client, target, EARLIEST)
    const read = logStart === null ? null : await readFrom(client, target, logStart, random)
    if (typeof read === 'number' && !CODES_OF_A_PAUSE.has(read) && read !== ErrorCode.offsetOutOfRange) {
      stage.violated(`${target.topic}-${target.partition}: ${errorName(read)} in the end`)
      return
    }
    if (read !== null && typeof read !== 'number') {
      stage.history.finals.push({ ...target, ...read })
      return
    }
    await stage.pause(20)
  }
}

/** What is there, or the error that stands in the way, or null where there is no answer. */
async function readFrom(client: SimulatedClient, target: Target, logStart: number, random: SeededRandom) {
  const records: SeenRecord[] = []
  const markers: number[] = []
  for (let position = logStart; ;) {
    const fetched = await fetch(client, target, position, random, 0)
    if (fetched === null) return null
    if (fetched.errorCode !== ErrorCode.none) return fetched.errorCode
    records.push(...fetched.records)
    markers.push(...fetched.markers)
    if (fetched.next === position) return { logStart, end: position, records, markers }
    position = fetched.next
  }
}

/** What the broker knows, or null when it does not answer; noted for the checker. */
export async function committedOffset(
  client: SimulatedClient,
  group: string,
  target: Target,
  stage: Stage,
): Promise<number | null> {
  const startMs = stage.nowMs()
  const topics = [{ name: target.topic, partitionIndexes: [target.partition] }]
  const answer = await attempt(client.request(apis.offsetFetch, 5, { groupId: group, topics }, 1500))
  const partition = answer?.topics[0]?.partitions[0]
  if (answer?.errorCode !== ErrorCode.none || partition?.errorCode !== ErrorCode.none) return null
  const offset = partition.committedOffset
  stage.history.committed.push({ group, ...target, offset, startMs, endMs: stage.nowMs() })
  return offset
}

async function commit(
  client: SimulatedClient,
  group: string,
  target: Target,
  offset: number,
  member: { readonly memberId: string; readonly generationId: number },
  stage: Stage,
): Promise<number | null> {
  const noted = stage.history.commit({ group, ...target, offset, startMs: stage.nowMs() })
  const partitions = [{ partitionIndex: target.partition, committedOffset: offset, committedMetadata: '' }]
  const request = {
    groupId: group,
    generationIdOrMemberEpoch: member.generationId,
    memberId: member.memberId,
    topics: [{ name: target.topic, partitions }],
  }
  const answer = await attempt(client.request(apis.offsetCommit, 7, request, 1500))
  const errorCode = answer?.topics[0]!.partitions[0]!.errorCode ?? null
  noted.endMs = errorCode === null ? Infinity : stage.nowMs()
  if (errorCode === ErrorCode.none) noted.outcome = 'acknowledged'
  else if (errorCode !== null && !CODES_OF_A_PAUSE.has(errorCode)) noted.outcome = 'failed'
  return errorCode
}

async function join(client: SimulatedClient, group: string, targets: readonly Target[], stage: Stage) {
  let memberId = ''
  for (let round = 0; round < 2; round++) {
    const joined = await attempt(
      client.request(
        apis.joinGroup,
        5,
        {
          groupId: group,
          sessionTimeoutMs: 400,
          rebalanceTimeoutMs: 800,
          memberId,
          protocolType: 'consumer',
          protocols: [{ name: 'range', metadata: Buffer.alloc(0) }],
        },
        3000,
      ),
    )
    if (joined === null) return null
    if (joined.errorCode === ErrorCode.coordinatorNotAvailable || joined.errorCode === ErrorCode.notCoordinator) {
      await attempt(client.request(apis.findCoordinator, 2, { key: group }, 1500))
      return null
    }
    memberId = joined.memberId
    if (joined.errorCode === ErrorCode.memberIdRequired) continue
    if (joined.errorCode !== ErrorCode.none) return null
    const { generationId, leader, members } = joined
    const assignments =
      leader === memberId
        ? members.map((member, at) => {
            const own = targets.filter((_, i) => i % members.length === at).map(({ partition }) => partition)
            return { memberId: member.memberId, assignment: Buffer.from(JSON.stringify(own)) }
          })
        : []
    const synced = await attempt(
      client.request(apis.syncGroup, 3, { groupId: group, generationId, memberId, assignments }),
    )
    if (synced?.errorCode !== ErrorCode.none) return null
    const text = synced.assignment.toString()
    if (text === '') stage.violated(`${group}: member ${memberId} of generation ${generationId} has no assignment`)
    return { memberId, generationId, partitions: text === '' ? [] : (JSON.parse(text) as number[]) }
  }
  return null
}

async function producerId(client: SimulatedClient, stage: Stage, random: SeededRandom) {
  for (;;) {
    const request = { transactionalId: null, transactionTimeoutMs: 0 }
    const answer = await attempt(client.request(apis.initProducerId, 2, request, 1500))
    stage.operated()
    if (answer?.errorCode === ErrorCode.none)
      return { producerId: answer.producerId, producerEpoch: answer.producerEpoch }
    await stage.pause(random.between(5, 50))
  }
}

async function produce(client: SimulatedClient, target: Target, bytes: Buffer, acks: number, random: SeededRandom) {
  const partitionData = [{ index: target.partition, records: bytes }]
  const request = { acks, timeoutMs: 1000, topicData: [{ name: target.topic, partitionData }] }
  const answer = await attempt(client.request(apis.produce, random.pick([7, 9, 12]), request, 1500))
  return answer?.responses[0]?.partitionResponses[0] ?? null
}

/** Null when there was no answer. */
async function fetch(
  client: SimulatedClient,
  target: Target,
  position: number,
  random: SeededRandom,
  maxWaitMs = random.between(1, 100),
) {
  const partitions = [
    { partition: target.partition, fetchOffset: position, partitionMaxBytes: random.pick([1, 500, 4000, 100_000]) },
  ]
  const request = { maxWaitMs, minBytes: 1, maxBytes: 1_000_000, topics: [{ topic: target.topic, partitions }] }
  const answer = await attempt(client.request(apis.fetch, random.pick([5, 11, 12]), request, 1500))
  const partition = answer?.responses[0]?.partitions[0]
  if (partition === undefined) return null
  const records: SeenRecord[] = []
  const markers: number[] = []
  let next = position
  for (const batch of readBatches(partition.records ?? Buffer.alloc(0))) {
    if (batch.isControl) markers.push(batch.baseOffset)
    else {
      for (const { offset, key, value } of readRecords(batch)) {
        if (offset >= position)
          records.push({ offset, key: key?.toString() ?? null, value: value === null ? null : idOf(value) })
      }
    }
    next = batch.lastOffset + 1
  }
  return { errorCode: partition.errorCode, records, markers, next }
}

async function listedOffset(client: SimulatedClient, target: Target, timestamp: number): Promise<number | null> {
  const partitions = [{ partitionIndex: target.partition, timestamp }]
  const request = { replicaId: -1, topics: [{ name: target.topic, partitions }] }
  const answer = await attempt(client.request(apis.listOffsets, 5, request, 1500))
  const partition = answer?.topics[0]?.partitions[0]
  return partition?.errorCode === ErrorCode.none ? partition.offset : null
}

/** The answer, or null when there is none. */
async function attempt<T>(request: Promise<T>): Promise<T | null> {
  try {
    return await request
  } catch (error) {
    if (error instanceof RequestLost) return null
    throw error
  }
}

function acknowledge(sends: readonly Send[], baseOffset: number, stage: Stage): void {
  for (const [i, send] of sends.entries()) {
    send.outcome = 'acknowledged'
    send.endMs = stage.nowMs()
    send.offset = baseOffset < 0 ? -1 : baseOffset + i
  }
}

function aBatch(options: {
  readonly producer: string
  readonly target: Target
  readonly stage: Stage
  readonly random: SeededRandom
  readonly count: number
  readonly isIdempotent?: boolean
}) {
  const { producer, target, stage, random, isIdempotent = true } = options
  const { topic, partition, hasKeys } = target
  const sends: Send[] = []
  const records = Array.from({ length: random.between(1, 4) }, (_, i) => {
    const value = `${producer}:${options.count + i}`
    const key = hasKeys ? `k${random.below(8)}` : null
    const isTombstone = hasKeys && random.chance(0.1)
    const startMs = stage.nowMs()
    sends.push(stage.history.send({ producer, isIdempotent, topic, partition, value, key, isTombstone, startMs }))
    const padded = Buffer.from(`${value} ${'x'.repeat(random.pick([0, 10, 200, 900]))}`)
    return { key: key === null ? null : Buffer.from(key), value: isTombstone ? null : padded }
  })
  const compression = random.chance(0.1) ? ('gzip' as const) : ('none' as const)
  return { sends, input: { records, nowMs: stage.wallMs(), compression } }
}

/** What tells a record from all others is before the first blank; the rest makes it larger. */
function idOf(value: Buffer): string {
  const text = value.toString('latin1')
  return text.slice(0, text.indexOf(' '))
}
