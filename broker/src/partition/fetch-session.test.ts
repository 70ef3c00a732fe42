import { describe, expect, it } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import { FetchSession, FetchSessions, type FetchedPartition } from './fetch-session.ts'

const limits = { maxSessions: 2, evictionMs: 120_000 }
let nextU32 = 0
const random = { u32: () => (nextU32 += 1), bytes: (count: number) => Buffer.alloc(count), uuid: () => '' }

function sessions(clock = new ManualClock()) {
  return new FetchSessions({ clock, random, limits })
}

function aPartition(partition: number): FetchedPartition {
  return {
    topic: 't',
    topicId: '',
    partition,
    currentLeaderEpoch: -1,
    fetchOffset: 0,
    lastFetchedEpoch: -1,
    maxBytes: 1,
    sentHighWatermark: -1,
    sentLogStart: -1,
    sentError: 0,
  }
}

describe('FetchSessions', () => {
  it('gives no session when every slot holds one that is neither old nor unused', () => {
    const cache = sessions()
    expect([cache.tryCreate(true, 1), cache.tryCreate(true, 1)].every((session) => session !== null)).toBe(true)
    expect(cache.tryCreate(true, 100)).toBeNull()
  })

  it('gives the slot of a session that nobody used for the eviction time to a new one', () => {
    const clock = new ManualClock()
    const cache = sessions(clock)
    const unused = cache.tryCreate(true, 1)!
    const used = cache.tryCreate(true, 1)!
    clock.advance(limits.evictionMs + 1)
    cache.get(used.id)
    expect(cache.tryCreate(true, 1)).not.toBeNull()
    expect(cache.get(unused.id)).toBeUndefined()
    expect(cache.get(used.id)).toBe(used)
  })

  it('gives the slot of an old session to one with more partitions', () => {
    const clock = new ManualClock()
    const cache = sessions(clock)
    const all = [cache.tryCreate(true, 1)!, cache.tryCreate(true, 1)!]
    for (const session of all) session.partitions.set('t/0', aPartition(0))
    clock.advance(limits.evictionMs + 1)
    for (const session of all) cache.get(session.id)
    expect(cache.tryCreate(true, 1)).toBeNull()
    expect(cache.tryCreate(true, 2)).not.toBeNull()
  })

  it('starts epochs at 1 again after the largest int32', () => {
    expect(FetchSession.nextEpoch(1)).toBe(2)
    expect(FetchSession.nextEpoch(0x7fff_ffff)).toBe(1)
  })

  it('rotates, so that a partition that was just served comes last', () => {
    const session = new FetchSession(1, false, 0)
    for (const index of [0, 1, 2]) session.partitions.set(`t/${index}`, aPartition(index))
    session.moveToEnd('t/0', session.partitions.get('t/0')!)
    expect([...session.partitions.keys()]).toEqual(['t/1', 't/2', 't/0'])
  })
})
