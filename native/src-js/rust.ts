import { createRequire } from 'node:module'
import { crc32c as crc32cInTypeScript } from './crc32c.ts'
import type { Native } from './native.ts'
import { WriteFailed } from './write-failed.ts'
import { writeRanges as writeRangesInTypeScript } from './write-ranges.ts'

// A call into the addon costs as much as the checksum of this many bytes in TypeScript.
const CALL_PAYS_FROM_BYTES = 256

/** What the addon exports: some of it only where the system has such calls, and none of it in one built before. */
interface Addon {
  readonly crc32c: Native['crc32c']
  readonly checkRecords: Native['checkRecords']
  /** Returns 0 or the errno, and leaves in `written` how many bytes were. */
  readonly writeRanges?: (
    file: number,
    bytes: Uint8Array,
    ranges: Uint32Array,
    count: number,
    position: number,
    written: Float64Array,
  ) => number
  readonly send?: NonNullable<Native['send']>
  readonly sendFile?: NonNullable<Native['sendFile']>
}

const written = new Float64Array(1)

/** What keeps the addon from being used, when it is not. */
export class NativeUnavailable extends Error {
  readonly code = 'NATIVE_UNAVAILABLE'
}

/**
 * The Rust module: the file that `npm install` built in a checkout, or the package of this platform. Throws
 * NativeUnavailable where there is neither.
 */
export function loadRust(): Native {
  const addon = loadAddon()
  return {
    kind: 'rust',
    crc32c(bytes, start, end) {
      // The twin also answers for a range that is none.
      const isWorthACall = end - start >= CALL_PAYS_FROM_BYTES && start >= 0 && end <= bytes.length
      return isWorthACall ? addon.crc32c(bytes, start, end) : crc32cInTypeScript(bytes, start, end)
    },
    checkRecords: addon.checkRecords,
    writeRanges: addon.writeRanges === undefined ? writeRangesInTypeScript : throwing(addon.writeRanges),
    send: addon.send ?? null,
    sendFile: addon.sendFile ?? null,
  }
}

function throwing(write: NonNullable<Addon['writeRanges']>): Native['writeRanges'] {
  return (file, bytes, ranges, count, position) => {
    const errno = write(file, bytes, ranges, count, position, written)
    if (errno !== 0) throw new WriteFailed(-errno, written[0]!)
    return written[0]!
  }
}

function loadAddon(): Addon {
  const require = createRequire(import.meta.url)
  const failures: string[] = []
  for (const triple of triples()) {
    for (const place of [`../millrace-native.${triple}.node`, `@millrace/native-${triple}`]) {
      try {
        return require(place) as Addon
      } catch (error) {
        failures.push(`${place}: ${(error as { code?: string }).code ?? String(error)}`)
      }
    }
  }
  throw new NativeUnavailable(`no native module for ${process.platform} ${process.arch}: ${failures.join('; ')}`)
}

/** The names under which napi-rs builds for this machine; of the two for Linux, only one loads. */
function triples(): string[] {
  const { platform, arch } = process
  if (platform === 'linux') return [`linux-${arch}-gnu`, `linux-${arch}-musl`]
  if (platform === 'win32') return [`win32-${arch}-msvc`]
  return [`${platform}-${arch}`]
}
