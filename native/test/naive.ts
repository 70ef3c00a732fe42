/** The slow and plain versions that the fast ones are held against. */

/** Bit by bit, as the polynomial says. */
export function naiveCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc = (crc ^ byte) >>> 0
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78)
  }
  return (crc ^ 0xffffffff) >>> 0
}

export interface PlainRecord {
  readonly timestampDelta: number
  /** null: the place of the record in its batch. */
  readonly offsetDelta: number | null
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly (readonly [Uint8Array, Uint8Array | null])[]
}

export function varint(value: bigint): number[] {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  const bytes: number[] = []
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return [...bytes, Number(rest)]
}

function field(bytes: Uint8Array | null): number[] {
  return bytes === null ? varint(-1n) : [...varint(BigInt(bytes.length)), ...bytes]
}

export function recordBytes(record: PlainRecord, index: number): number[] {
  const content = [
    0,
    ...varint(BigInt(record.timestampDelta)),
    ...varint(BigInt(record.offsetDelta ?? index)),
    ...field(record.key),
    ...field(record.value),
    ...varint(BigInt(record.headers.length)),
    ...record.headers.flatMap(([key, value]) => [...field(key), ...field(value)]),
  ]
  return [...varint(BigInt(content.length)), ...content]
}

/** The facts of a well-framed body, in their order, or null for any other. Reads with BigInt, slices and exceptions. */
export function naiveCheck(body: Uint8Array, recordCount: number): number[] | null {
  if (recordCount < 0) return null
  try {
    const rest = [...body]
    const deltas: number[] = []
    const offsets: number[] = []
    const isKeyNull: boolean[] = []
    for (let i = 0; i < recordCount; i++) {
      const record = take(rest, number(rest, 5))
      take(record, 1)
      const delta = number(record, 10)
      if (!Number.isSafeInteger(delta)) throw new RangeError('delta')
      deltas.push(delta)
      offsets.push(number(record, 5))
      isKeyNull.push(nullable(record) === null)
      nullable(record)
      const headerCount = number(record, 5)
      if (headerCount < 0) throw new RangeError('headers')
      for (let header = 0; header < headerCount; header++) {
        take(record, number(record, 5))
        nullable(record)
      }
      if (record.length > 0) throw new RangeError('record goes on')
    }
    if (rest.length > 0) throw new RangeError('body goes on')
    const max = deltas.length === 0 ? 0 : Math.max(...deltas)
    const min = deltas.length === 0 ? 0 : Math.min(...deltas)
    const isContiguous = offsets.every((offset, index) => offset === index)
    return [
      max,
      min,
      isContiguous ? 1 : 0,
      isKeyNull.indexOf(true),
      -1,
      offsets.at(-1) ?? -1,
      deltas.indexOf(max),
      body.length,
    ]
  } catch (cause) {
    if (cause instanceof RangeError) return null
    throw cause
  }
}

/** Removes the first `count` bytes. */
function take(bytes: number[], count: number): number[] {
  if (count < 0 || count > bytes.length) throw new RangeError('length')
  return bytes.splice(0, count)
}

function nullable(bytes: number[]): number[] | null {
  const length = number(bytes, 5)
  return length === -1 ? null : take(bytes, length)
}

function number(bytes: number[], maxBytes: number): number {
  let raw = 0n
  for (let i = 0; i < maxBytes; i++) {
    const [byte] = take(bytes, 1) as [number]
    raw |= BigInt(byte & 127) << BigInt(7 * i)
    if (byte < 128) {
      const cut = BigInt.asUintN(maxBytes === 5 ? 32 : 64, raw)
      return Number((cut >> 1n) ^ -(cut & 1n))
    }
  }
  throw new RangeError('varint')
}
