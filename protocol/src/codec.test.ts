import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { allMessages } from '../test/all-messages.ts'
import { arbitraryStruct, complete } from '../test/arbitrary-message.ts'
import { apis } from './apis/index.ts'
import { codec, decodeMessage, decodeVersioned, encodeMessage, encodeVersioned, type Codec } from './codec.ts'
import { compile } from './compile.ts'
import { interpret } from './interpret.ts'
import { offsetCommitKey, offsetCommitValue } from './internal-topics/index.ts'
import { ProtocolError } from './protocol-error.ts'
import { Reader } from './reader.ts'
import { array, int16, int32, int64, message, string, type Message } from './schema.ts'
import { Writer } from './writer.ts'

const RUNS_PER_VERSION = 20

function versionsOf(table: Message): number[] {
  return Array.from({ length: table.maxVersion - table.minVersion + 1 }, (_, index) => table.minVersion + index)
}

function encoded(made: Codec<unknown, never>, value: unknown): Buffer {
  const writer = new Writer(16)
  made.encode(writer, value as never)
  return Buffer.from(writer.take())
}

describe.each([...allMessages()])('%s', (_name, table) => {
  it.each(versionsOf(table))('is written alike by both codecs and read back as it was, version %i', (version) => {
    const compiled = compile(table, version)
    const interpreted = interpret(table, version)
    fc.assert(
      fc.property(arbitraryStruct(table.fields, version), (value) => {
        const bytes = encoded(compiled, value)
        expect(encoded(interpreted, value).equals(bytes)).toBe(true)

        const whole = complete(table.fields, version, value)
        for (const made of [compiled, interpreted]) {
          const reader = new Reader(bytes)
          expect(made.decode(reader)).toEqual(whole)
          expect(reader.remaining).toBe(0)
        }
        // What was decoded has every default filled in and is still the same message.
        expect(encoded(compiled, whole).equals(bytes)).toBe(true)
      }),
      { numRuns: RUNS_PER_VERSION },
    )
  })

  it('gives objects of one shape in all versions', () => {
    const names = Object.keys(table.fields)
    for (const version of versionsOf(table)) {
      fc.assert(
        fc.property(arbitraryStruct(table.fields, version), (value) => {
          const made = compile(table, version)
          expect(Object.keys(made.decode(new Reader(encoded(made, value))))).toEqual(names)
        }),
        { numRuns: 1 },
      )
    }
  })
})

describe('codec', () => {
  it('covers every API, the headers and the records of topics and files', () => {
    expect(allMessages().size).toBeGreaterThanOrEqual(2 * Object.keys(apis).length + 40)
  })

  it('is made once for a message and version', () => {
    expect(codec(apis.fetch.request, 12)).toBe(codec(apis.fetch.request, 12))
    expect(codec(apis.fetch.request, 12)).not.toBe(codec(apis.fetch.request, 11))
  })

  it('refuses a version that the table does not have', () => {
    expect(() => codec(apis.fetch.request, 3)).toThrow('FetchRequest has no version 3')
    expect(() => codec(apis.fetch.request, 19)).toThrow('FetchRequest has no version 19')
  })

  it('works where the process may not make code from strings', { timeout: 20_000 }, () => {
    const script = `
      import { apis, codec, encodeMessage, Reader } from ${JSON.stringify(new URL('index.ts', import.meta.url).href)}
      const bytes = encodeMessage(apis.heartbeat.request, 4, { groupId: 'g', generationId: 3, memberId: 'm' })
      console.log(JSON.stringify(codec(apis.heartbeat.request, 4).decode(new Reader(bytes))))`
    const flags = ['--disallow-code-generation-from-strings', '-C', 'source', '--input-type=module', '-e', script]
    const { stdout, stderr } = spawnSync(process.execPath, flags, { encoding: 'utf8' })
    const message = { groupId: 'g', generationId: 3, memberId: 'm', groupInstanceId: null }
    expect({ stdout, stderr }).toEqual({ stdout: JSON.stringify(message) + '\n', stderr: '' })
  })

  it('writes a field that the caller left out as its default', () => {
    const bytes = encodeMessage(apis.fetch.request, 4, { maxWaitMs: 1, minBytes: 2, topics: [] })
    expect(decodeMessage(apis.fetch.request, 4, bytes)).toMatchObject({ replicaId: -1, maxBytes: 0x7fffffff })
  })

  it('leaves out a tagged struct that has only defaults in it', () => {
    const request = { maxWaitMs: 1, minBytes: 2, topics: [] }
    const without = encodeMessage(apis.fetch.request, 15, request)
    const withDefaults = encodeMessage(apis.fetch.request, 15, { ...request, replicaState: { replicaId: -1 } })
    expect(withDefaults.equals(without)).toBe(true)
  })

  it('makes defaults of absent fields anew, so that changing one message leaves the next alone', () => {
    const bytes = encodeMessage(apis.metadata.response, 0, { brokers: [], topics: [] })
    const bare = encodeMessage(apis.fetch.request, 4, { maxWaitMs: 1, minBytes: 2, topics: [] })
    const first = decodeMessage(apis.fetch.request, 4, bare)
    first.forgottenTopicsData.push({ topic: 't', topicId: '', partitions: [] })
    first.replicaState.replicaId = 7
    const second = decodeMessage(apis.fetch.request, 4, bare)
    expect(second.forgottenTopicsData).toEqual([])
    expect(second.replicaState.replicaId).toBe(-1)
    expect(decodeMessage(apis.metadata.response, 0, bytes).topics).toEqual([])
  })

  it('skips tags it does not know, also inside of elements', () => {
    const table = message({ name: 'T', versions: '0', flexible: '0+', fields: { list: array({ id: int16() }) } })
    const bytes = Buffer.from('02 0007 01 05 02 aabb 02 00 00 7f 01 ff'.replaceAll(' ', ''), 'hex')
    for (const make of [compile, interpret])
      expect(make(table, 0).decode(new Reader(bytes))).toEqual({ list: [{ id: 7 }] })
  })

  it('reads a tagged field of a later version as far as it knows it', () => {
    const fields = { id: int16({ tag: 0 }), name: string({ tag: 1 }) }
    const table = message({ name: 'T', versions: '0', flexible: '0+', fields })
    const bytes = Buffer.from('02 00 03 0007 ee 01 02 02 61'.replaceAll(' ', ''), 'hex')
    for (const make of [compile, interpret]) {
      expect(make(table, 0).decode(new Reader(bytes))).toEqual({ id: 7, name: 'a' })
    }
  })

  it('refuses a tagged field that is longer than its size says', () => {
    const table = message({ name: 'T', versions: '0', flexible: '0+', fields: { id: int32({ tag: 0 }) } })
    const bytes = Buffer.from('01 00 02 00000007'.replaceAll(' ', ''), 'hex')
    for (const make of [compile, interpret]) {
      expect(() => make(table, 0).decode(new Reader(bytes))).toThrow(ProtocolError)
    }
  })

  it('reads a field that became tagged later from where its version has it', () => {
    const fields = { id: int16({ tag: 0, tagged: '1+' }), next: int16() }
    const table = message({ name: 'T', versions: '0-1', flexible: '0+', fields })
    expect(encodeMessage(table, 0, { id: 5, next: 6 }).toString('hex')).toBe('0005000600')
    expect(encodeMessage(table, 1, { id: 5, next: 6 }).toString('hex')).toBe('00060100020005')
    for (const version of [0, 1]) {
      const bytes = encodeMessage(table, version, { id: 5, next: 6 })
      expect(decodeMessage(table, version, bytes)).toEqual({ id: 5, next: 6 })
    }
  })

  it('refuses null where the version has none', () => {
    const nullAtOne = message({
      name: 'T',
      versions: '0-1',
      flexible: 'none',
      fields: { list: array(int64(), { nullable: '1+' }), text: string({ nullable: '1+' }) },
    })
    for (const make of [compile, interpret]) {
      const old = make(nullAtOne, 0)
      expect(() => old.encode(new Writer(), { list: null, text: '' })).toThrow(ProtocolError)
      expect(() => old.encode(new Writer(), { list: [], text: null })).toThrow(ProtocolError)
      const bytes = encodeMessage(nullAtOne, 1, { list: null, text: null })
      expect(make(nullAtOne, 1).decode(new Reader(bytes))).toEqual({ list: null, text: null })
      expect(() => old.decode(new Reader(bytes))).toThrow(ProtocolError)
    }
  })

  it('refuses a number that its type cannot hold, and the nothing of a forgotten field', () => {
    const { request } = apis.heartbeat
    const value = { groupId: 'g', generationId: 2 ** 31, memberId: 'm' }
    expect(() => encodeMessage(request, 4, value)).toThrow('2147483648 does not fit int32')
    const forgotten = { groupId: 'g', memberId: 'm' } as typeof value
    expect(() => encodeMessage(request, 4, forgotten)).toThrow('undefined does not fit int32')
  })
})

describe('versioned records', () => {
  it('carry their version in front', () => {
    const value = { offset: 42, metadata: '', commitTimestamp: 1000 }
    const bytes = encodeVersioned(offsetCommitValue, 3, value)
    expect(bytes.toString('hex')).toBe('0003 000000000000002a ffffffff 0000 00000000000003e8'.replaceAll(' ', ''))
    expect(decodeVersioned(offsetCommitValue, bytes)).toMatchObject({
      version: 3,
      value: { ...value, leaderEpoch: -1 },
    })
  })

  it('are refused in a version there is no table for', () => {
    const bytes = encodeVersioned(offsetCommitKey, 1, { group: 'g', topic: 't', partition: 0 })
    bytes.writeInt16BE(2)
    expect(() => decodeVersioned(offsetCommitKey, bytes)).toThrow('OffsetCommitKey has no version 2')
  })
})
