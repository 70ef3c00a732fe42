import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { apis, ErrorCode } from '@millrace/protocol'
import { readWireFrames } from '../../protocol/test/wire-frames.ts'
import { aBatch, startTestBroker, topicIdOf } from './testing/test-broker.ts'

/** One change that a broken client, or a hostile one, might make to a request. */
const mutation = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), mask: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat() }),
  fc.record({
    kind: fc.constant('int32' as const),
    at: fc.nat(),
    value: fc.constantFrom(0x7fff_ffff, -1, -2, 0x1000_0000),
  }),
  fc.record({
    kind: fc.constant('insert' as const),
    at: fc.nat(),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  }),
)

function mutated(body: Buffer, change: typeof mutation extends fc.Arbitrary<infer T> ? T : never): Buffer {
  const at = change.at % Math.max(1, body.length)
  const copy = Buffer.from(body)
  switch (change.kind) {
    case 'flip':
      if (copy.length > 0) copy[at]! ^= change.mask
      return copy
    case 'cut':
      return copy.subarray(0, at)
    case 'int32':
      if (at + 4 <= copy.length) copy.writeInt32BE(change.value, at)
      return copy
    case 'insert':
      return Buffer.concat([copy.subarray(0, at), change.bytes, copy.subarray(at)])
  }
}

function framed(body: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeInt32BE(body.length)
  return Buffer.concat([size, body])
}

describe('a broker that is sent mutated requests of real clients', () => {
  it('closes the connections it cannot serve, serves the others, and holds on to nothing', async () => {
    const test = await startTestBroker({ settings: { 'num.partitions': '2', 'offsets.topic.num.partitions': '1' } })
    await test.broker.createTopic('healthy')
    const healthy = test.connect()
    const topicId = await topicIdOf(healthy, 'healthy')
    const captured = readWireFrames().filter((frame) => frame.direction === 'request')
    expect(captured.length).toBeGreaterThan(500)
    let sent = 0
    await fc.assert(
      fc.asyncProperty(
        fc.nat(captured.length - 1),
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        async (index, changes) => {
          const client = test.connect()
          client.send(framed(changes.reduce(mutated, captured[index]!.bytes)))
          sent += 1
          client.close()
          const answer = await healthy.request(apis.produce, 13, {
            acks: 1,
            timeoutMs: 0,
            topicData: [{ topicId, partitionData: [{ index: 0, records: aBatch(1) }] }],
          })
          expect(answer.responses[0]!.partitionResponses[0]!.errorCode).toBe(ErrorCode.none)
        },
      ),
      { numRuns: 2000 },
    )
    expect(sent).toBeGreaterThanOrEqual(2000)
    healthy.close()
    await test.broker.close()
    expect(test.clock.timerCount).toBe(0)
  }, 60_000)
})
