import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..', '..')

/** The rules of the semantics, and the places where Kafka Streams has a defect (Q). */
const RULES =
  'T1 T2 T3 W1 W2 W3 W4 W5 W6 W7 S1 S2 J1 J2 J3 J4 J5 K1 K2 K3 K4 K5 K6 K7 P1 P2 P3 P4 Q1 Q2 Q3 Q4 Q5'.split(' ')

const testFiles = ['src', 'test'].flatMap((directory) =>
  readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(root, directory, name)),
)

/** Tests, and groups of tests, whose name begins with a rule. */
const named = testFiles.flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/\b(?:it|describe)\b[^'"`\n]*\(\s*['"`]([A-Z]\d): (.*)/g)].map(
    ([, rule, rest]) => ({ rule: rule!, name: rest!, file: relative(root, file) }),
  ),
)

describe('every rule', () => {
  it.each(RULES)('%s has a test whose name begins with it', (rule) => {
    expect(named.filter((test) => test.rule === rule)).not.toEqual([])
  })

  it('that a test is named after is one', () => {
    expect(named.filter(({ rule }) => !RULES.includes(rule))).toEqual([])
  })
})
