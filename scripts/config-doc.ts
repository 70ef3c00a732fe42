// Writes docs/CONFIGURATION.md from the tables of settings. `--check` writes nothing and fails when the file is stale.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { canonical, type Option } from '../broker/src/config/option.ts'
import { brokerOption, brokerSections, groupOption, topicOption } from '../broker/src/config/options.ts'
import { brokerNamesOfTopic } from '../broker/src/config/topic-options.ts'

const PATH = new URL('../docs/CONFIGURATION.md', import.meta.url)
const SOURCES = join(import.meta.dirname, '../broker/src')

const INTRODUCTION = `# Settings

<!-- Written by \`node -C source scripts/config-doc.ts\` from the tables in broker/src/config. Do not edit. -->

Names, meanings and ranges are Kafka's. They come from five places, the later ones win:

1. the defaults below, with those for development where the broker is started by hand or inside a test
   (\`group.initial.rebalance.delay.ms=0\`);
2. a \`server.properties\` file: \`--config server.properties\`;
3. the environment, by the rule of Confluent's images: \`KAFKA_LOG_RETENTION_MS\` is \`log.retention.ms\`, two underscores
   are a dash, three an underscore;
4. the command line: \`--set log.retention.ms=3600000\`, several times if need be, and flags such as \`--port\`;
5. what clients set while the broker runs (\`kafka-configs --alter\`), for one broker or for all; it is kept in the
   metadata log.

A value that a setting does not take ends the start with one sentence. A setting that nobody knows is a warning that names
the nearest one that exists. A setting whose feature is missing, and whose silence could hurt, is a warning too; a listener
that asks for encryption or passwords ends the start.

**Update** says whether a setting can be changed while the broker runs: for all brokers or one (*all*), only for one (*one*),
or not (empty). **Effect** says whether anything here reads the setting: *yes*; *later*, with the feature that it waits for;
or *no* for a setting that is taken and shown for Kafka's sake. Longs are kept as text: 9223372036854775807 is not rounded.
`

/** The text of docs/CONFIGURATION.md. */
export function configDocument(): string {
  const read = settingsRead()
  const sections = brokerSections.map(({ title, options }) => {
    const rows = options.map(({ name }) => brokerOption.get(name)!).map((option) => brokerRow(option, read))
    return `### ${title}\n\n${table(['setting', 'type', 'default', 'allowed', 'update', 'effect', ''], rows)}`
  })
  const topics = [...topicOption.values()].map((option) => topicRow(option, read))
  const groups = [...groupOption.values()].map((option) => groupRow(option))
  return `${[
    INTRODUCTION.trim(),
    '## Settings of a topic\n\nWhat a topic does not set, it has from the broker.',
    table(['setting', 'type', 'default', 'allowed', 'from the broker’s', 'effect', ''], topics),
    '## Settings of the broker',
    ...sections,
    '## Settings of a group\n\nWhat a group does not set, it has from the broker’s setting of the same name with `group.` before it.',
    table(['setting', 'type', 'default', 'allowed', 'effect', ''], groups),
  ].join('\n\n')}\n`
}

function brokerRow(option: Option, read: ReadonlySet<string>): string[] {
  const { name, type, doc, update } = option
  const updates = update === undefined ? '' : update === 'per-broker' ? 'one' : 'all'
  return [code(name), type, defaultOf(option), allowed(option), updates, effect(option, read), doc]
}

function topicRow(option: Option, read: ReadonlySet<string>): string[] {
  const { name, type, doc } = option
  const broker = (brokerNamesOfTopic[name] ?? []).map((from) => code(from.name)).join(', ')
  return [code(name), type, defaultOf(option), allowed(option), broker, effect(option, read), doc]
}

function groupRow(option: Option): string[] {
  const { name, type, doc } = option
  return [code(name), type, defaultOf(option), allowed(option), 'later: groups of that protocol', doc]
}

function effect({ name, missing, oneOf }: Option, read: ReadonlySet<string>): string {
  if (missing !== undefined) return `later: ${missing}`
  if (oneOf?.length === 1) return 'yes, the only choice'
  return read.has(name) ? 'yes' : 'no'
}

function defaultOf(option: Option): string {
  if (option.default === null) return ''
  const text = canonical(option, option.default)
  return text === '' ? 'empty' : code(text)
}

function allowed({ type, min, max, or, oneOf, shape }: Option): string {
  if (oneOf) return `${type === 'list' ? 'any of ' : ''}${oneOf.map(code).join(', ')}`
  if (shape !== undefined) return shape
  if (or !== undefined) return `${min} to ${max}, or ${or}`
  if (min === undefined) return ''
  return max === undefined ? `${min} or more` : `${min} to ${max}`
}

function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n')
}

/**
 * The settings that some source names in quotes, apart from the tables themselves: what nobody names, nobody reads. A
 * broker's setting that stands behind a topic's is read with it.
 */
function settingsRead(): Set<string> {
  const read = new Set<string>()
  for (const entry of readdirSync(SOURCES, { recursive: true, withFileTypes: true })) {
    const isSource = entry.isFile() && entry.name.endsWith('.ts') && !/\.test\.ts$|-options\.ts$/.test(entry.name)
    if (!isSource || entry.parentPath.startsWith(join(SOURCES, 'testing'))) continue
    const text = readFileSync(join(entry.parentPath, entry.name), 'utf8')
    for (const [, name] of text.matchAll(/'([a-z][a-z0-9.]*)'/g)) read.add(name!)
  }
  for (const [name, chain] of Object.entries(brokerNamesOfTopic)) {
    if (!read.has(name) || topicOption.get(name)!.missing !== undefined) continue
    for (const broker of chain) read.add(broker.name)
  }
  return read
}

if (import.meta.main) {
  if (!process.argv.includes('--check')) {
    writeFileSync(PATH, configDocument())
  } else if (readFileSync(PATH, 'utf8') !== configDocument()) {
    console.error('docs/CONFIGURATION.md is stale: run `node -C source scripts/config-doc.ts`')
    process.exitCode = 1
  }
}
