import { buildBatch } from '@millrace/protocol'
import { describe, expect, it, vi } from 'vitest'
import { PartitionBuffer } from '../client/partition-buffer.ts'
import type { Producer } from '../client/producer.ts'
import { deadLetter, retry, skip, string, topic, topology, type Processor, type ProcessorContext } from '../index.ts'
import { fail, type ErrorHandler } from '../topology/error-handler.ts'
import { MemoryState } from './state-directory.ts'
import { StreamTask, type StreamTaskOptions } from './stream-task.ts'
import { TaskStores } from './task-stores.ts'

/** A task that merges topics `a` and `b`, with what it has sent as `value@timestamp`. */
function aTask(options: Partial<StreamTaskOptions> = {}) {
  const strings = (name: string) => topic(name, { key: string(), value: string() })
  const app = topology('merging')
  app
    .stream(strings('a'))
    .merge(app.stream(strings('b')))
    .to(strings('out'))
  const sent: string[] = []
  const producer = {
    send(_topic: string, _partition: number | null, _key: unknown, value: Buffer, timestampMs: number) {
      sent.push(`${value.toString()}@${timestampMs}`)
    },
    endOffset: () => null,
  } as unknown as Producer
  const a = new PartitionBuffer('a', 0, { position: 0 })
  const b = new PartitionBuffer('b', 0, { position: 0 })
  const task = new StreamTask({
    id: '0_0',
    applicationId: app.name,
    producer,
    stores: new TaskStores('0_0', app.name, [], new MemoryState()),
    globalStore: () => {
      throw new Error('there is none')
    },
    buffers: [a, b],
    isolation: 'read-uncommitted',
    maxTaskIdleMs: 0,
    streamTimeMs: -1,
    internalTopics: new Map(),
    instantiate: (context) => app.instantiate(0, context),
    onDeserializationError: fail(),
    onProcessingError: fail(),
    ...options,
  })
  return { task, a, b, sent }
}

/** Records with these timestamps at the end of the buffer; the broker says that `behind` more are there. */
function fill(buffer: PartitionBuffer, timestamps: readonly number[], behind = 0): void {
  const records = timestamps.map((timestampMs) => ({
    key: Buffer.from('k'),
    value: Buffer.from(buffer.topic),
    timestampMs,
  }))
  const end = buffer.fetchOffset + timestamps.length
  buffer.add({
    records: records.length === 0 ? null : buildBatch({ records, baseOffset: buffer.fetchOffset }),
    highWatermark: end + behind,
    lastStableOffset: end + behind,
    logStartOffset: 0,
    aborted: null,
  })
}

/** A task with a processor and timers of both clocks over topic `in`; with what it has sent. */
function aTimedTask(
  create: (context: ProcessorContext<string, string, string>) => Processor<string, string>,
  onProcessingError: ErrorHandler = fail(),
) {
  const app = topology('timed')
  app
    .stream(topic('in', { key: string(), value: string() }))
    .process<string, string>(create, { name: 'timing', timers: ['event-time', 'wall-clock'] })
    .to(topic('out', { key: string(), value: string() }))
  const sent: string[] = []
  const producer = {
    send(to: string, _partition: number | null, _key: unknown, value: Buffer | null) {
      if (!to.endsWith('-changelog')) sent.push(`${to} ${String(value)}`)
    },
    endOffset: () => null,
  } as unknown as Producer
  const buffer = new PartitionBuffer('in', 0, { position: 0 })
  const stores = new TaskStores('0_0', app.name, app.plan().subTopologies[0]!.stores, new MemoryState())
  const { task } = aTask({
    applicationId: app.name,
    producer,
    stores,
    buffers: [buffer],
    instantiate: (context) => app.instantiate(0, context),
    onProcessingError,
  })
  const commit = (): void => {
    task.flush()
    task.committed(task.offsets())
  }
  return { task, buffer, stores, sent, commit }
}

describe('T3: a task', () => {
  it('takes the buffered record with the lowest timestamp, of equal ones that of the first topic', () => {
    const { task, a, b, sent } = aTask()
    fill(a, [1, 5, 5, 9])
    fill(b, [2, 3, 5, 8])
    expect(task.process(100)).toBe(8)
    expect(sent).toEqual(['a@1', 'b@2', 'b@3', 'a@5', 'a@5', 'b@5', 'b@8', 'a@9'])
    expect(task.streamTimeMs).toBe(9)
  })

  it('waits for a partition that is known to have more, and for one of which nothing is known', () => {
    const { task, a, b, sent } = aTask()
    fill(a, [10])
    expect(task.process(100)).toBe(0)
    fill(b, [], 3)
    expect(task.process(100)).toBe(0)
    fill(b, [1])
    expect(task.process(100)).toBe(2)
    expect(sent).toEqual(['b@1', 'a@10'])
  })

  it('does not wait for a partition that is at its end', () => {
    const { task, a, b, sent } = aTask()
    fill(a, [10])
    fill(b, [])
    expect(task.process(100)).toBe(1)
    expect(sent).toEqual(['a@10'])
  })

  it('waits for it as long as the idle time says', async () => {
    const { task, a, b } = aTask({ maxTaskIdleMs: 20 })
    fill(a, [10, 11])
    fill(b, [])
    expect(task.process(100)).toBe(0)
    expect(task.wakeAtMs).toBeLessThan(Infinity)
    await expect.poll(() => task.process(100)).toBe(2)
    // The wait begins anew when there is again a record on one side alone, after one on the other.
    fill(b, [12])
    fill(a, [13])
    expect(task.process(100)).toBe(1)
    expect(task.process(100)).toBe(0)
  })

  it('waits for nothing when the idle time is -1', () => {
    const { task, a, sent } = aTask({ maxTaskIdleMs: -1 })
    fill(a, [10])
    expect(task.process(100)).toBe(1)
    expect(sent).toEqual(['a@10'])
  })
})

describe('a task', () => {
  it('has the offsets behind what it has processed, and the stream time, to commit', () => {
    const { task, a, b } = aTask()
    expect(task.isDirty).toBe(false)
    fill(a, [7, 8])
    fill(b, [])
    task.process(1)
    expect(task.isDirty).toBe(true)
    expect(task.offsets()).toEqual([
      { topic: 'a', partition: 0, offset: 1, metadata: 'stream-time=7' },
      { topic: 'b', partition: 0, offset: 0, metadata: 'stream-time=7' },
    ])
    task.committed(task.offsets())
    expect(task.isDirty).toBe(false)
  })

  it('refuses a record from before 1970, which event time does not know', () => {
    const { task, a, b } = aTask()
    fill(a, [-5])
    fill(b, [])
    expect(() => task.process(1)).toThrow('a-0 offset 0 has timestamp -5')
  })
})

describe('a timer', () => {
  it.each(['that forwards', 'that does nothing'])('%s by the wall clock leaves something to commit', (what) => {
    const { task, buffer, sent, commit } = aTimedTask((context) => ({
      process: (key) => context.timers.set(key, 5, 'wall-clock'),
      onTimer: (key) => void (what === 'that forwards' && context.forward(key, 'rung', 1)),
    }))
    fill(buffer, [1])
    task.process(1)
    commit()
    task.punctuate(4)
    expect(task.isDirty).toBe(false)
    task.punctuate(5)
    expect(sent).toEqual(what === 'that forwards' ? ['out rung'] : [])
    expect(task.isDirty).toBe(true)
    commit()
    expect(task.isDirty).toBe(false)
  })

  it('that is none of a key, and forwards, leaves something to commit as well', () => {
    const { task, sent, commit } = aTimedTask((context) => {
      context.schedule(10, 'wall-clock', () => context.forward('k', 'tick', 1))
      return { process() {}, onTimer() {} }
    })
    task.punctuate(Date.now() + 1_000)
    expect(sent).toEqual(['out tick'])
    expect(task.isDirty).toBe(true)
    commit()
    expect(task.isDirty).toBe(false)
  })

  const failing = (clock: 'event-time' | 'wall-clock') => (context: ProcessorContext<string, string, string>) => ({
    process(key: string, value: string) {
      context.timers.set(key, 5, clock)
      context.forward(key, value, 1)
    },
    onTimer() {
      throw new Error('no timers today')
    },
  })

  it.each([
    ['skip', skip(), []],
    ['retry, then skip', retry({ attempts: 3, backoff: 1, then: skip() }), []],
    ['dead-letter', deadLetter('dead'), ['dead null']],
  ])('that fails under %s is left out, and its record is processed once', (_name, handler, letters) => {
    const { task, buffer, sent } = aTimedTask(failing('event-time'), handler)
    fill(buffer, [9])
    expect(task.process(10)).toBe(1)
    expect(task.retryAtMs).toBe(0)
    expect(task.offsets()[0]!.offset).toBe(1)
    expect(sent).toEqual(['out in', ...letters])
    expect(task.recordsDropped).toEqual(new Map([['processing', 1]]))
  })

  it('that fails by the wall clock is left out where failures are', () => {
    const { task, buffer } = aTimedTask(failing('wall-clock'), skip())
    fill(buffer, [1])
    task.process(1)
    task.punctuate(5)
    expect(task.recordsDropped).toEqual(new Map([['processing', 1]]))
  })

  it('that fails ends the task at once where that is what comes of failures in the end', () => {
    const { task, buffer } = aTimedTask(failing('event-time'), retry({ attempts: 3, backoff: 1 }))
    fill(buffer, [9])
    expect(() => task.process(1)).toThrow('timing: no timers today')
  })
})

describe('the end of a task', () => {
  it('closes everything although one processor fails to, and says so', () => {
    const { task, stores } = aTimedTask(() => ({
      process() {},
      onTimer() {},
      close() {
        throw new Error('cannot close')
      },
    }))
    const [store] = stores.all
    const closed = vi.spyOn(store!, 'close')
    expect(() => task.close()).toThrow('cannot close')
    expect(closed).toHaveBeenCalledOnce()
    expect(stores.all).toEqual([])
  })

  it('leaves nothing that could be committed', () => {
    const { task } = aTimedTask(() => ({ process() {}, onTimer() {} }))
    task.close()
    expect(() => task.flush()).toThrow('nothing to commit')
  })
})
