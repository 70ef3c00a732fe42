import { describe, expect, it } from 'vitest'
import { busiestFunctions } from './cpu-profile.ts'

function aNode(
  id: number,
  functionName: string,
  url = '',
): {
  id: number
  callFrame: { functionName: string; url: string; lineNumber: number }
} {
  return { id, callFrame: { functionName, url, lineNumber: 9 } }
}

describe('a profile', () => {
  it('is read as shares of the time that was not idle', () => {
    const { entries, idleShare } = busiestFunctions({
      nodes: [aNode(1, '(idle)'), aNode(2, 'append', 'file:///home/a/b/log/partition-log.ts'), aNode(3, 'write')],
      samples: [1, 2, 3, 2],
      timeDeltas: [500, 200, 100, 200],
    })
    expect(idleShare).toBe(0.5)
    expect(entries).toEqual([
      { what: 'append', where: 'b/log/partition-log.ts:10', micros: 400, share: 0.8 },
      { what: 'write', where: '', micros: 100, share: 0.2 },
    ])
  })

  it('leaves out what ran before a moment', () => {
    const nodes = [aNode(1, 'start'), aNode(2, 'serve')]
    const profile = { nodes, samples: [1, 1, 2], timeDeltas: [100, 100, 50] }
    expect(busiestFunctions(profile, 200).entries.map((entry) => entry.what)).toEqual(['serve'])
  })

  it('adds what one function did from several callers', () => {
    const nodes = [aNode(1, 'read', 'node:fs'), aNode(2, 'read', 'node:fs')]
    const { entries } = busiestFunctions({ nodes, samples: [1, 2, 1], timeDeltas: [1, 2, 3] })
    expect(entries).toEqual([{ what: 'read', where: 'node:fs:10', micros: 6, share: 1 }])
  })
})
