import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { strFromU8, unzipSync } from 'fflate'

/** A field as Kafka's message definitions describe it. */
export interface DefinedField {
  readonly name: string
  readonly type: string
  readonly versions?: string
  readonly nullableVersions?: string
  readonly flexibleVersions?: string
  readonly tag?: number
  readonly taggedVersions?: string
  readonly default?: string | number | boolean | null
  readonly fields?: readonly DefinedField[]
}

/** One of Kafka's message definitions: the JSON from which its own classes are generated. */
export interface Definition {
  readonly name: string
  readonly apiKey?: number
  readonly validVersions: string
  readonly flexibleVersions: string
  readonly fields: readonly DefinedField[]
  /** Structs that several fields of this message share by name. */
  readonly commonStructs?: readonly { readonly name: string; readonly fields: readonly DefinedField[] }[]
}

const here = fileURLToPath(new URL('.', import.meta.url))
const cache = fileURLToPath(new URL('../.cache/definitions', import.meta.url))
const ARTIFACTS = 5

function cachedJars(): string[] {
  if (!existsSync(cache)) return []
  return readdirSync(cache).filter((name) => name.endsWith('.jar'))
}

/** Why the definitions cannot be had on this machine, or null when they can. */
export function whyUnavailable(): string | null {
  if (cachedJars().length === ARTIFACTS || spawnSync('mvn', ['--version']).status === 0) return null
  return 'Maven (mvn) is not installed, so the message definitions of Apache Kafka cannot be fetched'
}

/**
 * The definitions by the name of the message, out of the jars that pom.xml lists. Maven fetches them on first use; they
 * stay in a cache outside of version control, because the definitions are Kafka's and not part of this repository.
 */
export function loadDefinitions(): Map<string, Definition> {
  if (cachedJars().length < ARTIFACTS) {
    execFileSync('mvn', ['--batch-mode', '--quiet', 'dependency:copy-dependencies'], { cwd: here, stdio: 'inherit' })
  }
  const definitions = new Map<string, Definition>()
  for (const jar of cachedJars()) {
    const files = unzipSync(readFileSync(`${cache}/${jar}`), {
      filter: ({ name }) => /(?:message|metadata)\/\w+\.json$/.test(name),
    })
    for (const content of Object.values(files)) {
      const definition = JSON.parse(withoutComments(strFromU8(content))) as Definition
      definitions.set(definition.name, definition)
    }
  }
  return definitions
}

/** The definitions are JSON with comments on lines of their own. */
function withoutComments(text: string): string {
  return text.replaceAll(/^\s*\/\/.*$/gm, '')
}
