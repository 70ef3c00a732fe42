import { TopicReader, type ReadRecord } from '../measure/topic-reader.ts'
import { add } from './model.ts'

/** Follows what is committed in the output topics, and remembers what cannot be right whatever the input was. */
export class Output {
  readonly words = new Map<string, number>()
  readonly windows = new Map<string, number>()
  readonly pairs = new Map<string, number>()
  readonly wrong: string[] = []
  count = 0
  readonly #port: number
  readonly #partitions: number
  readonly #offsets = new Map<string, number>()

  constructor(port: number, partitions: number) {
    this.#port = port
    this.#partitions = partitions
  }

  /** Reads on to what is committed now. */
  async read(topics: Readonly<Record<'words' | 'windows' | 'pairs', { readonly name: string }>>): Promise<void> {
    const reader = new TopicReader(this.#port)
    try {
      for (const what of ['words', 'windows', 'pairs'] as const) {
        for (let partition = 0; partition < this.#partitions; partition++) {
          const place = `${what} ${partition}`
          const from = this.#offsets.get(place) ?? 0
          const to = await reader.read(topics[what].name, partition, from, (record) => this.#take(what, record))
          this.#offsets.set(place, to)
        }
      }
    } finally {
      reader.close()
    }
  }

  #take(what: 'words' | 'windows' | 'pairs', { key, value }: ReadRecord): void {
    this.count += 1
    if (what === 'pairs') {
      add(this.pairs, String(value))
      return
    }
    // Every step of a count is written: after 7 comes 8, or a record has been lost or counted twice.
    const name = String(key)
    const count = Number(value!.readBigInt64BE())
    const expected = (this[what].get(name) ?? 0) + 1
    if (count !== expected) this.wrong.push(`${what} ${name}: ${count} where ${expected} comes next`)
    this[what].set(name, count)
  }
}
