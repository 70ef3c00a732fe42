import { describe, expect, it } from 'vitest'
import { kafkaTool, type RunResult } from '../harness/index.ts'
import { observe } from './program.ts'
import { describeJava } from './suite.ts'

describeJava("Java's transactions", (broker, shell) => {
  const look = (theme: string) => observe(shell, 'TransactionThemes', theme, broker.bootstrap)

  it('are seen whole when they are committed, and never when they are not', async () => {
    const three = (outcome: string) => [0, 1, 2].map((index) => `${outcome} ${index}`)
    expect(await look('isolation')).toEqual({
      committed: three('committed'),
      all: [...three('committed'), ...three('aborted'), ...three('open')],
      // The markers have an offset each.
      'end for read_committed': 8,
      'end for read_uncommitted': 11,
      'committed in the end': 6,
    })
  })

  it('leave what was committed, in order, also when there are many', async () => {
    expect(await look('many')).toEqual({ 'partition 0': true, 'partition 1': true, 'partition 2': true })
  })

  it('are closed to a producer that was replaced', async () => {
    expect(await look('fencing')).toEqual({
      'a commit of the zombie': 'PRODUCER_FENCED',
      'its writes fail': true,
      committed: ['of its successor'],
      'after fenceProducers': 'PRODUCER_FENCED',
      'committed after all': ['of its successor'],
    })
  })

  it('commit offsets, of which nobody sees anything before', async () => {
    expect(await look('offsets')).toEqual({
      'while it is open': 'unstable',
      committed: [2, 'two'],
      'after an abort': [2, 'two'],
      'of a member that has left': 'CommitFailedException',
      'after that': [2, 'two'],
    })
  })

  it('are aborted when they take too long', async () => {
    expect(await look('timeout')).toEqual({
      committed: [],
      'its commit fails': true,
      'too long': true,
    })
  })

  it('are described and listed, with the producers of a partition', async () => {
    expect(await look('admin')).toEqual({
      open: ['Ongoing', true, 60_000, true],
      listed: ['Ongoing'],
      'listed by its producer id': 1,
      'listed by a pattern': 1,
      'listed by a part of the name': 0,
      'listed if it took long': 0,
      producers: [[true, true, 0, 0]],
      ended: 'CompleteCommit',
      'producers after that': [false],
      absent: 'TRANSACTIONAL_ID_NOT_FOUND',
    })
  })

  describe('kafka-transactions', () => {
    const tool = async (...args: readonly string[]): Promise<string> => {
      const result: RunResult = await shell.run(kafkaTool.transactions, [
        '--bootstrap-server',
        broker.bootstrap,
        ...args,
      ])
      if (result.exitCode === 0) return result.stdout
      throw new Error(
        `kafka-transactions ${args.join(' ')} ended with ${result.exitCode}:\n${result.stdout}${result.stderr}`,
      )
    }
    const rows = (table: string): string[][] =>
      table
        .trim()
        .split('\n')
        .map((line) => line.trim().split(/\s+/))

    it('lists, describes and aborts a transaction that hangs', async () => {
      const left = await look('leave-open')
      const topic = String(left['topic'])
      const id = String(left['transactional id'])

      const listed = rows(await tool('list')).find((row) => row[0] === id)
      expect(listed?.at(-1)).toBe('Ongoing')
      const producerId = listed![2]!
      const described = rows(await tool('describe', '--transactional-id', id))
      expect(described[1]).toEqual(expect.arrayContaining([id, producerId, 'Ongoing', `${topic}-0`]))
      const producers = rows(await tool('describe-producers', '--topic', topic, '--partition', '0'))
      expect(producers[1]![0]).toBe(producerId)

      // The marker comes from an administrator, and not from the coordinator, which does not know that it has ended.
      await tool('abort', '--topic', topic, '--partition', '0', '--start-offset', '0')
      const after = rows(await tool('describe-producers', '--topic', topic, '--partition', '0'))
      expect(after[1]!.at(-1)).toBe('None')

      await tool('forceTerminateTransaction', '--transactionalId', id)
      expect(rows(await tool('describe', '--transactional-id', id))[1]).toContain('Empty')
    })
  })
})
