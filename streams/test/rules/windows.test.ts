import { describe, expect, it } from 'vitest'
import {
  hopping,
  session,
  sliding,
  testDriver,
  topology,
  tumbling,
  untilTimeLimit,
  untilWindowCloses,
} from '../../src/index.ts'
import { A, LATE, concat, harness, rowsToOut, toOut } from './harness.ts'

const finals = { emit: 'on-window-close' as const }

describe('time', () => {
  it('T1: stream time is the largest timestamp seen and never goes back', () => {
    using t = harness((app) => toOut(app.stream(A).groupByKey().windowedBy(tumbling(10)).count()))
    expect(t.feed('A a=x@25', 'A a=x@3', 'A a=x@20')).toEqual(['a@20/30=1@25', '', 'a@20/30=2@25'])
  })

  it('T2: a record without a key does not advance the time of an aggregation', () => {
    using t = harness((app) => toOut(app.stream(A).groupByKey().windowedBy(tumbling(10)).count()))
    expect(t.feed('A a=x@1', 'A -=x@1000', 'A a=x@2')).toEqual(['a@0/10=1@1', '', 'a@0/10=2@2'])
    expect(t.dropped).toBe(1)
  })
})

describe('windows', () => {
  it('W1: tumbling and hopping windows are aligned to the epoch, end-exclusive and never start before 0', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(hopping(10, { advance: 4 }))
          .count(),
      ),
    )
    expect(t.feed('A a=x@3', 'A a=x@9')).toEqual(['a@0/10=1@3', 'a@0/10=2@9 a@4/14=1@9 a@8/18=1@9'])
  })

  it('W2: lateness is decided per window: dropped from one hop, counted in another, one tick for each drop', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(hopping(10, { advance: 4 }))
          .count(),
      ),
    )
    t.feed('A a=x@17')
    expect(t.feed('A a=x@11')).toEqual(['a@8/18=2@17'])
    expect(t.dropped).toBe(1)
  })

  it('W2: a window takes records as long as its end is after stream time less the grace', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(tumbling(10, { grace: 5 }))
          .count(),
      ),
    )
    expect(t.feed('A a=x@0', 'A a=x@14', 'A a=x@9', 'A a=x@15', 'A a=x@9')).toEqual([
      'a@0/10=1@0',
      'a@10/20=1@14',
      'a@0/10=2@9',
      'a@10/20=2@15',
      '',
    ])
  })

  it('W3: a sliding window ends with a record, or starts behind one, and includes both of its ends', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(sliding(10, { grace: 50 }))
          .aggregate(concat),
      ),
    )
    expect(t.feed('A a=A@20', 'A a=B@25', 'A a=C@30')).toEqual([
      'a@10/20=+A@20',
      'a@21/31=+B@25 a@15/25=+A+B@25',
      'a@21/31=+B+C@30 a@26/36=+C@30 a@20/30=+A+B+C@30',
    ])
  })

  it('W3: records before the size share the window [0, size]', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(sliding(10, { grace: 50 }))
          .aggregate(concat),
      ),
    )
    expect(t.feed('A a=A@5', 'A a=B@2')).toEqual(['a@0/10=+A@5', 'a@3/13=+A@5 a@0/10=+A+B@5'])
  })

  it('W3: a sliding record is late when its own right window is', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(sliding(10, { grace: 5 }))
          .count(),
      ),
    )
    t.feed('A z=x@100')
    expect(t.feed('A a=x@84', 'A b=x@95')).toEqual(['', 'b@85/95=1@95'])
    expect(t.dropped).toBe(1)
  })

  it('W4: the gap of a session is inclusive', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(session(5, { grace: 100 }))
          .count(),
      ),
    )
    expect(t.feed('A a=x@0', 'A a=x@5', 'A a=x@11')).toEqual(['a@0/0=1@0', 'a@0/0=-@0 a@0/5=2@5', 'a@11/11=1@11'])
  })

  it('W4: the merged session decides whether a record is late, so that an old one may touch a live session', () => {
    using t = harness((app) => toOut(app.stream(A).groupByKey().windowedBy(session(10)).count()))
    t.feed('A k=x@20', 'A z=x@28')
    expect(t.feed('A k=x@10', 'A k=x@0')).toEqual(['k@20/20=-@20 k@10/20=2@20', 'k@10/20=-@20 k@0/20=3@20'])
    expect(t.feed('A q=x@10')).toEqual([''])
    expect(t.dropped).toBe(1)
  })

  it('W4: a longer retention keeps sessions for queries and changes no result', () => {
    const keptAt = (retention: number | undefined): number[] => {
      const app = topology('sessions')
      const results: string[] = []
      const counted = app
        .stream(A)
        .groupByKey()
        .windowedBy(session(10))
        .count({ name: 'visits', ...(retention === undefined ? {} : { retention }) })
      counted.toStream().peek((window, count) => results.push(`${window.key}@${window.startMs}=${count}`))
      const driver = testDriver(app)
      const kept = [0, 10, 25, 50, 51].map((ts) => {
        driver.input(A).send(ts === 0 ? 'a' : 'z', 'x', { ts })
        return driver.windowStore<string, number>('visits').fetch('a').length
      })
      driver.input(A).send('a', 'late', { ts: 30 })
      expect(results.filter((one) => one.startsWith('a'))).toEqual(['a@0=1'])
      return kept
    }
    expect(keptAt(undefined)).toEqual([1, 1, 0, 0, 0])
    expect(keptAt(50)).toEqual([1, 1, 1, 1, 0])
  })

  it('W5: a merge ends each absorbed session, then shows the merged one; the new record is added last', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(session(5, { grace: 100 }))
          .aggregate(concat),
      ),
    )
    expect(t.feed('A a=A@0', 'A a=B@10', 'A a=C@5', 'A z=x@0', 'A z=y@0')).toEqual([
      'a@0/0=+A@0',
      'a@10/10=+B@10',
      'a@0/0=-@0 a@10/10=-@10 a@0/10=&+A&+B+C@10',
      'z@0/0=+x@0',
      'z@0/0=&+x+y@0',
    ])
  })

  it('W6: null values count in tumbling windows and sessions, not in plain aggregations or sliding windows', () => {
    using tumbled = harness((app) => toOut(app.stream(A).groupByKey().windowedBy(tumbling(10)).count()))
    using sessions = harness((app) => toOut(app.stream(A).groupByKey().windowedBy(session(10)).count()))
    using slid = harness((app) => toOut(app.stream(A).groupByKey().windowedBy(sliding(10)).count()))
    using plain = harness((app) => rowsToOut(app.stream(A).groupByKey().count()))
    const counted = [tumbled, sessions, slid, plain].map((t) => t.feed('A a=-@1')[0])
    expect(counted).toEqual(['a@0/10=1@1', 'a@1/1=1@1', '', ''])
    expect([tumbled, sessions, slid, plain].map((t) => t.dropped)).toEqual([0, 0, 1, 1])
  })

  it('W6: null keys are dropped everywhere, with a tick', () => {
    const builds = [tumbling(10), sliding(10)]
    for (const windows of builds) {
      using t = harness((app) => toOut(app.stream(A).groupByKey().windowedBy(windows).count()))
      expect(t.feed('A -=x@1')).toEqual([''])
      expect(t.dropped).toBe(1)
    }
    using t = harness((app) => toOut(app.stream(A).groupByKey().windowedBy(session(10)).count()))
    t.feed('A -=x@1')
    expect(t.dropped).toBe(1)
  })

  it('W7: a result has the largest timestamp of its records, a session the end of its window', () => {
    using plain = harness((app) => rowsToOut(app.stream(A).groupByKey().count()))
    expect(plain.feed('A a=x@10', 'A a=x@3')).toEqual(['a=1@10', 'a=2@10'])
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(session(10, { grace: 100 }))
          .count(),
      ),
    )
    expect(t.feed('A a=x@10', 'A a=x@3')).toEqual(['a@10/10=1@10', 'a@10/10=-@10 a@3/10=2@10'])
  })
})

describe('emission', () => {
  it('S1: a tumbling window is final when its end and grace are reached, all in the order of time and key', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(tumbling(10, { grace: 5 }))
          .count(finals),
      ),
    )
    expect(t.feed('A b=x@9', 'A a=x@0', 'A a=x@14', 'A z=x@15')).toEqual(['', '', '', 'a@0/10=1@0 b@0/10=1@9'])
  })

  it('S1: a session is final only after its end, gap and grace', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(session(5, { grace: 2 }))
          .count(finals),
      ),
    )
    expect(t.feed('A a=x@0', 'A b=x@7', 'A b=x@8')).toEqual(['', '', 'a@0/0=1@0'])
  })

  it('S1: a sliding window is final only after its end and grace', () => {
    using t = harness((app) =>
      toOut(
        app
          .stream(A)
          .groupByKey()
          .windowedBy(sliding(5, { grace: 2 }))
          .count(finals),
      ),
    )
    expect(t.feed('A a=x@10', 'A b=x@12', 'A b=x@13')).toEqual(['', '', 'a@5/10=1@10'])
  })

  it('S1: suppress gives the same finals as emission on window close', () => {
    for (const windows of [tumbling(10, { grace: 5 }), sliding(10, { grace: 5 })]) {
      using closed = harness((app) => toOut(app.stream(A).groupByKey().windowedBy(windows).count(finals)))
      using held = harness((app) =>
        toOut(app.stream(A).groupByKey().windowedBy(windows).count().suppress(untilWindowCloses())),
      )
      const records = ['A a=x@11', 'A b=x@12', 'A a=x@18', 'A a=x@26', 'A b=x@40', 'A c=x@90']
      expect(held.feed(...records).join(' ')).toBe(closed.feed(...records).join(' '))
    }
  })

  it('S2: until-time-limit keeps the place of a key that changes again, and lets tombstones through', () => {
    using t = harness((app) => rowsToOut(app.table(A).suppress(untilTimeLimit(10))))
    expect(t.feed('A a=1@0', 'A a=2@5', 'A b=-@6', 'A c=1@10', 'A c=2@16')).toEqual(['', '', '', 'a=2@5', 'b=-@6'])
  })

  it('S2: over its capacity until-time-limit lets the oldest out early, or fails where that is asked for', () => {
    using early = harness((app) => rowsToOut(app.table(A).suppress(untilTimeLimit(100, { maxRecords: 2 }))))
    expect(early.feed('A a=1@0', 'A b=1@1', 'A c=1@2')).toEqual(['', '', 'a=1@0'])
    using failing = harness((app) =>
      rowsToOut(app.table(A).suppress(untilTimeLimit(100, { maxRecords: 1, whenFull: 'fail' }))),
    )
    failing.feed('A a=1@0')
    expect(() => failing.feed('A b=1@1')).toThrow('holds 2 records, its limit is 1')
  })

  it('late records come out of a stream of their own, once for each window that refused them', () => {
    using t = harness((app) => {
      const { results, late } = app
        .stream(A)
        .groupByKey()
        .windowedBy(hopping(10, { advance: 5 }))
        .count({ late: 'side-output' })
      toOut(results)
      late.to(LATE)
    })
    expect(t.feed('A a=x@23', 'A a=y@17')).toEqual(['a@15/25=1@23 a@20/30=1@23', 'a@15/25=2@23'])
    expect(t.late()).toBe('a@10/20=y')
    t.feed('A a=z@3')
    expect(t.late()).toBe('a@0/10=z')
  })

  it('late records of sessions and sliding windows come out, too', () => {
    using sessions = harness((app) => {
      const { results, late } = app.stream(A).groupByKey().windowedBy(session(5)).count({ late: 'side-output' })
      toOut(results)
      late.to(LATE)
    })
    sessions.feed('A a=x@100', 'A a=y@3')
    expect(sessions.late()).toBe('a@3/3=y')
    using slid = harness((app) => {
      const { results, late } = app.stream(A).groupByKey().windowedBy(sliding(5)).count({ late: 'side-output' })
      toOut(results)
      late.to(LATE)
    })
    slid.feed('A a=x@100', 'A a=y@3')
    expect(slid.late()).toBe('a@3/8=y')
  })
})
