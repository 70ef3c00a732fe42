import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import { StreamsError } from '../errors.ts'
import type { StoreBacking } from '../state/backing.ts'
import type { StoreDefinition } from '../state/store.ts'
import type { TaskId } from './task-id.ts'
import type { StateLocation } from './task-stores.ts'

/** Opens the disk under one store in a directory of its own. */
export type OpenBacking = (directory: string) => StoreBacking

const OFFSETS_FILE = 'offsets'

/** Lets one worker at a time have the stores of a task. */
class TaskLocks {
  readonly #held = new Map<TaskId, { readonly freed: Promise<void>; readonly free: () => void }>()

  async acquire(id: TaskId): Promise<void> {
    for (let holder = this.#held.get(id); holder !== undefined; holder = this.#held.get(id)) await holder.freed
    let free!: () => void
    const freed = new Promise<void>((resolve) => (free = resolve))
    this.#held.set(id, { freed, free })
  }

  release(id: TaskId): void {
    const holder = this.#held.get(id)
    this.#held.delete(id)
    holder?.free()
  }
}

/** All stores in memory, whatever they would like: what an application without a state directory has. */
export class MemoryState implements StateLocation {
  readonly processId = randomUUID()

  openBacking(): null {
    return null
  }

  diskBytes(): null {
    return null
  }

  wipe(): void {}

  note(): void {}

  storedTasks(): Readonly<Record<string, number>> {
    return {}
  }

  async acquire(): Promise<void> {}

  release(): void {}

  close(): void {}
}

/**
 * The directory in which the stores of an application are kept, as `<stateDir>/<application>/<task>/<store>`. It belongs
 * to one process at a time, which holds its lock file, and remembers the id of that process over restarts, so that the
 * group gives tasks to where their state is.
 */
export class StateDirectory implements StateLocation {
  readonly processId: string
  readonly #directory: string
  readonly #openBacking: OpenBacking
  readonly #locks = new TaskLocks()
  /** Tasks with a directory, and how far their state had come when it was last noted. */
  readonly #stored = new Map<TaskId, number>()

  constructor(stateDir: string, applicationId: string, openBacking: OpenBacking) {
    this.#directory = join(stateDir, applicationId)
    this.#openBacking = openBacking
    this.#make()
    this.#lock()
    this.processId = this.#readProcessId()
    this.#readStored()
  }

  storedTasks(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#stored)
  }

  note(id: TaskId, offsets: number): void {
    const directory = join(this.#directory, id)
    if (!existsSync(directory)) return
    this.#stored.set(id, offsets)
    writeFileSync(join(directory, OFFSETS_FILE), String(offsets))
  }

  openBacking(id: TaskId, definition: StoreDefinition): StoreBacking | null {
    if (definition.location === 'memory') return null
    const directory = join(this.#directory, id, definition.name)
    mkdirSync(directory, { recursive: true })
    return this.#openBacking(directory)
  }

  /** What the store takes on disk; null for one that is in memory. */
  diskBytes(id: TaskId, store: string): number | null {
    let bytes: number | null = null
    try {
      const directory = join(this.#directory, id, store)
      for (const name of readdirSync(directory)) bytes = (bytes ?? 0) + statSync(join(directory, name)).size
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    return bytes
  }

  wipe(id: TaskId): void {
    this.#stored.delete(id)
    rmSync(join(this.#directory, id), { recursive: true, force: true })
  }

  acquire(id: TaskId): Promise<void> {
    return this.#locks.acquire(id)
  }

  release(id: TaskId): void {
    this.#locks.release(id)
  }

  close(): void {
    rmSync(this.#lockFile, { force: true })
  }

  get #lockFile(): string {
    return join(this.#directory, '.lock')
  }

  #make(): void {
    try {
      mkdirSync(this.#directory, { recursive: true })
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      throw new StreamsError(
        'invalid-option',
        `stateDir: ${this.#directory} cannot be made (${code}): give a directory that this process may write to`,
        { cause },
      )
    }
  }

  #lock(): void {
    for (let attempt = 0; ; attempt++) {
      try {
        const file = openSync(this.#lockFile, 'wx')
        writeFileSync(file, String(process.pid))
        closeSync(file)
        return
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
        const holder = Number(readFileSync(this.#lockFile, 'utf8'))
        if (attempt > 0 || isAlive(holder)) {
          throw new StreamsError(
            'state-locked',
            `${this.#directory} is in use by process ${holder}: give each instance on a machine a stateDir of its own`,
            { cause },
          )
        }
        rmSync(this.#lockFile, { force: true })
      }
    }
  }

  #readStored(): void {
    for (const name of readdirSync(this.#directory)) {
      if (!/^\d+_\d+$/.test(name)) continue
      const file = join(this.#directory, name, OFFSETS_FILE)
      // Without a note, as after a crash, the state is there but nobody knows how far it is.
      const offsets = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
      this.#stored.set(name as TaskId, Number.isFinite(offsets) ? offsets : 0)
    }
  }

  #readProcessId(): string {
    const file = join(this.#directory, 'process-id')
    if (existsSync(file)) {
      const known = readFileSync(file, 'utf8').trim()
      if (known !== '') return known
    }
    const fresh = randomUUID()
    writeFileSync(file, fresh)
    return fresh
  }
}

function isAlive(pid: number): boolean {
  // Two applications of one process are as much in each other's way as two processes.
  if (pid === process.pid) return true
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
