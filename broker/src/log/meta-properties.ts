import { BrokerError } from '../base/errors.ts'
import { writeDurably } from './checkpoint-file.ts'
import type { Disk } from './disk.ts'

/** Whose data directory it is, as `meta.properties` in it says. */
export interface MetaProperties {
  readonly clusterId: string
  readonly nodeId: number
  readonly directoryId: string
}

const FILE = 'meta.properties'

/** Null if there is no file. One that lacks something is an error, as guessing the owner of data is none of its uses. */
export function readMetaProperties(disk: Disk, directory: string): MetaProperties | null {
  const path = `${directory}/${FILE}`
  const text = disk.readFile(path)?.toString('latin1')
  if (text === undefined) return null
  const properties = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*([^#!\s=:][^\s=:]*)\s*[=:\s]\s*(.*)$/.exec(line)
    if (match !== null) properties.set(match[1]!, match[2]!.trim())
  }
  const version = properties.get('version')
  const clusterId = properties.get('cluster.id')
  const nodeId = properties.get('node.id')
  const directoryId = properties.get('directory.id')
  if (version !== '1') throw new BrokerError('INVALID_META_PROPERTIES', `${path}: version=${version}, 1 is read`)
  for (const [name, value] of Object.entries({
    'cluster.id': clusterId,
    'node.id': nodeId,
    'directory.id': directoryId,
  })) {
    if (value === undefined || value === '') throw new BrokerError('INVALID_META_PROPERTIES', `${path}: no ${name}`)
  }
  if (!/^\d+$/.test(nodeId!)) throw new BrokerError('INVALID_META_PROPERTIES', `${path}: node.id=${nodeId}`)
  return { clusterId: clusterId!, nodeId: Number(nodeId), directoryId: directoryId! }
}

export async function writeMetaProperties(disk: Disk, directory: string, properties: MetaProperties): Promise<void> {
  const { clusterId, nodeId, directoryId } = properties
  const lines = [`cluster.id=${clusterId}`, `directory.id=${directoryId}`, `node.id=${nodeId}`, 'version=1']
  await writeDurably(disk, `${directory}/${FILE}`, lines.map((line) => `${line}\n`).join(''))
}
