import { checkRecords } from './check-records.ts'
import { crc32c } from './crc32c.ts'
import type { Native } from './native.ts'
import { writeRanges } from './write-ranges.ts'

/** The implementation that runs everywhere. */
export const typescript: Native = {
  kind: 'typescript',
  crc32c,
  checkRecords,
  writeRanges,
  send: null,
  sendFile: null,
}
