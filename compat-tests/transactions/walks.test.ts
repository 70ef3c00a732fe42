import { readFileSync, writeFileSync } from 'node:fs'
import { apis } from '@millrace/protocol'
import { expect, it } from 'vitest'
import { brokerKind, describeBroker, javaTool, uniqueName, until } from '../harness/index.ts'
import { RequestSocket } from './request-socket.ts'
import { Walk } from './walk.ts'

// What Apache Kafka 4.3.1 answers a producer that does everything, recorded from it with RECORD=1 KAFKA=real: by seed, for
// clients and brokers with an epoch for each transaction (KIP-890), and for a broker without.
const RECORDING = new URL('kafka-4.3.1.json', import.meta.url)
const SEEDS = 20
const FEATURES = 'org.apache.kafka.tools.FeatureCommand'
const isRecording = process.env['RECORD'] === '1' && brokerKind === 'kafka'

type Recording = Record<string, Record<string, readonly string[]>>

for (const version of ['2', '1']) {
  // The setting is ours; Kafka's level of a feature is a matter of its metadata.
  const settings = brokerKind === 'millrace' ? { 'transaction.version': version } : {}
  describeBroker(`transactions at transaction.version ${version}`, { settings }, (broker) => {
    it(`are as Kafka has them, request by request, in ${SEEDS} walks`, { timeout: 300_000 }, async () => {
      if (brokerKind === 'kafka' && version !== '2') {
        const change = ['downgrade', '--feature', `transaction.version=${version}`]
        const { exitCode, stderr } = await javaTool(FEATURES, ['--bootstrap-server', broker.bootstrap, ...change])
        if (exitCode !== 0) throw new Error(`the feature was not changed:\n${stderr}`)
      }
      const socket = new RequestSocket(broker.port)
      const topic = uniqueName('walked')
      const partitions = { numPartitions: 4, replicationFactor: 1, assignments: [], configs: [] }
      const wanted = { topics: [{ name: topic, ...partitions }], timeoutMs: 10_000, validateOnly: false }
      expect((await socket.request(apis.createTopics, 5, wanted)).topics[0]!.errorCode).toBe(0)
      await until(async () => await leadsAll(socket, topic), { what: 'topic that can be written to' })
      const walks: Record<string, readonly string[]> = {}
      const name = uniqueName('walker')
      for (let seed = 1; seed <= SEEDS; seed++) walks[seed] = await new Walk(socket, { topic, name, seed }).run()
      socket.close()
      if (isRecording) record(version, walks)
      const { [version]: recorded = {} } = JSON.parse(readFileSync(RECORDING, 'utf8')) as Recording
      // One after the other, so that the first difference is shown and not all that follow from it.
      for (let seed = 1; seed <= SEEDS; seed++) expect([seed, walks[seed]]).toEqual([seed, recorded[seed]])
    })
  })
}

async function leadsAll(socket: RequestSocket, name: string): Promise<boolean> {
  const { topics } = await socket.request(apis.metadata, 9, { topics: [{ name }], allowAutoTopicCreation: false })
  return topics[0]!.partitions.length === 4 && topics[0]!.partitions.every(({ errorCode }) => errorCode === 0)
}

function record(version: string, walks: Record<string, readonly string[]>): void {
  let recording: Recording = {}
  try {
    recording = JSON.parse(readFileSync(RECORDING, 'utf8')) as Recording
  } catch {
    // The first one there is.
  }
  writeFileSync(RECORDING, `${JSON.stringify({ ...recording, [version]: walks }, null, 1)}\n`)
}
