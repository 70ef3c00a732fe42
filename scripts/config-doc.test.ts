import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { brokerOption, groupOption, topicOption } from '../broker/src/config/options.ts'
import { configDocument } from './config-doc.ts'

describe('docs/CONFIGURATION.md', () => {
  const document = configDocument()

  it('says what the tables and the sources say; if not, run `node -C source scripts/config-doc.ts`', () => {
    expect(readFileSync(new URL('../docs/CONFIGURATION.md', import.meta.url), 'utf8')).toBe(document)
  })

  it('has a row for every setting', () => {
    const names = [...brokerOption.keys(), ...topicOption.keys(), ...groupOption.keys()]
    expect(names.length).toBeGreaterThan(380)
    expect(names.filter((name) => !document.includes(`| \`${name}\` | `))).toEqual([])
  })

  it('tells what is read, what waits for a feature, and what is only taken', () => {
    const row = (name: string): string => new RegExp(`^\\| \`${name}\` .*$`, 'm').exec(document)![0]
    expect(row('num.partitions')).toBe(
      '| `num.partitions` | int | `1` | 1 or more |  | yes | Partitions of a topic created without a count. |',
    )
    expect(row('log.segment.bytes')).toContain('| all | yes |')
    expect(row('segment.bytes')).toContain('| `log.segment.bytes` | yes |')
    expect(row('authorizer.class.name')).toContain('| later: access control |')
    expect(row('num.io.threads')).toContain('| all | no |')
  })
})
