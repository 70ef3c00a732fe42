import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The methods that type definitions declare for some types: `{ Producer: 'producer' }` gives `producer.send`, ...
 *
 * Reads the text: what is between the braces of a type and looks like a method, or like a property that is a function.
 * That is all the grammar such files use; a type that is not found throws.
 */
export function methodsOf(definitions: string, types: Readonly<Record<string, string>>): string[] {
  const methods = new Set<string>()
  for (const [type, name] of Object.entries(types)) {
    const body = bodyOf(type, definitions)
    const indentation = /^ */.exec(body)![0]
    const members = new RegExp(String.raw`^${indentation}(\w+)(?:<[^>]*>)?(?:\(|: \(.*=>)`, 'gm')
    for (const [, member] of body.matchAll(members)) {
      if (member !== 'constructor' && !member!.startsWith('_')) methods.add(`${name}.${member}`)
    }
  }
  return [...methods].toSorted()
}

function bodyOf(type: string, definitions: string): string {
  const declaration = String.raw`^(?:export )?(?:declare )?(?:class|interface|type) ${type}\b[^\n]*\{\n`
  const head = new RegExp(declaration, 'm').exec(definitions)
  if (head === null) throw new Error(`the type definitions declare no ${type}`)
  const from = head.index + head[0].length
  return definitions.slice(from, definitions.indexOf('\n}', from))
}

/** A file of tests, with the titles of those that begin with the methods they are about: `admin.connect and ...`. */
export class TestFile {
  readonly file: string
  readonly #text: string
  readonly #titles: readonly string[]

  constructor(directory: string, file: string) {
    this.file = file
    this.#text = readFileSync(join(directory, file), 'utf8')
    this.#titles = [...this.#text.matchAll(/['`](\w+\.\w+\b.*)['`],/g)].map((match) => match[1]!)
  }

  /** All files of tests in a directory, but the one that asks. */
  static all(directory: string, asking: string): TestFile[] {
    const files = readdirSync(directory).filter((file) => file.endsWith('.test.ts') && file !== asking)
    return files.map((file) => new TestFile(directory, file))
  }

  /** Whether a title names the method and some code calls a method of that name. */
  covers(method: string): boolean {
    return this.#text.includes(`${method.split('.')[1]}(`) && this.names(method)
  }

  names(method: string): boolean {
    const name = new RegExp(String.raw`\b${method.replace('.', String.raw`\.`)}\b`)
    return this.#titles.some((title) => name.test(title))
  }
}
