import { readdirSync, readFileSync } from 'node:fs'

const TICKS_A_SECOND = 100

export interface Thread {
  readonly name: string
  readonly cpuSeconds: number
}

/** The threads of a process by their ids. */
export function threadsOf(pid: number): Map<string, Thread> {
  const threads = new Map<string, Thread>()
  for (const id of readdirSync(`/proc/${pid}/task`)) {
    try {
      threads.set(id, parseThread(readFileSync(`/proc/${pid}/task/${id}/stat`, 'utf8')))
    } catch (error) {
      // A thread may end while it is looked at; it is not the one that limits anything.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ESRCH')
        throw error
    }
  }
  return threads
}

export function parseThread(stat: string): Thread {
  const end = stat.lastIndexOf(')')
  const fields = stat.slice(end + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  return { name: stat.slice(stat.indexOf('(') + 1, end), cpuSeconds: ticks / TICKS_A_SECOND }
}

/** The thread that ran most between two looks, and how much of a core it had. */
export function busiestThread(
  before: ReadonlyMap<string, Thread>,
  after: ReadonlyMap<string, Thread>,
  seconds: number,
): { readonly name: string; readonly share: number } {
  let busiest = { name: 'none', share: 0 }
  for (const [id, { name, cpuSeconds }] of after) {
    const share = (cpuSeconds - (before.get(id)?.cpuSeconds ?? 0)) / seconds
    if (share > busiest.share) busiest = { name, share }
  }
  return busiest
}
