import { expectTypeOf, it } from 'vitest'
import { apis, type ProduceRequest } from './apis/index.ts'
import { codec } from './codec.ts'
import type { MetadataRecord } from './kraft/index.ts'
import {
  array,
  int32,
  message,
  string,
  struct,
  type Api,
  type Decoded,
  type MessageInput,
  type MessageOf,
  type RequestInput,
  type RequestOf,
  type ResponseInput,
  type ResponseOf,
} from './schema.ts'
import type { Writer } from './writer.ts'

it('infers what a decoder gives: every field, null only where the table allows it', () => {
  expectTypeOf<RequestOf<typeof apis.produce>>().toEqualTypeOf<{
    transactionalId: string | null
    acks: number
    timeoutMs: number
    topicData: { name: string; topicId: string; partitionData: { index: number; records: Buffer | null }[] }[]
  }>()
  expectTypeOf<ProduceRequest>().toEqualTypeOf<RequestOf<typeof apis.produce>>()
  expectTypeOf<
    ResponseOf<typeof apis.fetch>['responses'][number]['partitions'][number]['divergingEpoch']
  >().toEqualTypeOf<{
    epoch: number
    endOffset: number
  }>()
  expectTypeOf<RequestOf<typeof apis.describeTopicPartitions>['cursor']>().toEqualTypeOf<{
    topicName: string
    partitionIndex: number
  } | null>()
})

it('infers what an encoder takes: a default, a tag or a version makes a field optional', () => {
  const table = message({
    name: 'T',
    versions: '0-1',
    flexible: '1+',
    fields: {
      plain: int32(),
      nullable: string({ nullable: true }),
      withDefault: int32({ default: -1 }),
      later: array(int32(), { versions: '1+' }),
      tagged: struct({ inner: int32(), innerDefault: int32({ default: 0 }) }, { versions: '1+', tag: 0 }),
      items: array({ id: int32(), note: string({ nullable: '1+', default: null }) }),
    },
  })
  type Given = MessageInput<typeof table>
  const least: Given = { plain: 1, nullable: null, items: [{ id: 1 }] }
  const most: Given = { ...least, withDefault: 2, later: [1], tagged: { inner: 1 }, items: [{ id: 1, note: null }] }
  expectTypeOf(most).toEqualTypeOf<Given>()
  expectTypeOf<Given['tagged']>().toEqualTypeOf<MessageInput<typeof table>['tagged']>()
  expectTypeOf<Given['later']>().toEqualTypeOf<readonly number[] | undefined>()
  expectTypeOf<MessageOf<typeof table>>().toEqualTypeOf<Decoded<typeof table.fields>>()
  expectTypeOf<MessageOf<typeof table>>().toExtend<Given>()

  // @ts-expect-error a plain field may not be left out
  const forgotten: Given = { nullable: null, items: [] }
  // @ts-expect-error null is only for what is nullable
  const absent: Given = { ...least, withDefault: null }
  // @ts-expect-error there is no such field
  const unknown: Given = { ...least, other: 1 }
  expectTypeOf([forgotten, absent, unknown]).toEqualTypeOf<Given[]>()
})

it('gives codecs the types of their message', () => {
  const made = codec(apis.heartbeat.response, 4)
  type Made = typeof made
  expectTypeOf<ReturnType<Made['decode']>>().toEqualTypeOf<{ throttleTimeMs: number; errorCode: number }>()
  expectTypeOf<Parameters<Made['encode']>>().toEqualTypeOf<
    [writer: Writer, value: ResponseInput<typeof apis.heartbeat>]
  >()
  expectTypeOf<{ groupId: string; generationId: number; memberId: string }>().toExtend<
    RequestInput<typeof apis.heartbeat>
  >()
})

it('lets code that handles any API encode any object', () => {
  expectTypeOf<ResponseInput<Api>>().toEqualTypeOf<object>()
  expectTypeOf(apis.fetch).toExtend<Api>()
})

it('knows the fields of a metadata record by its type', () => {
  expectTypeOf<Extract<MetadataRecord, { type: 'topicRecord' }>['value']>().toEqualTypeOf<{
    name: string
    topicId: string
  }>()
})
