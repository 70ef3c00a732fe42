import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { isInstalled, output } from './processes.ts'

const compatTests = resolve(import.meta.dirname, '..', '..', 'compat-tests')
const pom = join(compatTests, 'real-kafka', 'pom.xml')

/** The version that the compatibility tests compare with, and their copy of it. */
export const kafkaVersion: string = /<kafka\.version>(.+?)</.exec(readFileSync(pom, 'utf8'))![1]!
const libs = join(compatTests, '.cache', `kafka-${kafkaVersion}`, 'libs')
export const kafkaClassPath: string = join(libs, '*')

/** As `kafka-server-start.sh` and `kafka-run-class.sh` of the distribution have them. */
export const heapFlags = ['-Xmx1G', '-Xms1G'] as const
export const performanceFlags = [
  '-server',
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
  '-XX:+ExplicitGCInvokesConcurrent',
  '-XX:MaxInlineLevel=15',
  '-Djava.awt.headless=true',
] as const

/** Why Apache Kafka cannot be measured here, or null. */
export function kafkaMissing(): string | null {
  if (!isInstalled('java', ['-version'])) return 'java is not installed'
  return existsSync(libs) || isInstalled('mvn', ['-v']) ? null : 'mvn is not installed'
}

/** Copies its jars out of Maven Central, once per checkout. */
export async function installKafka(): Promise<void> {
  if (existsSync(libs)) return
  await output(process.execPath, ['-C', 'source', join(compatTests, 'real-kafka', 'install.ts')])
}

export interface KafkaFiles {
  readonly workDir: string
  readonly dataDir: string
  readonly args: readonly string[]
}

/** Writes the settings, formats the data directory, and tells how to start a node of it. */
export async function prepareKafka(
  workDir: string,
  port: number,
  controllerPort: number,
  settings: Readonly<Record<string, string>>,
): Promise<KafkaFiles> {
  await installKafka()
  const dataDir = join(workDir, 'kafka-data')
  mkdirSync(dataDir, { recursive: true })
  // Everything else is a default, or what the distribution's own server.properties sets for one node.
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': dataDir,
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    ...settings,
  }
  const file = join(workDir, 'server.properties')
  writeFileSync(
    file,
    Object.entries(properties)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  )
  const format = ['kafka.tools.StorageTool', 'format', '--cluster-id', 'bWlsbHJhY2UtYmVuY2gtMQ', '--config', file]
  await output('java', ['-Xmx256m', '-cp', kafkaClassPath, ...format])
  const logging = join(workDir, 'log4j2.properties')
  writeFileSync(logging, fileLogging(join(workDir, 'server.log')))
  const gcLog = `-Xlog:gc*:file=${join(workDir, 'kafkaServer-gc.log')}:time,tags:filecount=10,filesize=100M`
  const flags = [...heapFlags, ...performanceFlags, gcLog, `-Dlog4j2.configurationFile=${logging}`]
  return { workDir, dataDir, args: [...flags, '-cp', kafkaClassPath, 'kafka.Kafka', file] }
}

function fileLogging(path: string): string {
  return `status=error
appender.file.type=File
appender.file.name=file
appender.file.fileName=${path}
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
`
}
