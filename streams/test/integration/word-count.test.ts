import { expect, it } from 'vitest'
import { uniqueName, until } from '../../../compat-tests/harness/index.ts'
import { int64, string, topic, topology, type Topology } from '../../src/index.ts'
import { describeApps } from '../kit.ts'

const numberOf = (value: Buffer): number => int64().deserialize(value)

describeApps('word count', (kit) => {
  interface WordCount {
    readonly words: Topology
    readonly input: string
    readonly output: string
    /** What the output says at last. */
    readonly counts: () => Promise<Record<string, number>>
  }

  async function aWordCount(partitions: number): Promise<WordCount> {
    const name = uniqueName('words')
    const lines = topic(`${name}-lines`, { key: string(), value: string() })
    const counts = topic(`${name}-counts`, { key: string(), value: int64() })
    const words = topology(name)
    words
      .stream(lines)
      .flatMapValues((line) => line.toLowerCase().split(/\W+/))
      .groupBy((_, word) => word)
      .count({ name: 'by-word' })
      .toStream()
      .to(counts)
    await kit.createTopics({ name: lines.name, partitions }, { name: counts.name, partitions })
    return { words, input: lines.name, output: counts.name, counts: () => kit.latest(counts.name, numberOf) }
  }

  const total = async ({ counts }: Pick<WordCount, 'counts'>): Promise<number> =>
    Object.values(await counts()).reduce((sum, count) => sum + count, 0)

  const aLine = (text: string, index = 0): { key: string; value: string } => ({ key: `line-${index}`, value: text })

  /** `count` lines of ten words; every line has the word `all` once. */
  const manyLines = (count: number): { key: string; value: string }[] =>
    Array.from({ length: count }, (_, i) =>
      aLine(`all ${Array.from({ length: 9 }, (_w, w) => `w${(i + w) % 50}`).join(' ')}`, i),
    )

  it('counts words through a repartition topic', async () => {
    const { words, input, counts } = await aWordCount(2)
    await using app = await kit.start(words)
    await kit.send(input, [aLine('a b a', 1), aLine('b c', 2), aLine('a', 3)])
    await until(async () => (await counts())['a'] === 3 && (await counts())['c'] === 1, { what: 'counts of all words' })
    expect(await counts()).toEqual({ a: 3, b: 2, c: 1 })
    expect(app.activeTasks.toSorted()).toEqual(['0_0', '0_1', '1_0', '1_1'])
    expect(app.metrics()).toMatchObject({ state: 'running', recordsProcessed: 3 + 6 })
  })

  it('goes on where it was after a restart, with its state read back from the changelog', async () => {
    const { words, input, counts } = await aWordCount(2)
    {
      await using first = await kit.start(words)
      await kit.send(input, manyLines(100))
      await until(async () => (await total({ counts })) === 1_000, { what: 'the first hundred' })
      expect(first.metrics().recordsRestored).toBe(0)
    }
    await using second = await kit.start(words)
    expect(second.metrics().recordsRestored).toBeGreaterThanOrEqual(51)
    await kit.send(input, manyLines(100))
    await until(async () => (await total({ counts })) === 2_000, { what: 'all two hundred' })
    expect((await counts())['all']).toBe(200)
  })

  it('commits before its interval is over when the changes that wait take too much memory', async () => {
    const { words, input } = await aWordCount(1)
    await using app = await kit.start(words, { commitInterval: '1h' })
    const lines = Array.from({ length: 500 }, (_, i) =>
      aLine(Array.from({ length: 100 }, (_word, w) => `w${i * 100 + w}`).join(' '), i),
    )
    await kit.send(input, lines)
    await until(() => app.metrics().commitCount > 0, { what: 'a commit' })
  })

  it('spreads its tasks over two instances, and one takes over at once when the other is closed', async () => {
    const { words, input, counts } = await aWordCount(4)
    const patient = { sessionTimeout: '30s' } as const
    await using first = await kit.start(words, patient)
    const second = await kit.start(words, patient)
    await until(() => first.activeTasks.length === 4 && second.activeTasks.length === 4, { what: 'an even spread' })
    expect([...first.activeTasks, ...second.activeTasks].toSorted()).toEqual([
      '0_0',
      '0_1',
      '0_2',
      '0_3',
      '1_0',
      '1_1',
      '1_2',
      '1_3',
    ])
    await kit.send(input, manyLines(100))
    await until(async () => (await total({ counts })) === 1_000, { what: 'counts of two instances' })

    await second.close()
    // Long before the session of the closed one would have expired.
    await until(() => first.activeTasks.length === 8, { what: 'the tasks of the closed instance', timeoutMs: 5_000 })
    await kit.send(input, manyLines(100))
    await until(async () => (await total({ counts })) === 2_000, { what: 'counts of the one that stayed' })
    expect((await counts())['all']).toBe(2_000 / 10)
  })

  it('loses nothing when an instance is killed in the middle of its work', async () => {
    const { words, input, counts } = await aWordCount(4)
    await using first = await kit.start(words)
    const second = await kit.start(words)
    await until(() => first.activeTasks.length === 4 && second.activeTasks.length === 4, { what: 'an even spread' })

    const batches = 20
    for (let batch = 0; batch < batches; batch++) {
      await kit.send(input, manyLines(50))
      if (batch === 10) await second.kill()
    }
    await until(() => first.activeTasks.length === 8, { what: 'the tasks of the killed instance' })
    await until(async () => (await counts())['all']! >= batches * 50, { what: 'every line counted' })
    await until(() => first.metrics().lag.every(({ lag }) => lag === 0), { what: 'end of all partitions' })
    // At least once: what was in flight at the kill may be there twice, and nothing is missing.
    const final = await counts()
    expect(Object.keys(final)).toHaveLength(51)
    for (let w = 0; w < 50; w++) expect(final[`w${w}`]).toBeGreaterThanOrEqual((batches * 50 * 9) / 50)
  })

  it('counts exactly when everything was committed before the kill', async () => {
    const { words, input, counts } = await aWordCount(2)
    await using first = await kit.start(words)
    const second = await kit.start(words)
    await until(() => first.activeTasks.length === 2 && second.activeTasks.length === 2, { what: 'an even spread' })
    await kit.send(input, manyLines(100))
    await until(async () => (await total({ counts })) === 1_000, { what: 'the first hundred' })
    await second.commit()
    await second.kill()
    await kit.send(input, manyLines(100))
    await until(async () => (await total({ counts })) === 2_000, { what: 'all two hundred' })
    expect((await counts())['all']).toBe(2_000 / 10)
  })

  it('runs several workers in one process', async () => {
    const { words, input, counts } = await aWordCount(4)
    await using app = await kit.start(words, { workers: 3 })
    await until(() => app.activeTasks.length === 8, { what: 'all tasks' })
    await kit.send(input, manyLines(100))
    await until(async () => (await total({ counts })) === 1_000, { what: 'counts of all workers' })
    expect((await counts())['all']).toBe(1_000 / 10)
  })
})
