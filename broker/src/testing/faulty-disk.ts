import { StorageError } from '../base/errors.ts'
import type { Disk, DiskFile, DiskLock, DiskSpace } from '../log/disk.ts'

/** Operations that change what is on a disk; they are what a crash falls between. */
export type DiskOperation = 'create' | 'append' | 'truncate' | 'writeFile' | 'rename' | 'remove' | 'sync'

/**
 * A disk that does what another one does until it is told to fail. `failAt` names the operations that fail from then on,
 * or counts the changes after which every one fails, as if the machine had died; the one it dies in may be done by half.
 */
export class FaultyDisk implements Disk {
  readonly #disk: Disk
  #failing: ReadonlySet<DiskOperation> = new Set()
  #changesLeft = Infinity
  #errno = 'EIO'
  #syncsLeft = Infinity
  /** How many changes there had been when the sync failed that `failSyncAfter` chose. */
  failedSync: number | null = null
  /** What was done so far: `rename /data/f.tmp`. */
  readonly changes: string[] = []

  constructor(disk: Disk) {
    this.#disk = disk
  }

  fail(operations: readonly DiskOperation[], errno = 'EIO'): void {
    this.#failing = new Set(operations)
    this.#errno = errno
  }

  dieAfter(changeCount: number): void {
    this.#changesLeft = changeCount
  }

  /** Fails the sync after so many more, once. */
  failSyncAfter(syncCount: number): void {
    this.#syncsLeft = syncCount
  }

  /** How many changes are left before it dies; negative once it has. */
  get changesLeft(): number {
    return this.#changesLeft
  }

  open(path: string, options: { readonly create?: boolean } = {}): DiskFile {
    if (options.create === true && !this.#disk.exists(path)) this.#change('create', path)
    return new FaultyFile(this.#disk.open(path, options), (operation, half) => this.#change(operation, path, half))
  }

  readFile(path: string): Buffer | null {
    return this.#disk.readFile(path)
  }

  writeFile(path: string, bytes: Uint8Array): void {
    this.#change('writeFile', path, () => this.#disk.writeFile(path, bytes.subarray(0, bytes.length >> 1)))
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

  rename(from: string, to: string): void {
    this.#change('rename', from)
    this.#disk.rename(from, to)
  }

  remove(path: string): void {
    this.#change('remove', path)
    this.#disk.remove(path)
  }

  async syncDirectory(path: string): Promise<void> {
    this.#change('sync', path)
    await this.#disk.syncDirectory(path)
  }

  lock(path: string): DiskLock {
    return this.#disk.lock(path)
  }

  space(path: string): DiskSpace | null {
    return this.#disk.space?.(path) ?? null
  }

  /** Whether what fails fails for this path. */
  protected isHit(_path: string): boolean {
    return true
  }

  #change(operation: DiskOperation, path: string, half: () => void = () => {}): void {
    this.#changesLeft--
    if (this.#changesLeft === -1) half()
    if (this.#changesLeft < 0) throw new StorageError(operation, path, { code: 'ESHUTDOWN' })
    if (operation === 'sync' && this.#syncsLeft-- === 0) {
      this.failedSync = this.changes.length
      throw new StorageError(operation, path, { code: 'EIO' })
    }
    if (this.#failing.has(operation) && this.isHit(path)) {
      half()
      throw new StorageError(operation, path, { code: this.#errno })
    }
    this.changes.push(`${operation} ${path}`)
  }
}

class FaultyFile implements DiskFile {
  readonly #file: DiskFile
  readonly #change: (operation: DiskOperation, half?: () => void) => void

  constructor(file: DiskFile, change: (operation: DiskOperation, half?: () => void) => void) {
    this.#file = file
    this.#change = change
  }

  get path(): string {
    return this.#file.path
  }

  get size(): number {
    return this.#file.size
  }

  append(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#change('append', () => this.#file.append(bytes, start, start + ((end - start) >> 1)))
    this.#file.append(bytes, start, end)
  }

  read(into: Uint8Array, intoStart: number, length: number, position: number): number {
    return this.#file.read(into, intoStart, length, position)
  }

  truncate(size: number): void {
    this.#change('truncate')
    this.#file.truncate(size)
  }

  async sync(): Promise<void> {
    this.#change('sync')
    await this.#file.sync()
  }

  close(): void {
    this.#file.close()
  }
}
