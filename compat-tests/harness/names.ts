import { randomBytes } from 'node:crypto'

// Different for each test file and run, so that files may share a broker and a broker may be reused.
const run = randomBytes(3).toString('hex')
let count = 0

/** A name that no other test uses, for a topic, a group or a client: `orders-3f9a1c-2`. */
export function uniqueName(base: string): string {
  count++
  return `${base}-${run}-${count}`
}
