import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { documentPath, withSection } from './document.ts'

describe('a section of the document', () => {
  it('is replaced between its markers, and nothing else is', () => {
    const text = 'a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n<!-- y: begin --><!-- y: end -->'
    const once = withSection(text, 'x', 'new\n')
    expect(once).toBe('a\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nb\n<!-- y: begin --><!-- y: end -->')
    expect(withSection(once, 'x', 'new')).toBe(once)
  })

  it('must have its markers', () => {
    expect(() => withSection('nothing', 'x', 'new')).toThrow('no section')
  })

  it('is there for every report that writes one', () => {
    const document = readFileSync(documentPath, 'utf8')
    for (const section of ['comparison', 'scale', 'capacity']) {
      expect(() => withSection(document, section, '')).not.toThrow()
    }
  })
})
