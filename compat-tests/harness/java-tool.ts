import { join } from 'node:path'
import { installRealKafka, kafkaClassPath } from '../real-kafka/install.ts'
import { run, type RunningProcess, type RunOptions, type RunResult, start } from './processes.ts'

const logging = `-Dlog4j2.configurationFile=${join(import.meta.dirname, '..', 'real-kafka', 'log4j2.properties')}`
const smallHeap = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

/** Main classes behind the scripts of a Kafka distribution: `kafka-topics.sh` is `kafkaTool.topics`. */
export const kafkaTool = {
  brokerApiVersions: 'org.apache.kafka.tools.BrokerApiVersionsCommand',
  configs: 'kafka.admin.ConfigCommand',
  consoleConsumer: 'org.apache.kafka.tools.consumer.ConsoleConsumer',
  consoleProducer: 'org.apache.kafka.tools.ConsoleProducer',
  consumerGroups: 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  deleteRecords: 'org.apache.kafka.tools.DeleteRecordsCommand',
  dumpLog: 'org.apache.kafka.tools.DumpLogSegments',
  getOffsets: 'org.apache.kafka.tools.GetOffsetShell',
  groups: 'org.apache.kafka.tools.GroupsCommand',
  logDirs: 'org.apache.kafka.tools.LogDirsCommand',
  producerPerformance: 'org.apache.kafka.tools.ProducerPerformance',
  topics: 'org.apache.kafka.tools.TopicCommand',
  transactions: 'org.apache.kafka.tools.TransactionsCommand',
} as const

/** Runs a tool of the Kafka distribution to its end: `await javaTool(kafkaTool.topics, ['--list', ...])`. */
export async function javaTool(
  className: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  await installRealKafka()
  return run('java', javaArguments(className, args), options)
}

/** Starts a tool that runs until it is stopped, such as the console consumer. */
export async function startJavaTool(
  className: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunningProcess> {
  await installRealKafka()
  return start('java', javaArguments(className, args), options)
}

function javaArguments(className: string, args: readonly string[]): string[] {
  return [...smallHeap, logging, '-cp', kafkaClassPath, className, ...args]
}
