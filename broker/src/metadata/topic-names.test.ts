import { describe, expect, it } from 'vitest'
import { collisionKey, invalidTopicName, isInternalTopic } from './topic-names.ts'

describe('invalidTopicName', () => {
  it.each(['a', 'A.b_c-9', '...', '_', '-', 'x'.repeat(249), '__consumer_offsets'])('takes %s', (name) => {
    expect(invalidTopicName(name)).toBeNull()
  })

  it.each([
    ['', 'Topic name is invalid: the empty string is not allowed'],
    ['.', "Topic name is invalid: '.' is not allowed"],
    ['..', "Topic name is invalid: '..' is not allowed"],
    [
      'a b',
      "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
    ],
    [
      'a\n',
      "Topic name is invalid: 'a\n' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
    ],
    [
      'é',
      "Topic name is invalid: 'é' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
    ],
    [
      '../a',
      "Topic name is invalid: '../a' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
    ],
    [
      'x'.repeat(250),
      `Topic name is invalid: the length of '${'x'.repeat(250)}' is longer than the max allowed length 249`,
    ],
  ])('refuses %j in Kafka’s words', (name, message) => {
    expect(invalidTopicName(name)).toBe(message)
  })
})

describe('collisionKey', () => {
  it('is the same for names that differ in a dot and an underscore, and nothing for others', () => {
    expect(collisionKey('a.b_c')).toBe(collisionKey('a_b.c'))
    expect(collisionKey('ab')).toBeNull()
  })
})

describe('isInternalTopic', () => {
  it('knows the topics of the broker', () => {
    expect(['__consumer_offsets', '__transaction_state', '__mine'].map(isInternalTopic)).toEqual([true, true, false])
  })
})
