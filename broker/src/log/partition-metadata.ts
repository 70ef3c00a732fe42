import { replaceFile } from './checkpoint-file.ts'
import type { Disk } from './disk.ts'
import { PARTITION_METADATA_FILE } from './log-files.ts'

/** The id of the topic that a partition's directory belongs to, as its file says; null if it is absent or unreadable. */
export function readTopicId(disk: Disk, directory: string): string | null {
  const text = disk.readFile(`${directory}/${PARTITION_METADATA_FILE}`)?.toString('utf8') ?? ''
  return /^version: 0\ntopic_id: ([\w-]{22})\s*$/.exec(text)?.[1] ?? null
}

export function writeTopicId(disk: Disk, directory: string, topicId: string): void {
  replaceFile(disk, `${directory}/${PARTITION_METADATA_FILE}`, Buffer.from(`version: 0\ntopic_id: ${topicId}`))
}
