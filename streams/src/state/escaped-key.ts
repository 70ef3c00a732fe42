/**
 * Key bytes in a form that sorts as the bytes do and in which no key is a prefix of another: 00 becomes 00 FF and the
 * end is 00 00. `suffixBytes` more are left free behind it. `a` sorts before `a 00`, both before `a 01`.
 */
export function escapeKey(key: Buffer, suffixBytes = 0): Buffer {
  let zeros = 0
  for (let at = 0; at < key.length; at++) if (key[at] === 0) zeros++
  const escaped = Buffer.allocUnsafe(key.length + zeros + 2 + suffixBytes)
  if (zeros === 0) escaped.set(key)
  let to = zeros === 0 ? key.length : 0
  for (let at = 0; zeros > 0 && at < key.length; at++) {
    escaped[to++] = key[at]!
    if (key[at] === 0) escaped[to++] = 0xff
  }
  escaped[to++] = 0
  escaped[to] = 0
  return escaped
}

export function unescapeKey(escaped: Buffer): Buffer {
  const end = escaped.length - 2
  const key = Buffer.allocUnsafe(end)
  let to = 0
  for (let at = 0; at < end; at++) {
    key[to++] = escaped[at]!
    if (escaped[at] === 0) at++
  }
  return key.subarray(0, to)
}
