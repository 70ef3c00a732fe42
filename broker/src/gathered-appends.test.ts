import { apis, codec, Reader } from '@millrace/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StorageError } from './base/errors.ts'
import type { DiskFile } from './log/disk.ts'
import { MemoryDisk } from './log/memory-disk.ts'
import { FaultyDisk } from './testing/faulty-disk.ts'
import { HeldDisk } from './testing/held-disk.ts'
import { append, batchOf, openLog, producedBatch, valuesOf } from './testing/logs.ts'
import { aBatch, startTestBroker, topicIdOf } from './testing/test-broker.ts'
import { requestFrame, type WireClient } from './testing/wire-client.ts'

/** A disk whose files take several ranges in one write, and that notes how many. */
class GatheringDisk extends MemoryDisk {
  readonly rangeCounts: number[] = []

  override open(path: string, options?: { readonly create?: boolean }): DiskFile {
    const file = super.open(path, options)
    file.appendRanges = (bytes, ranges, count) => {
      this.rangeCounts.push(count)
      for (let i = 0; i < count; i++) file.append(bytes, ranges[2 * i], ranges[2 * i + 1])
    }
    return file
  }
}

async function aTopic(client: WireClient, partitions = 1): Promise<string> {
  await client.request(apis.createTopics, 7, {
    topics: [{ name: 't', numPartitions: partitions, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs: 1000,
  })
  return topicIdOf(client, 't')
}

/** Sends the frames as one read, and gives the answers to them. */
function pipelined(client: WireClient, frames: readonly Buffer[]): Promise<Buffer>[] {
  const answers = frames.map((frame) => client.raw(Buffer.alloc(0), frame.readInt32BE(8)))
  client.send(Buffer.concat(frames))
  return answers
}

function produceFrame(topicId: string, correlationId: number, records: Buffer, index = 0): Buffer {
  const topicData = [{ topicId, partitionData: [{ index, records }] }]
  return requestFrame(apis.produce, 13, correlationId, { transactionalId: null, acks: -1, timeoutMs: 0, topicData })
}

async function endOf(client: WireClient, index = 0): Promise<number> {
  const { topics } = await client.request(apis.listOffsets, 7, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: 't', partitions: [{ partitionIndex: index, timestamp: -1 }] }],
  })
  return topics[0]!.partitions[0]!.offset
}

describe('several requests that one read brought', () => {
  it('are written together, and answered one by one', async () => {
    const disk = new GatheringDisk()
    const test = await startTestBroker({ disk })
    const client = test.connect()
    const topicId = await aTopic(client, 2)
    disk.rangeCounts.length = 0
    const frames = [0, 0, 1, 0, 0].map((index, i) => produceFrame(topicId, i + 1, aBatch(2), index))
    const offsets: number[] = []
    for (const answer of pipelined(client, frames)) {
      const reader = new Reader(await answer, 4)
      reader.skipTags()
      const { responses } = codec(apis.produce.response, 13).decode(reader)
      offsets.push(responses[0]!.partitionResponses[0]!.baseOffset)
    }
    expect(offsets).toEqual([0, 2, 0, 4, 6])
    expect(disk.rangeCounts.toSorted((a, b) => a - b)).toEqual([1, 4])
    expect([await endOf(client, 0), await endOf(client, 1)]).toEqual([8, 2])
    await test.broker.close()
  })

  it('show what was produced to a request that comes behind it', async () => {
    const test = await startTestBroker({ disk: new GatheringDisk() })
    const client = test.connect()
    const topicId = await aTopic(client)
    const ask = requestFrame(apis.listOffsets, 7, 3, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [{ name: 't', partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
    })
    const frames = [1, 2].map((id) => produceFrame(topicId, id, aBatch(1)))
    const answers = pipelined(client, [...frames, ask, produceFrame(topicId, 4, aBatch(1))])
    const reader = new Reader(await answers[2]!, 4)
    reader.skipTags()
    const { topics } = codec(apis.listOffsets.response, 7).decode(reader)
    expect(topics[0]!.partitions[0]!.offset).toBe(2)
    await test.broker.close()
  })

  it('are acknowledged when all of them are durable, also one that came before', async () => {
    const disk = new HeldDisk()
    const test = await startTestBroker({ disk, settings: { 'acks.after': 'fsync' } })
    const client = test.connect()
    const topicId = await aTopic(client)
    disk.hold()
    const frames = [0, 1, 1, 2].map((sequence, i) => produceFrame(topicId, i + 1, producedBatch(7, 0, sequence)))
    const answers = pipelined(client, frames)
    let answeredCount = 0
    for (const answer of answers) void answer.then(() => (answeredCount += 1))
    await new Promise((resolve) => setImmediate(resolve))
    expect(answeredCount).toBe(0)
    expect(disk.heldPaths.length).toBe(1)
    // Another connection sends one of them again, and must not hear sooner.
    const other = test.connect()
    let isOtherAnswered = false
    const again = pipelined(other, [produceFrame(topicId, 1, producedBatch(7, 0, 2))])[0]!
    void again.then(() => (isOtherAnswered = true))
    await new Promise((resolve) => setImmediate(resolve))
    expect(isOtherAnswered).toBe(false)
    disk.release(true)
    await Promise.all([...answers, again])
    expect(await endOf(client)).toBe(3)
    await test.broker.close()
  })

  it('are none of them acknowledged when the sync fails', async () => {
    const disk = new HeldDisk()
    const test = await startTestBroker({ disk, settings: { 'acks.after': 'fsync' } })
    const client = test.connect()
    const topicId = await aTopic(client)
    disk.hold()
    const answers = pipelined(
      client,
      [0, 1].map((sequence) => produceFrame(topicId, sequence + 1, producedBatch(7, 0, sequence))),
    )
    const settled = Promise.allSettled(answers)
    await new Promise((resolve) => setImmediate(resolve))
    disk.failHeld()
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    disk.release(true)
    await expect(test.broker.close()).rejects.toThrow('EIO')
  })

  it('are none of them acknowledged or seen when they cannot be written, and may all be sent again', async () => {
    const disk = new FaultyDisk(new MemoryDisk())
    const test = await startTestBroker({ disk })
    const topicId = await aTopic(test.connect())
    const send = (client: WireClient) => {
      const frames = [0, 1, 2].map((sequence) => produceFrame(topicId, sequence + 1, producedBatch(7, 0, sequence)))
      return pipelined(client, frames)
    }
    const client = test.connect()
    disk.fail(['append'], 'ENOSPC')
    const results = await Promise.allSettled(send(client))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(client.isClosed).toBe(true)
    disk.fail([])
    const again = test.connect()
    expect(await endOf(again)).toBe(0)
    expect((await Promise.all(send(again))).length).toBe(3)
    expect(await endOf(again)).toBe(3)
    await test.broker.close()
  })
})

describe('a log with gathered appends', () => {
  const sent = fc.array(
    fc.record({ size: fc.integer({ min: 1, max: 400 }), gathers: fc.boolean(), reads: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 60,
    },
  )

  it('is what it would be with one write each, whoever looks at it and whenever it rolls', () => {
    fc.assert(
      fc.property(sent, fc.integer({ min: 1000, max: 20_000 }), (batches, segmentBytes) => {
        const config = { segmentBytes, indexIntervalBytes: 300 }
        const disk = new MemoryDisk()
        const [gathered, plain] = [openLog({ disk, config }), openLog({ config })]
        const all = Buffer.concat(batches.map(({ size }, i) => batchOf([`${i}`.padEnd(size)])))
        let at = 0
        for (const { gathers, reads } of batches) {
          const batch = all.subarray(at)
          const sizeBytes = batch.readInt32BE(8) + 12
          append(plain, Buffer.from(batch.subarray(0, sizeBytes)))
          gathered.append(all, at, at + sizeBytes, { origin: 'client', leaderEpoch: 0, isGathered: gathers })
          if (!gathers) gathered.writeGathered()
          if (reads) expect(valuesOf(gathered)).toEqual(valuesOf(plain))
          at += sizeBytes
        }
        gathered.writeGathered()
        gathered.close()
        const again = openLog({ disk, config })
        expect(valuesOf(again)).toEqual(valuesOf(plain))
        expect(again.segmentCount).toBe(plain.segmentCount)
      }),
    )
  })

  it('is as it was before them when a write fails, in whichever write that is', () => {
    fc.assert(
      fc.property(fc.nat(12), fc.integer({ min: 300, max: 3000 }), (before, segmentBytes) => {
        const faulty = new FaultyDisk(new MemoryDisk())
        const log = openLog({ disk: faulty, config: { segmentBytes, indexIntervalBytes: 100 } })
        for (let i = 0; i < before; i++) append(log, producedBatch(7, 0, i))
        // These are the first of their epoch.
        log.leaderEpochs.assign(1, before)
        const expected = valuesOf(log)
        const all = Buffer.concat(Array.from({ length: 10 }, (_, i) => producedBatch(7, 0, before + i)))
        faulty.fail(['append', 'writeFile'], 'ENOSPC')
        let gatheredCount = 0
        for (let i = 0, at = 0; i < 10; i++) {
          const size = all.readInt32BE(at + 8) + 12
          try {
            log.append(all, at, at + size, { origin: 'client', leaderEpoch: 1, isGathered: true })
          } catch (error) {
            expect(error).toBeInstanceOf(StorageError)
            break
          }
          gatheredCount += 1
          at += size
        }
        // The first of them may have found that there is no room for another segment.
        if (gatheredCount > 0) expect(() => log.writeGathered()).toThrow(StorageError)
        faulty.fail([])
        expect(log.hasFailed).toBe(false)
        expect(log.endOffset).toBe(before)
        expect(log.leaderEpochs.latestEpoch).toBe(1)
        expect(valuesOf(log)).toEqual(expected)
        // The producer may send them again, and they are new.
        const result = append(log, producedBatch(7, 0, before), { leaderEpoch: 1 })
        expect([result.errorCode, result.isDuplicate, result.baseOffset]).toEqual([0, false, before])
      }),
    )
  })

  it('takes back a batch that was compressed anew, and written before the others, with those that are lost', () => {
    const faulty = new FaultyDisk(new MemoryDisk())
    const log = openLog({ disk: faulty, config: { compressionType: 'gzip' } })
    const gather = (batch: Buffer) => append(log, batch, { isGathered: true })
    // One that fails by itself is not where a later pass begins.
    faulty.fail(['append'], 'ENOSPC')
    expect(() => gather(batchOf(['no room']))).toThrow(StorageError)
    faulty.fail([])
    append(log, batchOf(['kept']))

    gather(batchOf(['compressed by the log']))
    gather(batchOf(['compressed by the client'], { compression: 'gzip' }))
    expect(log.endOffset).toBe(3)
    faulty.fail(['append'], 'ENOSPC')
    expect(() => log.writeGathered()).toThrow(StorageError)
    faulty.fail([])
    expect(log.endOffset).toBe(1)
    expect([...valuesOf(log).values()]).toEqual(['kept'])
  })
})
