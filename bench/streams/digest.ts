import { TopicReader } from '../measure/topic-reader.ts'

/** What a topic holds, in a form that does not depend on the order of the records. */
export interface Digest {
  readonly count: number
  readonly checksum: string
}

/** Of partition 0 of the topic, of what is committed: of all records, or, where it is a table, of the last one of each key. */
export async function digestOf(port: number, topic: string, isTable: boolean): Promise<Digest> {
  const latest = new Map<string, string | null>()
  const sum = new Sum()
  const reader = new TopicReader(port)
  try {
    await reader.read(topic, 0, 0, (record) => {
      const key = text(record.key)
      if (isTable) latest.set(key ?? '', text(record.value))
      else sum.add(key, text(record.value))
    })
  } finally {
    reader.close()
  }
  for (const [key, value] of latest) if (value !== null) sum.add(key, value)
  return sum.digest
}

/** Adds up a hash of each record, so that every order gives the same, and a record twice does not give nothing. */
class Sum {
  #count = 0
  #low = 0
  #high = 0

  add(key: string | null, value: string | null): void {
    this.#count += 1
    const line = `${key === null ? '-' : `+${key}`}\u0000${value === null ? '-' : `+${value}`}`
    let low = 0x811c9dc5
    let high = 0x2f0b4c47
    for (let at = 0; at < line.length; at++) {
      low = Math.imul(low ^ line.charCodeAt(at), 0x01000193)
      high = Math.imul(high ^ line.charCodeAt(at), 0x5bd1e995)
      high ^= high >>> 15
    }
    this.#low = (this.#low + low) >>> 0
    this.#high = (this.#high + high) >>> 0
  }

  get digest(): Digest {
    const hex = (part: number): string => part.toString(16).padStart(8, '0')
    return { count: this.#count, checksum: hex(this.#high) + hex(this.#low) }
  }
}

function text(bytes: Buffer | null): string | null {
  return bytes === null ? null : bytes.toString('latin1')
}
