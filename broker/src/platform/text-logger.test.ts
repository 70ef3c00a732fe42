import { describe, expect, it } from 'vitest'
import { textLogger, type LogLevel } from './text-logger.ts'

function logging(level: LogLevel) {
  const lines: string[] = []
  return { logger: textLogger(level, (line) => lines.push(line.replace(/^\S+ /, ''))), lines }
}

describe('textLogger', () => {
  it('writes a line with its fields and leaves out those that are not given', () => {
    const { logger, lines } = logging('info')
    logger.warn('connection closed', { client: '127.0.0.1', reason: 'no reason', port: 9092, group: undefined })
    expect(lines).toEqual(['warn  connection closed client=127.0.0.1 reason="no reason" port=9092\n'])
  })

  it('writes nothing below its level', () => {
    const { logger, lines } = logging('warn')
    logger.debug('a')
    logger.info('b')
    logger.error('c')
    expect(lines).toEqual(['error c\n'])
  })

  it('keeps a line one line without commands to the terminal, whatever a client says, and short', () => {
    const { logger, lines } = logging('info')
    logger.info('no topic', { topic: 'a\nb\u001b[2J\u009b2J\u2028c"\u007f' })
    logger.info('no topic', { topic: 'x'.repeat(10_000) })
    expect(lines[0]).toBe('info  no topic topic="a\\nb\\u001b[2J\\u009b2J\\u2028c\\"\\u007f"\n')
    expect(lines[1]!.length).toBeLessThan(600)
  })
})
