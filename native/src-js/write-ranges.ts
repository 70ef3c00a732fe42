import { writevSync } from 'node:fs'
import { constants } from 'node:os'
import { WriteFailed } from './write-failed.ts'

/** As the Rust module does it: see Native. */
export function writeRanges(
  file: number,
  bytes: Uint8Array,
  ranges: Uint32Array,
  count: number,
  position: number,
): number {
  const parts: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    const start = ranges[2 * i]!
    const end = ranges[2 * i + 1]!
    if (start > end || end > bytes.length) throw new RangeError(`[${start}, ${end}) of ${bytes.length} bytes`)
    if (start < end) parts.push(bytes.subarray(start, end))
  }
  let written = 0
  while (parts.length > 0) {
    let taken: number
    try {
      taken = writevSync(file, parts, position + written)
    } catch (cause) {
      const { errno } = cause as NodeJS.ErrnoException
      if (errno === undefined) throw cause
      throw new WriteFailed(errno, written)
    }
    // It would take nothing the next time either.
    if (taken === 0) throw new WriteFailed(-constants.errno.EIO, written)
    written += taken
    // The system may take a part and call that success.
    while (parts.length > 0 && taken >= parts[0]!.length) taken -= parts.shift()!.length
    if (taken > 0) parts[0] = parts[0]!.subarray(taken)
  }
  return written
}
