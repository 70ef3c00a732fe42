import { describe, expect, it } from 'vitest'
import { string } from '../../src/index.ts'
import { A, B, OUT, cat, harness, rowsToOut } from './harness.ts'

const within = { before: 5, after: 5 }

describe('stream-stream joins', () => {
  it('J1: join what is at most `before` earlier and `after` later, both included; the later time is the result’s', () => {
    using t = harness((app) =>
      app
        .stream(A)
        .join(app.stream(B), cat, { within: { before: 5, after: 3 }, grace: 2 })
        .to(OUT),
    )
    expect(t.feed('A a=L@10', 'B a=R5@5', 'B a=R4@4', 'B a=R13@13', 'B a=R14@14')).toEqual([
      '',
      'a=L+R5@10',
      '',
      'a=L+R13@13',
      '',
    ])
  })

  it('J2: a left record without a partner comes out at the first record past its window and grace, with its own time', () => {
    using t = harness((app) => app.stream(A).leftJoin(app.stream(B), cat, { within, grace: 2 }).to(OUT))
    expect(t.feed('A b=L@1', 'A c=x@8', 'A d=x@9')).toEqual(['', '', 'b=L+null@1'])
  })

  it('J2: a right record of an outer join waits for `before`, a left one for `after`', () => {
    using t = harness((app) =>
      app
        .stream(A)
        .outerJoin(app.stream(B), cat, { within: { before: 10, after: 0 } })
        .to(OUT),
    )
    expect(t.feed('A a=L@0', 'B b=R@0', 'A z=x@1', 'B z=x@11')).toEqual(['', '', 'a=L+null@0', 'b=null+R@0 z=x+null@1'])
  })

  it('J3: a record too old on arrival and without a partner has its null result at once', () => {
    using t = harness((app) => app.stream(A).leftJoin(app.stream(B), cat, { within, grace: 2 }).to(OUT))
    expect(t.feed('B z=x@40', 'A a=L@10')).toEqual(['', 'a=L+null@10'])
  })

  it('J4: a late record still joins what is kept, after a null result, too', () => {
    using t = harness((app) => app.stream(A).leftJoin(app.stream(B), cat, { within, grace: 2 }).to(OUT))
    expect(t.feed('A a=L@1', 'A z=x@9', 'B a=R@2')).toEqual(['', 'a=L+null@1', 'a=L+R@2'])
  })

  it('J5: records without key or value are dropped, but an outer side with a value only comes out at once', () => {
    using t = harness((app) => app.stream(A).leftJoin(app.stream(B), cat, { within }).to(OUT))
    expect(t.feed('A -=L@1', 'A a=-@1', 'B -=R@1', 'B a=-@1')).toEqual(['-=L+null@1', '', '', ''])
    expect(t.dropped).toBe(3)
  })

  it('T2: a record without a key advances the time of a join', () => {
    using t = harness((app) => app.stream(A).leftJoin(app.stream(B), cat, { within }).to(OUT))
    t.feed('A b=L@1')
    expect(t.feed('B -=x@50', 'A c=y@50')).toEqual(['', 'b=L+null@1'])
  })
})

describe('tables', () => {
  it('K1: records without a key are dropped, and the last arrival counts whatever its time', () => {
    using t = harness((app) => rowsToOut(app.table(A)))
    expect(t.feed('A -=x@1', 'A a=1@10', 'A a=0@3')).toEqual(['', 'a=1@10', 'a=0@3'])
    expect(t.dropped).toBe(1)
  })

  it('K2: an inner join of tables has the later time; a repeated tombstone goes on while the other row exists', () => {
    using t = harness((app) => rowsToOut(app.table(A).join(app.table(B), cat)))
    expect(t.feed('A a=x@10', 'B a=y@5', 'B a=-@20', 'B a=-@21', 'A a=-@22', 'A a=-@23')).toEqual([
      '',
      'a=x+y@10',
      'a=-@20',
      'a=-@21',
      '',
      '',
    ])
  })

  it('K2: a left join keeps left rows alone; nothing on both sides says nothing', () => {
    using t = harness((app) => rowsToOut(app.table(A).leftJoin(app.table(B), cat)))
    expect(t.feed('A a=-@1', 'A a=x@2', 'B a=y@1', 'B a=-@3', 'A a=-@4')).toEqual([
      '',
      'a=x+null@2',
      'a=x+y@2',
      'a=x+null@3',
      'a=-@4',
    ])
  })

  it('K2: an outer join keeps the rows of both', () => {
    using t = harness((app) => rowsToOut(app.table(A).outerJoin(app.table(B), cat)))
    expect(t.feed('A a=x@1', 'B a=y@2', 'A a=-@3', 'B a=-@4')).toEqual(['a=x+null@1', 'a=x+y@2', 'a=null+y@3', 'a=-@4'])
  })

  it('K3: late and too old updates of versioned tables do not change a join, and tick', () => {
    using t = harness((app) => rowsToOut(app.table(A, { versioned: 100 }).join(app.table(B, { versioned: 100 }), cat)))
    expect(t.feed('A a=x@10', 'B a=y@5', 'A a=late@3', 'A b=z@200', 'A a=old@50', 'A a=-@210')).toEqual([
      '',
      'a=x+y@10',
      '',
      '',
      '',
      'a=-@210',
    ])
    expect(t.dropped).toBe(2)
  })

  it('K4: a filter sends a tombstone only for a row that had passed it', () => {
    using t = harness((app) => rowsToOut(app.table(A).filter((_key, value) => value.length % 2 === 1)))
    expect(t.feed('A a=xx@1', 'A a=x@2', 'A a=yy@3', 'A a=zz@4', 'A a=-@5')).toEqual(['', 'a=x@2', 'a=-@3', '', ''])
  })

  it('K5: a changed row is subtracted, then added: one update within a group, two when it moves', () => {
    using t = harness((app) =>
      rowsToOut(
        app
          .table(A)
          .groupBy((_key, value) => [value[0]!, value] as const, { key: string(), value: string() })
          .aggregate({
            name: 'groups',
            serde: string(),
            init: () => '',
            add: (_key, value, total) => `${total}+${value}`,
            subtract: (_key, value, total) => `${total}-${value}`,
          }),
      ),
    )
    expect(t.feed('A k=a1@1', 'A k=a2@2', 'A k=b1@3', 'A k=-@4')).toEqual([
      'a=+a1@1',
      'a=+a1-a1+a2@2',
      'a=+a1-a1+a2-a2@3 b=+b1@3',
      'b=+b1-b1@4',
    ])
  })

  it('K6: a stream is joined with the row as it is then, with the stream’s time', () => {
    using t = harness((app) => app.stream(A).join(app.table(B), cat).to(OUT))
    expect(t.feed('A a=s@1', 'B a=t@50', 'A a=s@2', 'A a=-@3', 'A -=s@4')).toEqual(['', '', 'a=s+t@2', '', ''])
    expect(t.dropped).toBe(2)
  })

  it('K6: with a versioned table the row is that of the record’s time', () => {
    using t = harness((app) =>
      app
        .stream(A)
        .leftJoin(app.table(B, { versioned: 100 }), cat)
        .to(OUT),
    )
    expect(t.feed('B a=t5@5', 'B a=t12@12', 'A a=s@10', 'A a=s@12', 'A a=s@4')).toEqual([
      '',
      '',
      'a=s+t5@10',
      'a=s+t12@12',
      'a=s+null@4',
    ])
  })

  it('K6: with a grace a record waits for rows that arrive late', () => {
    using t = harness((app) =>
      app
        .stream(A)
        .leftJoin(app.table(B, { versioned: 100 }), cat, { grace: 10, name: 'priced' })
        .to(OUT),
    )
    expect(t.feed('B a=t5@5', 'A a=s@10', 'B a=t8@8', 'A a=s@20', 'A a=s@9')).toEqual([
      '',
      '',
      '',
      'a=s+t8@10',
      'a=s+t8@9',
    ])
  })

  it('K7: a foreign-key join follows updates from both sides', () => {
    using t = harness((app) =>
      rowsToOut(app.table(A).leftJoin(app.table(B), cat, { on: (value) => (value === '' ? null : value[0]!) })),
    )
    expect(t.feed('A l=a1@1', 'B a=R@5', 'A m=a2@2', 'A l=b1@6', 'B a=-@7', 'A m=-@8')).toEqual([
      'l=a1+null@1',
      'l=a1+R@5',
      'm=a2+R@5',
      'l=b1+null@6',
      'm=a2+null@7',
      'm=-@8',
    ])
  })

  it('K7: an inner one has no result until there is a row to refer to', () => {
    using t = harness((app) => rowsToOut(app.table(A).join(app.table(B), cat, { on: (value) => value[0]! })))
    expect(t.feed('A l=a1@1', 'B a=R@5', 'A l=b1@6', 'B b=S@7', 'A l=-@8')).toEqual([
      '',
      'l=a1+R@5',
      'l=-@6',
      'l=b1+S@7',
      'l=-@8',
    ])
  })

  it('a global table is joined by any key', () => {
    using t = harness((app) => {
      const rows = app.globalTable(B)
      app
        .stream(A)
        .join(rows, cat, { on: (_key, value) => value[0] ?? null })
        .to(OUT)
    })
    expect(t.feed('A k=x1@1', 'B x=row@2', 'A k=x1@3')).toEqual(['', '', 'k=x1+row@3'])
  })

  it('one side of two key types meets the other after a repartition', () => {
    using t = harness((app) => {
      app
        .stream(A)
        .selectKey((_key, value) => value[0]!)
        .join(app.table(B), cat, { name: 'enriched' })
        .to(OUT)
    })
    expect(t.feed('B x=row@1', 'A k=x1@2')).toEqual(['', 'x=x1+row@2'])
    expect(t.topics).toContain('app-enriched-repartition')
  })
})
