import kafkajs from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { describeBroker } from '../harness/index.ts'
import { aProducer, aTopic, kafkaOf } from './clients.ts'
import { registerCodecs } from './codecs.ts'
import { read, readValues } from './reading.ts'

const { CompressionTypes } = kafkajs
const codecs = [
  ['gzip', CompressionTypes.GZIP],
  ['snappy', CompressionTypes.Snappy],
  ['lz4', CompressionTypes.LZ4],
  ['zstd', CompressionTypes.ZSTD],
] as const

registerCodecs()

describeBroker('kafkajs compresses', {}, (broker) => {
  describe.each(codecs)('with %s', (name, compression) => {
    it(`producer.send with ${name}: a batch arrives with keys, headers, tombstones and offsets`, async () => {
      const kafka = kafkaOf(broker)
      const topic = await aTopic(kafka)
      const producer = await aProducer(kafka)
      const messages = Array.from({ length: 200 }, (_, index) => ({
        key: `key ${index % 7}`,
        value: index % 50 === 0 ? null : `value ${index} `.repeat(20),
        headers: { index: String(index) },
      }))

      await producer.send({ topic, compression, messages })
      await producer.send({ topic, compression, messages })

      const expected = [...messages, ...messages].map((message, offset) => ({ ...message, offset: String(offset) }))
      expect(await read(kafka, topic, 400)).toMatchObject(expected)
    })

    it(`producer.sendBatch with ${name}: bytes that do not compress arrive as well`, async () => {
      const kafka = kafkaOf(broker)
      const topic = await aTopic(kafka)
      const producer = await aProducer(kafka)
      const values = [noise(70_000), '', noise(1), noise(300_000)]

      await producer.sendBatch({
        compression,
        topicMessages: [{ topic, messages: values.map((value) => ({ value })) }],
      })

      expect(await readValues(kafka, topic, values.length)).toEqual(values)
    })

    it(`producer.send with ${name} below max.message.bytes: the compressed size counts`, async () => {
      const kafka = kafkaOf(broker)
      const topic = await aTopic(kafka, { config: { 'max.message.bytes': '5000' } })
      const producer = await aProducer(kafka)
      const messages = [{ value: 'a'.repeat(100_000) }]

      await producer.send({ topic, compression, messages })
      await expect(producer.send({ topic, messages })).rejects.toMatchObject({ type: 'MESSAGE_TOO_LARGE' })

      expect(await readValues(kafka, topic, 1)).toEqual(['a'.repeat(100_000)])
    })
  })

  it.each(codecs)('producer.send to a topic of compression.type=%s: what was sent plain arrives', async (name) => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka, { config: { 'compression.type': name } })
    const producer = await aProducer(kafka)
    const values = Array.from({ length: 50 }, (_, index) => `plain ${index}`)

    await producer.send({ topic, messages: values.map((value) => ({ value })) })

    expect(await readValues(kafka, topic, 50)).toEqual(values)
  })

  it('producer.send with another codec for each batch: one topic holds them all', async () => {
    const kafka = kafkaOf(broker)
    const topic = await aTopic(kafka)
    const producer = await aProducer(kafka)
    const kinds = [['none', CompressionTypes.None] as const, ...codecs, ...codecs.toReversed()]

    for (const [name, compression] of kinds) await producer.send({ topic, compression, messages: [{ value: name }] })

    expect(await readValues(kafka, topic, kinds.length)).toEqual(kinds.map(([name]) => name))
  })
})

/** Text without a pattern that a codec could use. */
function noise(length: number): string {
  let state = length + 1
  let text = ''
  while (text.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    text += String.fromCharCode(33 + ((state >>> 16) % 90))
  }
  return text
}
