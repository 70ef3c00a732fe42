import { expect, it } from 'vitest'
import { ErrorCode, errorName } from './error-codes.ts'

it('knows the error codes by the names Kafka prints', () => {
  expect(errorName(ErrorCode.none)).toBe('NONE')
  expect(errorName(ErrorCode.unknownServerError)).toBe('UNKNOWN_SERVER_ERROR')
  expect(errorName(3)).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  expect(errorName(84)).toBe('ELECTION_NOT_NEEDED')
  expect(errorName(9999)).toBe('9999')
})

it('has every code once and none missing', () => {
  const codes = Object.values(ErrorCode).toSorted((left, right) => left - right)
  expect(codes).toEqual(Array.from({ length: 138 }, (_, index) => index - 1))
})
