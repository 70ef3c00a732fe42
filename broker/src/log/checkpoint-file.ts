import type { Disk } from './disk.ts'

/**
 * Small files that are replaced as a whole: Kafka's checkpoints, and the property files of a directory.
 *
 * The new content goes to `<path>.tmp`, is made durable, and takes the name over, so that whoever looks finds the old
 * content or the new one. A file that cannot be understood counts as absent: everything in it can be found again, from
 * the log or by starting over.
 */
export async function writeDurably(disk: Disk, path: string, text: string): Promise<void> {
  const draft = `${path}.tmp`
  disk.writeFile(draft, Buffer.from(text))
  await syncFile(disk, draft)
  disk.rename(draft, path)
  await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')))
}

/** Replaces the file as seen by this machine while it runs. Who needs it after a power cut calls `syncFile` as well. */
export function replaceFile(disk: Disk, path: string, bytes: Buffer): void {
  const draft = `${path}.tmp`
  disk.writeFile(draft, bytes)
  disk.rename(draft, path)
}

/** Makes a file durable that is not held open. */
export async function syncFile(disk: Disk, path: string): Promise<void> {
  const file = disk.open(path)
  try {
    await file.sync()
  } finally {
    file.close()
  }
}

/**
 * The lines of a checkpoint: a version, a count, and so many lines of words.
 *
 *     0
 *     2
 *     orders 0 4711
 *     orders 1 815
 */
export function checkpointText(lines: readonly string[]): string {
  return `0\n${lines.length}\n${lines.map((line) => `${line}\n`).join('')}`
}

/** The words of each line, or null if this is no checkpoint of version 0 with `wordCount` words in each line. */
export function parseCheckpoint(bytes: Buffer | null, wordCount: number): string[][] | null {
  if (bytes === null) return null
  const lines = bytes.toString('utf8').split('\n')
  if (lines.pop() !== '' || lines.shift() !== '0' || lines.shift() !== String(lines.length)) return null
  const entries = lines.map((line) => line.split(/\s+/))
  return entries.every((words) => words.length === wordCount) ? entries : null
}

/** A whole number of 0 or more as a checkpoint holds it, or null. */
export function parseOffset(word: string | undefined): number | null {
  if (word === undefined || !/^\d{1,16}$/.test(word)) return null
  const offset = Number(word)
  return Number.isSafeInteger(offset) ? offset : null
}
