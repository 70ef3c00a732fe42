import { existsSync, readFileSync, rmSync } from 'node:fs'
import { output } from './processes.ts'

const MEMORY_FILES = '/dev/shm'
const TOUCHED_MEGABYTES = 6000

/**
 * Uses free memory once and gives it back. A virtual machine has its memory from the host page by page, at the first touch
 * of each, and gives back what is free for some seconds; where the page cache touches such pages, a write costs several
 * times as much, and whoever writes first after a pause pays for it.
 */
export async function touchMemory(): Promise<void> {
  if (!existsSync(MEMORY_FILES)) return
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))
  const megabytes = Math.min(TOUCHED_MEGABYTES, Math.floor(Number(available?.[1] ?? 0) / 1024 / 2))
  const file = `${MEMORY_FILES}/millrace-bench-${process.pid}`
  try {
    await output('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', `count=${megabytes}`, 'status=none'])
  } finally {
    rmSync(file, { force: true })
  }
}
