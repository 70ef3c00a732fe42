import { readFileSync } from 'node:fs'

export interface WireFrame {
  readonly direction: 'request' | 'response'
  readonly apiKey: number
  readonly apiVersion: number
  /** Header and body, without the size in front. */
  readonly bytes: Buffer
}

/** The recorded frames; see fixtures/wire-frames/README.md. */
export function readWireFrames(): WireFrame[] {
  const file = readFileSync(new URL('fixtures/wire-frames/frames.bin', import.meta.url))
  const frames: WireFrame[] = []
  let at = 0
  while (at < file.length) {
    const length = file.readUInt32BE(at + 5)
    frames.push({
      direction: file[at] === 0 ? 'request' : 'response',
      apiKey: file.readUInt16BE(at + 1),
      apiVersion: file.readUInt16BE(at + 3),
      bytes: file.subarray(at + 9, at + 9 + length),
    })
    at += 9 + length
  }
  return frames
}
