import { describe, expect, it } from 'vitest'
import { parseProperties } from './properties.ts'

describe('parseProperties', () => {
  it('reads the separators, comments and blanks that Java takes', () => {
    const text = [
      '# a comment',
      '! another',
      '',
      'num.partitions=3',
      '  log.dirs = /a,/b  ',
      'node.id:7',
      'broker.rack here',
      'empty=',
      'alone',
      'with=equals=inside',
    ].join('\r\n')
    expect(Object.fromEntries(parseProperties(text))).toEqual({
      'num.partitions': '3',
      'log.dirs': '/a,/b  ',
      'node.id': '7',
      'broker.rack': 'here',
      empty: '',
      alone: '',
      with: 'equals=inside',
    })
  })

  it('joins a line that ends in a backslash with the next, without its indentation', () => {
    const text = 'listeners=PLAINTEXT://:9092,\\\n    CONTROLLER://:9093\npath=C:\\\\\nnext=1'
    expect(Object.fromEntries(parseProperties(text))).toEqual({
      listeners: 'PLAINTEXT://:9092,CONTROLLER://:9093',
      path: 'C:\\',
      next: '1',
    })
  })

  it('resolves escapes in names and values', () => {
    expect(Object.fromEntries(parseProperties('a\\ b\\=c=tab\\there \\u00e9\\q'))).toEqual({ 'a b=c': 'tab\there éq' })
  })

  it('lets the last of two equal names win', () => {
    expect(parseProperties('a=1\na=2').get('a')).toBe('2')
  })
})
