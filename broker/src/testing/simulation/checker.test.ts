import { describe, expect, it } from 'vitest'
import { check } from './checker.ts'
import { History, type Send } from './history.ts'

const AT = { topic: 't', partition: 0 }

/** A history in which p sends `values` one after the other, acknowledged at 0, 1, ..., and the log holds them. */
function sent(values: readonly string[], inLog: readonly string[] = values) {
  const history = new History()
  const sends = values.map((value, offset) => acknowledged(history, value, offset))
  history.finals.push({
    ...AT,
    logStart: 0,
    end: inLog.length,
    markers: [],
    records: inLog.map((value, offset) => ({ offset, value, key: null })),
  })
  return { history, sends }
}

function acknowledged(history: History, value: string, offset: number, producer = 'p'): Send {
  const startMs = history.sends.length * 10
  const send = history.send({ ...AT, producer, isIdempotent: true, value, key: null, startMs })
  return Object.assign(send, { outcome: 'acknowledged', offset, endMs: startMs + 5 })
}

function kinds(history: History): string[] {
  return [...new Set(check(history).map(({ kind }) => kind))]
}

function polled(history: History, position: number, offsets: readonly number[], values: readonly string[]): void {
  const records = offsets.map((offset, i) => ({ offset, value: values[i]!, key: null }))
  history.polls.push({ ...AT, consumer: 'c', group: null, position, records })
}

describe('the checker', () => {
  it('finds nothing where all is as it should be', () => {
    const { history } = sent(['a', 'b', 'c'])
    polled(history, 0, [0, 1], ['a', 'b'])
    polled(history, 2, [2], ['c'])
    expect(check(history)).toEqual([])
  })

  it('finds an acknowledged record that is gone', () => {
    expect(kinds(sent(['a', 'b'], ['a']).history)).toEqual(['lost write'])
  })

  it('minds no record that nobody acknowledged, whether it is there or not', () => {
    const { history, sends } = sent(['a', 'b', 'c'], ['a', 'b'])
    Object.assign(sends[2]!, { outcome: 'unknown', offset: -1 })
    Object.assign(sends[1]!, { outcome: 'unknown', offset: -1 })
    expect(check(history)).toEqual([])
  })

  it('finds a record that is there twice', () => {
    expect(kinds(sent(['a', 'b'], ['a', 'b', 'a']).history)).toEqual(['duplicate'])
  })

  it('finds records in another order than they were sent in', () => {
    const { history } = sent(['a', 'b'], ['b', 'a'])
    expect(kinds(history)).toContain('nonmonotonic send')
    expect(kinds(history)).toContain('wrong offset')
  })

  it('finds an acknowledgement with an offset below that of one before', () => {
    const { history, sends } = sent(['a', 'b'])
    sends[0]!.offset = 1
    sends[1]!.offset = 0
    expect(kinds(history)).toContain('nonmonotonic send')
  })

  it('finds a record that was refused, and one that nobody sent', () => {
    const { history, sends } = sent(['a', 'b'])
    sends[1]!.outcome = 'failed'
    expect(kinds(history)).toEqual(['aborted read'])
    const { history: other } = sent(['a'])
    polled(other, 0, [0, 1], ['a', 'x'])
    expect(kinds(other)).toContain('aborted read')
  })

  it('finds what was seen and is gone, and what was seen differently', () => {
    const { history, sends } = sent(['a', 'b'], ['a'])
    Object.assign(sends[1]!, { outcome: 'unknown', offset: -1 })
    polled(history, 0, [0, 1], ['a', 'b'])
    expect(kinds(history)).toEqual(['dirty read'])
    const { history: other } = sent(['a', 'b'])
    polled(other, 0, [0], ['b'])
    expect(kinds(other)).toEqual(['inconsistent offsets'])
  })

  it('finds a fetch that leaves out a record or goes back, but not one that passes over a marker', () => {
    const { history } = sent(['a', 'b', 'c'])
    polled(history, 0, [0, 2], ['a', 'c'])
    expect(kinds(history)).toEqual(['poll skip'])
    const { history: other } = sent(['a', 'b', 'c'])
    polled(other, 1, [0], ['a'])
    expect(kinds(other)).toEqual(['nonmonotonic poll'])
    const { history: marked } = sent(['a'])
    marked.finals[0] = { ...marked.finals[0]!, end: 2, markers: [1] }
    marked.polls.push({ ...AT, consumer: 'c', group: null, position: 1, records: [], markers: [1] })
    expect(check(marked)).toEqual([])
  })

  it('lets a compacted log lose what a later record replaces, and nothing else', () => {
    const compacted = (records: readonly [number, string][]) => {
      const history = new History()
      history.topics.set('t', { isCompacted: true, isShortened: false })
      for (const [offset, value] of ['a', 'b'].entries())
        Object.assign(acknowledged(history, value, offset), { key: 'k' })
      history.finals.push({
        ...AT,
        logStart: 0,
        end: 2,
        markers: [],
        records: records.map(([offset, value]) => ({ offset, value, key: 'k' })),
      })
      return kinds(history)
    }
    expect(compacted([[1, 'b']])).toEqual([])
    expect(compacted([[0, 'a']])).toEqual(['lost write'])
  })

  it('finds a group that knows less than it acknowledged, and not one that a late answer overtook', () => {
    const history = new History()
    const of = { ...AT, group: 'g' }
    const commit = (offset: number, startMs: number, endMs: number): void => {
      Object.assign(history.commit({ ...of, offset, startMs }), { outcome: 'acknowledged', endMs })
    }
    commit(1, 0, 10)
    commit(2, 20, 30)
    history.commit({ ...of, offset: 3, startMs: 40 })
    history.committed.push({ ...of, offset: 2, startMs: 50, endMs: 60 })
    history.committed.push({ ...of, offset: 3, startMs: 70, endMs: 80 })
    expect(check(history)).toEqual([])
    history.committed.push({ ...of, offset: 1, startMs: 90, endMs: 99 })
    expect(kinds(history)).toEqual(['offset regression'])
    history.committed[2] = { ...of, offset: -1, startMs: 90, endMs: 99 }
    expect(kinds(history)).toEqual(['offset regression'])
  })

  it('finds records that a group committed and nobody in it read', () => {
    const { history } = sent(['a', 'b'])
    history.polls.push({
      ...AT,
      consumer: 'c',
      group: 'g',
      position: 0,
      records: [{ offset: 0, value: 'a', key: null }],
    })
    history.commit({ ...AT, group: 'g', offset: 1, startMs: 0 })
    expect(check(history)).toEqual([])
    history.commit({ ...AT, group: 'g', offset: 2, startMs: 0 })
    expect(kinds(history)).toEqual(['unread commit'])
  })
})
