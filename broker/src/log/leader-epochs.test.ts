import { describe, expect, it } from 'vitest'
import { LeaderEpochs } from './leader-epochs.ts'
import { MemoryDisk } from './memory-disk.ts'

function epochsOf(...entries: [epoch: number, startOffset: number][]) {
  const disk = new MemoryDisk()
  disk.makeDirectory('/p')
  const epochs = new LeaderEpochs(disk, '/p')
  for (const [epoch, startOffset] of entries) epochs.assign(epoch, startOffset)
  return { disk, epochs, file: () => disk.readFile('/p/leader-epoch-checkpoint')?.toString() ?? null }
}

const pairs = (epochs: LeaderEpochs) => epochs.entries.map(({ epoch, startOffset }) => [epoch, startOffset])

describe('LeaderEpochs', () => {
  it('writes the file of Kafka at each change', () => {
    const { epochs, file } = epochsOf([0, 0], [3, 120])
    expect(file()).toBe('0\n2\n0 0\n3 120\n')
    epochs.truncateFromEnd(120)
    expect(file()).toBe('0\n1\n0 0\n')
    epochs.clear()
    expect(file()).toBe('0\n0\n')
  })

  it('reads it again', () => {
    const { disk } = epochsOf([0, 0], [3, 120])
    const again = new LeaderEpochs(disk, '/p')
    expect(again.load()).toBe(true)
    expect(pairs(again)).toEqual([
      [0, 0],
      [3, 120],
    ])
    expect(again.isUnsynced).toBe(false)
  })

  it.each([
    ['nothing', null],
    ['an empty file', ''],
    ['another version', '1\n1\n0 0\n'],
    ['a wrong count', '0\n2\n0 0\n'],
    ['a cut-off line', '0\n1\n0 0'],
    ['a line with one word', '0\n1\n0\n'],
    ['no numbers', '0\n1\na b\n'],
    ['epochs that go back', '0\n2\n3 0\n2 5\n'],
    ['offsets that go back', '0\n2\n2 5\n3 0\n'],
    ['zeros', '\0\0\0\0'],
  ])('counts %s as no file', (_, text) => {
    const { disk, epochs } = epochsOf()
    if (text !== null) disk.writeFile('/p/leader-epoch-checkpoint', Buffer.from(text))
    expect(epochs.load()).toBe(false)
    expect(epochs.entries).toEqual([])
  })

  it('keeps where a known epoch began, and lets it begin earlier', () => {
    const { epochs } = epochsOf([1, 10])
    epochs.assign(1, 20)
    expect(pairs(epochs)).toEqual([[1, 10]])
    epochs.assign(1, 5)
    expect(pairs(epochs)).toEqual([[1, 5]])
  })

  it('forgets epochs that a new entry contradicts', () => {
    const { epochs } = epochsOf([1, 10], [2, 20], [4, 30])
    epochs.assign(3, 25)
    expect(pairs(epochs)).toEqual([
      [1, 10],
      [2, 20],
      [3, 25],
    ])
    epochs.assign(5, 20)
    expect(pairs(epochs)).toEqual([
      [1, 10],
      [5, 20],
    ])
  })

  it('answers where an epoch ends as Kafka does', () => {
    const { epochs } = epochsOf([2, 10], [4, 20], [5, 30])
    const end = (epoch: number) => Object.values(epochs.endOffsetFor(epoch, 40))
    expect(end(5)).toEqual([5, 40])
    expect(end(4)).toEqual([4, 30])
    expect(end(3)).toEqual([2, 20])
    expect(end(2)).toEqual([2, 20])
    expect(end(1)).toEqual([1, 10])
    expect(end(6)).toEqual([-1, -1])
    expect(end(-1)).toEqual([-1, -1])
    expect(Object.values(epochsOf().epochs.endOffsetFor(0, 40))).toEqual([-1, -1])
  })

  it('tells the epoch of an offset', () => {
    const { epochs } = epochsOf([2, 10], [4, 20])
    expect([5, 10, 19, 20, 99].map((offset) => epochs.epochAt(offset))).toEqual([-1, 2, 2, 4, 4])
  })

  it('moves with both ends of the log', () => {
    const { epochs } = epochsOf([1, 0], [2, 10], [3, 20])
    epochs.truncateFromStart(5)
    expect(pairs(epochs)).toEqual([
      [1, 5],
      [2, 10],
      [3, 20],
    ])
    epochs.truncateFromStart(10)
    expect(pairs(epochs)).toEqual([
      [2, 10],
      [3, 20],
    ])
    epochs.truncateFromStart(99)
    expect(pairs(epochs)).toEqual([[3, 99]])
    epochs.truncateFromEnd(100)
    expect(pairs(epochs)).toEqual([[3, 99]])
    epochs.truncateFromEnd(99)
    expect(pairs(epochs)).toEqual([])
  })
})
