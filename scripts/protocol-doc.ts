// Writes docs/PROTOCOL.md from the message tables. `--check` writes nothing and fails when the file is stale.
import { readFileSync, writeFileSync } from 'node:fs'
import {
  apis,
  consumerProtocolAssignment,
  consumerProtocolSubscription,
  groupMetadataKey,
  groupMetadataValue,
  kraftVersionRecord,
  leaderChangeMessage,
  metadataRecords,
  offsetCommitKey,
  offsetCommitValue,
  producerSnapshot,
  requestHeader,
  responseHeader,
  snapshotFooterRecord,
  snapshotHeaderRecord,
  transactionLogKey,
  transactionLogValue,
  votersRecord,
  type Api,
  type Field,
  type Fields,
  type Message,
} from '@millrace/protocol'

const PATH = new URL('../docs/PROTOCOL.md', import.meta.url)

const INTRODUCTION = `# The protocol, message by message

<!-- Written by \`node -C source scripts/protocol-doc.ts\` from the tables in protocol/src. Do not edit. -->

What the tables in \`protocol/src\` say, and so what can be decoded and encoded. Names are Kafka's with a small first letter. Which APIs and versions a broker
offers to its clients is in its answer to ApiVersions.

How to read the field tables: \`topics[].name\` is the field \`name\` of each element of \`topics\`. *Versions* are those that carry the field; in all others it has
its default when it is read. *Tag n* means that the field is in the tag section of its struct, and only when it differs from its default. Where nothing else is said,
the default is 0, false, an empty string, array or uuid, or a struct of such. Flexible versions write lengths as varints and end every struct with a tag section.
`

/** The text of docs/PROTOCOL.md. */
export function protocolDocument(): string {
  const all = Object.values<Api>(apis).toSorted((left, right) => left.key - right.key)
  const topics = [
    offsetCommitKey,
    offsetCommitValue,
    groupMetadataKey,
    groupMetadataValue,
    transactionLogKey,
    transactionLogValue,
  ]
  const controls = [leaderChangeMessage, snapshotHeaderRecord, snapshotFooterRecord, kraftVersionRecord, votersRecord]
  const records = Object.values(metadataRecords).toSorted((left, right) => left.key - right.key)
  const sections = [
    INTRODUCTION,
    `## Supported APIs\n\n${table(['key', 'API', 'versions', 'flexible from'], all.map(summary))}`,
    ...all.map(apiSection),
    '## Headers\n',
    ...[requestHeader, responseHeader].map((message) => messageSection(message)),
    '## Records of internal topics\n\nAn int16 with the version stands in front of each of them.\n',
    ...topics.map((message) => messageSection(message)),
    '## Records of the metadata log\n\nIn front of each: the frame version 1, the key of the record and its version, all as varints.\n',
    ...records.map((record) => messageSection(record, `${record.name} (${record.key})`)),
    '## Control records of the metadata log and its snapshots\n',
    ...controls.map((message) => messageSection(message)),
    '## What consumers put into JoinGroup and SyncGroup\n\nAn int16 with the version stands in front of each of them.\n',
    ...[consumerProtocolSubscription, consumerProtocolAssignment].map((message) => messageSection(message)),
    '## Files\n',
    messageSection(producerSnapshot),
  ]
  return `${sections.map((section) => section.trim()).join('\n\n')}\n`
}

function summary(api: Api): string[] {
  return [String(api.key), `[${api.name}](#${anchor(apiTitle(api))})`, versions(api), flexible(api)]
}

function apiTitle({ name, key }: Api): string {
  return `${name} (${key})`
}

/** As GitHub makes it from a heading. */
function anchor(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\w -]/g, '')
    .replaceAll(' ', '-')
}

function apiSection(api: Api): string {
  const head = `### ${apiTitle(api)}\n\nVersions ${versions(api)}, flexible from ${flexible(api)}.`
  return `${head}\n\n**Request**\n\n${fieldTable(api.request)}\n\n**Response**\n\n${fieldTable(api.response)}`
}

function messageSection(message: Message, title: string = message.name): string {
  return `### ${title}\n\nVersions ${versions(message)}, flexible from ${flexible(message)}.\n\n${fieldTable(message)}`
}

function versions({ minVersion, maxVersion }: Api | Message): string {
  return minVersion === maxVersion ? String(minVersion) : `${minVersion}-${maxVersion}`
}

function flexible({ flexibleFrom }: Api | Message): string {
  return flexibleFrom === Infinity ? 'never' : String(flexibleFrom)
}

function fieldTable(message: Message): string {
  const rows = fieldRows(message.fields, '', versions(message), message.maxVersion)
  return rows.length === 0 ? 'No fields.' : table(['field', 'type', 'versions', ''], rows)
}

function fieldRows(fields: Fields, path: string, outer: string, last: number): string[][] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const own = closed(field.options.versions ?? outer, last)
    const here = `${path}${name}`
    const row = [`\`${here}\``, typeName(field), own, notes(field, own, last)]
    const struct = field.fields ?? field.element?.fields
    const inner = struct ? fieldRows(struct, `${here}${field.type === 'array' ? '[].' : '.'}`, own, last) : []
    return [row, ...inner]
  })
}

/** `5+` with its end filled in. */
function closed(range: string, last: number): string {
  if (!range.endsWith('+')) return range
  const low = range.slice(0, -1)
  return low === String(last) ? low : `${low}-${last}`
}

function typeName({ type, element }: Field): string {
  return type === 'array' ? `array of ${element!.type}` : type
}

function notes({ options }: Field, own: string, last: number): string {
  const { nullable, tag, tagged, flexible: isFlexible } = options
  const words: string[] = []
  if (tag !== undefined) words.push(tagged === undefined ? `tag ${tag}` : `tag ${tag} in ${closed(tagged, last)}`)
  if (nullable === true || (nullable !== undefined && closed(nullable, last) === own)) words.push('nullable')
  else if (nullable !== undefined) words.push(`nullable in ${closed(nullable, last)}`)
  if (options.default !== undefined) words.push(`default ${defaultText(options.default)}`)
  if (isFlexible === false) words.push('length never compact')
  return words.join(', ')
}

function defaultText(value: unknown): string {
  // Java's Long.MAX_VALUE, which a number only comes near to.
  return value === 2 ** 63 ? '2^63 - 1' : JSON.stringify(value)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |')
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n')
}

/** Whether docs/PROTOCOL.md is what the tables say. */
export function isFresh(): boolean {
  return readFileSync(PATH, 'utf8') === protocolDocument()
}

if (import.meta.main) {
  if (!process.argv.includes('--check')) {
    writeFileSync(PATH, protocolDocument())
  } else if (!isFresh()) {
    console.error('docs/PROTOCOL.md is stale: run `node -C source scripts/protocol-doc.ts`')
    process.exitCode = 1
  }
}
