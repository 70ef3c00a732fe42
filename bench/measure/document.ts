import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './machine.ts'

export const documentPath: string = join(root, 'docs', 'PERFORMANCE.md')
/** Where charts go, as links in the document name them. */
export const chartFolder = 'performance'

/** The text with `body` between the two markers of a section, in place of what was there. */
export function withSection(text: string, section: string, body: string): string {
  const [begin, end] = [`<!-- ${section}: begin -->`, `<!-- ${section}: end -->`]
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new Error(`the document has no section between ${begin} and ${end}`)
  return `${text.slice(0, from + begin.length)}\n\n${body.trim()}\n\n${text.slice(to)}`
}

export function writeSection(section: string, body: string): void {
  writeFileSync(documentPath, withSection(readFileSync(documentPath, 'utf8'), section, body))
}

/** Writes a chart beside the document; the Markdown that shows it there. */
export function writeChart(name: string, title: string, svg: string): string {
  const path = join(dirname(documentPath), chartFolder, `${name}.svg`)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, svg)
  return `![${title}](${chartFolder}/${name}.svg)`
}
