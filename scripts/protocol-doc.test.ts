import { readFileSync } from 'node:fs'
import { apis, type Api } from '@millrace/protocol'
import { describe, expect, it } from 'vitest'
import { protocolDocument } from './protocol-doc.ts'

describe('docs/PROTOCOL.md', () => {
  const document = protocolDocument()

  it('says what the tables say; if not, run `node -C source scripts/protocol-doc.ts`', () => {
    expect(readFileSync(new URL('../docs/PROTOCOL.md', import.meta.url), 'utf8')).toBe(document)
  })

  it('has a section and a link to it for every API', () => {
    for (const { name, key } of Object.values<Api>(apis)) {
      expect(document).toContain(`\n### ${name} (${key})\n`)
      expect(document).toContain(`[${name}](#${name.toLowerCase()}-${key})`)
    }
  })

  it('tells versions, defaults and tags', () => {
    const { 0: head, 1: fetch } = document.split('### Fetch (1)')
    expect(head).toContain('| 1 | [Fetch](#fetch-1) | 4-18 | 12 |')
    expect(fetch).toContain('| `topics[].partitions[].currentLeaderEpoch` | int32 | 9-18 | default -1 |')
    expect(fetch).toContain('| `topics[].partitions[].highWatermark` | int64 | 18 | tag 1, default 2^63 - 1 |')
    expect(fetch).toContain('| `topics[].topic` | string | 4-12 | |')
  })
})
