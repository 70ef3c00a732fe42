import { describe, expect, it } from 'vitest'
import {
  TopologyError,
  deadLetter,
  hopping,
  int64,
  json,
  keyValueStore,
  retry,
  session,
  skip,
  string,
  testDriver,
  topic,
  topology,
  tumbling,
  untilWindowCloses,
  type Topology,
} from '../../src/index.ts'
import { A, B, OUT, cat, harness, rowsToOut } from './harness.ts'

const numbers = topic('numbers', { key: string(), value: int64() })
const dead = topic('dead', { key: string(), value: string() })

function build(add: (app: Topology) => void): Topology {
  const app = topology('app')
  add(app)
  return app
}

describe('a topology', () => {
  it('names stores and topics as Kafka Streams does', () => {
    const app = build((app) => {
      app
        .stream(A)
        .selectKey((_key, value) => value)
        .groupByKey()
        .count()
        .toStream()
        .mapValues(String)
        .to(OUT)
    })
    const { subTopologies, generatedNames } = app.plan()
    expect(subTopologies.map(({ sourceTopics, sinkTopics }) => [sourceTopics, sinkTopics])).toEqual([
      [['A'], ['app-KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition']],
      [['app-KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition'], ['OUT']],
    ])
    expect(subTopologies[1]!.changelogTopics.map(({ name }) => name)).toEqual([
      'app-KSTREAM-AGGREGATE-STATE-STORE-0000000002-changelog',
    ])
    // These names change with the topology, and would orphan the state: what `run` warns of.
    expect(generatedNames).toContain('KSTREAM-AGGREGATE-STATE-STORE-0000000002')
  })

  it('P1: knows which topics must have equal numbers of partitions', () => {
    const app = build((app) => {
      app.stream(A).join(app.table(B), cat).to(OUT)
    })
    expect(app.plan().copartitioned).toEqual([['A', 'B']])
  })

  it('puts nodes that share a store or an edge into one task, and global tables into none', () => {
    const app = build((app) => {
      const rows = app.globalTable(topic('G', { key: string(), value: string() }))
      app
        .stream(A)
        .join(rows, cat, { on: (key) => key })
        .to(OUT)
      app.stream(B).groupByKey().count()
    })
    expect(app.plan().subTopologies.map(({ isGlobal, sourceTopics }) => [isGlobal, sourceTopics])).toEqual([
      [true, ['G']],
      [false, ['A']],
      [false, ['B']],
    ])
  })

  it('draws itself as a Mermaid chart', () => {
    const chart = build((app) => rowsToOut(app.stream(A).groupByKey().count({ name: 'n' }))).mermaid()
    expect(chart).toContain('flowchart TD')
    expect(chart).toMatch(/\[\("n"\)\]/)
    expect(chart).toMatch(/\(\["OUT"\]\)/)
  })

  it('refuses what cannot work, and says what to do', () => {
    const wrong = (add: (app: Topology) => void) => () => build(add)
    expect(() => topology('my app')).toThrow(/letters, digits, dots, dashes/)
    expect(
      wrong(
        (app) =>
          void [app.stream(A).groupByKey().count({ name: 'n' }), app.stream(B).groupByKey().count({ name: 'n' })],
      ),
    ).toThrow('two stores are named n: give one of them another name')
    expect(wrong((app) => void [app.table(A), app.table(A)])).toThrow(/A is read twice/)
    expect(wrong((app) => app.stream(A).join(app.table(B), cat, { grace: 5 }).to(OUT))).toThrow(
      /give the table a history/,
    )
    expect(wrong((app) => void app.table(A).suppress(untilWindowCloses()))).toThrow(/no windows that close/)
    expect(() => hopping(5, { advance: 10 })).toThrow(/leave gaps/)
    expect(() => session(0)).toThrow(TopologyError)
    expect(wrong((app) => void app.stream(A).groupByKey().windowedBy(tumbling(10)).count({ retention: 5 }))).toThrow(
      /must keep windows for 10 ms/,
    )
    const visits = session(10, { grace: 5 })
    expect(wrong((app) => void app.stream(A).groupByKey().windowedBy(visits).count({ retention: 14 }))).toThrow(
      /must keep windows for 15 ms, its retention is 14 ms/,
    )
  })

  it('may read a topic in several places through the same stream', () => {
    using t = harness((app) => {
      app.stream(A).merge(app.stream(A)).to(OUT)
    })
    expect(t.feed('A a=x@1')).toEqual(['a=x@1 a=x@1'])
  })
})

describe('a repartition topic', () => {
  it('is gone through once by a stream that is joined or grouped several times', () => {
    using t = harness((app) => {
      const rekeyed = app.stream(A).selectKey((_key, value) => value[0]!, { key: string() })
      const rows = app.table(B)
      rekeyed.join(rows, cat).to(OUT)
      rekeyed.leftJoin(rows, cat).to(OUT)
    })
    expect(t.feed('B x=row@1', 'A k=x1@2')).toEqual(['', 'x=x1+row@2 x=x1+row@2'])
    using g = harness((app) => {
      const grouped = app.stream(A).groupBy((_key, value) => value, { name: 'words' })
      rowsToOut(grouped.count({ name: 'n' }))
      rowsToOut(grouped.count({ name: 'm' }))
    })
    expect(g.feed('A k=x@1', 'A k=x@2')).toEqual(['x=1@1 x=1@1', 'x=2@2 x=2@2'])
    expect(g.topics.filter((name) => name.endsWith('-repartition'))).toEqual(['app-words-repartition'])
  })

  it('is shared by the aggregates of a grouped table', () => {
    using t = harness((app) => {
      const grouped = app.table(A).groupBy((_key, value) => [value, value] as const, { name: 'groups' })
      rowsToOut(grouped.count({ name: 'n' }))
      rowsToOut(grouped.count({ name: 'm' }))
    })
    expect(t.feed('A k=x@1', 'A l=x@2')).toEqual(['x=1@1 x=1@1', 'x=2@2 x=2@2'])
  })

  it('is not shared by two streams', () => {
    expect(() =>
      build((app) => {
        app
          .stream(A)
          .groupBy((_key, value) => value, { name: 'words' })
          .count()
        app
          .stream(B)
          .groupBy((_key, value) => value, { name: 'words' })
          .count()
      }),
    ).toThrow(/two streams are repartitioned through words-repartition/)
  })
})

describe('stateless operators', () => {
  it('split sends a record to the first branch whose predicate it passes, or to the rest', () => {
    using t = harness((app) => {
      const { long, a, rest } = app.stream(A).split({
        long: (_key, value) => value.length > 2,
        a: (key) => key === 'a',
      })
      long.mapValues((value) => `long ${value}`).to(OUT)
      a.mapValues((value) => `a ${value}`).to(OUT)
      rest.mapValues((value) => `rest ${value}`).to(OUT)
    })
    expect(t.feed('A a=xxx@1', 'A a=x@2', 'A b=x@3')).toEqual(['a=long xxx@1', 'a=a x@2', 'b=rest x@3'])
  })

  it('flatMap, peek and merge keep order and time', () => {
    const seen: string[] = []
    using t = harness((app) => {
      app
        .stream(A)
        .flatMap((key, value) => [...value].map((char) => [`${key}${char}`, char] as const))
        .peek((key) => seen.push(key))
        .merge(app.stream(B))
        .to(OUT)
    })
    expect(t.feed('A a=xy@1', 'B b=z@2')).toEqual(['ax=x@1 ay=y@1', 'b=z@2'])
    expect(seen).toEqual(['ax', 'ay'])
  })

  it('cogroup aggregates several streams into one table', () => {
    using t = harness((app) => {
      rowsToOut(
        app
          .stream(A)
          .groupByKey()
          .cogroup((_key, value, total: string) => `${total}+${value}`)
          .and(app.stream(B).groupByKey(), (_key, value, total) => `${total}-${value}`)
          .aggregate({ name: 'both', init: () => '', serde: string() }),
      )
    })
    expect(t.feed('A a=x@1', 'B a=y@5', 'A a=z@2')).toEqual(['a=+x@1', 'a=+x-y@5', 'a=+x-y+z@5'])
  })

  it('toTable and reduce keep a value per key', () => {
    using t = harness((app) => {
      rowsToOut(
        app
          .stream(A)
          .groupByKey()
          .reduce((total, value) => `${total}${value}`, { name: 'reduced' }),
      )
    })
    expect(t.feed('A a=x@1', 'A a=y@2')).toEqual(['a=x@1', 'a=xy@2'])
  })
})

describe('the test driver', () => {
  it('shows what stores hold, and starts tasks anew from their changelogs', () => {
    const app = build((app) => {
      rowsToOut(app.stream(A).groupByKey().count({ name: 'n' }))
      app.stream(A).groupByKey().windowedBy(tumbling(10)).count({ name: 'w' })
    })
    using driver = testDriver(app)
    for (const ts of [1, 2, 12]) driver.input(A).send('a', 'x', { ts })
    driver.restart()
    expect([...driver.keyValueStore<string, number>('n').entries()]).toMatchObject([{ key: 'a', value: 3 }])
    expect(driver.windowStore<string, number>('w').fetch('a')).toEqual([
      { key: 'a', startMs: 0, endMs: 10, value: 2, timestampMs: 2 },
      { key: 'a', startMs: 10, endMs: 20, value: 1, timestampMs: 12 },
    ])
    expect(driver.windowStore('w').fetchAll(5)).toHaveLength(1)
    driver.output(OUT).drain()
    driver.input(A).send('a', 'x', { ts: 13 })
    expect(driver.output(OUT).drain()).toMatchObject([{ key: 'a', value: '4' }])
  })
})

describe('process', () => {
  const seen = keyValueStore({ name: 'seen', key: string(), value: int64() })

  it('has stores, and timers by event time and by the wall clock', () => {
    using t = harness((app) => {
      app
        .stream(A)
        .process<string, string>(
          (context) => {
            const counts = context.store<string, number>('seen')
            context.schedule(10, 'event-time', (timeMs) => context.forward('event', String(timeMs), timeMs))
            context.schedule('5ms', 'wall-clock', (timeMs) => {
              for (const { key, value } of counts.entries()) context.forward(key, `wall ${value}`, timeMs)
            })
            return {
              process(key, value, timestampMs) {
                const count = (counts.get(key) ?? 0) + 1
                counts.put(key, count, timestampMs)
                context.forward(key, `${value}${count}`, timestampMs)
              },
            }
          },
          { stores: [seen] },
        )
        .to(OUT)
    })
    expect(t.feed('A a=x@1', 'A a=x@9', 'A b=x@35')).toEqual(['a=x1@1 event=1@1', 'a=x2@9', 'b=x1@35 event=35@35'])
    // Event time is aligned to 0: 10, 20 and 30 were passed at once, and are one call.
    expect(t.feed('A a=x@39', 'A a=x@40')).toEqual(['a=x3@39', 'a=x4@40 event=40@40'])
    expect(t.advance(4)).toBe('')
    expect(t.advance(1)).toBe('a=wall 4@5 b=wall 1@5')
  })

  it('is refused a store that it was not given', () => {
    expect(() =>
      harness((app) => {
        app.stream(A).process((context) => {
          context.store('seen')
          return { process() {} }
        })
      }),
    ).toThrow('this processor was not given the store seen (it has none)')
  })
})

describe('errors', () => {
  it('stop the task with the place they happened at', () => {
    using t = harness((app) =>
      app
        .stream(A)
        .mapValues((): string => {
          throw new Error('no')
        })
        .to(OUT),
    )
    expect(() => t.feed('A a=x@1')).toThrow('KSTREAM-SOURCE-0000000000 at A-0 offset 0: no')
  })

  it('of a serde leave a record out, or send it as it came to a dead-letter topic with the reason', () => {
    const documents = topic('documents', { key: string(), value: json<{ readonly n: number }>() })
    const raw = topic('documents', { key: string(), value: string() })
    const app = build((app) => {
      app
        .stream(documents, { onError: deadLetter('dead') })
        .mapValues(({ n }) => String(n))
        .to(OUT)
    })
    using driver = testDriver(app)
    driver.input(raw).send('a', '{"n":1}', { ts: 1 })
    driver.input(raw).send('b', '{n:', { ts: 2 })
    expect(
      driver
        .output(OUT)
        .drain()
        .map(({ value }) => value),
    ).toEqual(['1'])
    const [letter] = driver.output(dead).drain()
    expect(letter).toMatchObject({ key: 'b', value: '{n:', timestampMs: 2 })
    const headers = Object.fromEntries(letter!.headers.map(({ key, value }) => [key, String(value)]))
    expect(headers).toMatchObject({
      '__streams.errors.exception': 'SyntaxError',
      '__streams.errors.topic': 'documents',
      '__streams.errors.offset': '1',
    })
    expect(driver.dropped).toBe(1)
  })

  it('of a function are retried, and then given up as its handler says', () => {
    let attempts = 0
    const app = build((app) => {
      app
        .stream(A)
        .mapValues(
          (value) => {
            attempts++
            if (value === 'never' || attempts < 3) throw new Error(`attempt ${attempts}`)
            return value
          },
          { onError: retry({ attempts: 3, backoff: '1s', then: deadLetter('dead') }) },
        )
        .to(OUT)
    })
    using driver = testDriver(app)
    driver.input(A).send('a', 'in the end', { ts: 1 })
    expect(driver.output(OUT).drain()).toHaveLength(1)
    expect([attempts, driver.wallClockMs]).toEqual([3, 2_000])
    driver.input(A).send('b', 'never', { ts: 2 })
    expect(driver.output(OUT).isEmpty).toBe(true)
    expect(driver.output(dead).drain()).toMatchObject([{ key: 'b', value: 'never' }])
    expect(attempts).toBe(3 + 4)
  })

  it('downstream of a function with a handler are not its own', () => {
    using t = harness((app) =>
      app
        .stream(A)
        .mapValues((value) => value, { onError: skip() })
        .mapValues((): string => {
          throw new Error('mine')
        })
        .to(OUT),
    )
    expect(() => t.feed('A a=x@1')).toThrow('mine')
  })

  it('of a sink are handled by the sink', () => {
    const app = build((app) => {
      app.stream(A).mapValues(Number).to(numbers, { onError: skip() })
    })
    using driver = testDriver(app)
    driver.input(A).send('a', 'not a number', { ts: 1 })
    driver.input(A).send('a', '7', { ts: 2 })
    expect(
      driver
        .output(numbers)
        .drain()
        .map(({ value }) => value),
    ).toEqual([7])
  })

  it('of a test are clear: a topic that is not read, a store that is not there', () => {
    using driver = testDriver(build((app) => rowsToOut(app.stream(A).groupByKey().count({ name: 'n' }))))
    expect(() => driver.input(B)).toThrow('the topology does not read B')
    expect(() => driver.store('m')).toThrow('no store is named m; there are n')
    expect([...driver.keyValueStore<string, number>('n').entries()]).toEqual([])
  })
})
