import type { Disk, DiskFile, DiskLock } from '../log/disk.ts'
import type { MemoryDisk } from '../log/memory-disk.ts'

type NameChange = { readonly from: string; readonly to: string | null }

/** What a power cut may leave: the files as they were, and some of the changes of names that nobody had made durable. */
export interface PowerCut {
  readonly disk: MemoryDisk
  /** In the order in which they were made. */
  readonly changes: readonly NameChange[]
}

/**
 * A disk in memory that remembers which renames and removals came after the last sync of a directory, and how the names
 * were before. What is in the files counts as durable, as only the names are at stake here.
 */
export class NameJournal implements Disk {
  readonly #disk: MemoryDisk
  readonly #cuts: PowerCut[] = []
  #before: MemoryDisk
  #changes: NameChange[] = []

  constructor(disk: MemoryDisk) {
    this.#disk = disk
    this.#before = disk.copy()
  }

  /** A cut for each sync of a directory since the beginning, the moment before it was done. */
  get cuts(): readonly PowerCut[] {
    return this.#cuts
  }

  /** The disk after the cut, on which the changes are done whose place in `done` says so. */
  static after({ disk, changes }: PowerCut, done: readonly boolean[]): MemoryDisk {
    const left = disk.copy()
    for (const [i, { from, to }] of changes.entries()) {
      if (done[i] !== true || !left.exists(from)) continue
      if (to === null) left.remove(from)
      else left.rename(from, to)
    }
    return left
  }

  rename(from: string, to: string): void {
    this.#change({ from, to })
    this.#disk.rename(from, to)
  }

  remove(path: string): void {
    if (this.#disk.exists(path)) this.#change({ from: path, to: null })
    this.#disk.remove(path)
  }

  async syncDirectory(path: string): Promise<void> {
    if (this.#changes.length > 0) this.#cuts.push({ disk: this.#before, changes: this.#changes })
    this.#changes = []
    await this.#disk.syncDirectory(path)
  }

  #change(change: NameChange): void {
    if (this.#changes.length === 0) this.#before = this.#disk.copy()
    this.#changes.push(change)
  }

  open(path: string, options?: { readonly create?: boolean }): DiskFile {
    return this.#disk.open(path, options)
  }

  readFile(path: string): Buffer | null {
    return this.#disk.readFile(path)
  }

  writeFile(path: string, bytes: Uint8Array): void {
    this.#disk.writeFile(path, bytes)
  }

  exists(path: string): boolean {
    return this.#disk.exists(path)
  }

  list(path: string): string[] {
    return this.#disk.list(path)
  }

  isDirectory(path: string): boolean {
    return this.#disk.isDirectory(path)
  }

  makeDirectory(path: string): void {
    this.#disk.makeDirectory(path)
  }

  lock(path: string): DiskLock {
    return this.#disk.lock(path)
  }
}
