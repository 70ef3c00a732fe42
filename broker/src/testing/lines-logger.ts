import type { LogFields, Logger } from '../base/logger.ts'

export interface LoggedLine {
  readonly level: string
  readonly message: string
  readonly fields: LogFields
}

/** A logger and the lines that it has got, in order. */
export function linesLogger(): { readonly logger: Logger; readonly lines: LoggedLine[] } {
  const lines: LoggedLine[] = []
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}): void =>
      void lines.push({ level, message, fields })
  return { logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, lines }
}
