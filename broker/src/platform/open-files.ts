import fs from 'node:fs'

/** How many files and connections the process may have open at once, or null where the system does not tell. */
export function openFilesMax(): number | null {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'latin1'))
    return match === null ? null : Number(match[1])
  } catch {
    return null
  }
}
