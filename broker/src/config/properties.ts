/**
 * Reads the text of a `.properties` file as Java does: `name=value`, `name: value` or `name value`, comments with # or !,
 * a backslash at the end of a line to go on, and \n, \t, \uXXXX and escaped separators. The last of two equal names wins.
 */
export function parseProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>()
  const lines = text.split(/\r\n|\r|\n/)
  for (let at = 0; at < lines.length; at++) {
    let line = lines[at]!.trimStart()
    if (line === '' || line.startsWith('#') || line.startsWith('!')) continue
    while (endsInBackslash(line)) line = line.slice(0, -1) + (lines[++at] ?? '').trimStart()

    let end = 0
    while (end < line.length && !' \t\f=:'.includes(line[end]!)) end += line[end] === '\\' ? 2 : 1
    const rest = line.slice(end).replace(/^[ \t\f]*[=:]?[ \t\f]*/, '')
    properties.set(unescape(line.slice(0, end)), unescape(rest))
  }
  return properties
}

function endsInBackslash(line: string): boolean {
  const backslashes = /\\*$/.exec(line)![0].length
  return backslashes % 2 === 1
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', f: '\f' }

function unescape(text: string): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|.)/gs, (_, escaped: string) =>
    escaped.length > 1 ? String.fromCharCode(Number.parseInt(escaped.slice(1), 16)) : (ESCAPES[escaped] ?? escaped),
  )
}
