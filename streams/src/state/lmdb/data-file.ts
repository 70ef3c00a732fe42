import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { StateStorageError } from '../../errors.ts'

const MAGIC = 0xbeefc0de
// Of the first page: its own header, then the environment's.
const MAGIC_AT = 24
const PAGE_BYTES_AT = 48
const LAST_PAGE_AT = 144
const TRANSACTION_AT = 152
const HEADER_BYTES = 160

/**
 * LMDB reads its file through a memory map: one that is shorter than its own header says ends the process with SIGBUS
 * at the first touch, with no error to catch. So the header is compared with the file's length before it is opened.
 */
export function checkDataFile(directory: string): void {
  const path = `${directory}/data.mdb`
  if (!existsSync(path)) return
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    const header = Buffer.alloc(HEADER_BYTES)
    if (size === 0) return
    if (readSync(file, header, 0, header.length, 0) < header.length || header.readUInt32LE(MAGIC_AT) !== MAGIC) {
      throw new StateStorageError(`${path} is not an LMDB file: move it away, the state is rebuilt from the changelog`)
    }
    const pageBytes = header.readUInt32LE(PAGE_BYTES_AT)
    const wanted = (lastPage(file, header, pageBytes) + 1) * pageBytes
    if (size < wanted) {
      throw new StateStorageError(
        `${path} is cut off: it has ${size} bytes and its header speaks of ${wanted}; move it away, the state is rebuilt`,
      )
    }
  } finally {
    closeSync(file)
  }
}

/** Two headers are written in turn; the one of the later transaction knows the highest page in use. */
function lastPage(file: number, first: Buffer, pageBytes: number): number {
  const second = Buffer.alloc(HEADER_BYTES)
  readSync(file, second, 0, HEADER_BYTES, pageBytes)
  const isSecond =
    second.readUInt32LE(MAGIC_AT) === MAGIC &&
    second.readBigUInt64LE(TRANSACTION_AT) > first.readBigUInt64LE(TRANSACTION_AT)
  return Number((isSecond ? second : first).readBigUInt64LE(LAST_PAGE_AT))
}
