import { join, resolve } from 'node:path'
import type { Broker } from '../measure/brokers.ts'
import { installKafka, kafkaClassPath, performanceFlags } from '../measure/kafka.ts'
import { cpuSeconds } from '../measure/proc.ts'
import { output } from '../measure/processes.ts'
import type { Figures } from './clients.ts'

const classes = resolve(import.meta.dirname, '..', '.cache', 'transactions')

/** Compiles the client, once per run. */
export async function compileTransactions(): Promise<void> {
  await installKafka()
  await output('javac', ['-d', classes, '-cp', kafkaClassPath, join(import.meta.dirname, 'Transactions.java')])
}

/** Transactions of so many records of 100 bytes to one partition, by Apache Kafka's own producer with its defaults. */
export async function javaTransactions(
  broker: Broker,
  topic: string,
  transactionRecords: number,
  recordBytes: number,
  seconds: number,
): Promise<Figures> {
  const before = cpuSeconds(broker.pid)
  const logging = `-Dlog4j2.configurationFile=${resolve(import.meta.dirname, '../../compat-tests/real-kafka/log4j2.properties')}`
  const classPath = [classes, kafkaClassPath].join(':')
  const numbers = [transactionRecords, recordBytes, seconds].map(String)
  const args = ['-Xmx512M', ...performanceFlags, logging, '-cp', classPath, 'Transactions', broker.bootstrap, topic]
  const figures = JSON.parse((await output('java', [...args, ...numbers])).trim().split('\n').at(-1)!) as Figures
  return { ...figures, cpu: ((cpuSeconds(broker.pid) - before) * 1e6) / figures['records']! }
}
