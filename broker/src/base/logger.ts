export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

/** One line per call. Values that came from a client are escaped and shortened by the implementation. */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
