import * as protocol from '@millrace/protocol'
import type { Api, Fields, Message } from '@millrace/protocol'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadDefinitions, whyUnavailable, type Definition } from './definitions.ts'
import { shapeOfDefinition, shapeOfTable } from './wire-shape.ts'

// Tables that stop before the last version of Kafka, with the reason.
const NARROWER = new Map([
  ['InitProducerIdRequest', 'version 6 is marked unstable in Kafka 4.4'],
  ['InitProducerIdResponse', 'version 6 is marked unstable in Kafka 4.4'],
])

// Kafka has a definition of its own for every kind of key in __consumer_offsets, each in version 0; the int16 in front of
// the key is their apiKey. Here that number is the version of the table.
const KINDS_OF_KEYS = new Map([
  ['OffsetCommitKey 0', 'LegacyOffsetCommitKey'],
  ['OffsetCommitKey 1', 'OffsetCommitKey'],
  ['GroupMetadataKey 2', 'GroupMetadataKey'],
])

function allTables(): Map<string, Message> {
  const tables = new Map<string, Message>()
  for (const exported of Object.values<unknown>(protocol)) if (isTable(exported)) tables.set(exported.name, exported)
  for (const { request, response } of Object.values<Api>(protocol.apis)) {
    tables.set(request.name, request)
    tables.set(response.name, response)
  }
  return tables
}

function isTable(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && 'flexibleFrom' in value && 'fields' in value
}

function versionsOf({ minVersion, maxVersion }: Message): number[] {
  return Array.from({ length: maxVersion - minVersion + 1 }, (_, index) => minVersion + index)
}

const unavailable = whyUnavailable()
const tables = allTables()

if (unavailable !== null) console.warn(`the comparison with the definitions of Apache Kafka is skipped: ${unavailable}`)

describe.skipIf(unavailable !== null)('the tables and the definitions of Apache Kafka 4.4.0', () => {
  let definitions: ReadonlyMap<string, Definition>
  beforeAll(() => {
    definitions = loadDefinitions()
  })

  function definitionOf(table: Message, version: number): { definition: Definition; definedVersion: number } {
    const kindOfKey = KINDS_OF_KEYS.get(`${table.name} ${version}`)
    const definition = definitions.get(kindOfKey ?? table.name)
    if (definition === undefined) throw new Error(`Kafka has no message ${table.name}`)
    return { definition, definedVersion: kindOfKey === undefined ? version : 0 }
  }

  function differences(table: Message): string[] {
    return versionsOf(table).flatMap((version) => {
      const { definition, definedVersion } = definitionOf(table, version)
      const theirs = shapeOfDefinition(definition, definedVersion, table.maxVersion)
      const ours = shapeOfTable(table, version)
      const missing = theirs.filter((line) => !ours.includes(line)).map((line) => `version ${version} lacks ${line}`)
      const surplus = ours.filter((line) => !theirs.includes(line)).map((line) => `version ${version} has ${line}`)
      const isSameOrder = missing.length + surplus.length > 0 || theirs.every((line, index) => line === ours[index])
      return [...missing, ...surplus, ...(isSameOrder ? [] : [`version ${version} has another order of fields`])]
    })
  }

  it.each([...tables.keys()])('say the same of %s', (name) => {
    expect(differences(tables.get(name)!)).toEqual([])
  })

  it('are compared for every table and version there is', () => {
    const versions = [...tables.values()].reduce((count, table) => count + versionsOf(table).length, 0)
    expect(tables.size).toBeGreaterThanOrEqual(103)
    expect(versions).toBeGreaterThanOrEqual(427)
    console.info(`compared ${tables.size} messages in ${versions} versions: ${[...tables.keys()].join(', ')}`)
  })

  it('have the same versions', () => {
    for (const table of tables.values()) {
      const kindOfKey = [...KINDS_OF_KEYS.keys()].some((key) => key.startsWith(`${table.name} `))
      if (kindOfKey || NARROWER.has(table.name)) continue
      expect(`${table.name} ${table.versions}`).toBe(`${table.name} ${definitions.get(table.name)!.validVersions}`)
      expect(`${table.name} ${table.flexible}`).toBe(`${table.name} ${definitions.get(table.name)!.flexibleVersions}`)
    }
  })

  it('have the same keys', () => {
    for (const { key, request, response } of Object.values<Api>(protocol.apis)) {
      expect([definitions.get(request.name)!.apiKey, definitions.get(response.name)!.apiKey]).toEqual([key, key])
    }
    for (const { key, name } of Object.values(protocol.metadataRecords)) expect(definitions.get(name)!.apiKey).toBe(key)
    for (const [kind, name] of KINDS_OF_KEYS) expect(definitions.get(name)!.apiKey).toBe(Number(kind.split(' ')[1]))
  })

  it('include every metadata record', () => {
    const kafkas = [...definitions.values()].filter(
      ({ name, apiKey }) => apiKey !== undefined && name.endsWith('Record'),
    )
    const ours = new Set(Object.values(protocol.metadataRecords).map(({ name }) => name))
    const missing = kafkas.map(({ name }) => name).filter((name) => !ours.has(name) && !name.startsWith('Remote'))
    expect(missing).toEqual([])
    expect(ours.size).toBe(27)
  })

  describe('would be told apart', () => {
    const { response } = protocol.apis.fetch

    // Rebuilds the table with the fields of one struct, found by its path, replaced.
    function altered(path: readonly string[], change: (fields: Fields) => Fields): Message {
      const rebuild = (fields: Fields, rest: readonly string[]): Fields => {
        const [name, ...deeper] = rest
        if (name === undefined) return change(fields)
        const field = fields[name]!
        const inner = rebuild(field.element?.fields ?? field.fields!, deeper)
        const made =
          field.type === 'array'
            ? protocol.schema.array(inner, field.options)
            : protocol.schema.struct(inner, field.options)
        return { ...fields, [name]: made }
      }
      return { ...(response as Message), fields: rebuild(response.fields, path) }
    }

    const PARTITIONS = ['responses', 'partitions']

    it('if nothing is altered, there is no difference', () => {
      expect(differences(altered([...PARTITIONS, 'divergingEpoch'], (fields) => fields))).toEqual([])
    })

    it.each<[string, readonly string[], (fields: Fields) => Fields, string]>([
      [
        'a forgotten field',
        PARTITIONS,
        (fields) => Object.fromEntries(Object.entries(fields).filter(([name]) => name !== 'lastStableOffset')),
        'version 4 lacks responses[].partitions[].lastStableOffset: int64, body, default -1',
      ],
      [
        'a field too many',
        [],
        (fields) => ({ ...fields, extra: protocol.schema.int8() }),
        'version 4 has extra: int8, body, default 0',
      ],
      [
        'two fields in the other order',
        PARTITIONS,
        ({ partitionIndex, errorCode, ...rest }) => ({
          errorCode: errorCode!,
          partitionIndex: partitionIndex!,
          ...rest,
        }),
        'version 4 has another order of fields',
      ],
      [
        'another type',
        PARTITIONS,
        (fields) => ({ ...fields, highWatermark: protocol.schema.int32() }),
        'version 4 has responses[].partitions[].highWatermark: int32, body, default 0',
      ],
      [
        'another first version',
        [],
        (fields) => ({ ...fields, sessionId: protocol.schema.int32({ versions: '8+', default: 0 }) }),
        'version 7 has sessionId: absent, default 0',
      ],
      [
        'null where there is none',
        ['responses'],
        (fields) => ({ ...fields, topic: protocol.schema.string({ versions: '4-12', nullable: '12+' }) }),
        'version 12 has responses[].topic: compact string or null, body, default ""',
      ],
      [
        'another default, also where the field is absent',
        PARTITIONS,
        (fields) => ({ ...fields, preferredReadReplica: protocol.schema.int32({ versions: '11+', default: 0 }) }),
        'version 4 has responses[].partitions[].preferredReadReplica: absent, default 0',
      ],
      [
        'another tag',
        [],
        (fields) => ({
          ...fields,
          nodeEndpoints: protocol.schema.array(fields.nodeEndpoints!.element!.fields!, { versions: '16+', tag: 1 }),
        }),
        'version 16 has nodeEndpoints: compact array, tag 1, default empty array',
      ],
      [
        'a difference in a struct inside of structs',
        [...PARTITIONS, 'divergingEpoch'],
        ({ endOffset, epoch }) => ({ endOffset: endOffset!, epoch: epoch! }),
        'version 12 has another order of fields',
      ],
    ])('%s is reported', (_name, path, change, report) => {
      expect(differences(altered(path, change))).toContain(report)
    })

    it('a message that is flexible too early is reported', () => {
      expect(differences({ ...(response as Message), flexibleFrom: 11 })).toContain(
        'version 11 has responses: compact array, body, default empty array',
      )
    })
  })
})
