import type { Native } from './native.ts'
import { loadRust } from './rust.ts'
import { typescript } from './typescript.ts'

export { MIN_RECORD_BYTES, RECORD_FACT_COUNT, RecordFact, RecordStatus, describeRecordStatus } from './check-records.ts'
export type { Native } from './native.ts'
export { WriteFailed } from './write-failed.ts'

/** The implementation in use. `MILLRACE_NATIVE=off` takes the TypeScript one, `require` fails without the Rust one. */
export const native: Native = choose(process.env['MILLRACE_NATIVE'])

export const crc32c: Native['crc32c'] = native.crc32c
export const checkRecords: Native['checkRecords'] = native.checkRecords
export const writeRanges: Native['writeRanges'] = native.writeRanges
export const send: Native['send'] = native.send
export const sendFile: Native['sendFile'] = native.sendFile

function choose(wanted: string | undefined): Native {
  if (wanted === 'off') return typescript
  if (wanted !== undefined && wanted !== '' && wanted !== 'require') {
    throw new RangeError(`MILLRACE_NATIVE=${wanted}: off and require are allowed`)
  }
  try {
    return loadRust()
  } catch (error) {
    if (wanted === 'require') throw error
    return typescript
  }
}
