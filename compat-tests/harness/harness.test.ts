import { expect, it } from 'vitest'
import { answersMetadata } from './probes.ts'
import { brokerKind, describeBroker, javaTool, kafkaTool, realKafkaMissing, uniqueName, until } from './index.ts'

describeBroker('a broker under test', { persistent: true }, (broker) => {
  it('is the one that KAFKA chooses and answers at its address', async () => {
    expect(broker.kind).toBe(brokerKind)
    expect(broker.bootstrap).toBe(`127.0.0.1:${broker.port}`)
    expect(await answersMetadata(broker.port)).toBe(true)
  })

  it('keeps its address over a restart', async () => {
    const { bootstrap } = broker
    await broker.restart()
    expect(broker.bootstrap).toBe(bootstrap)
    expect(await answersMetadata(broker.port)).toBe(true)
  })

  it.skipIf(realKafkaMissing())('can be asked by the tools of the Kafka distribution', async () => {
    const topic = uniqueName('topic')
    const args = ['--bootstrap-server', broker.bootstrap, '--create', '--topic', topic]
    expect(await javaTool(kafkaTool.topics, args)).toMatchObject({ exitCode: 0, stdout: `Created topic ${topic}.\n` })
  })
})

it('waits until a condition holds and returns its value', async () => {
  let asked = 0
  expect(await until(() => (++asked === 3 ? 'third' : null), { what: 'third answer' })).toBe('third')
})

it('says what it waited for when the condition never holds', async () => {
  const never = until(() => 0, { what: 'snow in summer', timeoutMs: 20 })
  await expect(never).rejects.toThrow('after 20 ms still no snow in summer; last: 0')
})
