import { mkdirSync } from 'node:fs'
import { open, type Database, type RootDatabase } from 'lmdb'
import { StateStorageError } from '../../errors.ts'
import type { Row, StoreBacking } from '../backing.ts'
import { checkDataFile } from './data-file.ts'

type Bytes = Database<Buffer, Buffer>

export interface LmdbOptions {
  /** Waits for the disk at each commit. Without it a power cut (not a crash) may cost the state, never the changelog. */
  readonly sync?: boolean
}

/** The disk under one store: an LMDB environment in a directory of its own, created when it is not there. */
export function openLmdb(directory: string, options: LmdbOptions = {}): StoreBacking {
  try {
    mkdirSync(directory, { recursive: true })
    checkDataFile(directory)
    const root = open({
      path: `${directory}/data.mdb`,
      noSubdir: true,
      noSync: options.sync === false,
      keyEncoding: 'binary',
      encoding: 'binary',
    })
    return new LmdbBacking(directory, root)
  } catch (cause) {
    if (cause instanceof StateStorageError) throw cause
    throw new StateStorageError(`cannot open the state in ${directory}: ${text(cause)}`, { cause })
  }
}

/**
 * Rows, their order in time and a few numbers, each a database of one environment, written in one transaction per
 * commit. Between commits it is only read.
 *
 * Only the synchronous calls of lmdb are used, so that no write is pending when a call returns and no rejected promise
 * can end the process. The first error of the disk closes the environment for good: every later call throws
 * StateStorageError, because a later fsync may succeed without the pages that were lost.
 */
class LmdbBacking implements StoreBacking {
  readonly #directory: string
  readonly #root: RootDatabase
  readonly #rows: Bytes
  readonly #times: Bytes
  readonly #meta: Bytes
  readonly #staged = new StagedWrites()
  #failure: StateStorageError | null = null
  #isClosed = false

  constructor(directory: string, root: RootDatabase) {
    this.#directory = directory
    this.#root = root
    const database = (name: string): Bytes => root.openDB({ name, keyEncoding: 'binary', encoding: 'binary' })
    this.#rows = database('rows')
    this.#times = database('times')
    this.#meta = database('meta')
  }

  get changelogOffset(): number | null {
    return this.meta('offset')
  }

  get(key: Buffer): Buffer | null {
    return this.#attempt(() => this.#rows.get(prefixed(key)) ?? null)
  }

  *range(from: Buffer | null, to: Buffer | null): Generator<Row> {
    const rows = this.#attempt(() => this.#rows.getRange(bounds(from, to)))
    for (const { key, value } of rows) yield { key: key.subarray(1), value: Buffer.from(value) }
  }

  *timeRange(from: Buffer | null, to: Buffer | null): Generator<Buffer> {
    for (const key of this.#attempt(() => this.#times.getKeys(bounds(from, to)))) yield key.subarray(1)
  }

  stagePut(key: Buffer, value: Buffer): void {
    this.#staged.add(PUT_ROW, key, value)
  }

  stageRemove(key: Buffer): void {
    this.#staged.add(REMOVE_ROW, key, EMPTY)
  }

  stageTimePut(key: Buffer): void {
    this.#staged.add(PUT_TIME, key, EMPTY)
  }

  stageTimeRemove(key: Buffer): void {
    this.#staged.add(REMOVE_TIME, key, EMPTY)
  }

  stageMeta(name: string, value: number): void {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeDoubleBE(value)
    this.#staged.add(PUT_META, Buffer.from(name), bytes)
  }

  meta(name: string): number | null {
    return this.#attempt(() => this.#meta.get(Buffer.from(name))?.readDoubleBE() ?? null)
  }

  commit(changelogOffset: number | null): void {
    if (changelogOffset !== null) this.stageMeta('offset', changelogOffset)
    if (this.#staged.isEmpty) return
    this.#attempt(() =>
      this.#root.transactionSync(() => {
        this.#staged.replay((kind, key, value) => {
          if (kind === PUT_ROW) this.#rows.putSync(key, value)
          else if (kind === REMOVE_ROW) this.#rows.removeSync(key)
          else if (kind === PUT_TIME) this.#times.putSync(key, EMPTY)
          else if (kind === REMOVE_TIME) this.#times.removeSync(key)
          else this.#meta.putSync(key.subarray(1), value)
        })
      }),
    )
    this.#staged.clear()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // Nothing is pending, so that closing can only report what is known already.
    void this.#root.close().catch(() => {})
  }

  /** Runs something that touches the disk; its first failure is the last one. */
  #attempt<T>(work: () => T): T {
    if (this.#failure !== null) throw this.#failure
    if (this.#isClosed) throw new StateStorageError(`the state in ${this.#directory} is closed`)
    try {
      return work()
    } catch (cause) {
      this.#failure = new StateStorageError(
        `the state in ${this.#directory} failed and is given up (it is rebuilt from the changelog): ${text(cause)}`,
        { cause },
      )
      this.close()
      throw this.#failure
    }
  }
}

const PUT_ROW = 0
const REMOVE_ROW = 1
const PUT_TIME = 2
const REMOVE_TIME = 3
const PUT_META = 4

const FIRST_BYTES = 64 * 1024
const LARGE_BYTES = 4 * 1024
/** What a larger commit needed is not kept for the next one. */
const KEPT_BYTES = 4 * 1024 * 1024

/** The writes of the next commit: their bytes one after the other, so that a hundred thousand are no more objects than one. */
class StagedWrites {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES)
  #at = 0
  /** Three numbers for each write: kind, where its key ends, where its value ends. It begins where the one before ends. */
  #writes: number[] = []
  /** Values that are not copied, by the index of their write. */
  readonly #large = new Map<number, Buffer>()

  get isEmpty(): boolean {
    return this.#writes.length === 0
  }

  /** The value must not change until the commit. */
  add(kind: number, key: Buffer, value: Buffer): void {
    if (value.length > LARGE_BYTES) {
      this.#large.set(this.#writes.length, value)
      value = EMPTY
    }
    const end = this.#at + 1 + key.length + value.length
    if (end > this.#bytes.length) this.#grow(end)
    const bytes = this.#bytes
    bytes[this.#at] = PREFIX
    bytes.set(key, this.#at + 1)
    bytes.set(value, this.#at + 1 + key.length)
    this.#writes.push(kind, this.#at + 1 + key.length, end)
    this.#at = end
  }

  /** In the order in which they came; keys have the prefix of `prefixed`. */
  replay(write: (kind: number, key: Buffer, value: Buffer) => void): void {
    let at = 0
    for (let index = 0; index < this.#writes.length; index += 3) {
      const keyEnd = this.#writes[index + 1]!
      const end = this.#writes[index + 2]!
      const value = this.#large.get(index) ?? this.#bytes.subarray(keyEnd, end)
      write(this.#writes[index]!, this.#bytes.subarray(at, keyEnd), value)
      at = end
    }
  }

  clear(): void {
    this.#at = 0
    this.#writes = []
    this.#large.clear()
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafe(FIRST_BYTES)
  }

  #grow(neededBytes: number): void {
    const grown = Buffer.allocUnsafe(Math.max(neededBytes, 2 * this.#bytes.length))
    grown.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = grown
  }
}

const EMPTY = Buffer.alloc(0)

/** LMDB has no empty keys; a byte before each makes room for one and leaves their order as it is. */
function prefixed(key: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(key.length + 1)
  bytes[0] = PREFIX
  bytes.set(key, 1)
  return bytes
}

const PREFIX = 1

function bounds(from: Buffer | null, to: Buffer | null): { start: Buffer; end: Buffer } {
  return { start: prefixed(from ?? EMPTY), end: to === null ? Buffer.of(PREFIX + 1) : prefixed(to) }
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
