import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { durationMs, type Duration } from '../duration.ts'
import { msgpack } from './msgpack.ts'
import { bytes, double, int32, int64, json, string } from './primitives.ts'
import type { Serde } from './serde.ts'
import { validated, type StandardSchema } from './validated.ts'
import { windowed } from './windowed.ts'

function roundTrip<T>(serde: Serde<T>, value: T): T {
  return serde.deserialize(Buffer.from(serde.serialize(value)))
}

describe('serdes', () => {
  it('give back what they were given', () => {
    const gives = <T>(serde: Serde<T>, values: fc.Arbitrary<T>, wanted = (value: T): unknown => value): void => {
      fc.assert(
        fc.property(values, (value) => {
          expect(roundTrip(serde, value)).toEqual(wanted(value))
        }),
      )
    }
    gives(string(), fc.string({ unit: 'grapheme' }))
    gives(int32(), fc.integer())
    gives(int64(), fc.maxSafeInteger())
    gives(double(), fc.double())
    gives(bytes(), fc.uint8Array(), (value) => Buffer.from(value))
    gives(json(), fc.jsonValue() as fc.Arbitrary<unknown>, (value) => JSON.parse(JSON.stringify(value)) as unknown)
    gives(
      msgpack(),
      fc.oneof(fc.string(), fc.maxSafeInteger(), fc.array(fc.record({ a: fc.string(), b: fc.boolean() }))),
    )
  })

  it('write integers as Kafka does', () => {
    expect(Buffer.from(int64().serialize(258)).toString('hex')).toBe('0000000000000102')
    expect(Buffer.from(int64().serialize(-1)).toString('hex')).toBe('ffffffffffffffff')
    expect(Buffer.from(int32().serialize(-2)).toString('hex')).toBe('fffffffe')
  })

  it('refuse what does not fit instead of rounding it', () => {
    expect(() => int32().serialize(2 ** 31)).toThrow(/not an int32/)
    expect(() => int64().serialize(2 ** 53)).toThrow(/not an int64/)
    expect(() => int64().deserialize(Buffer.from('7fffffffffffffff', 'hex'))).toThrow(/not an int64/)
    expect(() => int64().deserialize(Buffer.alloc(4))).toThrow('an int64 has 8 bytes, the record has 4')
    expect(() => json().serialize(undefined)).toThrow(/not an JSON value/)
  })

  it('keep what they read when the bytes they read it from are used again', () => {
    const source = Buffer.from(msgpack<unknown>().serialize({ data: Buffer.from('abc') }))
    const value = msgpack<{ data: Buffer }>().deserialize(source)
    const raw = bytes().deserialize(source)
    source.fill(0)
    expect(String(value.data)).toBe('abc')
    expect(raw.some((byte) => byte !== 0)).toBe(true)
  })

  it('keep windows of any length in the key', () => {
    const window = { key: 'k', startMs: 1_700_000_000_000, endMs: 1_700_000_060_000 }
    expect(roundTrip(windowed(string()), window)).toEqual(window)
  })

  it('check values against any Standard Schema validator', () => {
    const positive: StandardSchema<number> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) =>
          typeof value === 'number' && value > 0 ? { value } : { issues: [{ message: 'not positive', path: ['n'] }] },
      },
    }
    expect(roundTrip(validated(positive), 3)).toBe(3)
    expect(() => roundTrip(validated(positive), -3)).toThrow('the value does not fit its schema: n: not positive')
  })
})

describe('durations', () => {
  it('are milliseconds or a number with a unit', () => {
    const all: [Duration, number][] = [
      [5, 5],
      ['250ms', 250],
      ['1.5s', 1_500],
      ['5m', 300_000],
      ['2h', 7_200_000],
      ['1d', 86_400_000],
    ]
    for (const [duration, milliseconds] of all) expect(durationMs(duration)).toBe(milliseconds)
  })

  it('are whole and not negative', () => {
    for (const wrong of [-1, 0.5, Number.NaN, '5x', '-5m'] as Duration[]) {
      expect(() => durationMs(wrong)).toThrow(/not a duration/)
    }
  })
})
