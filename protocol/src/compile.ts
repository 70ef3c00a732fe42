import type { Codec } from './codec.ts'
import { defaultOf, EMPTY_BYTES, isCompact, minimumBytes, structLayout } from './layout.ts'
import { ProtocolError } from './protocol-error.ts'
import { readerMethod } from './interpret.ts'
import {
  isNullable,
  isOptional,
  isPresent,
  type Decoded,
  type Field,
  type Fields,
  type Input,
  type Message,
} from './schema.ts'

/**
 * The codec of a message at one version as straight-line JavaScript: no closures, no tests of the version, no lookups
 * by name. Every version of a message gives objects with the same properties in the same order, so that what handles
 * them sees one shape. `npm run protocol:show -- produce 9` prints the source.
 */
export function compile<F extends Fields>(message: Message<F>, version: number): Codec<Decoded<F>, Input<F>> {
  // The only place that makes code from strings. They consist of the tables' own names and numbers, never of input.
  // eslint-disable-next-line no-implied-eval
  const make = new Function('EMPTY_BYTES', 'nullArray', codecSource(message, version))
  return make(EMPTY_BYTES, nullArray) as Codec<Decoded<F>, Input<F>>
}

function nullArray(name: string): never {
  throw new ProtocolError(`null where the array ${name} must be`)
}

/** The source that compile() runs. */
export function codecSource(message: Message, version: number): string {
  const isFlexible = version >= message.flexibleFrom
  const decode = new Source(version, isFlexible)
  decode.line('return {')
  decode.block('decode(r) {', '},', () => {
    decode.line(`return ${decode.readStruct(message.fields)}`)
  })
  decode.block('encode(w, message) {', '},', () => decode.writeStruct(message.fields, 'message'))
  decode.line('}')
  decode.line(`//# sourceURL=protocol/${message.name}.v${version}.js`)
  return decode.text()
}

/** Lines of JavaScript under construction. Methods that read give the expression in which the value then is. */
class Source {
  readonly #version: number
  readonly #isFlexible: boolean
  readonly #lines: string[] = []
  #indent = ''
  #names = 0

  constructor(version: number, isFlexible: boolean) {
    this.#version = version
    this.#isFlexible = isFlexible
  }

  text(): string {
    return this.#lines.join('\n') + '\n'
  }

  line(text: string): void {
    this.#lines.push(this.#indent + text)
  }

  block(head: string, tail: string, body: () => void): void {
    this.line(head)
    this.#indent += '  '
    body()
    this.#indent = this.#indent.slice(2)
    this.line(tail)
  }

  // Numbered, because the same field name occurs at several depths; named, because someone will read it.
  #name(base: string): string {
    return `${base}${this.#names++}`
  }

  readStruct(fields: Fields): string {
    const layout = structLayout(fields, this.#version)
    const variables = new Map<string, string>()
    for (const { name, field, place } of layout.all) {
      const variable = this.#name(name)
      variables.set(name, variable)
      if (place === 'body') this.#readInto(field, variable, 'const ')
      else this.line(`${place === 'tags' ? 'let' : 'const'} ${variable} = ${defaultSource(field)}`)
    }
    if (this.#isFlexible) {
      if (layout.tags.length === 0) {
        this.line('r.skipTags()')
      } else {
        const count = this.#name('tags')
        const tag = this.#name('tag')
        const end = this.#name('end')
        this.block(`for (let ${count} = r.uvarint(); ${count} > 0; ${count}--) {`, '}', () => {
          this.line(`const ${tag} = r.uvarint(), ${end} = r.tagEnd()`)
          this.block(`switch (${tag}) {`, '}', () => {
            for (const tagged of layout.tags) {
              this.block(`case ${tagged.tag}: {`, '}', () => {
                this.#readInto(tagged.field, variables.get(tagged.name)!, '')
                this.line('break')
              })
            }
          })
          this.line(`r.leaveTag(${end})`)
        })
      }
    }
    return `{ ${layout.all.map(({ name }) => `${name}: ${variables.get(name)}`).join(', ')} }`
  }

  /** `declare` is 'const ' for a new variable and '' for one that exists. */
  #readInto(field: Field, variable: string, declare: 'const ' | ''): void {
    const nullable = isNullable(field, this.#version)
    if (field.type === 'array') {
      this.#readArray(field, variable, declare, nullable)
    } else if (field.type === 'struct') {
      if (nullable && field.options.tag === undefined) {
        if (declare !== '') this.line(`let ${variable} = null`)
        this.block('if (r.int8() >= 0) {', '}', () => this.line(`${variable} = ${this.readStruct(field.fields!)}`))
      } else {
        this.line(`${declare}${variable} = ${this.readStruct(field.fields!)}`)
      }
    } else {
      this.line(`${declare}${variable} = r.${readerMethod(field, nullable, this.#isFlexible)}()`)
    }
  }

  #readArray(field: Field, variable: string, declare: 'const ' | '', nullable: boolean): void {
    const element = field.element!
    const count = this.#name('count')
    const index = this.#name('i')
    const minimum = minimumBytes(element, this.#version, this.#isFlexible)
    const compact = isCompact(field, this.#isFlexible)
    const method = nullable ? (compact ? 'compactNullableCount' : 'nullableCount') : compact ? 'compactCount' : 'count'
    this.line(`const ${count} = r.${method}(${minimum})`)
    this.line(`${declare}${variable} = ${nullable ? `${count} < 0 ? null : ` : ''}new Array(${count})`)
    this.block(`for (let ${index} = 0; ${index} < ${count}; ${index}++) {`, '}', () => {
      const value = this.#name('element')
      this.#readInto(element, value, 'const ')
      this.line(`${variable}[${index}] = ${value}`)
    })
  }

  writeStruct(fields: Fields, from: string): void {
    const layout = structLayout(fields, this.#version)
    for (const { name, field } of layout.body) this.#writeField(field, `${from}.${name}`, name, isOptional(field))
    if (!this.#isFlexible) return
    if (layout.tags.length === 0) {
      this.line('w.uvarint(0)')
      return
    }
    const present = layout.tags.map(({ name, field, tag }) => {
      const flag = this.#name('has')
      this.line(`const ${flag} = !(${this.#isDefaultSource(field, `${from}.${name}`)})`)
      return { name, field, tag, flag }
    })
    this.line(`w.uvarint(${present.map(({ flag }) => `(${flag} ? 1 : 0)`).join(' + ')})`)
    for (const { name, field, tag, flag } of present) {
      this.block(`if (${flag}) {`, '}', () => {
        const start = this.#name('start')
        this.line(`const ${start} = w.beginTag(${tag})`)
        this.#writeField(field, `${from}.${name}`, name, false)
        this.line(`w.endTag(${start})`)
      })
    }
  }

  #writeField(field: Field, from: string, name: string, optional: boolean): void {
    const nullable = isNullable(field, this.#version)
    const isScalar = field.type !== 'array' && field.type !== 'struct'
    let value = from
    // A value that is looked at more than once gets a variable; an object of the caller may have getters.
    if (optional || !isScalar) {
      value = this.#name(name)
      this.line(`${optional ? 'let' : 'const'} ${value} = ${from}`)
      if (optional) this.line(`if (${value} === undefined) ${value} = ${defaultSource(field)}`)
    }
    if (field.type === 'array') this.#writeArray(field, value, name, nullable)
    else if (field.type === 'struct') this.#writeNested(field, value, nullable)
    else this.line(`w.${readerMethod(field, nullable, this.#isFlexible)}(${value})`)
  }

  #writeNested(field: Field, value: string, nullable: boolean): void {
    if (!nullable || field.options.tag !== undefined) {
      this.writeStruct(field.fields!, value)
      return
    }
    this.line(`w.int8(${value} === null ? -1 : 1)`)
    this.block(`if (${value} !== null) {`, '}', () => this.writeStruct(field.fields!, value))
  }

  #writeArray(field: Field, value: string, name: string, nullable: boolean): void {
    const count = isCompact(field, this.#isFlexible) ? 'compactCount' : 'count'
    const whenNull = nullable ? `w.${count}(-1)` : `nullArray('${name}')`
    this.line(`if (${value} === null) ${whenNull}`)
    this.block('else {', '}', () => {
      const index = this.#name('i')
      this.line(`w.${count}(${value}.length)`)
      this.block(`for (let ${index} = 0; ${index} < ${value}.length; ${index}++) {`, '}', () => {
        this.#writeField(field.element!, `${value}[${index}]`, `${name}Of`, false)
      })
    })
  }

  /** The condition under which a tagged field is left out; the same as isDefault() of layout.ts. */
  #isDefaultSource(field: Field, from: string): string {
    const explicit = field.options.default
    if (explicit !== undefined) return `${from} === undefined || ${from} === ${literal(explicit)}`
    if (field.type === 'struct') {
      const inner = Object.entries(field.fields!)
        .filter(([, each]) => isPresent(each, this.#version))
        .map(([name, each]) => `(${this.#isDefaultSource(each, `${from}.${name}`)})`)
      return `${from} === undefined || ${[`${from} !== null`, ...inner].join(' && ')}`
    }
    const simple = defaultOf(field)
    if (Array.isArray(simple) || simple === EMPTY_BYTES) {
      return `${from} === undefined || ${from} !== null && ${from}.length === 0`
    }
    return `${from} === undefined || ${from} === ${literal(simple)}`
  }
}

function defaultSource(field: Field): string {
  const explicit = field.options.default
  if (explicit !== undefined) return literal(explicit)
  if (field.type === 'array') return '[]'
  if (field.type !== 'struct') return literal(defaultOf(field))
  const inner = Object.entries(field.fields!).map(([name, each]) => `${name}: ${defaultSource(each)}`)
  return `{ ${inner.join(', ')} }`
}

function literal(value: unknown): string {
  return value === EMPTY_BYTES ? 'EMPTY_BYTES' : JSON.stringify(value)
}
