import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installRealKafka, kafkaClassPath, kafkaHome } from '../real-kafka/install.ts'
import { javaTool } from './java-tool.ts'
import { answersMetadata, hasCoordinator } from './probes.ts'
import { type RunningProcess, start } from './processes.ts'
import { until } from './until.ts'

export interface RealKafkaOptions {
  readonly settings: Readonly<Record<string, string>>
  /** Directory of its logs; a temporary one, removed at the end, unless given. */
  readonly dataDir?: string
}

/**
 * One node of Apache Kafka, broker and controller in one process, reachable on the loopback interface only. Keeps its
 * ports over a restart, so that connected clients find it again.
 */
export class RealKafka {
  readonly port: number
  readonly dataDir: string
  readonly #workDir: string
  #process: RunningProcess | undefined

  private constructor(port: number, dataDir: string, workDir: string) {
    this.port = port
    this.dataDir = dataDir
    this.#workDir = workDir
  }

  static async start(options: RealKafkaOptions): Promise<RealKafka> {
    await installRealKafka()
    const [port, controllerPort] = await freePorts(2)
    const workDir = mkdtempSync(join(tmpdir(), 'real-kafka-'))
    const dataDir = options.dataDir ?? join(workDir, 'logs')
    const properties = {
      ...singleNode(port!, controllerPort!, dataDir),
      ...options.settings,
    }
    writeFileSync(join(workDir, 'server.properties'), toProperties(properties))

    const kafka = new RealKafka(port!, dataDir, workDir)
    if (!existsSync(join(dataDir, 'meta.properties'))) cpSync(await formattedLogDir(), dataDir, { recursive: true })
    try {
      await kafka.#launch()
    } catch (error) {
      await kafka.stop()
      throw error
    }
    return kafka
  }

  /** Ends the process at once and removes what was temporary. */
  async stop(): Promise<void> {
    await this.#process?.stop('SIGKILL')
    rmSync(this.#workDir, { recursive: true, force: true })
  }

  /** Stops the process, cleanly or as a crash does, and starts it over the same files. */
  async restart(options: { readonly crash?: boolean } = {}): Promise<void> {
    await this.#process?.stop(options.crash === true ? 'SIGKILL' : 'SIGTERM')
    await this.#launch()
  }

  async #launch(): Promise<void> {
    const logging = `-Dlog4j2.configurationFile=${join(import.meta.dirname, '..', 'real-kafka', 'log4j2.properties')}`
    const heap = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']
    const main = ['kafka.Kafka', join(this.#workDir, 'server.properties')]
    const kafka = start('java', [...heap, logging, '-cp', kafkaClassPath, ...main])
    this.#process = kafka
    await until(async () => kafka.hasEnded || ((await answersMetadata(this.port)) && (await this.#hasCoordinators())), {
      what: 'real Kafka that is ready',
      timeoutMs: 120_000,
    })
    if (kafka.hasEnded) throw new Error(`the real Kafka ended while starting:\n${kafka.stdout}${kafka.stderr}`)
  }

  /**
   * Some clients give up when the coordinator of their group is still loading, as it is the first time it is asked for.
   * Names that differ in the last character belong to neighbouring partitions of `__consumer_offsets`.
   */
  async #hasCoordinators(): Promise<boolean> {
    for (const groupId of ['warm-up-0', 'warm-up-1', 'warm-up-2', 'warm-up-3']) {
      if (!(await hasCoordinator(this.port, groupId))) return false
    }
    return true
  }
}

const nodeId = '1'

function singleNode(port: number, controllerPort: number, dataDir: string): Record<string, string> {
  return {
    'process.roles': 'broker,controller',
    'node.id': nodeId,
    'controller.quorum.voters': `${nodeId}@127.0.0.1:${controllerPort}`,
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
  }
}

/** Formatting takes a JVM start of its own, so it happens once per checkout and each broker starts from a copy. */
async function formattedLogDir(): Promise<string> {
  const formatted = join(kafkaHome, 'formatted')
  if (existsSync(formatted)) return formatted

  const unfinished = mkdtempSync(join(tmpdir(), 'format-kafka-'))
  try {
    const logDir = join(unfinished, 'logs')
    mkdirSync(logDir)
    const properties = join(unfinished, 'server.properties')
    writeFileSync(properties, toProperties(singleNode(9092, 9093, logDir)))
    const args = ['format', '--cluster-id', 'bWlsbHJhY2UtY29tcGF0Lg', '--config', properties]
    const result = await javaTool('kafka.tools.StorageTool', args)
    if (result.exitCode !== 0) throw new Error(`formatting failed:\n${result.stdout}${result.stderr}`)
    // The cache may be on another file system than the temporary directory: copy beside the target, then rename.
    const beside = `${formatted}.${process.pid}`
    cpSync(logDir, beside, { recursive: true })
    if (!existsSync(formatted)) renameSync(beside, formatted)
    return formatted
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

function toProperties(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value.replaceAll('\\', '\\\\')}\n`)
    .join('')
}

/** Ports that were free a moment ago. Kafka cannot be told "any port" and asked which one it took. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  try {
    return await Promise.all(
      servers.map(
        (server) =>
          new Promise<number>((resolve, reject) => {
            server.on('error', reject)
            server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
          }),
      ),
    )
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }
}
