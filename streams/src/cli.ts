// The command line of an application: a module that exports its topology is all it needs.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { StreamsError } from './errors.ts'
import { showProgress } from './runtime/progress.ts'
import type { RunOptions } from './runtime/options.ts'
import { resetApplication } from './runtime/reset.ts'
import { run } from './runtime/run.ts'
import { importTopology } from './runtime/threads/topology-module.ts'

const USAGE = `millrace-streams <command> <module> [options]

The module exports its topology, as default or as the only topology among its exports.

  run <module> --brokers <host:port,...>    run it until it is told to stop, and show how it is doing
      --state-dir <directory>               keep state on disk
      --guarantee <name>                    at-least-once (default) or exactly-once
      --commit-interval <duration>          such as 5s
      --workers <number>                    threads, each with tasks of its own
      --instance-id <name>                  keeps its tasks over a restart
      --ignore-topology-change              leave the state of an earlier topology behind
  describe <module> [--mermaid]             print the topology as text, or as a chart
  reset <module> --brokers <host:port,...>  delete its state, and read its topics anew
      --to <earliest|latest|time>           from where: a time is one that Date understands
      --state-dir <directory>               remove the state of this machine, too
      --dry-run                             only say what would be done
`

export interface CliOutput {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown }
  /** Stops an application that runs. */
  readonly signal?: AbortSignal
}

/** Runs one command; answers the exit code. */
export async function main(args: readonly string[], output: CliOutput = process): Promise<number> {
  const [command, ...rest] = args
  try {
    switch (command) {
      case 'run':
        return await runCommand(rest, output)
      case 'describe':
        return await describeCommand(rest, output)
      case 'reset':
        return await resetCommand(rest, output)
      case undefined:
      case 'help':
      case '--help':
      case '-h':
        output.stdout.write(USAGE)
        return command === undefined ? 2 : 0
      default:
        throw new UsageError(`there is no command '${command}'`)
    }
  } catch (error) {
    if (error instanceof UsageError) {
      output.stderr.write(`millrace-streams: ${error.message}\n\n${USAGE}`)
      return 2
    }
    if (!(error instanceof StreamsError)) throw error
    output.stderr.write(`millrace-streams: ${error.message}\n`)
    return 1
  }
}

async function runCommand(args: readonly string[], { stderr, signal }: CliOutput): Promise<number> {
  const { module, values } = parsed(args, {
    brokers: { type: 'string' },
    'state-dir': { type: 'string' },
    guarantee: { type: 'string' },
    'commit-interval': { type: 'string' },
    workers: { type: 'string' },
    'instance-id': { type: 'string' },
    'ignore-topology-change': { type: 'boolean' },
  })
  const guarantee = text(values['guarantee'])
  if (guarantee !== undefined && guarantee !== 'at-least-once' && guarantee !== 'exactly-once') {
    throw new UsageError(`--guarantee ${guarantee}: at-least-once or exactly-once`)
  }
  const stateDir = text(values['state-dir'])
  const commitInterval = text(values['commit-interval'])
  const instanceId = text(values['instance-id'])
  const stop = signal ?? untilTold()
  const workers = values['workers'] === undefined ? 1 : Number(values['workers'])
  const options: RunOptions = {
    brokers: brokersOf(values['brokers']),
    signal: stop,
    ...(guarantee === undefined ? {} : { guarantee }),
    ...(stateDir === undefined ? {} : { stateDir }),
    ...(commitInterval === undefined ? {} : { commitInterval: commitInterval as `${number}s` }),
    workers,
    ...(instanceId === undefined ? {} : { instanceId }),
    ...(values['ignore-topology-change'] === true ? { onTopologyChange: 'ignore' } : {}),
  }
  const url = urlOf(module)
  const app = await (workers === 1 ? run(await importTopology(url), options) : run(new URL(url), options))
  using _progress = showProgress(app, { stream: stderr })
  await app.closed
  if (app.failure !== null) throw app.failure
  return 0
}

async function describeCommand(args: readonly string[], { stdout }: CliOutput): Promise<number> {
  const { module, values } = parsed(args, { mermaid: { type: 'boolean' } })
  const topology = await importTopology(urlOf(module))
  const drawn = values['mermaid'] === true ? topology.mermaid() : topology.describe()
  stdout.write(drawn.endsWith('\n') ? drawn : `${drawn}\n`)
  return 0
}

async function resetCommand(args: readonly string[], { stdout }: CliOutput): Promise<number> {
  const { module, values } = parsed(args, {
    brokers: { type: 'string' },
    to: { type: 'string' },
    'state-dir': { type: 'string' },
    'dry-run': { type: 'boolean' },
  })
  const stateDir = text(values['state-dir'])
  const dryRun = values['dry-run'] === true
  const topology = await importTopology(urlOf(module))
  const { deletedTopics, offsets } = await resetApplication(topology, {
    brokers: brokersOf(values['brokers']),
    to: placeOf(text(values['to']) ?? 'earliest'),
    dryRun,
    ...(stateDir === undefined ? {} : { stateDir }),
  })
  const would = dryRun ? 'would be ' : ''
  for (const topic of deletedTopics) stdout.write(`${topic} ${would}deleted\n`)
  for (const { topic, partition, offset } of offsets)
    stdout.write(`${topic}-${partition} ${would}read from ${offset}\n`)
  return 0
}

class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>

function parsed(args: readonly string[], options: Options): { module: string; values: Record<string, unknown> } {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
    const [module, ...more] = positionals
    if (module === undefined) throw new UsageError('say which module exports the topology')
    if (more.length > 0) throw new UsageError(`one module is enough, and '${more[0]}' is one too many`)
    return { module, values }
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError((error as Error).message)
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function brokersOf(value: unknown): string[] {
  const brokers = (text(value) ?? '').split(',').filter((one) => one !== '')
  if (brokers.length === 0) throw new UsageError('--brokers says where the cluster is, such as localhost:9092')
  return brokers
}

function placeOf(to: string): 'earliest' | 'latest' | { readonly timestampMs: number } {
  if (to === 'earliest' || to === 'latest') return to
  const timestampMs = /^\d+$/.test(to) ? Number(to) : Date.parse(to)
  if (Number.isNaN(timestampMs)) throw new UsageError(`--to ${to}: earliest, latest, or a time like 2026-01-31T12:00Z`)
  return { timestampMs }
}

function urlOf(path: string): string {
  const file = resolve(path)
  if (!existsSync(file)) throw new UsageError(`there is no module ${file}`)
  return pathToFileURL(file).href
}

/** Ctrl-C, or what asks a service to stop; the second time it is not asked. */
function untilTold(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      process.once(name, () => process.exit(1))
      controller.abort()
    })
  }
  return controller.signal
}
