import fs from 'node:fs'
import { threadId } from 'node:worker_threads'
import { sendFile, WriteFailed, writeRanges } from '@millrace/native'
import { BrokerError, StorageError } from '../base/errors.ts'
import type { Disk, DiskFile, DiskLock, DiskSpace } from '../log/disk.ts'

/** Descriptors that files of one disk keep; beyond it the one longest unused is given back until it is needed again. */
const DEFAULT_MAX_OPEN_FILES = 512

/** Lock files this thread of the process holds, by their real path. */
const heldLocks = new Set<string>()

/**
 * The machine's file system. A DiskFile is a name and a size; its descriptor is opened at the first use and may be given
 * back in between, so that thousands of old segments cost none. Linux reports a failed write-back to the next one who
 * syncs the file, also through a descriptor opened after it, so giving one back hides no error.
 */
export class RealDisk implements Disk {
  readonly #descriptors: Descriptors

  constructor(options: { readonly maxOpenFiles?: number } = {}) {
    this.#descriptors = new Descriptors(options.maxOpenFiles ?? DEFAULT_MAX_OPEN_FILES)
  }

  /** Descriptors open now. */
  get openFileCount(): number {
    return this.#descriptors.count
  }

  open(path: string, options: { readonly create?: boolean } = {}): DiskFile {
    try {
      const found = fs.statSync(path, { throwIfNoEntry: false })
      if (found === undefined && options.create !== true)
        throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
      if (found?.isDirectory() === true) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' })
      const file = new RealFile(path, found?.size ?? 0, this.#descriptors)
      if (found === undefined) this.#descriptors.open(file, fs.constants.O_RDWR | fs.constants.O_CREAT)
      return file
    } catch (cause) {
      throw cause instanceof StorageError ? cause : new StorageError('open', path, cause)
    }
  }

  readFile(path: string): Buffer | null {
    try {
      return this.#descriptors.whileScarce(() => fs.readFileSync(path))
    } catch (cause) {
      if (isMissing(cause)) return null
      throw new StorageError('read', path, cause)
    }
  }

  writeFile(path: string, bytes: Uint8Array): void {
    attempt('write', path, () => this.#descriptors.whileScarce(() => fs.writeFileSync(path, bytes)))
  }

  exists(path: string): boolean {
    return fs.existsSync(path)
  }

  list(path: string): string[] {
    try {
      return this.#descriptors.whileScarce(() => fs.readdirSync(path)).sort()
    } catch (cause) {
      if (isMissing(cause)) return []
      throw new StorageError('list', path, cause)
    }
  }

  isDirectory(path: string): boolean {
    return attempt('stat', path, () => fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false)
  }

  makeDirectory(path: string): void {
    attempt('make directory', path, () => fs.mkdirSync(path, { recursive: true }))
  }

  rename(from: string, to: string): void {
    attempt('rename', from, () => fs.renameSync(from, to))
  }

  remove(path: string): void {
    attempt('remove', path, () => fs.rmSync(path, { recursive: true, force: true }))
  }

  async syncDirectory(path: string): Promise<void> {
    let directory: fs.promises.FileHandle | undefined
    try {
      directory = await this.#openDirectory(path)
      await directory.sync()
    } catch (cause) {
      throw new StorageError('sync', path, cause)
    } finally {
      await directory?.close()
    }
  }

  async #openDirectory(path: string): Promise<fs.promises.FileHandle> {
    for (;;) {
      try {
        return await fs.promises.open(path, fs.constants.O_RDONLY)
      } catch (cause) {
        if (!this.#descriptors.giveBackFor(cause)) throw cause
      }
    }
  }

  lock(path: string): DiskLock {
    return attempt('lock', path, () => lockFile(path))
  }

  space(path: string): DiskSpace | null {
    try {
      const { bsize, blocks, bavail } = fs.statfsSync(path)
      return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
    } catch {
      return null
    }
  }
}

class RealFile implements DiskFile {
  readonly path: string
  readonly #descriptors: Descriptors
  #size: number
  #isClosed = false
  /** Kept by Descriptors: the descriptor or -1, when it was last used, and how many syncs are under way on it. */
  descriptor = -1
  /** Whether the descriptor takes no writes, as the file system does not. */
  isReadOnly = false
  lastUse = 0
  syncCount = 0

  constructor(path: string, size: number, descriptors: Descriptors) {
    this.path = path
    this.#size = size
    this.#descriptors = descriptors
  }

  get size(): number {
    return this.#size
  }

  append(bytes: Uint8Array, start = 0, end = bytes.length): void {
    const descriptor = this.#open('append to')
    let from = start
    // write(2) may take a part of the bytes and call that success.
    while (from < end) {
      let written: number
      try {
        written = fs.writeSync(descriptor, bytes, from, end - from, this.#size + from - start)
      } catch (cause) {
        this.#size += from - start
        throw new StorageError('append to', this.path, cause)
      }
      // Nor does a write that takes nothing at all, and says no more, get anywhere by being tried for ever.
      if (written === 0) {
        this.#size += from - start
        throw new StorageError('append to', this.path, { code: 'EIO' })
      }
      from += written
    }
    this.#size += end - start
  }

  appendRanges(bytes: Uint8Array, ranges: Uint32Array, count: number): void {
    const descriptor = this.#open('append to')
    try {
      this.#size += writeRanges(descriptor, bytes, ranges, count, this.#size)
    } catch (cause) {
      if (cause instanceof WriteFailed) this.#size += cause.written
      throw new StorageError('append to', this.path, cause)
    }
  }

  read(into: Uint8Array, intoStart: number, length: number, position: number): number {
    const descriptor = this.#open('read')
    let done = 0
    while (done < length) {
      let count: number
      try {
        count = fs.readSync(descriptor, into, intoStart + done, length - done, position + done)
      } catch (cause) {
        throw new StorageError('read', this.path, cause)
      }
      if (count === 0) break
      done += count
    }
    return done
  }

  sendTo(socket: number, position: number, length: number): number {
    return sendFile === null ? 0 : sendFile(socket, this.#open('read'), position, length)
  }

  truncate(size: number): void {
    const descriptor = this.#open('truncate')
    if (size < 0 || size > this.#size) throw new StorageError('truncate', this.path, { code: 'EINVAL' })
    try {
      fs.ftruncateSync(descriptor, size)
    } catch (cause) {
      throw new StorageError('truncate', this.path, cause)
    }
    this.#size = size
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      const descriptor = this.#open('sync')
      this.syncCount++
      fs.fdatasync(descriptor, (cause) => {
        this.syncCount--
        try {
          if (this.#isClosed) this.#descriptors.close(this)
        } catch (closing) {
          cause ??= closing as NodeJS.ErrnoException
        }
        if (cause === null) resolve()
        else reject(cause instanceof StorageError ? cause : new StorageError('sync', this.path, cause))
      })
    })
  }

  close(): void {
    this.#isClosed = true
    this.#descriptors.close(this)
  }

  #open(operation: string): number {
    if (this.#isClosed) throw new StorageError(operation, this.path, { code: 'EBADF' })
    // Whoever is to change the file hears why that cannot be, from the system.
    if (this.isReadOnly && operation !== 'read') this.#descriptors.close(this)
    if (this.descriptor < 0) this.#descriptors.open(this, fs.constants.O_RDWR, operation === 'read')
    this.lastUse = this.#descriptors.tick()
    return this.descriptor
  }
}

/** The descriptors in use, at most `#limit` of them besides those with a sync under way. */
class Descriptors {
  readonly #limit: number
  readonly #open = new Set<RealFile>()
  #ticks = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get count(): number {
    return this.#open.size
  }

  tick(): number {
    return ++this.#ticks
  }

  /** With `isToRead` it is enough that the file can be read. */
  open(file: RealFile, flags: number, isToRead = false): void {
    while (this.#open.size >= this.#limit && this.#closeLeastRecentlyUsed());
    file.isReadOnly = false
    try {
      file.descriptor = this.whileScarce(() => {
        try {
          return fs.openSync(file.path, flags, 0o644)
        } catch (cause) {
          if (!isToRead || !isForbidden(cause)) throw cause
          const descriptor = fs.openSync(file.path, fs.constants.O_RDONLY)
          file.isReadOnly = true
          return descriptor
        }
      })
    } catch (cause) {
      throw new StorageError('open', file.path, cause)
    }
    file.lastUse = this.tick()
    this.#open.add(file)
  }

  /** Does what takes a descriptor for a moment, giving back others as long as there is none for it. */
  whileScarce<T>(action: () => T): T {
    for (;;) {
      try {
        return action()
      } catch (cause) {
        if (!this.giveBackFor(cause)) throw cause
      }
    }
  }

  /** Gives back a descriptor if the want of one was the cause; false if that was not so, or there is none to give. */
  giveBackFor(cause: unknown): boolean {
    const { code } = cause as NodeJS.ErrnoException
    return (code === 'EMFILE' || code === 'ENFILE') && this.#closeLeastRecentlyUsed()
  }

  /** A file with a sync under way closes when that is done. */
  close(file: RealFile): void {
    if (file.descriptor < 0 || file.syncCount > 0) return
    const { descriptor } = file
    file.descriptor = -1
    this.#open.delete(file)
    attempt('close', file.path, () => fs.closeSync(descriptor))
  }

  #closeLeastRecentlyUsed(): boolean {
    let oldest: RealFile | undefined
    for (const file of this.#open) {
      if (file.syncCount === 0 && (oldest === undefined || file.lastUse < oldest.lastUse)) oldest = file
    }
    if (oldest === undefined) return false
    this.close(oldest)
    return true
  }
}

/**
 * A lock file holds three words: the process, when it started, and its thread. The system takes no part, so the file of a
 * process that died stays, and whoever finds it sees that no process of that number and start is there any more.
 */
function lockFile(path: string): DiskLock {
  const directory = fs.realpathSync(path.slice(0, Math.max(1, path.lastIndexOf('/'))))
  const realPath = `${directory}/${path.slice(path.lastIndexOf('/') + 1)}`
  if (heldLocks.has(realPath)) throw locked(directory, process.pid)
  const mine = `${process.pid} ${startOf(process.pid)} ${threadId}\n`
  const draft = `${realPath}.${process.pid}.${threadId}`
  fs.writeFileSync(draft, mine)
  try {
    // Two rounds: the first may find a dead process's lock and take it away.
    for (let round = 0; ; round++) {
      try {
        linkOrCopy(draft, realPath)
        break
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
      }
      const theirs = readIfThere(realPath)
      const holder = holderOf(theirs)
      if (holder !== null || round > 0) throw locked(directory, holder)
      if (theirs !== null) takeAway(realPath, theirs, `${draft}.stale`)
    }
  } finally {
    fs.rmSync(draft, { force: true })
  }
  heldLocks.add(realPath)
  let isHeld = true
  return {
    release() {
      if (!isHeld) return
      isHeld = false
      heldLocks.delete(realPath)
      try {
        if (readIfThere(realPath) === mine) fs.rmSync(realPath, { force: true })
      } catch {
        // On a disk that failed it stays, and whoever finds it sees that its process is gone.
      }
    },
  }
}

/** link(2) makes the name and the content appear at once, and fails if the name is taken. Some file systems have no links. */
function linkOrCopy(draft: string, path: string): void {
  try {
    fs.linkSync(draft, path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') throw cause
    fs.copyFileSync(draft, path, fs.constants.COPYFILE_EXCL)
  }
}

function locked(directory: string, pid: number | null): BrokerError {
  const holder = pid === null ? 'another process' : pid === process.pid ? 'this process' : `process ${pid}`
  return new BrokerError('DIRECTORY_LOCKED', `the data directory ${directory} is in use by ${holder}`)
}

/** Removes a dead process's lock, unless another process has put its own there since `stale` was read. */
function takeAway(path: string, stale: string, aside: string): void {
  try {
    fs.renameSync(path, aside)
  } catch (cause) {
    if (isMissing(cause)) return
    throw cause
  }
  if (readIfThere(aside) !== stale) linkOrCopy(aside, path)
  fs.rmSync(aside, { force: true })
}

/** The process that a lock file names if it still runs, else null; a file of another program names none. */
function holderOf(content: string | null): number | null {
  const match = /^(\d+) (\S+) (\d+)\n$/.exec(content ?? '')
  if (match === null) return null
  const pid = Number(match[1])
  const isOwnThread = pid === process.pid && Number(match[3]) === threadId
  if (isOwnThread || !isRunning(pid)) return null
  return startOf(pid) === match[2] ? pid : null
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** When the process started, as boot and clock ticks since then; `-` where the system does not tell. */
function startOf(pid: number): string {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the program's name in parentheses and may hold anything.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}:${ticks}`
  } catch {
    return '-'
  }
}

function readIfThere(path: string): string | null {
  try {
    return fs.readFileSync(path, 'latin1')
  } catch (cause) {
    if (isMissing(cause)) return null
    throw cause
  }
}

/** The file may be there to read all the same. */
function isForbidden(cause: unknown): boolean {
  const { code } = cause as NodeJS.ErrnoException
  return code === 'EROFS' || code === 'EACCES' || code === 'EPERM'
}

function isMissing(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException).code === 'ENOENT'
}

function attempt<T>(operation: string, path: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    throw new StorageError(operation, path, cause)
  }
}
