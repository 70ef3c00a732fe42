import { StorageError } from '../base/errors.ts'
import type { Disk, DiskFile, DiskLock, DiskSpace } from './disk.ts'
import { appendRanges } from './gathered-ranges.ts'

const NO_ROOM: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])
/** The machine is short of something, and the file is as it was: what failed now may succeed later. */
const SCARCITY: ReadonlySet<string> = new Set([...NO_ROOM, 'EMFILE', 'ENFILE'])
/** A file is gone under who had it: the log that it belonged to was deleted meanwhile, or is damaged, and it alone. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'EBADF'])

/** Whether a change failed because there was no room for it, or no descriptor. What is on the disk is as it was. */
export function isScarcity(error: unknown): error is StorageError {
  return error instanceof StorageError && SCARCITY.has(error.errno)
}

/** Whether it failed because there was no room. */
export function isOutOfRoom(error: unknown): error is StorageError {
  return error instanceof StorageError && NO_ROOM.has(error.errno)
}

export interface DiskGuard {
  /** A change failed for good; called once. */
  failed(cause: StorageError): void
  /** A change found no room. */
  outOfSpace(): void
  /** So many bytes were appended. */
  written(byteCount: number): void
}

/**
 * The disk of one data directory, behind a latch. After the first change that fails nothing is changed or synced any more:
 * what reached the disk is not known then, and a second sync would answer for pages that the system has already given up
 * (fsyncgate). Every later change fails with the error of the first. Reads go on.
 *
 * A full disk, or a process out of descriptors, does not close the latch, unless it was a sync that failed: the bytes that
 * it was to make durable are lost whatever the reason.
 */
export class GuardedDisk implements Disk {
  readonly #disk: Disk
  readonly #guard: DiskGuard
  #failure: StorageError | null = null

  constructor(disk: Disk, guard: DiskGuard) {
    this.#disk = disk
    this.#guard = guard
  }

  /** What closed the latch. */
  get failure(): StorageError | null {
    return this.#failure
  }

  open(path: string, options: { readonly create?: boolean } = {}): DiskFile {
    const isNew = options.create === true && !this.#disk.exists(path)
    const file = isNew ? this.change(() => this.#disk.open(path, options)) : this.#disk.open(path, options)
    return new GuardedFile(file, this, this.#guard)
  }

  readFile(path: string): Buffer | null {
    return this.#disk.readFile(path)
  }

  writeFile(path: string, bytes: Uint8Array): void {
    this.change(() => this.#disk.writeFile(path, bytes))
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
    if (!this.#disk.isDirectory(path)) this.change(() => this.#disk.makeDirectory(path))
  }

  rename(from: string, to: string): void {
    this.change(() => this.#disk.rename(from, to))
  }

  remove(path: string): void {
    this.change(() => this.#disk.remove(path))
  }

  async syncDirectory(path: string): Promise<void> {
    await this.sync(() => this.#disk.syncDirectory(path))
  }

  lock(path: string): DiskLock {
    return this.#disk.lock(path)
  }

  space(path: string): DiskSpace | null {
    return this.#disk.space?.(path) ?? null
  }

  /** Makes a change, or throws the first failure. For this disk and its files alone. */
  change<T>(action: () => T): T {
    if (this.#failure !== null) throw this.#failure
    try {
      return action()
    } catch (cause) {
      if (cause instanceof StorageError) this.#note(cause)
      throw cause
    }
  }

  /** The same for a sync, of which only a shortage of descriptors is forgiven, as nothing was synced then. */
  async sync(action: () => Promise<void>): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    try {
      await action()
    } catch (cause) {
      if (cause instanceof StorageError) {
        if (NO_ROOM.has(cause.errno)) this.#close(cause)
        else this.#note(cause)
      }
      throw cause
    }
  }

  #note(cause: StorageError): void {
    if (NO_ROOM.has(cause.errno)) this.#guard.outOfSpace()
    else if (!SCARCITY.has(cause.errno) && !GONE.has(cause.errno)) this.#close(cause)
  }

  #close(cause: StorageError): void {
    if (this.#failure !== null) return
    this.#failure = cause
    this.#guard.failed(cause)
  }
}

class GuardedFile implements DiskFile {
  readonly #file: DiskFile
  readonly #disk: GuardedDisk
  readonly #guard: DiskGuard

  constructor(file: DiskFile, disk: GuardedDisk, guard: DiskGuard) {
    this.#file = file
    this.#disk = disk
    this.#guard = guard
  }

  get path(): string {
    return this.#file.path
  }

  get size(): number {
    return this.#file.size
  }

  append(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#disk.change(() => this.#file.append(bytes, start, end))
    this.#guard.written(end - start)
  }

  appendRanges(bytes: Uint8Array, ranges: Uint32Array, count: number): void {
    const sizeBefore = this.#file.size
    this.#disk.change(() => appendRanges(this.#file, bytes, ranges, count))
    this.#guard.written(this.#file.size - sizeBefore)
  }

  read(into: Uint8Array, intoStart: number, length: number, position: number): number {
    return this.#file.read(into, intoStart, length, position)
  }

  sendTo(socket: number, position: number, length: number): number {
    return this.#file.sendTo?.(socket, position, length) ?? 0
  }

  truncate(size: number): void {
    this.#disk.change(() => this.#file.truncate(size))
  }

  sync(): Promise<void> {
    return this.#disk.sync(() => this.#file.sync())
  }

  close(): void {
    this.#file.close()
  }
}
