import type { LogFields, Logger } from '../base/logger.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

const VALUE_LENGTH_MAX = 500
/** What JSON leaves as it is and a terminal takes for a command or a line's end. */
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029]/g

/** Lines of text for a person: `12:00:00.123 warn  connection closed client=127.0.0.1 reason="..."`. */
export function textLogger(
  level: LogLevel,
  write: (line: string) => void = (line) => process.stderr.write(line),
): Logger {
  const lowest = LOG_LEVELS.indexOf(level)
  const at = (lineLevel: LogLevel) => {
    if (LOG_LEVELS.indexOf(lineLevel) < lowest) return () => {}
    return (message: string, fields?: LogFields) => {
      const time = new Date().toISOString().slice(11, 23)
      write(`${time} ${lineLevel.padEnd(5)} ${message}${fields === undefined ? '' : textOf(fields)}\n`)
    }
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function textOf(fields: LogFields): string {
  let text = ''
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue
    // A client chooses some of these: quoting keeps a line one line, cutting keeps it short.
    const shown = typeof value === 'string' ? quoted(value) : String(value)
    text += ` ${name}=${shown}`
  }
  return text
}

function quoted(value: string): string {
  const cut = value.length > VALUE_LENGTH_MAX ? `${value.slice(0, VALUE_LENGTH_MAX)}…` : value
  if (/^[\w.:/-]+$/.test(cut)) return cut
  return JSON.stringify(cut).replace(UNPRINTABLE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
