import { getSystemErrorName } from 'node:util'

/** A write that the system refused, wholly or behind a part. The fields are those of Node's own errors. */
export class WriteFailed extends Error {
  override readonly name = 'WriteFailed'
  /** `ENOSPC` and the like. */
  readonly code: string
  /** Negative, as Node has it. */
  readonly errno: number
  readonly syscall = 'pwritev'
  /** Bytes that are in the file all the same. */
  readonly written: number

  constructor(errno: number, written: number) {
    const code = getSystemErrorName(errno)
    super(`${code}: write failed after ${written} bytes`)
    this.code = code
    this.errno = errno
    this.written = written
  }
}
