import { native } from '@millrace/native'
import { Command, InvalidArgumentError, Option } from 'commander'
import { readFileSync } from 'node:fs'
import { BrokerError } from './base/errors.ts'
import { hostPort } from './base/host-port.ts'
import type { BrokerConfig as Config } from './config/broker-config.ts'
import { openFilesMax } from './platform/open-files.ts'
import { LOG_LEVELS, textLogger, type LogLevel } from './platform/text-logger.ts'

const DEFAULT_HOST = '127.0.0.1'
const DEFAULT_PORT = 9092
/** Below this a few hundred clients and a few hundred partitions get into each other's way. */
const OPEN_FILES_WANTED = 2048

/** What a broker started from the command line does when nothing else is said; a stranger finds no open port. */
const defaults = {
  listeners: `PLAINTEXT://${DEFAULT_HOST}:${DEFAULT_PORT}`,
  'log.dirs': '.millrace',
  'node.id': '1',
}

interface StartFlags {
  readonly host?: string
  readonly port?: number
  readonly data?: string
  readonly memory?: true
  readonly nodeId?: number
  readonly config?: string
  readonly set: readonly string[]
  readonly logLevel: LogLevel
}

/** Runs the command line; resolves when the command is done, and for `start` when the broker listens. */
export async function main(args: readonly string[]): Promise<void> {
  const program = new Command('millrace')
    .description('A Kafka-compatible broker in one npm install')
    .showHelpAfterError('(millrace start --help lists what is allowed)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'millrace: ')) })
  program
    .command('start')
    .description('run a broker until it is told to stop')
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--port <number>', 'port to listen on; 0 takes a free one (default: 9092)', integerUpTo(65535))
    .option('--data <directory>', 'where data is kept (default: .millrace in the working directory)')
    .option('--memory', 'keep data in memory only')
    .option('--node-id <number>', 'id of this broker (default: 1)', integerUpTo(0x7fff_ffff))
    .option('--config <file>', 'a Kafka server.properties file')
    .option('--set <name=value>', 'any Kafka setting by its name; may be given several times', collect, [])
    .addOption(new Option('--log-level <level>', 'least severe lines to print').choices(LOG_LEVELS).default('info'))
    .action((flags: StartFlags) => start(flags))
  await program.parseAsync(args as string[], { from: 'user' })
}

async function start(flags: StartFlags): Promise<void> {
  const logger = textLogger(flags.logLevel)
  const [{ Broker, systemParts }, { BrokerConfig, developmentDefaults }] = await Promise.all([
    import('./broker.ts'),
    import('./config/broker-config.ts'),
  ])
  try {
    const config = BrokerConfig.from({
      defaults: { ...developmentDefaults, ...defaults },
      ...(flags.config === undefined ? {} : { file: readProperties(flags.config) }),
      environment: process.env,
      sets: [...flags.set, ...flagSettings(flags)],
    })
    const filesMax = openFilesMax()
    if (filesMax !== null && filesMax < OPEN_FILES_WANTED) {
      logger.warn(`this process may have ${filesMax} files open: logs take up to 512, each connection one more`)
    }
    const dataDirs = flags.memory ? [] : flags.data === undefined ? config.logDirs : [flags.data]
    const broker = await Broker.run(systemParts({ config, dataDir: dataDirs[0] ?? null, dataDirs, logger }))
    const where = dataDirs.length === 0 ? 'in memory' : `in ${dataDirs.join(', ')}`
    process.stdout.write(
      `millrace listens on ${broker.bootstrap}; data ${where}; ` +
        `an acknowledged record is ${promiseOf(config, dataDirs.length === 0)}; ` +
        `checksums by ${native.kind === 'rust' ? 'the native module' : 'TypeScript, the native module is not there'}\n`,
    )
    let isStopping = false
    const stop = () => {
      // A second signal means now: what is written stays, and the next start recovers it.
      if (isStopping) process.exit(1)
      isStopping = true
      broker.close().then(
        () => process.exit(0),
        (error: unknown) => fail(error),
      )
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
    // The broker closed itself: no data directory is left that it could go on with.
    broker.closed.catch((error: unknown) => {
      if (!isStopping) fail(error)
    })
  } catch (error) {
    fail(error)
  }
}

function fail(error: unknown): never {
  const text = error instanceof BrokerError ? error.message : String(error instanceof Error ? error.stack : error)
  process.stderr.write(`millrace: ${text}\n`)
  process.exit(1)
}

/** What may be lost of what was acknowledged, and when. */
function promiseOf(config: Config, isInMemory: boolean): string {
  if (isInMemory) return 'in memory, and gone with the process'
  if (config.text('acks.after') === 'fsync') return 'synced to disk'
  const flushMs = Number(config.topicDefault('flush.ms')?.value ?? Infinity)
  return flushMs > Number.MAX_SAFE_INTEGER
    ? 'written, not yet synced to disk (acks.after=fsync waits for that)'
    : `written, and synced to disk within ${flushMs} ms (acks.after=fsync waits for that)`
}

function readProperties(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new BrokerError('CONFIG_UNREADABLE', `--config ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause })
  }
}

/** Flags are short ways to say settings, and win over every other way. */
function flagSettings({ host, port, nodeId }: StartFlags): string[] {
  const settings: string[] = []
  if (host !== undefined || port !== undefined) {
    settings.push(`listeners=PLAINTEXT://${hostPort(host ?? DEFAULT_HOST, port ?? DEFAULT_PORT)}`)
  }
  if (nodeId !== undefined) settings.push(`node.id=${nodeId}`)
  return settings
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value]
}

function integerUpTo(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value > max) throw new InvalidArgumentError(`A whole number from 0 to ${max} is wanted.`)
    return value
  }
}
