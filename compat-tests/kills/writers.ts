import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { startProgram } from '../java/tool-shell.ts'
import { install, startScript } from '../librdkafka/program.ts'
import type { RunningProcess } from '../harness/index.ts'

/** What a writer says while it writes. A record that was neither acknowledged nor given up is unknown. */
export interface WriterReport {
  sent(value: string, partition: number): void
  acknowledged(value: string, offset: number): void
}

/** A client that produces records one after the other, whatever happens to the broker. */
export interface Writer {
  readonly name: string
  /** Brings what was sent to its end, if that can be. */
  stop(): Promise<void>
}

export interface WriterTarget {
  readonly bootstrap: string
  readonly topic: string
  readonly partitions: number
}

/** kafkajs, idempotent, a batch of three records at a time. */
export function kafkajsWriter(name: string, target: WriterTarget, report: WriterReport): Writer {
  const kafka = new Kafka({
    clientId: name,
    brokers: [target.bootstrap],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, maxRetryTime: 200, retries: 1000 },
  })
  let isStopping = false
  let count = 0
  const write = async (): Promise<void> => {
    while (!isStopping) {
      // One that has given up takes the sequence of the records that it gave up for the next ones.
      const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
      try {
        await producer.connect()
        while (!isStopping) {
          const partition = count % target.partitions
          const values = [0, 1, 2].map(() => `${name}:${count++}`)
          for (const value of values) report.sent(value, partition)
          const messages = values.map((value) => ({ value, partition }))
          const [answer] = await producer.send({ topic: target.topic, messages })
          const baseOffset = Number(answer!.baseOffset)
          for (const [i, value] of values.entries()) report.acknowledged(value, baseOffset < 0 ? -1 : baseOffset + i)
        }
      } catch {
        count++
      } finally {
        await producer.disconnect()
      }
    }
  }
  const written = write()
  return {
    name,
    async stop() {
      isStopping = true
      await written
    },
  }
}

/** librdkafka, idempotent, with its own pipelining. */
export async function librdkafkaWriter(name: string, target: WriterTarget, report: WriterReport): Promise<Writer> {
  await install()
  const args = [target.bootstrap, target.topic, String(target.partitions), name]
  return processWriter(name, startScript(join(import.meta.dirname, 'produce.py'), args), report)
}

/** The Java producer with its defaults, which are idempotent. */
export async function javaWriter(name: string, target: WriterTarget, report: WriterReport): Promise<Writer> {
  const args = [target.bootstrap, target.topic, String(target.partitions), name]
  return processWriter(name, await startProgram('Producing', args), report)
}

function processWriter(name: string, running: RunningProcess, report: WriterReport): Writer {
  let taken = 0
  const take = (): void => {
    const { stdout } = running
    const end = stdout.lastIndexOf('\n') + 1
    for (const line of stdout.slice(taken, end).split('\n')) {
      const [what, value, partition, offset] = line.split(' ')
      if (what === 's') report.sent(value!, Number(partition))
      if (what === 'a') report.acknowledged(value!, Number(offset))
    }
    taken = Math.max(taken, end)
  }
  const timer = setInterval(take, 20)
  return {
    name,
    async stop() {
      running.stdin.end('stop\n')
      const { exitCode, stderr } = await running.ended
      clearInterval(timer)
      take()
      if (exitCode !== 0) throw new Error(`${name} ended with ${exitCode}:\n${stderr}`)
    },
  }
}
