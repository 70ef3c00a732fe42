import { BrokerError, StorageError } from '../base/errors.ts'
import type { Disk, DiskFile, DiskLock } from './disk.ts'

const SMALLEST_CHUNK_BYTES = 1024
const LARGEST_CHUNK_BYTES = 1024 * 1024

type Directory = Map<string, Directory | FileContent>

/**
 * A file system in memory: the disk of a broker that keeps nothing, and of tests. It behaves as the real one does, down to
 * an open file that stays readable after its name is gone. Syncs do nothing; nothing here survives a crash.
 */
export class MemoryDisk implements Disk {
  readonly #root: Directory = new Map()
  readonly #locks = new Set<string>()
  #openFileCount = 0

  /** Files opened and not closed. */
  get openFileCount(): number {
    return this.#openFileCount
  }

  /** A second disk with the same content as this one has now, for tests that let a broker die at this moment. */
  copy(): MemoryDisk {
    const copied = new MemoryDisk()
    copyDirectory(this.#root, copied.#root)
    return copied
  }

  open(path: string, options: { readonly create?: boolean } = {}): DiskFile {
    let content = this.#find(path)
    if (content === undefined) {
      if (options.create !== true) throw new StorageError('open', path, { code: 'ENOENT' })
      content = new FileContent()
      const { directory, name } = this.#parentOf('open', path)
      directory.set(name, content)
    }
    if (!(content instanceof FileContent)) throw new StorageError('open', path, { code: 'EISDIR' })
    this.#openFileCount++
    return new MemoryFile(path, content, () => this.#openFileCount--)
  }

  readFile(path: string): Buffer | null {
    const content = this.#find(path)
    if (content === undefined) return null
    if (!(content instanceof FileContent)) throw new StorageError('read', path, { code: 'EISDIR' })
    const bytes = Buffer.allocUnsafe(content.size)
    content.read(bytes, 0, content.size, 0)
    return bytes
  }

  writeFile(path: string, bytes: Uint8Array): void {
    const { directory, name } = this.#parentOf('write', path)
    const there = directory.get(name)
    if (there instanceof Map) throw new StorageError('write', path, { code: 'EISDIR' })
    const content = there ?? new FileContent()
    content.truncate(0)
    content.append(bytes, 0, bytes.length)
    directory.set(name, content)
  }

  exists(path: string): boolean {
    return this.#find(path) !== undefined
  }

  list(path: string): string[] {
    const directory = this.#find(path)
    if (directory === undefined) return []
    if (directory instanceof FileContent) throw new StorageError('list', path, { code: 'ENOTDIR' })
    return [...directory.keys()].sort()
  }

  isDirectory(path: string): boolean {
    return this.#find(path) instanceof Map
  }

  makeDirectory(path: string): void {
    let directory = this.#root
    for (const name of namesOf(path)) {
      let next = directory.get(name)
      if (next instanceof FileContent) throw new StorageError('make directory', path, { code: 'EEXIST' })
      if (next === undefined) {
        next = new Map()
        directory.set(name, next)
      }
      directory = next
    }
  }

  rename(from: string, to: string): void {
    const moved = this.#find(from)
    if (moved === undefined) throw new StorageError('rename', from, { code: 'ENOENT' })
    const target = this.#parentOf('rename', to)
    const replaced = target.directory.get(target.name)
    if (replaced instanceof Map && (moved instanceof FileContent || replaced.size > 0)) {
      throw new StorageError('rename', from, { code: moved instanceof FileContent ? 'EISDIR' : 'ENOTEMPTY' })
    }
    if (replaced instanceof FileContent && moved instanceof Map) {
      throw new StorageError('rename', from, { code: 'ENOTDIR' })
    }
    const source = this.#parentOf('rename', from)
    source.directory.delete(source.name)
    target.directory.set(target.name, moved)
  }

  remove(path: string): void {
    if (this.#find(path) === undefined) return
    const { directory, name } = this.#parentOf('remove', path)
    directory.delete(name)
  }

  async syncDirectory(path: string): Promise<void> {
    if (!this.isDirectory(path)) throw new StorageError('sync', path, { code: 'ENOENT' })
  }

  lock(path: string): DiskLock {
    const { directory, name } = this.#parentOf('lock', path)
    const key = namesOf(path).join('/')
    if (this.#locks.has(key)) {
      throw new BrokerError('DIRECTORY_LOCKED', `the data directory of ${path} is in use by this process`)
    }
    this.#locks.add(key)
    directory.set(name, new FileContent())
    let isHeld = true
    return {
      release: () => {
        if (!isHeld) return
        isHeld = false
        this.#locks.delete(key)
        this.remove(path)
      },
    }
  }

  #find(path: string): Directory | FileContent | undefined {
    let at: Directory | FileContent | undefined = this.#root
    for (const name of namesOf(path)) {
      if (!(at instanceof Map)) return undefined
      at = at.get(name)
    }
    return at
  }

  #parentOf(operation: string, path: string): { directory: Directory; name: string } {
    const names = namesOf(path)
    const name = names.pop()
    const directory = this.#find(names.join('/'))
    if (name === undefined || directory === undefined) throw new StorageError(operation, path, { code: 'ENOENT' })
    if (directory instanceof FileContent) throw new StorageError(operation, path, { code: 'ENOTDIR' })
    return { directory, name }
  }
}

class MemoryFile implements DiskFile {
  readonly path: string
  readonly #content: FileContent
  readonly #onClose: () => void
  #isClosed = false

  constructor(path: string, content: FileContent, onClose: () => void) {
    this.path = path
    this.#content = content
    this.#onClose = onClose
  }

  get size(): number {
    return this.#content.size
  }

  append(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#checkOpen('append to')
    this.#content.append(bytes, start, end)
  }

  read(into: Uint8Array, intoStart: number, length: number, position: number): number {
    this.#checkOpen('read')
    return this.#content.read(into, intoStart, length, position)
  }

  truncate(size: number): void {
    this.#checkOpen('truncate')
    if (size < 0 || size > this.#content.size) throw new StorageError('truncate', this.path, { code: 'EINVAL' })
    this.#content.truncate(size)
  }

  async sync(): Promise<void> {
    this.#checkOpen('sync')
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#onClose()
  }

  #checkOpen(operation: string): void {
    if (this.#isClosed) throw new StorageError(operation, this.path, { code: 'EBADF' })
  }
}

/**
 * The bytes of one file in chunks that double in size up to 1 MiB, so that a small file stays small and a large one is
 * never copied to grow.
 */
class FileContent {
  readonly #chunks: Buffer[] = []
  /** The position in the file at which each chunk begins. */
  readonly #starts: number[] = []
  #capacity = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    let from = start
    while (from < end) {
      if (this.#size === this.#capacity) this.#grow()
      const last = this.#chunkAt(this.#size)
      const chunk = this.#chunks[last]!
      const at = this.#size - this.#starts[last]!
      const length = Math.min(end - from, chunk.length - at)
      chunk.set(bytes.subarray(from, from + length), at)
      this.#size += length
      from += length
    }
  }

  read(into: Uint8Array, intoStart: number, length: number, position: number): number {
    const end = Math.min(this.#size, position + length)
    if (position >= end) return 0
    let at = position
    for (let i = this.#chunkAt(position); at < end; i++) {
      const from = at - this.#starts[i]!
      const part = this.#chunks[i]!.subarray(from, from + end - at)
      into.set(part, intoStart + at - position)
      at += part.length
    }
    return end - position
  }

  truncate(size: number): void {
    this.#size = size
    while (this.#starts.length > 0 && this.#starts.at(-1)! >= size) {
      this.#capacity = this.#starts.pop()!
      this.#chunks.pop()
    }
  }

  copy(): FileContent {
    const copied = new FileContent()
    for (let i = 0; i < this.#chunks.length; i++) {
      const from = this.#starts[i]!
      copied.append(this.#chunks[i]!, 0, Math.min(this.#chunks[i]!.length, this.#size - from))
    }
    return copied
  }

  #grow(): void {
    const last = this.#chunks.at(-1)?.length ?? SMALLEST_CHUNK_BYTES / 2
    const chunk = Buffer.allocUnsafeSlow(Math.min(last * 2, LARGEST_CHUNK_BYTES))
    this.#chunks.push(chunk)
    this.#starts.push(this.#capacity)
    this.#capacity += chunk.length
  }

  /** The chunk that holds the byte at `position`. */
  #chunkAt(position: number): number {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#starts[middle]! <= position) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

function copyDirectory(from: Directory, to: Directory): void {
  for (const [name, entry] of from) {
    if (entry instanceof FileContent) {
      to.set(name, entry.copy())
    } else {
      const copied: Directory = new Map()
      to.set(name, copied)
      copyDirectory(entry, copied)
    }
  }
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}
