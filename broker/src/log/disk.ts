/**
 * What the log needs of a file system. Everything but the syncs is synchronous: an append into the page cache costs less
 * than the hand-over to a thread (docs/adr on the synchronous append). Paths are absolute or relative to the process,
 * joined with '/'. Every failure is a StorageError that carries the errno.
 */
export interface Disk {
  /** Opens for reading and appending. Without `create` a missing file is ENOENT. */
  open(path: string, options?: { readonly create?: boolean }): DiskFile
  /** The whole file, or null when there is none. */
  readFile(path: string): Buffer | null
  /** Creates or replaces the file, not durably: see `log/checkpoint-file.ts` for that. */
  writeFile(path: string, bytes: Uint8Array): void
  exists(path: string): boolean
  /** Names in a directory, sorted; empty when there is no such directory. */
  list(path: string): string[]
  isDirectory(path: string): boolean
  makeDirectory(path: string): void
  /** Renames a file or a directory, replacing a file that is there. */
  rename(from: string, to: string): void
  /** Removes a file, or a directory with all that is in it; a missing one is not an error. */
  remove(path: string): void
  /** Makes names created, renamed or removed in the directory durable. */
  syncDirectory(path: string): Promise<void>
  /** Takes a lock that no other process and no other holder in this one has; held until released or the process ends. */
  lock(path: string): DiskLock
  /** The size of the file system that holds the path, or null when it has none. Absent where room never ends. */
  space?(path: string): DiskSpace | null
}

export interface DiskSpace {
  readonly totalBytes: number
  /** What this process may still fill. */
  readonly freeBytes: number
}

export interface DiskFile {
  readonly path: string
  /** Bytes in the file, counting every append that succeeded. */
  readonly size: number
  /** Appends bytes [start, end), all of them or an error; after an error the file may have grown by a part. */
  append(bytes: Uint8Array, start?: number, end?: number): void
  /** As `append`, of several ranges of `bytes` in one write: `count` pairs of start and end. See `gathered-ranges.ts`. */
  appendRanges?(bytes: Uint8Array, ranges: Uint32Array, count: number): void
  /** Reads up to `length` bytes at `position` into `into` from `intoStart`; fewer only at the end of the file. */
  read(into: Uint8Array, intoStart: number, length: number, position: number): number
  /**
   * Sends bytes straight to the descriptor of a socket that does not block, and returns how many it took. Absent where
   * that cannot be, and 0 where it cannot be now.
   */
  sendTo?(socket: number, position: number, length: number): number
  /** Cuts the file to `size` bytes, which is at most its size. */
  truncate(size: number): void
  /** Makes the appended bytes and the size durable. */
  sync(): Promise<void>
  close(): void
}

export interface DiskLock {
  release(): void
}
