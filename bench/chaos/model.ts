import { WINDOW_MS, WITHIN_MS } from './topology.ts'

export interface InputRecord {
  readonly key: string
  readonly value: string
  readonly timestampMs: number
}

export interface Input {
  readonly lines: readonly InputRecord[]
  readonly events: readonly InputRecord[]
  readonly left: readonly InputRecord[]
  readonly right: readonly InputRecord[]
}

/** How often what is to be there: counts by their key, pairs by their text. */
export interface Model {
  readonly words: ReadonlyMap<string, number>
  readonly windows: ReadonlyMap<string, number>
  readonly pairs: ReadonlyMap<string, number>
}

/** What the topology has to make of the input, by plain loops: no order of partitions, no stores, no late records. */
export function modelOf({ lines, events, left, right }: Input): Model {
  const model = {
    words: new Map<string, number>(),
    windows: new Map<string, number>(),
    pairs: new Map<string, number>(),
  }
  for (const { value } of lines) for (const word of value.split(' ')) add(model.words, word)
  for (const { key, timestampMs } of events) add(model.windows, `${key}@${timestampMs - (timestampMs % WINDOW_MS)}`)
  const rightByKey = Map.groupBy(
    right.toSorted((a, b) => a.timestampMs - b.timestampMs),
    ({ key }) => key,
  )
  for (const [key, own] of Map.groupBy(
    left.toSorted((a, b) => a.timestampMs - b.timestampMs),
    (record) => record.key,
  )) {
    const others = rightByKey.get(key) ?? []
    let first = 0
    for (const one of own) {
      while (first < others.length && others[first]!.timestampMs < one.timestampMs - WITHIN_MS) first += 1
      for (let at = first; at < others.length && others[at]!.timestampMs <= one.timestampMs + WITHIN_MS; at++) {
        add(model.pairs, `${one.value}|${others[at]!.value}`)
      }
    }
  }
  return model
}

export function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

export function totalOf(counts: ReadonlyMap<string, number>): number {
  let total = 0
  for (const count of counts.values()) total += count
  return total
}

/** What differs, in sentences; nothing where they are equal. */
export function differences(what: string, expected: ReadonlyMap<string, number>, found: ReadonlyMap<string, number>) {
  const wrong: string[] = []
  for (const [key, count] of expected) {
    const got = found.get(key) ?? 0
    if (got !== count) wrong.push(`${what} ${key} should be there ${count} times and is ${got} times`)
  }
  for (const key of found.keys()) if (!expected.has(key)) wrong.push(`${what} ${key} should not be there`)
  return wrong
}
