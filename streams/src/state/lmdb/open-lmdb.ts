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
  #staged: (() => void)[] = []
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
    this.#staged.push(() => this.#rows.putSync(prefixed(key), value))
  }

  stageRemove(key: Buffer): void {
    this.#staged.push(() => this.#rows.removeSync(prefixed(key)))
  }

  stageTimePut(key: Buffer): void {
    this.#staged.push(() => this.#times.putSync(prefixed(key), EMPTY))
  }

  stageTimeRemove(key: Buffer): void {
    this.#staged.push(() => this.#times.removeSync(prefixed(key)))
  }

  stageMeta(name: string, value: number): void {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeDoubleBE(value)
    this.#staged.push(() => this.#meta.putSync(Buffer.from(name), bytes))
  }

  meta(name: string): number | null {
    return this.#attempt(() => this.#meta.get(Buffer.from(name))?.readDoubleBE() ?? null)
  }

  commit(changelogOffset: number | null): void {
    if (changelogOffset !== null) this.stageMeta('offset', changelogOffset)
    const staged = this.#staged
    this.#staged = []
    if (staged.length === 0) return
    this.#attempt(() =>
      this.#root.transactionSync(() => {
        for (const write of staged) write()
      }),
    )
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
