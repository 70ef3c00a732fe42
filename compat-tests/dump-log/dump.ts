import { readdirSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { brokerKind, kafkaTool } from '../harness/index.ts'
import type { ToolShell } from '../java/tool-shell.ts'

/** What Kafka's dump tool printed about the files of a data directory, one entry a file. */
export interface Dump {
  readonly files: readonly DumpedFile[]
  /** Lines that report something wrong, from both outputs of the tool. */
  readonly complaints: readonly string[]
}

export interface DumpedFile {
  /** `orders-0`, the directory of a partition. */
  readonly partition: string
  readonly path: string
  /** `.log`, `.index`, `.timeindex`, `.txnindex` or `.snapshot`. */
  readonly kind: string
  readonly lines: readonly string[]
}

const kinds = new Set(['.log', '.index', '.timeindex', '.txnindex', '.snapshot'])

/** The files that the tool can read, below the data directory, in the order of partitions and offsets. */
export function logFiles(dataDir: string): string[] {
  const entries = readdirSync(dataDir, { withFileTypes: true, recursive: true })
  const files = entries.filter((entry) => entry.isFile() && kinds.has(extname(entry.name)))
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).toSorted()
  return brokerKind === 'kafka' ? paths.filter((path) => !isActiveIndex(path, paths)) : paths
}

/**
 * Whether this is an index of the newest segment of its partition. The harness ends a real Kafka by a kill, which leaves
 * these at the size to which they were mapped, with zeros behind the entries; the tool stumbles over that.
 */
function isActiveIndex(path: string, paths: readonly string[]): boolean {
  if (!/\.(time)?index$/.test(path)) return false
  const newest = paths.findLast((other) => dirname(other) === dirname(path) && other.endsWith('.log'))
  return newest?.slice(0, -'.log'.length) === path.slice(0, path.lastIndexOf('.'))
}

/**
 * Dumps every file below a data directory with the decoder that its topic needs. The tool ends with 0 whatever it
 * finds, so everything that it says about faults is collected here.
 */
export async function dump(shell: ToolShell, dataDir: string): Promise<Dump> {
  const files = logFiles(dataDir)
  const topics = new Map([
    ['--offsets-decoder', files.filter((file) => partitionOf(file).startsWith('__consumer_offsets-'))],
    ['--transaction-log-decoder', files.filter((file) => partitionOf(file).startsWith('__transaction_state-'))],
    ['--cluster-metadata-decoder', files.filter((file) => partitionOf(file) === '__cluster_metadata-0')],
  ])
  const internal = new Set([...topics.values()].flat())
  topics.set(
    '--print-data-log',
    files.filter((file) => !internal.has(file)),
  )

  const dumps: Dump[] = []
  for (const [decoder, some] of topics) {
    if (some.length > 0) dumps.push(await dumpFiles(shell, some, ['--deep-iteration', '--print-data-log', decoder]))
  }
  return {
    files: dumps.flatMap((one) => one.files),
    complaints: dumps.flatMap((one) => one.complaints),
  }
}

/** Dumps the given files with the given options. */
export async function dumpFiles(shell: ToolShell, paths: readonly string[], options: readonly string[]): Promise<Dump> {
  const result = await shell.run(kafkaTool.dumpLog, [...new Set(options), '--files', paths.join(',')])
  const files: { partition: string; path: string; kind: string; lines: string[] }[] = []
  const complaints = withoutFalseGaps(result.stderr.split('\n').filter((line) => line !== ''))
  if (result.exitCode !== 0) complaints.push(`exit code ${result.exitCode}`)

  for (const line of result.stdout.split('\n')) {
    if (line.startsWith('Dumping ')) {
      const path = line.slice('Dumping '.length)
      files.push({ partition: partitionOf(path), path, kind: extname(path), lines: [] })
    } else if (line !== '') {
      files.at(-1)?.lines.push(line)
      if (isComplaint(line)) complaints.push(`${files.at(-1)?.path}: ${line}`)
    }
  }
  return { files, complaints }
}

/** Lines that describe one record each, over all segments of a partition. */
export function recordLines(dump: Dump, partition: string): string[] {
  const logs = dump.files.filter((file) => file.kind === '.log' && file.partition === partition)
  return logs.flatMap((file) => file.lines.filter((line) => line.startsWith('| offset: ')))
}

/**
 * The tool takes -1 for the offset before the first record of every file, and so reports a gap before each segment but
 * the very first: `Non-consecutive offsets in /x/00000000000000000020.log`, `  -1 is followed by 20`. Gaps inside of a
 * file are in the same list and stay.
 */
function withoutFalseGaps(lines: readonly string[]): string[] {
  const kept: string[] = []
  let baseOffset: number | null = null
  for (const line of lines) {
    if (!line.startsWith('  ')) {
      if (baseOffset !== null && kept.at(-1)?.startsWith('Non-consecutive')) kept.pop()
      baseOffset = line.startsWith('Non-consecutive offsets in ') ? Number.parseInt(basename(line), 10) : null
    }
    if (line !== `  -1 is followed by ${baseOffset}`) kept.push(line)
  }
  if (baseOffset !== null && kept.at(-1)?.startsWith('Non-consecutive')) kept.pop()
  return kept
}

function partitionOf(path: string): string {
  return basename(dirname(path))
}

// What the tool prints among its findings instead of on standard error. Only batch lines and lines of its own are looked
// at, as the payload of a record may contain anything.
function isComplaint(line: string): boolean {
  if (line.startsWith('baseOffset: ')) return line.endsWith('isvalid: false')
  if (line.startsWith('| '))
    return / key: (Unknown record type|Error at offset) /.test(line) || / payload: Error at \d/.test(line)
  return /invalid bytes/.test(line)
}
